"""Rows that are listed again: every value of a row equals that of an earlier one (METHOD §8).

Repeats of one measurement differ by its noise, 0.2 % in good ones (METHOD §2.4). That two of them
print the same digits is likely where few are printed and impossible where many are: the chance is
the step of the digits over the noise, of the two kinds of value (energy, time, power, rate) that
say most, since the third follows from them. Rows of one file that stand in a stretch which repeats
an earlier stretch are taken together. A rate of a server says nothing: a load test sets it.

| column | what |
|---|---|
| `duplicate_of` | the earlier row of the same source, '' where there is none |
| `republished_from` | the earlier row of another source, '' where there is none |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from observatory.audit.blocks import NOISE_REL, resolution
from observatory.audit.cases import MEMORY, kind_of
from observatory.audit.rule import EXCLUDE, INFO, Breach, Rule, number, where
from observatory.records import Phase

LEAST_CHANCE = 1e-6  #: few rows have the same key, so that few pairs are tried
PRINTED_DIGITS = 12  #: what a conversion of units leaves of the digits printed
#: What must be equal for two rows to be repeats of each other.
KEY = [
    "model_name", "device_kind", "device_count", "dtype", "quantization", "backend", "work_unit",
    "prompt_tokens", "output_tokens", "batch", "technique", "cached_prompt_tokens",
]  # fmt: skip
VALUE = ["quantity", "phase", "per", "unit", "boundary", "method", "value"]


def with_duplicates(table: pd.DataFrame, beside: pd.DataFrame | None = None) -> pd.DataFrame:
    """The table with `duplicate_of` and `republished_from`.

    `beside` has rows of other sources, which are not judged; of equal rows the one with the lowest
    id came first. A row that its importer marked `twin_of` another is passed over: it is said.
    """
    names = ["id", "source_key", "row", "twin_of", *KEY, *VALUE]
    whole = table[names] if beside is None else pd.concat([table[names], beside[names]])
    found = _equal_rows(whole.sort_values("id", ignore_index=True))
    place = pd.MultiIndex.from_frame(table[["source_key", "row"]].astype(str))
    columns: dict[str, NDArray[np.object_]] = {}
    for name, same in (("duplicate_of", True), ("republished_from", False)):
        said = {row: text for row, (text, own) in found.items() if own == same}
        columns[name] = np.array([said.get(row, "") for row in place], dtype=object)
    return table.assign(**columns)


def _equal_rows(table: pd.DataFrame) -> dict[tuple[str, str], tuple[str, bool]]:
    """(source, row) -> (the earlier row in words, whether it is of the same source)."""
    kept = table[table["value"].notna() & table["twin_of"].isna()].reset_index(drop=True)
    if kept.empty:
        return {}
    rows, _ = pd.factorize(codes(kept, ["source_key", "row"]))
    firsts = np.unique(rows, return_index=True)[1]
    keys = codes(kept, KEY)[firsts]
    hashes = pd.util.hash_array(codes(kept, VALUE))
    order = np.argsort(rows, kind="stable")
    sums = np.add.reduceat(hashes[order], np.searchsorted(rows[order], np.arange(len(firsts))))
    groups = codes(pd.DataFrame({"key": keys, "sum": sums}), ["key", "sum"])
    sizes, alike = np.bincount(groups), np.bincount(keys)
    again = np.flatnonzero(sizes[groups] > 1)
    if not len(again):
        return {}
    chances = _chances(kept[np.isin(rows, again)].assign(of=rows[np.isin(rows, again)]))
    earliest: dict[int, int] = {}
    pairs: list[tuple[int, int, float]] = []
    for row in again.tolist():
        first = earliest.setdefault(int(groups[row]), row)
        if first != row:
            size, many = int(sizes[groups[row]]), int(alike[keys[row]])
            pairs.append((row, first, math.comb(many, size) * chances[first] ** (size - 1)))
    sources, names = (kept[name].astype(str).to_numpy()[firsts] for name in ("source_key", "row"))
    seen: dict[tuple[int, str], int] = {}
    for row in again.tolist():
        seen.setdefault((int(groups[row]), sources[row]), row)
    found = {}
    for (row, first, _), chance in zip(pairs, _stretches(pairs, len(firsts)), strict=True):
        if chance < LEAST_CHANCE:
            own = seen[int(groups[row]), sources[row]]
            same = own != row
            of = own if same else first
            text = f"row {names[of]}" + ("" if same else f" of {sources[of]}")
            found[sources[row], names[row]] = (text, same)
    return found


def _stretches(pairs: Sequence[tuple[int, int, float]], rows: int) -> list[float]:
    """The chance of each pair, or that of the stretch of pairs in step that it is in.

    A stretch may begin at any row, which is as many trials.
    """
    starts = [
        i for i, (row, first, _) in enumerate(pairs)
        if not i or (row - 1, first - 1) != pairs[i - 1][:2]
    ]  # fmt: skip
    made: list[float] = []
    for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
        together = math.prod(min(chance, 1.0) for _, _, chance in pairs[start:end]) * rows
        made += [min(chance, together) for _, _, chance in pairs[start:end]]
    return made


def _chances(values: pd.DataFrame) -> dict[int, float]:
    """Row -> the chance that a repeat of it prints the same digits."""
    steps = {
        key: resolution(group.abs().to_numpy(dtype=float))
        for key, group in values[values["value"] != 0].groupby(["source_key", "quantity"],
                                                               observed=True)["value"]
    }  # fmt: skip
    best: dict[int, dict[str, float]] = {}
    columns = ("of", "source_key", "quantity", "unit", "per", "phase", "value")
    for of, source, quantity, unit, per, phase, value in values[[*columns]].itertuples(
        index=False, name=None
    ):
        kinds = best.setdefault(int(of), {})
        kind = kind_of(quantity, unit, per)
        if kind in (None, MEMORY) or value == 0 or (kind == "rate" and phase == Phase.SERVING):
            continue
        step = max(steps[source, quantity], _step(value))
        chance = min(1.0, step / (NOISE_REL * abs(value)))
        kinds[str(kind)] = min(kinds.get(str(kind), 1.0), chance)
    return {of: math.prod(sorted(kinds.values())[:2]) for of, kinds in best.items()}


def _step(value: float) -> float:
    """The last decimal of a number as it is printed."""
    exponent = Decimal(f"{value:.{PRINTED_DIGITS}g}").normalize().as_tuple().exponent
    return float(10.0 ** int(exponent))


def codes(table: pd.DataFrame, columns: list[str]) -> NDArray[np.int64]:
    """A number for each different combination of cells; missing ones are equal to one another."""
    made = np.zeros(len(table), dtype=np.int64)
    for name in columns:
        own, cells = pd.factorize(table[name])
        made, _ = pd.factorize(made * (len(cells) + 1) + own + 1)
    return made


def _listed(column: str, table: pd.DataFrame) -> Breach:
    said = table[column].map(bool).to_numpy(dtype=bool) & table["kind"].notna().to_numpy()
    value: Any = number(table, "value")
    return where(said, value, value)


DUPLICATE_RULES: tuple[Rule, ...] = (
    Rule(
        "duplicate_row", EXCLUDE,
        "Every value is that of {duplicate_of}, in more digits than a repeat would share: the row "
        "is listed again.",
        "Count it once; if it was measured again, give the digits in which the two differ.",
        "METHOD §2.4, §8: no exact multiples of another row; by chance below 1e-6",
        ("duplicate_of", "kind"), lambda t: _listed("duplicate_of", t), words=("duplicate_of",),
    ),
    Rule(
        "republished_row", INFO,
        "Every value is that of {republished_from}: one measurement, published twice.",
        "Take neither as a confirmation of the other.",
        "METHOD §8: no exact multiples of another row; by chance below 1e-6",
        ("republished_from", "kind"), lambda t: _listed("republished_from", t),
        words=("republished_from",),
    ),
)  # fmt: skip
