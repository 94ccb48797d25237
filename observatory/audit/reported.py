"""Rules on what others reported: the physical ones, and what a file can say against itself.

A row in violation is kept and marked, and left out by default where its rule says `exclude`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from observatory.audit.blocks import exact_multiples, labels
from observatory.audit.cases import MEMORY, with_stated
from observatory.audit.claims import BAND, claims
from observatory.audit.diagnoses import UNIT_RULES, with_causes
from observatory.audit.duplicates import DUPLICATE_RULES, codes, with_duplicates
from observatory.audit.memory import MEMORY_RULES
from observatory.audit.physics import PHYSICAL_RULES
from observatory.audit.repeats import LEAST_REPEATS, REPEAT_RULES
from observatory.audit.rule import (
    EXCLUDE,
    WARN,
    Breach,
    Floats,
    Rule,
    above,
    apply_all,
    below,
    number,
    where,
)
from observatory.records import Finding, Reported, as_row
from observatory.runtime.plausibility import AGREEMENT

#: What must be equal for two values to be of one series, and of one point in it.
SERIES = [
    "model_name", "device_kind", "device_count", "dtype", "quantization", "backend", "boundary",
    "method",
]  # fmt: skip
POINT = ["prompt_tokens", "output_tokens", "batch"]
SAME = ["source_key", "quantity", "phase", "per", "work_unit"]


# ---------------------------------------------------------------------- checks
def _zero(table: pd.DataFrame) -> Breach:
    judged = table["kind"].notna().to_numpy()
    return where(judged & (number(table, "value") == 0), 0.0, 0.0)


def _negative(table: pd.DataFrame) -> Breach:
    value = np.where(table["kind"].notna(), number(table, "value"), np.nan)
    return below(value, 0.0)


def _product(table: pd.DataFrame) -> Breach:
    energy = number(table, "energy_j")
    product = number(table, "power_stated_w") * number(table, "time_s")
    with np.errstate(invalid="ignore"):
        return where(np.abs(energy - product) > AGREEMENT * product, energy, product)


def _tokens(table: pd.DataFrame) -> Breach:
    counted, stated = number(table, "tokens_counted"), number(table, "tokens_stated")
    with np.errstate(invalid="ignore"):
        return where(np.abs(counted - stated) > AGREEMENT * stated, counted, stated)


def _gap(table: pd.DataFrame) -> Breach:
    gap, made = number(table, "gap_s"), number(table, "gap_of_rate_s")
    with np.errstate(invalid="ignore"):
        return where((gap > BAND * made) | (gap < made / BAND), gap, made)


def _order(table: pd.DataFrame) -> Breach:
    value = np.where(number(table, "higher_percentile") > 0, number(table, "value"), np.nan)
    return above(value, number(table, "higher_percentile"))


def _parts(table: pd.DataFrame) -> Breach:
    total, whole = number(table, "parts_sum"), number(table, "parts_whole")
    complete = number(table, "parts_complete") == 1
    with np.errstate(invalid="ignore"):
        more, less = total > whole * (1 + AGREEMENT), total < whole * (1 - AGREEMENT)
    return where(more | (less & complete), total, whole)


REPORTED_ONLY: tuple[Rule, ...] = (
    Rule(
        "zero_for_missing", EXCLUDE,
        "{quantity} is exactly 0: a missing value written as zero.",
        "Store missing as an empty cell with a reason; 0 is a measurement.",
        "METHOD §3.10, §9: zero stored for missing", ("kind", "value"), _zero, words=("quantity",),
    ),
    Rule(
        "negative_value", EXCLUDE,
        "{quantity} is {value:.4g}; no time, energy, power or rate is negative.",
        "A baseline was subtracted, or a counter wrapped: report gross values.",
        "METHOD §3.9, §3.10", ("kind", "value"), _negative, words=("quantity",),
    ),
    Rule(
        "energy_power_mismatch", WARN,
        "The energy is {value:.4g} J; stated mean power × time gives {bound:.4g} J.",
        "Check the units of all three, and whether power and energy cover the same devices.",
        "METHOD §8: E = mean power × time within 5 %",
        ("energy_j", "power_stated_w", "time_s"), _product,
    ),
    Rule(
        "token_count_mismatch", WARN,
        "Joules per request over joules per token make {value:.4g} tokens; the row states "
        "{bound:.4g}.",
        "Count tokens with the tokenizer; stream chunks are not tokens.",
        "METHOD §8: tokens from the tokenizer; within 5 %",
        ("tokens_counted", "tokens_stated"), _tokens,
    ),
    Rule(
        "latency_rate_mismatch", WARN,
        "{quantity} is {value:.3g} s; the batch over the output rate makes {bound:.3g} s a token.",
        "Check the unit of the latency, and whether the rate and the batch are those of all "
        "requests.",
        "METHOD §1: TPOT; a factor of 10 for prefill and queues between (ours)",
        ("gap_s", "gap_of_rate_s"), _gap, words=("quantity",),
    ),
    Rule(
        "percentile_order", EXCLUDE,
        "{quantity} is {value:.4g} s, above a higher percentile of the same row, {bound:.4g} s.",
        "Check the units of both: no percentile lies above a higher one.",
        "METHOD §1, §9: percentiles of one set of latencies",
        ("higher_percentile", "value"), _order, words=("quantity",),
    ),
    Rule(
        "parts_do_not_sum", EXCLUDE,
        "The parts of {quantity} sum to {value:.4g}; the whole is {bound:.4g}.",
        "Check what the whole covers: a part counted twice, or one left out.",
        "METHOD §8: parts sum to the whole; within 5 %",
        ("parts_sum", "parts_whole"), _parts, words=("quantity",),
    ),
)  # fmt: skip
REPORTED_RULES: tuple[Rule, ...] = (
    REPORTED_ONLY + DUPLICATE_RULES + REPEAT_RULES + PHYSICAL_RULES + UNIT_RULES + MEMORY_RULES
)


# ---------------------------------------------------------------------- reported rows
def audit_reported(table: pd.DataFrame, beside: pd.DataFrame | None = None) -> list[Finding]:
    """Findings on reported values, a table as `observatory.store.reader.reported` gives it.

    `beside` has rows of other sources, against which these may be published a second time.
    """
    if table.empty:
        return []
    others = None if beside is None or beside.empty else with_stated(beside)
    table = with_duplicates(with_stated(table.reset_index(drop=True)), others)
    return apply_all(REPORTED_RULES, _beside_others(with_causes(claims(table))), "reported")


def table_of(rows: Iterable[Reported], source_key: str = "file") -> pd.DataFrame:
    """Reported records that are not stored, as such a table; `id` counts them from 1."""
    records: list[dict[str, Any]] = [as_row(row) | {"source_key": source_key} for row in rows]
    return pd.DataFrame(records).assign(id=range(1, len(records) + 1))


def _beside_others(table: pd.DataFrame) -> pd.DataFrame:
    """`repeats`, `repeats_median`, `factor`, `multiple_of`: each value beside those like it.

    Memory does not vary as times and joules do, so that equal values say nothing.
    """
    measured = table["kind"].notna() & (table["kind"] != MEMORY)
    values = np.where(measured, number(table, "value"), np.nan)
    repeats, middle = _repeats(values, codes(table, [*SAME, *SERIES, *POINT]))
    values = np.where(table["duplicate_of"].map(bool), np.nan, values)  # said already
    factor, multiple_of = np.full(len(table), np.nan), np.full(len(table), "", dtype=object)
    names, points = _joined(table, SERIES), _joined(table, POINT)
    known = np.flatnonzero(~np.isnan(values))
    for at in _groups(known, codes(table, SAME)[known]):
        with np.errstate(over="ignore", invalid="ignore"):  # values of 1e300 and 1e-300 in one file
            found = exact_multiples(values[at], names[at].tolist(), points[at].tolist())
        factor[at], multiple_of[at] = labels(found, len(at))
    return table.assign(
        repeats=repeats, repeats_median=middle, factor=factor, multiple_of=multiple_of
    )


def _repeats(values: Floats, codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """How many values each code has, and their median where they are enough to judge by."""
    known = ~np.isnan(values)
    repeats = np.bincount(codes[known], minlength=int(codes.max(initial=-1)) + 1)[codes]
    enough = repeats >= LEAST_REPEATS
    middle = np.full(len(values), np.nan)
    if enough.any():
        like = pd.Series(values[enough]).groupby(codes[enough])
        middle[enough] = like.transform("median")
    return repeats, middle


def _joined(table: pd.DataFrame, columns: list[str]) -> np.ndarray[Any, Any]:
    """The cells of some columns as one text, missing ones left out."""
    codes, texts = np.zeros(len(table), dtype=np.int64), [""]
    for name in columns:  # few series among many rows: each text is made once
        own, cells = pd.factorize(table[name])
        words = [_word(cell) for cell in cells] + [""]
        pairs, unique = pd.factorize(codes * len(words) + own % len(words))
        texts = [f"{texts[u // len(words)]} {words[u % len(words)]}" for u in unique]
        codes = pairs
    return np.array([" ".join(text.split()) for text in texts], dtype=object)[codes]


def _groups(places: NDArray[np.int64], codes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The places of each code, in order."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    yield from np.split(places[order], starts[1:]) if len(places) else ()


def _word(cell: object) -> str:
    return f"{cell:g}" if _is_number(cell) else str(cell)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
