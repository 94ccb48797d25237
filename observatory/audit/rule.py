"""What a rule is: a code, a sentence, a remedy, and a check on the columns of a table.

A rule looks at every row of a table at once and says which rows break it, with the value found and
the bound broken. A row in violation is kept, marked, and left out by default where the severity
says `exclude` (METHOD §3.9, §8). Verdicts are derived: a better rule changes no fact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from observatory.records import Finding

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

#: `avoid` leaves a row out where the same point has better ones; `warn` only shows it; `info` says
#: something about a row that is no fault
EXCLUDE, AVOID, WARN, INFO = "exclude", "avoid", "warn", "info"
SEVERITIES = (EXCLUDE, AVOID, WARN, INFO)


@dataclass(frozen=True, slots=True)
class Breach:
    """The outcome of a check: arrays of one length, a value and a bound for every row."""

    broken: Booleans
    value: Floats
    bound: Floats


@dataclass(frozen=True, slots=True)
class Rule:
    """One invariant.

    `sentence` is a format string with {value}, {bound} and the columns that `words` names. `source`
    says where the rule comes from. A table without all of the columns in `needs` and `words`
    is not judged.
    """

    code: str
    severity: str
    sentence: str
    remedy: str
    source: str
    needs: tuple[str, ...]
    check: Callable[[pd.DataFrame], Breach]
    words: tuple[str, ...] = ()
    version: int = 1

    def apply(self, table: pd.DataFrame, subject: str) -> list[Finding]:
        """Findings on the rows of a table, which has a column `id`."""
        if table.empty or not {*self.needs, *self.words} <= set(table.columns):
            return []
        breach = self.check(table)
        rows = np.flatnonzero(breach.broken)
        named = {name: table[name].to_numpy()[rows] for name in self.words}
        ids = table["id"].to_numpy()
        return [
            Finding(
                subject=subject,
                subject_id=int(ids[row]),
                rule=self.code,
                rule_version=self.version,
                severity=self.severity,
                sentence=self.sentence.format(
                    value=breach.value[row],
                    bound=breach.bound[row],
                    **{name: column[i] for name, column in named.items()},
                ),
                remedy=self.remedy,
                value=_finite(breach.value[row]),
                bound=_finite(breach.bound[row]),
            )
            for i, row in enumerate(rows)
        ]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def apply_all(rules: Sequence[Rule], table: pd.DataFrame, subject: str) -> list[Finding]:
    """Findings of all rules, in the order of the table's rows and, for one row, of the rules."""
    found = [finding for rule in rules for finding in rule.apply(table, subject)]
    place = {int(key): i for i, key in enumerate(table["id"])} if found else {}
    return sorted(found, key=lambda f: place[f.subject_id])


# ---------------------------------------------------------------------- what checks are made of
def number(table: pd.DataFrame, name: str) -> Floats:
    """A column as floats, missing as NaN; all NaN where the table has no such column."""
    if name not in table.columns:
        return np.full(len(table), np.nan)
    return pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def above(value: Floats, bound: Floats | float) -> Breach:
    """Broken where value > bound; a missing value or bound breaks nothing."""
    bounds = np.broadcast_to(np.asarray(bound, dtype=float), value.shape)
    with np.errstate(invalid="ignore"):
        return Breach(value > bounds, value, bounds)


def below(value: Floats, bound: Floats | float) -> Breach:
    """Broken where value < bound; a missing value or bound breaks nothing."""
    bounds = np.broadcast_to(np.asarray(bound, dtype=float), value.shape)
    with np.errstate(invalid="ignore"):
        return Breach(value < bounds, value, bounds)


def where(broken: Booleans, value: Floats | float, bound: Floats | float) -> Breach:
    """Broken where the mask says so; scalars are the same for every row."""
    shape = broken.shape
    return Breach(
        broken,
        np.broadcast_to(np.asarray(value, dtype=float), shape),
        np.broadcast_to(np.asarray(bound, dtype=float), shape),
    )


def limit(column: str, most: float) -> Callable[[pd.DataFrame], Breach]:
    """A check that a column is not above a constant."""
    return lambda table: above(number(table, column), most)


def flagged(*flags: str) -> Callable[[pd.DataFrame], Breach]:
    """A check that none of these flags stands in the column `flags`, a list of words.

    A flag may carry a detail after a colon.
    """
    wanted = set(flags)

    def check(table: pd.DataFrame) -> Breach:
        return where(has_flag(table, wanted), 1.0, 0.0)

    return check


def has_flag(table: pd.DataFrame, wanted: Iterable[str]) -> Booleans:
    """Which rows carry one of these flags."""
    if "flags" not in table.columns:
        return np.zeros(len(table), dtype=bool)
    words = set(wanted)
    return np.fromiter((_carries(f, words) for f in table["flags"]), bool, len(table))


def _carries(flags: Any, wanted: set[str]) -> bool:
    return bool(flags) and any(str(flag).partition(":")[0] in wanted for flag in flags)
