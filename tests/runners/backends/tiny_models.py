"""Tiny configurations of several families, and a loaded backend around one."""

from __future__ import annotations

from typing import Any

from runners.backends.base import BackendRequest
from runners.backends.transformers import TransformersBackend

_COMMON: dict[str, Any] = {
    "vocab_size": 211,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,  # large enough that greedy tokens vary
}
_GATED = {**_COMMON, "intermediate_size": 48, "num_key_value_heads": 2}

LLAMA = {**_GATED, "model_type": "llama", "tie_word_embeddings": True}
GPT_NEOX = {**_COMMON, "model_type": "gpt_neox", "intermediate_size": 64, "rotary_pct": 0.25}
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "vocab_size": 211,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 128,
    "initializer_range": 0.3,
}
QWEN2 = {**_GATED, "model_type": "qwen2", "tie_word_embeddings": False}
OLMOE = {**_GATED, "model_type": "olmoe", "num_experts": 4, "num_experts_per_tok": 2}
MISTRAL = {**_GATED, "model_type": "mistral", "sliding_window": 8}
OPT: dict[str, Any] = {
    **_COMMON,
    "model_type": "opt",
    "ffn_dim": 64,
    "init_std": 0.3,
    "word_embed_proj_dim": 32,
}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "gpt_neox": GPT_NEOX,
    "gpt2": GPT2,
    "qwen2": QWEN2,
    "olmoe": OLMOE,
    "mistral": MISTRAL,
    "opt": OPT,
}


def request(config: dict[str, Any], **options: Any) -> BackendRequest:
    """A single-precision, single-thread request."""
    return BackendRequest("tiny", config, **{"dtype": "float32", "threads": 1, **options})


def load(config: dict[str, Any], **options: Any) -> TransformersBackend:
    """A backend with the model in memory."""
    backend = TransformersBackend()
    backend.load(request(config, **options))
    return backend
