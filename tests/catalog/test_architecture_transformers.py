"""Counts against `transformers` itself: parameters on the meta device, FLOPs by torch's counter."""

from __future__ import annotations

from typing import Any

import pytest

from observatory.catalog import models
from observatory.catalog.architecture import Architecture, lookup

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def quiet() -> None:
    transformers.logging.set_verbosity_error()


def on_meta(arch: Architecture) -> Any:
    config = transformers.AutoConfig.for_model(**arch.to_config())
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("name", [n for n in models.names() if n != "YaLM-100B"])
def test_parameters_equal_the_meta_device(name: str) -> None:
    arch = lookup(name)
    model = on_meta(arch)
    assert sum(p.numel() for p in model.parameters()) == arch.parameters
    # DeepSeek-V3's router corrections are buffers: no parameter, but counted in checkpoints.
    corrections = [b for k, b in model.named_buffers() if k.endswith("e_score_correction_bias")]
    if arch.model_type == "deepseek_v3":
        assert sum(b.numel() for b in corrections) == arch.mixture_layers * arch.experts


TINY: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 2, "n_embd": 32, "n_head": 4, "vocab_size": 80, "n_positions": 64},
    "opt": {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "ffn_dim": 64,
            "vocab_size": 80, "max_position_embeddings": 64, "word_embed_proj_dim": 16,
            "do_layer_norm_before": False, "pad_token_id": 0},
    "bloom": {"n_layer": 2, "hidden_size": 32, "n_head": 4, "vocab_size": 80},
    "falcon": {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4,
               "vocab_size": 80, "alibi": True, "parallel_attn": False, "multi_query": False,
               "bias": True},
    "phi": {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "vocab_size": 80,
            "intermediate_size": 48, "qk_layernorm": True},
    "llama": {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4,
              "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 48, "vocab_size": 80,
              "attention_bias": True, "mlp_bias": True},
    "gemma3_text": {"num_hidden_layers": 7, "hidden_size": 32, "num_attention_heads": 4,
                    "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 48,
                    "vocab_size": 80, "sliding_window": 8},
    "starcoder2": {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4,
                   "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 80},
    "smollm3": {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4,
                "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 80,
                "pad_token_id": 0},
    "granite": {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4,
                "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 80},
    "olmo3": {"num_hidden_layers": 4, "hidden_size": 32, "num_attention_heads": 4,
              "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 80,
              "sliding_window": 8, "pad_token_id": 0},
    "qwen2_moe": {"num_hidden_layers": 4, "hidden_size": 32, "num_attention_heads": 4,
                  "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 80,
                  "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
                  "shared_expert_intermediate_size": 24, "decoder_sparse_step": 2,
                  "mlp_only_layers": [3]},
    "deepseek_v3": {"num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4,
                    "num_key_value_heads": 4, "intermediate_size": 48, "vocab_size": 80,
                    "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
                    "n_shared_experts": 1, "first_k_dense_replace": 1, "q_lora_rank": None,
                    "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
                    "v_head_dim": 8, "n_group": 1, "topk_group": 1, "attention_bias": True},
}  # fmt: skip


@pytest.mark.parametrize("family", TINY)
def test_unusual_options_equal_the_meta_device(family: str) -> None:
    """Options that no catalogue model uses: projections, biases, norms on queries, sparse steps."""
    config = {"model_type": family, **TINY[family]}
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(**config)
        )
    built = transformers.AutoConfig.for_model(**config).to_dict()
    arch = Architecture.from_config(built)
    assert sum(p.numel() for p in model.parameters()) == arch.parameters


@pytest.mark.parametrize(
    "family", ["gpt2", "opt", "llama", "gemma3_text", "qwen2_moe", "deepseek_v3"]
)
@pytest.mark.parametrize("prompt", [5, 24])
def test_flops_equal_torch_counter(family: str, prompt: int) -> None:
    """Eager attention multiplies the whole square: the p² form, exactly."""
    from torch.utils.flop_counter import FlopCounterMode

    config = transformers.AutoConfig.for_model(
        model_type=family, **TINY[family], attn_implementation="eager"
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", experts_implementation="eager"
    )
    tokens = torch.randint(1, 79, (2, prompt))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(tokens, use_cache=False, logits_to_keep=1)
    arch = Architecture.from_config(config.to_dict())
    # gemma3's window saves nothing here: an unfused kernel multiplies masked pairs too.
    assert counter.get_total_flops() == arch.prefill_flops(prompt, 2, causal=False)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2_moe"])
def test_decode_flops_equal_torch_counter(family: str) -> None:
    """One step after a cached prompt: the context counts the token being made."""
    from torch.utils.flop_counter import FlopCounterMode

    from runners.backends.caches import cache_name, returned_cache

    config = transformers.AutoConfig.for_model(model_type=family, **TINY[family])
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", experts_implementation="eager"
    )
    with torch.no_grad():
        cache = returned_cache(model(torch.randint(1, 79, (2, 11)), use_cache=True))
        with FlopCounterMode(display=False) as counter:
            model(torch.randint(1, 79, (2, 1)), use_cache=True, **{cache_name(model): cache})
    assert counter.get_total_flops() == Architecture.from_config(config.to_dict()).decode_flops(
        12, 2
    )
