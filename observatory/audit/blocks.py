"""Blocks of values that are exact multiples of other values: computed, not measured (METHOD §8).

Two measurements differ by noise as well as by a factor. Where a whole block of values is the same
factor times another block, up to the rounding of what is printed, one of them was multiplied. How
surprising that is depends on the digits: three values of twelve digits are enough, thirty of three
digits may not be. The chance of accidental agreement is taken from the noise of good measurements,
0.2 % (METHOD §2.4), and must fall below 1e-12.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from observatory.audit.rule import Floats

NOISE_REL = 0.002
LEAST_CHANCE = 1e-12
LEAST_VALUES = 3
LEAST_SHARE = 0.8  #: of the smaller block must be in the multiple: a whole block, not a few points
FLOAT_REL = 1e-9  #: agreement of numbers that carry all digits of a double
MOST_DECIMALS = 9
#: Means of repeats are looked for up to these: beyond, any double would count as one.
MOST_DECIMALS_OF_MEANS, MOST_REPEATS, MOST_STEPS = 4, 64, 1e6
_MEANS = np.array([
    10.0**decimals * repeats
    for decimals in range(MOST_DECIMALS_OF_MEANS + 1)
    for repeats in range(3, MOST_REPEATS + 1)
])  # fmt: skip
LEAST_CLUSTER = 4  #: coincident ratios without a shared workload
MOST_BLOCKS = 500  #: blocks compared each with each; a file of more is not searched this way
MOST_FREE = 2000  #: values compared all with all; beyond it only shared workloads are compared
SAME_RATIO = 1e-6  #: factors this near to 1, or to a short decimal, are that


@dataclass(frozen=True, slots=True)
class Multiple:
    """`rows` (places in the table) are `factor` times `of_rows`, pair by pair.

    Which of two blocks was multiplied is not known: `rows` is the one whose factor is the shorter
    decimal, else the later one.
    """

    rows: tuple[int, ...]
    of_rows: tuple[int, ...]
    factor: float
    of_block: str


def exact_multiples(
    values: Floats, blocks: Sequence[str], keys: Sequence[object], same_points: bool = False
) -> list[Multiple]:
    """Blocks of one quantity that are a multiple of another block; a factor of 1 is a copy.

    `blocks` names the series of each value (model, device, run …), `keys` its point inside the
    series (the workload); points with a missing or non-positive value are not looked at. With
    `same_points` only values of one key are compared: among repeats of one workload, which differ
    by little, ratios of any two coincide now and then.
    """
    usable = np.isfinite(values) & (values > 0)
    if usable.sum() < 2 * LEAST_VALUES:
        return []
    codes, found_names = pd.factorize(np.asarray(blocks, dtype=object))
    names = pd.Categorical.from_codes(codes, pd.Index(found_names, dtype=object))
    table = pd.DataFrame({"value": values, "block": names, "key": _codes(keys)})
    table = table[usable]
    grouped = table.groupby("block", sort=False, observed=True)["value"]
    steps = {str(name): resolution(block.to_numpy(dtype=float)) for name, block in grouped}
    found = list(_aligned(table, steps))
    if same_points:
        return found
    taken = {row for multiple in found for row in multiple.rows}
    exact = [name for name, step in steps.items() if step == 0]
    free = table[table["block"].isin(exact).to_numpy()]
    if len(free) <= MOST_FREE:
        found += [m for m in _free(free) if not taken & set(m.rows)]
    return found


def _codes(keys: Sequence[object]) -> NDArray[np.int64]:
    """A number for each different key, by how it is written."""
    known: dict[str, int] = {}
    written = (key if isinstance(key, str) else repr(key) for key in keys)
    return np.fromiter((known.setdefault(key, len(known)) for key in written), np.int64, len(keys))


# ---------------------------------------------------------------------- the same points
def _aligned(table: pd.DataFrame, steps: Mapping[str, float]) -> Iterator[Multiple]:
    """Multiples between blocks that share points."""
    sizes = table["block"].value_counts()
    names = [name for name in table["block"].unique() if sizes[name] >= LEAST_VALUES]
    if len(names) > MOST_BLOCKS:
        return
    occurrence = table.groupby(["block", "key"], observed=True).cumcount().to_numpy()
    points = table["key"].to_numpy() * (occurrence.max() + 1) + occurrence
    grids = {
        str(name): (
            points[at],
            table["value"].to_numpy(dtype=float)[at],
            table.index.to_numpy()[at],
        )
        for name, at in table.groupby("block", sort=False, observed=True).indices.items()
    }  # by block and not as one grid of points × blocks, which has a cell for what nobody measured
    for first, second in combinations(names, 2):
        (points_a, values_a, rows_a), (points_b, values_b, rows_b) = grids[first], grids[second]
        _, at_a, at_b = np.intersect1d(points_a, points_b, assume_unique=True, return_indices=True)
        smaller = min(len(points_a), len(points_b))
        if len(at_a) < max(LEAST_VALUES, LEAST_SHARE * smaller):
            continue
        a, b = values_a[at_a], values_b[at_b]
        factor = common_factor(a, b, steps[second])
        inverse = common_factor(b, a, steps[first])
        if factor is None and inverse is None:
            continue
        shorter = inverse is not None and (factor is None or _digits(inverse) < _digits(factor))
        made, origin = (first, second) if shorter else (second, first)
        chosen = inverse if shorter else factor
        found = {first: rows_a[at_a], second: rows_b[at_b]}
        assert chosen is not None
        yield Multiple(
            tuple(int(r) for r in found[made]),
            tuple(int(r) for r in found[origin]),
            chosen,
            origin,
        )


def resolution(values: Floats) -> float:
    """The step that all values are whole numbers of; 0 where they carry every digit.

    A decimal step, or a part of one: the mean of m repeats printed to 10^-d counts in 10^-d/m.
    """
    for decimals in range(MOST_DECIMALS + 1):
        if _whole(values * 10.0**decimals):
            return float(10.0**-decimals)
    largest = float(np.max(values))
    for per_unit in _MEANS[_near_whole(largest * _MEANS)]:
        if largest * per_unit < MOST_STEPS and _whole(values * per_unit):
            return float(1 / per_unit)
    return 0.0


def _near_whole(counts: Floats) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.abs(counts - np.round(counts)) <= 1e-6 * np.maximum(
        1.0, 1e-6 * np.abs(counts)
    )
    return near


def _whole(counts: Floats) -> bool:
    return bool(np.all(_near_whole(counts)))


def common_factor(origin: Floats, made: Floats, step: float) -> float | None:
    """The r for which `made` is r × `origin` rounded to `step`, as a short decimal where one fits.

    None where no r fits every pair, or where the fit is no surprise: few digits, few different
    values. `origin` is taken as printed.
    """
    slack = 0.5 * step * (1 + 1e-9) + FLOAT_REL * made
    low, high = float(np.max((made - slack) / origin)), float(np.min((made + slack) / origin))
    if not low <= high:  # also where a quotient of a stranger's numbers overflows
        return None
    _, first = np.unique(origin, return_index=True)
    by_chance = np.sort(np.minimum(1.0, 2 * slack[first] / (2.5 * NOISE_REL * made[first])))
    if np.prod(by_chance[:-1]) > LEAST_CHANCE:  # one value fixes the factor
        return None
    return _shortest(low, high)


def _shortest(low: float, high: float) -> float:
    """The decimal of fewest digits between two bounds; their middle where none is short."""
    middle = (low + high) / 2
    for digits in range(1, 7):
        short = float(f"{middle:.{digits - 1}e}")
        if low <= short <= high:
            return short
    return middle


def _digits(factor: float) -> int:
    """Significant digits of a factor."""
    return len(f"{factor:.12g}".replace(".", "").strip("0"))


# ---------------------------------------------------------------------- any points
def _free(table: pd.DataFrame) -> Iterator[Multiple]:
    """Multiples between values that carry all their digits, whatever their points.

    Ratios of such values coincide to 1e-9 only where one was computed from the other.
    """
    logs = np.log(table["value"].to_numpy(dtype=float))
    later, earlier = np.tril_indices(len(logs), -1)
    ratio = logs[later] - logs[earlier]
    order = np.argsort(ratio, kind="stable")
    starts = np.flatnonzero(np.diff(ratio[order], prepend=-np.inf) > 2 * FLOAT_REL)
    sizes = np.diff(np.append(starts, len(order)))
    for start, size in zip(starts, sizes, strict=True):
        if size < LEAST_CLUSTER:
            continue
        members = order[start : start + size]
        made, origin = later[members], earlier[members]
        factor = float(np.exp(ratio[members].mean()))
        if _digits(_rounded(1 / factor)) < _digits(_rounded(factor)):
            made, origin, factor = origin, made, 1 / factor
        made, origin = made[np.argsort(made)], origin[np.argsort(made)]
        values = table["value"].to_numpy(dtype=float)
        if min(len(np.unique(values[made])), len(np.unique(values[origin]))) < LEAST_CLUSTER:
            continue
        blocks = sorted(set(table["block"].to_numpy()[origin]))
        yield Multiple(
            tuple(int(r) for r in table.index.to_numpy()[made]),
            tuple(int(r) for r in table.index.to_numpy()[origin]),
            _rounded(factor),
            blocks[0] if len(blocks) == 1 else f"{blocks[0]} and {len(blocks) - 1} more",
        )


def _rounded(factor: float) -> float:
    return _shortest(factor * (1 - FLOAT_REL), factor * (1 + FLOAT_REL))


def labels(multiples: Sequence[Multiple], length: int) -> tuple[Floats, NDArray[np.object_]]:
    """(factor, block multiplied) of each of `length` rows; NaN and '' where it is no multiple."""
    factor = np.full(length, np.nan)
    origin = np.full(length, "", dtype=object)
    for multiple in multiples:
        places = list(multiple.rows)
        factor[places], origin[places] = multiple.factor, multiple.of_block
    return factor, origin
