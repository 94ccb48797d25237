"""Hourly carbon intensity from the user's own files, as grid data providers write them.

Understood by their headers: Electricity Maps (`Datetime (UTC)`, `Zone id`, direct and life-cycle
columns), Great Britain's system operator (`Actual Carbon Intensity (gCO2/kWh)`, operational
emissions, so direct), WattTime (`point_time`, `value`; or `timestamp`, `MOER`: marginal, lb/MWh),
and any table with a time and a `carbon_intensity` in gCO2e/kWh. Nothing is downloaded and no shape
of a day is made up: a zone without a file has no hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from observatory.errors import InputError
from observatory.footprint.factors import UNITS
from observatory.footprint.hourly import HourlySeries, series_of
from observatory.footprint.readers import Rows, csv_rows, number_of, rows_of_text, times_of
from observatory.footprint.zones import resolve_zone

INTENSITY_COLUMNS = ("carbon_intensity", "carbon intensity", "intensity", "ci")
ZONE_COLUMNS = ("zone id", "zone_id", "zone", "zone name", "region", "ba")
ACTUAL = "actual carbon intensity"  #: half-hours of Great Britain's system operator
GREAT_BRITAIN = "GBR"


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a file's intensity stands: its column, kind and unit (None: as the caller says)."""

    index: int
    kind: str | None
    unit: str | None = None


def read_intensity(
    path: Path, kind: str | None = None, unit: str = "gCO2e/kWh", timezone: str | None = None
) -> HourlySeries:
    """Hourly carbon intensity of one zone from a CSV with a time column and a value column.

    Where a file has several kinds, `kind` must choose. Times without an offset need `timezone`
    (`UTC`, `Europe/Paris`), unless the column says UTC. Raises InputError.
    """
    name, header, rows = csv_rows(path)
    return _series(name, header, rows, kind, unit, timezone)


def read_by_zone(
    paths: Sequence[str], kind: str | None = None, timezone: str | None = None
) -> dict[str, HourlySeries]:
    """Zone id -> series, from `FILE` or `ZONE=FILE`.

    A file alone must name its zones in a column, or be Great Britain's; a zone that the project
    does not know needs `ZONE=FILE`. Raises InputError, also where a zone comes twice.
    """
    made: dict[str, HourlySeries] = {}
    for text in paths:
        zone, path = _named(text)
        name, header, rows = csv_rows(path)
        for found, series in _by_zone(name, header, rows, zone, kind, timezone).items():
            if found in made:
                raise InputError(f"{name}: hours of zone {found} were given twice")
            made[found] = series
    return made


def read_text_by_zone(
    name: str, text: str, zone: str | None, kind: str | None = None, timezone: str | None = None
) -> dict[str, HourlySeries]:
    """The same of the text of one file called `name`; `zone` is whose it is where it names none."""
    header, rows = rows_of_text(name, text)
    named = any(cell.lower() in ZONE_COLUMNS or cell.lower().startswith(ACTUAL) for cell in header)
    return _by_zone(name, header, rows, None if named else zone, kind, timezone)


def _named(text: str) -> tuple[str | None, Path]:
    """(zone or None, file) of `ZONE=FILE` or `FILE`."""
    zone, equals, rest = text.partition("=")
    if equals and not Path(text).exists():
        return resolve_zone(zone).id, Path(rest)
    return None, Path(text)


def _by_zone(
    name: str, header: list[str], rows: Rows, zone: str | None, kind: str | None,
    timezone: str | None,
) -> dict[str, HourlySeries]:  # fmt: skip
    lower = [cell.lower() for cell in header]
    column = next((lower.index(c) for c in ZONE_COLUMNS if c in lower), None)
    named = sorted({row[column] for _, row in rows}) if column is not None else []
    if zone is not None and len(named) > 1:
        raise InputError(f"{name}: holds {len(named)} zones ({', '.join(named[:4])}): give it "
                         "without ZONE=, or one zone a file")  # fmt: skip
    if zone is None and not named:
        if not any(cell.startswith(ACTUAL) for cell in lower):
            raise InputError(f"{name}: names no zone: say which with ZONE={name}")
        zone = GREAT_BRITAIN
    if zone is not None:
        return {zone: _series(name, header, rows, kind, "gCO2e/kWh", timezone)}
    out: dict[str, HourlySeries] = {}
    for value in named:
        mine = [(line, row) for line, row in rows if column is not None and row[column] == value]
        try:
            known = resolve_zone(value).id
        except InputError as error:
            raise InputError(f"{name}: {error}; or say ZONE={name}") from None
        out[known] = _series(name, header, mine, kind, "gCO2e/kWh", timezone)
    return out


def _series(
    name: str, header: list[str], rows: Rows, kind: str | None, unit: str, timezone: str | None
) -> HourlySeries:
    column = _intensity_column(name, header, kind)
    asked = column.unit or unit
    if asked not in UNITS["gCO2e/kWh"]:
        raise InputError(f"{name}: unknown unit {asked!r}: one of {', '.join(UNITS['gCO2e/kWh'])}")
    scale = UNITS["gCO2e/kWh"][asked]
    times = times_of(name, header, rows, timezone)
    pairs = []
    for (line, row), moment in zip(rows, times, strict=True):
        value = number_of(row[column.index], f"{name}:{line}", header[column.index])
        if value is None:
            continue
        if value < 0:
            raise InputError(f"{name}:{line}: carbon intensity {value:g} is negative")
        pairs.append((moment, value * scale))
    return series_of(pairs, "carbon_intensity", "gCO2e/kWh", name, column.kind)


def _intensity_column(name: str, header: list[str], kind: str | None) -> _Column:
    lower = [cell.lower().replace("₂", "2") for cell in header]
    found = {column.kind: column for column in _candidates(lower)}
    if not found:
        raise InputError(f"{name}: no column carbon_intensity among {', '.join(header)}")
    if kind in found:
        return found[kind]
    if None in found:
        return _Column(found[None].index, kind, found[None].unit)
    if kind is None and len(found) == 1:
        (only,) = found.values()
        return only
    have = ", ".join(str(k) for k in found)
    raise InputError(f"{name}: carbon intensity of kinds {have}: say which with --kind")


def _candidates(lower: Sequence[str]) -> list[_Column]:
    """The columns that hold an intensity, each with its kind."""
    out = []
    for i, text in enumerate(lower):
        if text.startswith(ACTUAL):
            out.append(_Column(i, "average-direct"))
        elif text == "moer" or (text == "value" and "point_time" in lower):
            out.append(_Column(i, "marginal", "lb/MWh"))
        elif text.startswith(INTENSITY_COLUMNS):
            life = "life" in text or "lca" in text
            kinds = "average-direct" if "direct" in text else "average-lifecycle" if life else None
            out.append(_Column(i, kinds))
    return out
