"""Parts of a layer that only some families have: expert mixtures and latent attention."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mixture:
    """A mixture-of-experts MLP.

    experts: E routed experts; top_k: experts one token uses; expert_ff: inner width of one expert;
    shared_ff: inner width of the always-active experts together (0 = none); dense_layers: layers
    that keep a dense MLP (DeepSeek's first ones); shared_gate: one `hidden → 1` gate a layer
    (Qwen1.5/2-MoE); biases: biases on experts and router (gpt-oss).
    """

    experts: int
    top_k: int
    expert_ff: int
    shared_ff: int = 0
    dense_layers: int = 0
    shared_gate: bool = False
    biases: bool = False


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 §2.1).

    q_rank: rank of the query compression (None = full-rank queries); kv_rank: rank of the cached
    latent; nope_dim, rope_dim, value_dim: per-head widths of the unrotated key, the rotated key
    (shared by all heads in the cache) and the value.
    """

    q_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
