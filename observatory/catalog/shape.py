"""The shape of a decoder-only transformer, and its exact parameter counts.

Symbols in the comments: d hidden, H heads, K kv heads, h head dim, f MLP inner, V vocabulary,
L layers, E experts, k active experts. Formulas: docs/architectures.md; they equal the meta-device
count of `transformers` for every catalogue model that it can build.
"""

from __future__ import annotations

from dataclasses import dataclass

from observatory.catalog.blocks import Latent, Mixture
from observatory.errors import InputError


@dataclass(frozen=True)
class Shape:
    """One decoder-only transformer, as its config describes it.

    norm_weights: weights a norm has per channel (RMSNorm 1, LayerNorm 2, OLMo-1 0);
    norms_per_layer and final_norms count norms of width `hidden`; positions: rows of a learned
    position table; gated: three MLP matrices instead of two; embedding_dim differs from hidden only
    for OPT-350M; sliding_layers of the layers attend to `window` tokens only; quantization is the
    weight format of the released checkpoint where it is not 16 bits; source and verified are those
    of a catalogue row (`yes` = cross-checked, `partial` = some part rests on one source).
    """

    name: str
    model_type: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    max_context: int | None = None
    positions: int = 0
    embedding_dim: int | None = None
    gated: bool = True
    norm_weights: int = 1
    norms_per_layer: int = 2
    final_norms: int = 1
    embedding_norm: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    qk_norm: str | None = None
    sinks: bool = False
    window: int | None = None
    sliding_layers: int = 0
    moe: Mixture | None = None
    mla: Latent | None = None
    quantization: str | None = None
    source: str | None = None
    verified: str | None = None

    def check(self) -> None:
        """Raise InputError when the dimensions cannot belong to a transformer."""
        counts = {
            "layers": self.layers, "hidden": self.hidden, "heads": self.heads,
            "kv_heads": self.kv_heads, "head_dim": self.head_dim, "vocab": self.vocab,
        }  # fmt: skip
        for label, value in counts.items():
            if value <= 0:
                raise InputError(f"{self.name}: {label} is {value}; it must be positive")
        if self.heads % self.kv_heads:
            raise InputError(
                f"{self.name}: {self.heads} heads cannot share {self.kv_heads} kv heads evenly"
            )
        if self.moe and self.moe.top_k > self.moe.experts:
            raise InputError(f"{self.name}: {self.moe.top_k} active of {self.moe.experts} experts")

    # ------------------------------------------------------------------ parameters
    @property
    def experts(self) -> int:
        """Routed experts per mixture layer; 0 for a dense model."""
        return self.moe.experts if self.moe else 0

    @property
    def _attention_matmul(self) -> int:
        d, H, K, h = self.hidden, self.heads, self.kv_heads, self.head_dim
        if self.mla is None:
            return d * H * h + 2 * d * K * h + H * h * d
        m = self.mla
        key = m.nope_dim + m.rope_dim
        query = d * H * key if m.q_rank is None else d * m.q_rank + m.q_rank * H * key
        down = d * (m.kv_rank + m.rope_dim)
        return query + down + m.kv_rank * H * (m.nope_dim + m.value_dim) + H * m.value_dim * d

    @property
    def _attention_other(self) -> int:
        """Biases, norms on queries, keys and latents, attention sinks of one layer."""
        d, H, K, h = self.hidden, self.heads, self.kv_heads, self.head_dim
        if self.mla is not None:
            m = self.mla
            rank = m.q_rank or 0
            biases = (rank + m.kv_rank + m.rope_dim if self.qkv_bias else 0) + self.out_bias * d
            return rank + m.kv_rank + biases
        biases = (H * h + 2 * K * h if self.qkv_bias else 0) + (d if self.out_bias else 0)
        norms = {None: 0, "head": 2, "head_layer": 4}.get(self.qk_norm, 0) * h
        if self.qk_norm == "full":
            norms = H * h + K * h
        return biases + norms + (H if self.sinks else 0)

    @property
    def _matrices(self) -> int:
        return 3 if self.gated else 2

    @property
    def _dense_mlp(self) -> int:
        return self._matrices * self.hidden * self.intermediate

    @property
    def _dense_mlp_bias(self) -> int:
        if not self.mlp_bias:
            return 0
        return (self._matrices - 1) * self.intermediate + self.hidden

    @property
    def mixture_layers(self) -> int:
        """Layers whose MLP is a mixture of experts."""
        return self.layers - self.moe.dense_layers if self.moe else 0

    @property
    def expert_matmul(self) -> int:
        """Matrix weights of one routed expert."""
        return self._matrices * self.hidden * self.moe.expert_ff if self.moe else 0

    @property
    def expert_parameters(self) -> int:
        """All weights of one routed expert, biases included."""
        if not self.moe:
            return 0
        inner = (self._matrices - 1) * self.moe.expert_ff
        return self.expert_matmul + (inner + self.hidden if self.moe.biases else 0)

    @property
    def _mixture_shared_matmul(self) -> int:
        """Router, shared experts and their gate: matrices each token meets in a mixture layer."""
        if not self.moe:
            return 0
        gate = self.hidden if self.moe.shared_gate else 0
        return self.hidden * self.experts + self._matrices * self.hidden * self.moe.shared_ff + gate

    @property
    def _embedding_width(self) -> int:
        return self.embedding_dim or self.hidden

    @property
    def _projections(self) -> int:
        """OPT-350M's matrices between a narrow embedding and the layers, both ways."""
        width = self._embedding_width
        return 0 if width == self.hidden else 2 * width * self.hidden

    @property
    def head_matmul(self) -> int:
        """Matrix weights that make the logits (V·d, tied or not)."""
        return self.vocab * self._embedding_width

    @property
    def parameters(self) -> int:
        """All parameters, equal to the meta-device count of `transformers`."""
        d, width = self.hidden, self._embedding_width
        moe_layers = self.mixture_layers
        router_bias = self.experts if self.moe and self.moe.biases else 0
        norm = self.norm_weights * d
        per_layer = self._attention_matmul + self._attention_other + self.norms_per_layer * norm
        dense = (self.layers - moe_layers) * (self._dense_mlp + self._dense_mlp_bias)
        mixture = moe_layers * (
            self._mixture_shared_matmul + router_bias + self.experts * self.expert_parameters
        )
        embeddings = self.vocab * width + self.positions * d + self.embedding_norm * norm
        head = (0 if self.tied else self.vocab * width) + (self.vocab if self.head_bias else 0)
        final = self.final_norms * norm
        return (
            embeddings
            + self._projections
            + self.layers * per_layer
            + dense
            + mixture
            + final
            + head
        )

    @property
    def active_parameters(self) -> int:
        """Parameters one token meets: all but the experts it is not routed to."""
        idle = self.experts - (self.moe.top_k if self.moe else 0)
        return self.parameters - self.mixture_layers * idle * self.expert_parameters

    @property
    def active_matmul_parameters(self) -> int:
        """Matrix weights that one token is multiplied with, the output head included."""
        mixture = self._mixture_shared_matmul
        if self.moe:
            mixture += self.moe.top_k * self.expert_matmul
        blocks = self.layers * self._attention_matmul
        blocks += (self.layers - self.mixture_layers) * self._dense_mlp
        blocks += self.mixture_layers * mixture
        return blocks + self._projections + self.head_matmul
