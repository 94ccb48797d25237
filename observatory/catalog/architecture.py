"""Exact counts of a decoder-only transformer: parameters, FLOPs and bytes, from its config alone.

Pure Python. Every count that takes a prompt, a context or a batch is plain arithmetic, so numpy
arrays of float64 go through unchanged (integers stay exact in pure Python; integer *arrays* would
overflow int64 on large models: `observatory.runtime.roofline` passes floats).

Symbols in the comments: d hidden, H heads, K kv heads, h head dim, f MLP inner, V vocabulary,
L layers, E experts, k active experts, W sliding window, p prompt tokens, c context (the current
token included), B batch. Formulas: METHOD §4 (docs/architectures.md), verified against
`transformers` on the meta device and `torch.utils.flop_counter`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from observatory.catalog import families, models
from observatory.catalog.shape import Shape
from observatory.catalog.weights import WeightFormat, weight_format
from observatory.errors import InputError


def _smaller(value: Any, limit: int) -> Any:
    """min(value, limit) by arithmetic alone: exact for integers, elementwise for arrays."""
    return (
        (value + limit - abs(value - limit)) / 2
        if not isinstance(value, int)
        else min(value, limit)
    )


def _half(value: Any) -> Any:
    return value // 2 if isinstance(value, int) else value / 2


def attended_pairs(prompt: Any, window: int | None = None, causal: bool = True) -> Any:
    """Query-key pairs that attention evaluates over `prompt` tokens.

    causal kernels: p(p+1)/2, with a window W(W+1)/2 + (p-W)W beyond it; `causal=False` is the
    unfused (eager) kernel that multiplies the whole square, p².
    """
    if not causal:
        return prompt * prompt
    near = prompt if window is None else _smaller(prompt, window)
    pairs = _half(near * (near + 1))
    return pairs if window is None else pairs + (prompt - near) * window


@dataclass(frozen=True)
class Architecture(Shape):
    """One decoder-only transformer: its `Shape`, where it comes from, and what running it takes."""

    # ------------------------------------------------------------------ where one comes from
    @classmethod
    def from_config(cls, config: dict[str, Any], name: str | None = None) -> Architecture:
        """From a Hugging Face config dict. Raises InputError naming the missing keys or family."""
        fields = families.read(config)
        fields["name"] = name or config.get("_name_or_path") or fields["model_type"]
        architecture = cls(**fields)
        architecture.check()
        return architecture

    @classmethod
    def from_path(cls, path: Path | str, override: dict[str, Any] | None = None) -> Architecture:
        """From a model folder or a config.json; `override` keys replace those of the file.

        Raises InputError when the file is absent, is not JSON, or describes no known family.
        """
        file = Path(path) / "config.json" if Path(path).is_dir() else Path(path)
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror or error}") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{file} is not a JSON config: {error}") from error
        if not isinstance(config, dict):
            raise InputError(f"{file} is not a model config: expected a JSON object")
        named = Path(path) if Path(path).is_dir() else file.parent
        return cls.from_config({**config, **(override or {})}, name=named.resolve().name)

    @classmethod
    def lookup(cls, name: str) -> Architecture:
        """From the catalogue, by name, short name or hub id, whatever the case.

        Raises UnknownNameError with near matches.
        """
        row = models.find(name)
        architecture = cls.from_config(models.row_config(row), name=row["name"])
        return replace(architecture, source=row["dims_source"], verified=row["verified"])

    def to_config(self) -> dict[str, Any]:
        """A Hugging Face config dict that builds this model with random weights.

        `transformers.AutoConfig.for_model(**architecture.to_config())`. Raises InputError for
        models without a transformers class (YaLM).
        """
        return families.write(self)

    # ------------------------------------------------------------------ floating-point operations
    def _attention_flops(self, full: Any, sliding: Any, absorbed: bool) -> Any:
        """FLOPs of scores and values: `full` query-key pairs in full layers, `sliding` in others.

        MLA decodes in the latent space (weights absorbed), and prefills with materialised heads.
        """
        if self.mla is None:
            per_pair = 4 * self.heads * self.head_dim
        elif absorbed:
            per_pair = 2 * self.heads * (2 * self.mla.kv_rank + self.mla.rope_dim)
        else:
            m = self.mla
            per_pair = 2 * self.heads * (m.nope_dim + m.rope_dim + m.value_dim)
        full_layers = self.layers - self.sliding_layers
        return per_pair * (full_layers * full + self.sliding_layers * sliding)

    def prefill_flops(self, prompt: Any, batch: Any = 1, causal: bool = True) -> Any:
        """FLOPs to read `prompt` tokens in each of `batch` sequences, logits of the last one only.

        causal=False counts the p² of unfused attention, as `torch.utils.flop_counter` does.
        """
        head = self.head_matmul
        pairs = attended_pairs(prompt, None, causal)
        near = attended_pairs(prompt, self.window, causal) if self.sliding_layers else 0
        linear = 2 * (self.active_matmul_parameters - head) * prompt + 2 * head
        return batch * (linear + self._attention_flops(pairs, near, absorbed=False))

    def decode_flops(self, context: Any, batch: Any = 1) -> Any:
        """FLOPs of one decode step: one token in each of `batch` sequences of `context` tokens."""
        near = _smaller(context, self.window) if self.sliding_layers and self.window else 0
        attention = self._attention_flops(context, near, absorbed=True)
        return batch * (2 * self.active_matmul_parameters + attention)

    # ------------------------------------------------------------------ bytes
    def kv_bytes_per_token(self, kv_bytes: float = 2) -> float:
        """KV-cache bytes that one more token costs while no window is full."""
        per_layer = (
            2 * self.kv_heads * self.head_dim
            if self.mla is None
            else self.mla.kv_rank + self.mla.rope_dim
        )
        return self.layers * per_layer * kv_bytes

    def kv_cache_bytes(self, context: Any, kv_bytes: float = 2) -> Any:
        """KV-cache bytes of one sequence of `context` tokens, windows respected."""
        per_layer = self.kv_bytes_per_token(kv_bytes) / self.layers
        near = _smaller(context, self.window) if self.sliding_layers and self.window else 0
        return per_layer * (
            (self.layers - self.sliding_layers) * context + self.sliding_layers * near
        )

    def weight_bytes(self, dtype: str | None = None) -> int:
        """Bytes of all weights in memory in a weight format (see `catalog.weights`).

        dtype None: the format the config names, else bf16. Quantised formats shrink only the
        matrices they apply to; embeddings, head, norms, biases and routers stay at 2 bytes.
        """
        form = weight_format(dtype or self.quantization or "bf16")
        stored: float = self._stored(form, self.experts)
        return math.ceil(stored)

    def _stored(self, form: WeightFormat, experts: Any) -> Any:
        """Bytes of the weights with `experts` routed experts present in each mixture layer."""
        idle = self.experts - experts
        total = self.parameters - self.mixture_layers * idle * self.expert_parameters
        in_experts = self.mixture_layers * experts * self.expert_matmul
        in_blocks = self.active_matmul_parameters - self.head_matmul
        if self.moe:
            active = self.moe.top_k * self.expert_matmul + self.hidden * self.experts
            in_blocks -= self.mixture_layers * active
        quantised = in_experts if form.experts_only and self.moe else in_experts + in_blocks
        return (total - quantised) * form.other_bytes + quantised * form.matrix_bytes

    def experts_touched(self, tokens: Any) -> Any:
        """Expected distinct experts a layer reads for `tokens` tokens, routed independently."""
        if not self.moe:
            return 0
        return self.experts * (1 - (1 - self.moe.top_k / self.experts) ** tokens)

    def weights_read(self, tokens: Any, dtype: str | None = None) -> Any:
        """Weight bytes one pass over `tokens` tokens reads: touched experts, looked-up rows."""
        form = weight_format(dtype or self.quantization or "bf16")
        table = self.positions * self.hidden
        if not self.tied:
            table += self.vocab * self._embedding_width
        stored = self._stored(form, self.experts_touched(tokens))
        return stored + (tokens * self._embedding_width - table) * form.other_bytes

    def prefill_bytes(
        self, prompt: Any, batch: Any = 1, dtype: str | None = None, kv_bytes: float = 2
    ) -> Any:
        """Bytes a prefill moves at least: weights once, the KV cache written once."""
        return self.weights_read(batch * prompt, dtype) + batch * self.kv_cache_bytes(
            prompt, kv_bytes
        )

    def decode_bytes(
        self, context: Any, batch: Any = 1, dtype: str | None = None, kv_bytes: float = 2
    ) -> Any:
        """Bytes one decode step moves at least: weights once, every sequence's KV cache once."""
        return self.weights_read(batch, dtype) + batch * self.kv_cache_bytes(context, kv_bytes)


lookup = Architecture.lookup
