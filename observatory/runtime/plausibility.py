"""The plausibility gate: rows that no machine could have produced, said in a sentence.

Pure functions on plain values; a violation never deletes a row (METHOD §8). The bounds are generous
on purpose, so that nobody is accused wrongly: no communication, a mixture reads no more experts
than one token uses, an unknown prompt is empty and its context half the output, and a format whose
multiplication unit is unknown (4-bit) has no compute bound.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.catalog.weights import weight_format
from observatory.runtime.roofline import kv_bytes_of

TOLERANCE = 1.05  # cards boost a little above the clock that their rated peak assumes (ours)
POWER_FACTOR = 1.15  # of TDP (METHOD §8)
AGREEMENT = 0.05  # E = mean power × time (METHOD §8)
MULTIPLE_TOLERANCE = 1e-4  # ratios of two measured blocks scatter by far more (ours)
MULTIPLE_ROWS = 4


@dataclass(frozen=True)
class Row:
    """What a row claims, SI units; None where it says nothing.

    time_s is that of one request (`prompt` and `output`), or of one decode step of the whole batch
    when `step` is true (`context` tokens attended; unknown: half of `output`). power_w and energy_j
    are of all devices together, over time_s.
    """

    architecture: Architecture
    hardware: Hardware
    devices: int = 1
    dtype: str = "bf16"
    batch: float = 1
    time_s: float | None = None
    step: bool = False
    prompt: float | None = None
    output: float | None = None
    context: float | None = None
    power_w: float | None = None
    energy_j: float | None = None
    kv_dtype: str | None = None


@dataclass(frozen=True)
class Violation:
    """One broken bound: a code, the value found, the bound, what is wrong and what to do."""

    code: str
    value: float
    bound: float
    sentence: str
    remedy: str


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
        context = max(output / 2, 1) if row.context is None else row.context
        flops = arch.decode_flops(context, row.batch)
        moved = weights + row.batch * arch.kv_cache_bytes(context, kv)
    else:
        prompt = row.prompt or 1
        middle, steps = prompt + output / 2, max(output - 1, 0)
        flops = arch.prefill_flops(prompt, row.batch)
        flops += steps * arch.decode_flops(middle, row.batch)
        cache = row.batch * arch.kv_cache_bytes(middle, kv)
        moved = (steps + 1) * weights + steps * cache
    known_unit = weight_format(row.dtype).matrix_bytes >= 1
    compute = flops / (row.devices * hw.peak(row.dtype)) if known_unit else None
    return Least(compute, moved / (row.devices * hw.bandwidth_bytes_per_s))


def check(row: Row) -> list[Violation]:
    """Every bound that one row breaks; empty for a plausible row."""
    found = [*_positive(row)]
    if row.time_s is not None and row.time_s > 0:
        found += [*_time(row, row.time_s), *_energy(row, row.time_s)]
    if row.power_w is not None and row.power_w > 0:
        found += _power(row, row.power_w)
    return found


def _positive(row: Row) -> list[Violation]:
    named = (("time", row.time_s, "s"), ("power", row.power_w, "W"), ("energy", row.energy_j, "J"))
    return [
        Violation(
            f"{name}_not_positive", value, 0.0,
            f"The {name} is {value:g} {unit}; work cannot take none.",
            "Leave a missing value empty; zero is a measurement.",
        )
        for name, value, unit in named
        if value is not None and not value > 0
    ]  # fmt: skip


def _time(row: Row, time_s: float) -> list[Violation]:
    bound = least(row)
    found = []
    for code, word, seconds in (
        ("mfu_above_one", "operations than its devices' dense peak", bound.compute_s),
        ("mbu_above_one", "bytes than its devices' memory bandwidth", bound.memory_s),
    ):
        if seconds is not None and seconds / time_s > TOLERANCE:
            found.append(
                Violation(
                    code, seconds / time_s, 1.0,
                    f"{seconds / time_s:.2f} times more {word} allows in {time_s:.3g} s.",
                    "Check the device, its count, the batch, the number format and the unit of "
                    "time.",
                )
            )  # fmt: skip
    return found


def _power(row: Row, power_w: float) -> list[Violation]:
    each, hw = power_w / row.devices, row.hardware
    if hw.tdp_w is not None and each > POWER_FACTOR * hw.tdp_w:
        return [
            Violation(
                "power_above_limit", each, POWER_FACTOR * hw.tdp_w,
                f"{each:.4g} W a device; {hw.name} is rated {hw.tdp_w:.4g} W.",
                "Check the unit, the count of devices, and what the power covers.",
            )
        ]  # fmt: skip
    if hw.idle_w is not None and each < hw.idle_w:
        return [
            Violation(
                "power_below_idle", each, hw.idle_w,
                f"{each:.4g} W a device; {hw.name} draws {hw.idle_w:.4g} W when idle.",
                "Check the unit and whether all devices are counted.",
            )
        ]  # fmt: skip
    return []


def _energy(row: Row, time_s: float) -> list[Violation]:
    if row.energy_j is None or row.power_w is None or row.energy_j <= 0 or row.power_w <= 0:
        return []
    ratio = row.energy_j / (row.power_w * time_s)
    if abs(ratio - 1) <= AGREEMENT:
        return []
    return [
        Violation(
            "energy_time_mismatch", ratio, 1.0,
            f"The energy is {ratio:.3g} times mean power × time.",
            "Check the units (J, mJ, Wh) and whether both cover the same seconds and devices.",
        )
    ]  # fmt: skip


@dataclass(frozen=True)
class Multiple:
    """Two blocks of rows, one of which is the other times one number."""

    block: Hashable
    other: Hashable
    ratio: float
    rows: int

    def violation(self) -> Violation:
        """The finding on `block`."""
        what = "equals" if abs(self.ratio - 1) < MULTIPLE_TOLERANCE else f"is {self.ratio:.6g} ×"
        return Violation(
            "exact_multiple", self.ratio, 1.0,
            f"Block {self.block} {what} block {self.other} in all {self.rows} shared rows.",
            "Measured blocks differ row by row: look for a copied or scaled one at the source.",
        )  # fmt: skip


def exact_multiples(blocks: Mapping[Hashable, Mapping[Hashable, float]]) -> list[Multiple]:
    """Pairs of blocks whose values stand in one constant ratio.

    blocks: label (a model on a device, a file) → workload → value. A pair is judged on at least
    four shared workloads whose values are not all alike. Values rounded to few digits scatter, so
    real blocks pass; a block that was made by scaling another does not.
    """
    found = []
    for (a, left), (b, right) in combinations(blocks.items(), 2):
        shared = [key for key in left if key in right]
        x = np.array([left[key] for key in shared], dtype=float)
        y = np.array([right[key] for key in shared], dtype=float)
        usable = (x > 0) & (y > 0)
        if usable.sum() < MULTIPLE_ROWS or _alike(x[usable]):
            continue
        ratio = y[usable] / x[usable]
        middle = float(np.median(ratio))
        if np.max(np.abs(ratio / middle - 1)) <= MULTIPLE_TOLERANCE:
            found.append(Multiple(b, a, middle, int(usable.sum())))
    return found


def _alike(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Whether values hardly differ, so that any two such blocks stand in one ratio."""
    return float(np.max(values) / np.min(values)) < 1.01


def gate(
    rows: Sequence[Row], blocks: Mapping[Hashable, Mapping[Hashable, float]] | None = None
) -> dict[int, list[Violation]]:
    """Violations by row number, of the rows that have any; block findings stand under -1."""
    found = {index: broken for index, row in enumerate(rows) if (broken := check(row))}
    pairs = exact_multiples(blocks or {})
    if pairs:
        found[-1] = [pair.violation() for pair in pairs]
    return found
