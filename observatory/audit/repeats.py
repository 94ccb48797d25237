"""Rules on a row beside others like it: its repeats, and blocks it may have been computed from.

| column | what |
|---|---|
| `quantity`, `value` | what is judged |
| `repeats`, `repeats_median` | how many values are repeats of this one, and their median |
| `factor`, `multiple_of` | the row is exactly so many times that of another block |
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from observatory.audit.blocks import SAME_RATIO
from observatory.audit.rule import EXCLUDE, WARN, Breach, Rule, number, where

LEAST_REPEATS = 3


def _repeat(table: pd.DataFrame) -> Breach:
    value, middle = number(table, "value"), number(table, "repeats_median")
    with np.errstate(invalid="ignore"):
        return where((value <= 0) & (middle > 0), value, middle)


def _multiple(table: pd.DataFrame) -> Breach:
    factor = number(table, "factor")
    with np.errstate(invalid="ignore"):
        return where(np.abs(factor - 1) > SAME_RATIO, factor, 1.0)


def _copied(table: pd.DataFrame) -> Breach:
    factor = number(table, "factor")
    with np.errstate(invalid="ignore"):
        return where(np.abs(factor - 1) <= SAME_RATIO, factor, 1.0)


REPEAT_RULES: tuple[Rule, ...] = (
    Rule(
        "repeat_not_positive", EXCLUDE,
        "{quantity} is {value:.4g} among {repeats} repeats whose median is {bound:.4g}.",
        "Do not average it in: it is a failed reading; leave it out and say so.",
        "METHOD §9: negative repeats averaged in",
        ("value", "repeats_median"), _repeat, words=("quantity", "repeats"),
    ),
    Rule(
        "exact_multiple", EXCLUDE,
        "{quantity} is exactly {value:.6g} times that of {multiple_of}, row by row through a "
        "whole block: it was computed, not measured.",
        "Ask the source which of the two blocks was measured, and drop the other.",
        "METHOD §8: no exact multiples of another row; agreement by chance below 1e-12",
        ("factor",), _multiple, words=("quantity", "multiple_of"),
    ),
    Rule(
        "copied_block", WARN,
        "{quantity} is the same as that of {multiple_of}, row by row through a whole block.",
        "Count it once: one measurement is listed under two names.",
        "METHOD §8; a factor of exactly 1", ("factor",), _copied, words=("quantity", "multiple_of"),
    ),
)  # fmt: skip
