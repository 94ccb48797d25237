"""Plausibility: the least time a row can take, and the tolerances of the audit's physical rules.

The bounds are generous on purpose, so that nobody is accused wrongly (METHOD §8): no communication,
a mixture reads no more experts than one token uses, an unknown prompt is empty and its mean context
half the output, and a format whose multiplication unit is unknown (4-bit) has no compute bound.
`observatory.audit` turns them into findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.catalog.weights import weight_format
from observatory.runtime.roofline import kv_bytes_of

TOLERANCE = 1.05  # cards boost a little above the clock that their rated peak assumes (ours)
POWER_FACTOR = 1.15  # of TDP (METHOD §8)
AGREEMENT = 0.05  # E = mean power × time (METHOD §8)


def beats_roofline(time_s: Any, roofline_s: Any) -> Any:
    """Whether a time, a number or an array, is shorter than its roofline allows: no fit holds
    there. False where either is NaN."""
    return time_s * TOLERANCE < roofline_s


@dataclass(frozen=True)
class Row:
    """What a row says was done; None where it says nothing.

    One request (`prompt` and `output`), or one decode step of the whole batch where `step` is true
    (`context` tokens attended; unknown: the mean step of an output from an empty prompt).
    """

    architecture: Architecture
    hardware: Hardware
    devices: int = 1
    dtype: str = "bf16"
    batch: float = 1
    step: bool = False
    prompt: float | None = None
    output: float | None = None
    context: float | None = None
    kv_dtype: str | None = None


@dataclass(frozen=True)
class Least:
    """The least seconds a row can take by compute and by memory; None = no bound is known."""

    compute_s: float | None
    memory_s: float


def least(row: Row) -> Least:
    """Generous lower bounds of a row's time; see the module for what is left out of them."""
    arch, hw = row.architecture, row.hardware
    kv = kv_bytes_of(row.kv_dtype, row.dtype)
    weights = arch.weights_read(1, row.dtype)
    output = row.output or 1
    if row.step:
        first = 1 if row.context is None else row.context
        last = max(output, 1) if row.context is None else row.context
        steps, flops, moved = 1.0, 0.0, 0.0
    else:
        prompt = row.prompt or 1
        first, last, steps = prompt + 1, prompt + max(output - 1, 1), max(output - 1, 0)
        flops, moved = arch.prefill_flops(prompt, row.batch), weights
    # Work per step is concave in the context (windows fill up): the mean of the first and the last
    # step is never more than the mean of all.
    ends = (first, last)
    flops += steps * sum(arch.decode_flops(c, row.batch) for c in ends) / 2
    cache = row.batch * sum(arch.kv_cache_bytes(c, kv) for c in ends) / 2
    moved += steps * (weights + cache)
    known_unit = weight_format(row.dtype).matrix_bytes >= 1
    compute = flops / (row.devices * hw.peak(row.dtype)) if known_unit else None
    return Least(compute, moved / (row.devices * hw.bandwidth_bytes_per_s))
