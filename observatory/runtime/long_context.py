"""What context costs: prefill, decode, concurrency and swapping from 4k to 1M tokens.

The four challenges of Fu (2024), *Challenges in Deploying Long-Context Transformers* (arXiv
2405.08944), with exact causal FLOPs: unfused kernels, which multiply the whole p × p square, stand
in a column of their own. All numbers are `modelled`: rooflines, thus lower bounds of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from observatory.catalog.architecture import Architecture
from observatory.catalog.blocks import Latent
from observatory.catalog.hardware import Hardware
from observatory.runtime import roofline
from observatory.runtime.memory import UTILISATION, plan

CONTEXTS = tuple(4096 * 2**i for i in range(9))  # 4k to 1M
# The latent sizes of DeepSeek-V2 and V3, carried to another model.
_LATENT = Latent(q_rank=None, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128)
_WINDOW = 4096
_WINDOW_PERIOD = 6  # five windowed layers to a full one, as Gemma 3


@dataclass(frozen=True)
class Point:
    """One case at one context; times in s for one sequence, bytes over all devices together.

    prefill_unfused_s: the prefill where attention multiplies p²; step_s: one decode step of one
    sequence at that context; released: whether the model was released for such a context.
    """

    case: str
    context: int
    prefill_s: float
    prefill_unfused_s: float
    attention_share: float  #: of the causal prefill FLOPs
    step_s: float
    kv_bytes: float
    concurrency: int
    switch_s: float | None
    released: bool


def sweep(
    arch: Architecture, hw: Hardware, contexts: Sequence[int] = CONTEXTS, devices: int = 1,
    dtype: str = "bf16", kv_dtype: str | None = None, utilisation: float = UTILISATION,
    case: str | None = None,
) -> list[Point]:  # fmt: skip
    """One model on one machine over contexts. Raises InputError as `memory.plan` does."""
    c = np.asarray(contexts, dtype=float)
    read = roofline.prefill_time(arch, hw, c, 1, dtype, devices, kv_dtype)
    step = roofline.decode_time(arch, hw, c, 1, dtype, devices, kv_dtype)
    causal, square = arch.prefill_flops(c), arch.prefill_flops(c, causal=False)
    linear = 2 * (arch.active_matmul_parameters - arch.head_matmul) * c + 2 * arch.head_matmul
    unfused = np.maximum(read.compute_s * square / causal, read.memory_s) + read.communication_s
    points = []
    for i, context in enumerate(contexts):
        memory = plan(arch, hw, context, devices, dtype, kv_dtype, utilisation)
        points.append(
            Point(
                case=case or arch.name,
                context=context,
                prefill_s=float(read.time_s[i]),
                prefill_unfused_s=float(unfused[i]),
                attention_share=float(1 - linear[i] / causal[i]),
                step_s=float(step.time_s[i]),
                kv_bytes=memory.kv_bytes_per_sequence,
                concurrency=memory.concurrency,
                switch_s=memory.switch_s,
                released=arch.max_context is None or context <= arch.max_context,
            )
        )
    return points


def variants(arch: Architecture) -> dict[str, tuple[Architecture, str | None]]:
    """The same model with another attention, all else equal: case → (architecture, KV type).

    Multi-head (every head its own KV), grouped as released, an fp8 cache, windows of 4096 tokens in
    five of six layers, and a latent cache of DeepSeek's sizes. But for the released one they are
    thought experiments and belong to no published model.
    """
    windowed = arch.layers - arch.layers // _WINDOW_PERIOD
    return {
        "multi-head": (replace(arch, kv_heads=arch.heads), None),
        f"grouped, {arch.kv_heads} kv heads": (arch, None),
        f"grouped, {arch.kv_heads} kv heads, fp8 KV": (arch, "fp8"),
        "windows of 4096 in 5 of 6 layers": (
            replace(arch, window=_WINDOW, sliding_layers=windowed), None,
        ),
        "latent (MLA 512 + 64)": (replace(arch, mla=_LATENT), None),
    }  # fmt: skip


def compare(
    arch: Architecture, hw: Hardware, contexts: Sequence[int] = CONTEXTS, devices: int = 1,
    dtype: str = "bf16",
) -> list[Point]:  # fmt: skip
    """`sweep` of every variant of one model."""
    points = []
    for case, (variant, kv) in variants(arch).items():
        points += sweep(variant, hw, contexts, devices, dtype, kv, case=case)
    return points
