"""The factor registry: every number that turns joules into carbon, water, money, with its source.

A factor is identified by `kind:zone` and stored once per edition. A table answers at one edition:
the newest row at or before it, so that re-costing with a newer edition changes no older row. A
number without a source is refused, here and by `lint`. The shipped tables lie in `data/*.csv`.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

from observatory.errors import InputError, UnknownNameError

EDITIONS = ("2025.1", "2026.1")  #: shipped, oldest first; the last one is the default
USER_EDITION = "user"  #: rows of a user's file: newer than any shipped one; `user:` + file hash
KINDS_OF_CARBON = ("average-lifecycle", "average-direct", "marginal")
HYDRO_RULES = ("zero", "allocated", "custom")
COOLING = ("mid", "tower", "once")
TABLES = (
    "carbon_intensity_country.csv",
    "carbon_intensity_subnational.csv",
    "ewif_country.csv",
    "fuels.csv",
    "pue_wue.csv",
    "embodied.csv",
    "prices.csv",
)
LB_IN_G = 453.59237
GAL_IN_L = 3.785411784
#: canonical unit -> {accepted unit: multiplier}
UNITS: dict[str, dict[str, float]] = {
    "gCO2e/kWh": {"gCO2e/kWh": 1.0, "kgCO2e/kWh": 1e3, "kgCO2e/MWh": 1.0, "lb/MWh": LB_IN_G / 1e3},
    "L/kWh": {"L/kWh": 1.0, "m3/MWh": 1.0, "L/MWh": 1e-3, "gal/MWh": GAL_IN_L / 1e3},
    "1": {"1": 1.0, "%": 0.01},
    "kgCO2e": {"kgCO2e": 1.0, "gCO2e": 1e-3, "tCO2e": 1e3},
    "yr": {"yr": 1.0},
    "USD/h": {"USD/h": 1.0},
    "USD/kWh": {"USD/kWh": 1.0, "USD/MWh": 1e-3, "USc/kWh": 0.01},
    "L world-eq/L": {"L world-eq/L": 1.0, "m3 world-eq./m3 consumed": 1.0},
}
#: first part of a kind -> (canonical unit, smallest value, largest value)
KIND_RULES: dict[str, tuple[str, float, float]] = {
    "carbon_intensity": ("gCO2e/kWh", 0.0, 3000.0),
    "pue": ("1", 1.0, 5.0),
    "wue": ("L/kWh", 0.0, 50.0),
    "ewif": ("L/kWh", 0.0, 100.0),
    "hydro_share": ("1", 0.0, 1.0),
    "embodied": ("kgCO2e", 0.0, 1e6),
    "lifetime": ("yr", 0.1, 50.0),
    "active_share": ("1", 0.001, 1.0),
    "consumed_share": ("1", 0.0, 1.0),
    "price": ("USD", 0.0, 1e5),
    "scarcity": ("L world-eq/L", 0.0, 1000.0),
}
PRICE_UNITS = {"price.accelerator": "USD/h", "price.electricity": "USD/kWh"}
EVIDENCE = ("primary", "secondary", "derived", "assumed", "user")
DISTRIBUTIONS = ("", "lognormal", "fixed")


@dataclass(frozen=True, slots=True)
class Factor:
    """One number with all that is known of it. `low` and `high` are its p5 and p95 where given."""

    kind: str
    zone: str
    value: float
    unit: str
    source: str
    edition: str
    low: float | None = None
    high: float | None = None
    distribution: str = ""  #: empty: by kind and evidence (see `uncertainty.spread`)
    year: int | None = None
    evidence: str = "secondary"
    licence: str = ""
    verified: bool = False
    note: str = ""

    @property
    def id(self) -> str:
        """`kind:zone`, the same in every edition; draws are indexed by it."""
        return f"{self.kind}:{self.zone}"

    @property
    def is_user(self) -> bool:
        """Whether the number is the reader's own."""
        return self.edition.startswith(USER_EDITION)


@dataclass(frozen=True)
class FactorTable:
    """Factors at one edition. Build with `load_factors`; immutable."""

    edition: str
    rows: tuple[Factor, ...]
    _best: Mapping[str, Factor]

    @classmethod
    def build(cls, rows: Iterable[Factor], edition: str) -> FactorTable:
        """Index `rows` at `edition`: user rows first, then the newest edition not after it."""
        kept = tuple(rows)
        best: dict[str, Factor] = {}
        limit = edition.split("+")[0]
        shipped = [row for row in kept if not row.is_user and row.edition <= limit]
        for row in [*sorted(shipped, key=lambda r: r.edition), *(r for r in kept if r.is_user)]:
            best[row.id] = row
        return cls(edition, kept, best)

    def get(self, kind: str, zone: str) -> Factor | None:
        """The row of exactly this kind and zone at this edition; None where there is none."""
        return self._best.get(f"{kind}:{zone}")

    def by_id(self, factor_id: str) -> Factor:
        """Raises UnknownNameError with near matches."""
        if factor_id not in self._best:
            raise UnknownNameError("factor", factor_id, sorted(self._best))
        return self._best[factor_id]

    def kinds(self, zone: str, prefix: str) -> list[str]:
        """Kinds that start with `prefix` and exist for `zone`, sorted."""
        return sorted(
            f.kind for f in self._best.values() if f.zone == zone and f.kind.startswith(prefix)
        )

    def at(self, edition: str) -> FactorTable:
        """The same rows seen at another edition. Raises UnknownNameError."""
        check_edition(edition)
        suffix = self.edition.partition("+")[2]
        return FactorTable.build(self.rows, f"{edition}+{suffix}" if suffix else edition)

    def current(self) -> list[Factor]:
        """The rows in force at this edition, sorted by id."""
        return [self._best[key] for key in sorted(self._best)]


def check_edition(edition: str) -> None:
    """Raises UnknownNameError unless `edition` is shipped (a `+user` suffix is allowed)."""
    if edition.split("+")[0] not in EDITIONS:
        raise UnknownNameError("factor edition", edition, list(EDITIONS), f"one of {EDITIONS}")


def load_factors(extra: Iterable[Path] = (), edition: str | None = None) -> FactorTable:
    """The shipped tables, overridden by the CSV files in `extra` (later files win).

    A user file has at least the columns kind, zone, value, unit, source; its rows win over shipped
    ones unless they name an edition. The table's edition then carries a hash of those files, as in
    `2026.1+ab12cd34`. Raises InputError with the file and line of a bad row.
    """
    chosen = EDITIONS[-1] if edition is None else edition
    check_edition(chosen)
    rows = list(shipped_rows())
    digest = hashlib.sha256()
    paths = list(extra)
    for path in paths:
        text = read_text(path)
        digest.update(text.encode())
        own = f"{USER_EDITION}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        for line, row in _rows_of(text, str(path)):
            factor = _parse(row, f"{path}:{line}", user=True)
            rows.append(replace(factor, edition=own) if factor.is_user else factor)
    if paths:
        chosen = f"{chosen.split('+')[0]}+{digest.hexdigest()[:8]}"
    return FactorTable.build(rows, chosen)


@cache
def shipped_rows() -> tuple[Factor, ...]:
    """Every row of `data/*.csv`, parsed and checked."""
    out: list[Factor] = []
    for name in TABLES:
        text = shipped_text(name)
        out += [_parse(row, f"{name}:{line}", user=False) for line, row in _rows_of(text, name)]
    return tuple(out)


def shipped_text(name: str) -> str:
    """Text of a packaged data file."""
    return (resources.files("observatory.footprint") / "data" / name).read_text(encoding="utf-8")


def read_text(path: Path) -> str:
    """UTF-8 text of a user's file. Raises InputError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from error


def _rows_of(text: str, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(text.splitlines())
    missing = {"kind", "zone", "value", "unit", "source"} - set(reader.fieldnames or ())
    if missing:
        raise InputError(f"{name}: factor table lacks the column(s) {', '.join(sorted(missing))}")
    for row in reader:
        yield reader.line_num, {k: (v or "").strip() for k, v in row.items() if k is not None}


def _parse(row: Mapping[str, str], where: str, *, user: bool) -> Factor:
    unit, factor = _unit(row["kind"], row["unit"], where)
    edition = row.get("edition") or (USER_EDITION if user else "")
    made = Factor(
        kind=row["kind"],
        zone=row["zone"],
        value=_number(row["value"], "value", where) * factor,
        unit=unit,
        source=row["source"],
        edition=edition,
        low=_optional(row.get("low", ""), "low", where, factor),
        high=_optional(row.get("high", ""), "high", where, factor),
        distribution=row.get("distribution", ""),
        year=int(_number(row["year"], "year", where)) if row.get("year") else None,
        evidence=row.get("evidence") or ("user" if user else ""),
        licence=row.get("licence", ""),
        verified=row.get("verified", "") == "yes",
        note=row.get("note", ""),
    )
    problems = [p for p in check(made) if not (user and p.startswith("not verified"))]
    if problems:
        raise InputError(f"{where}: {made.id or 'row'}: {problems[0]}")
    return made


def _unit(kind: str, unit: str, where: str) -> tuple[str, float]:
    canonical = canonical_unit(kind)
    if canonical is None:
        raise InputError(
            f"{where}: unknown factor kind {kind!r}: one of {', '.join(sorted(KIND_RULES))}, "
            "with a suffix such as carbon_intensity.average-lifecycle"
        )
    known = UNITS[canonical]
    if unit not in known:
        raise InputError(
            f"{where}: unknown unit {unit!r} for {kind}: use one of {', '.join(known)}"
        )
    return canonical, known[unit]


def canonical_unit(kind: str) -> str | None:
    """The unit in which values of `kind` are kept; None for an unknown kind."""
    head = kind.split(".")[0]
    if head == "price":
        return PRICE_UNITS.get(kind)
    return KIND_RULES[head][0] if head in KIND_RULES else None


def _number(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{where}: {column} {text!r} is not a number") from error
    if not math.isfinite(value):
        raise InputError(f"{where}: {column} {text!r} is not finite")
    return value


def _optional(text: str, column: str, where: str, factor: float) -> float | None:
    return _number(text, column, where) * factor if text else None


def check(factor: Factor) -> list[str]:
    """What is wrong with one factor, as sentences; empty when nothing is."""
    out: list[str] = []
    head = factor.kind.split(".")[0]
    _, smallest, largest = KIND_RULES.get(head, ("", 0.0, math.inf))
    for name, value in (("value", factor.value), ("low", factor.low), ("high", factor.high)):
        if value is not None and not smallest <= value <= largest:
            out.append(f"{name} {value:g} {factor.unit} is outside {smallest:g} to {largest:g}")
    if head == "carbon_intensity" and factor.kind.partition(".")[2] not in (
        *KINDS_OF_CARBON,
        "fuel",
    ):
        out.append(f"carbon intensity needs a kind, one of {', '.join(KINDS_OF_CARBON)}")
    low, high = factor.low, factor.high
    if (low is None) != (high is None):
        out.append("low and high (p5 and p95) come together or not at all")
    elif low is not None and high is not None and not low <= factor.value <= high:
        out.append(f"needs low <= value <= high, got {low:g}, {factor.value:g}, {high:g}")
    if not factor.source or "unsourced" in factor.source.lower():
        out.append("has no source")
    if factor.evidence not in EVIDENCE:
        out.append(f"evidence {factor.evidence!r} is not one of {', '.join(EVIDENCE)}")
    if factor.distribution not in DISTRIBUTIONS:
        out.append(f"distribution {factor.distribution!r} is not one of lognormal, fixed")
    if not factor.verified:
        out.append("not verified: the value was not read in a document")
    return out


def lint(rows: Iterable[Factor]) -> list[str]:
    """Every problem of a table, one line each: bad rows, duplicates, unknown editions."""
    out: list[str] = []
    seen: set[tuple[str, str]] = set()
    for row in rows:
        out += [f"{row.id} ({row.edition}): {problem}" for problem in check(row)]
        if (row.id, row.edition) in seen:
            out.append(f"{row.id} ({row.edition}): listed twice")
        if row.edition not in EDITIONS and not row.is_user:
            out.append(f"{row.id}: unknown edition {row.edition!r}")
        elif row.year is not None and not row.is_user and row.year > int(row.edition[:4]):
            out.append(f"{row.id} ({row.edition}): data of {row.year} in an older edition")
        seen.add((row.id, row.edition))
    return out


def given(kind: str, value: float, flag: str) -> Factor:
    """A factor that the reader stated: exact, named by its flag. Raises InputError out of range."""
    unit = canonical_unit(kind)
    if unit is None:
        raise InputError(f"unknown factor kind {kind!r}")
    made = Factor(kind, "given", float(value), unit, f"stated with {flag}", USER_EDITION,
                  distribution="fixed", evidence="user", verified=True)  # fmt: skip
    if not math.isfinite(value):
        raise InputError(f"{flag} {value!r} is not a finite number")
    problems = check(made)
    if problems:
        raise InputError(f"{flag}: {problems[0]}")
    return replace(made, zone=f"given={value:g}")
