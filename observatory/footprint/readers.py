"""Readers of a user's own files: weather, an AWARE download, and what readers of CSV share.

Pure: text in, values out. Every file is refused with one line that names its line and what to do.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from observatory.errors import InputError
from observatory.footprint.factors import UNITS, read_text
from observatory.footprint.hourly import HourlySeries, series_of
from observatory.footprint.zones import resolve_zone

TIME_COLUMNS = ("datetime", "datetime (utc)", "timestamp", "point_time", "time", "hour", "date")
#: (line, cells) of each row
Rows = list[tuple[int, list[str]]]
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def read_weather(path: Path, timezone: str | None = None) -> HourlySeries:
    """Hourly wet-bulb temperature in degrees F.

    From a column `wet_bulb_f` or `wet_bulb_c`, or from `temperature_c` and `relative_humidity`
    (percent) by Stull 2011. Raises InputError.
    """
    name, header, rows = csv_rows(path)
    lower = [h.lower() for h in header]
    times = times_of(name, header, rows, timezone)
    pairs = []
    for (line, row), moment in zip(rows, times, strict=True):
        value = _wet_bulb_f(lower, row, f"{name}:{line}")
        if value is not None:
            pairs.append((moment, value))
    return series_of(pairs, "wet_bulb", "F", name)


def wet_bulb_stull_c(temperature_c: float, humidity_percent: float) -> float:
    """Wet-bulb temperature at sea-level pressure (Stull 2011, J. Appl. Meteor. Climatol. 50)."""
    t, rh = temperature_c, humidity_percent
    return (
        t * math.atan(0.151977 * math.sqrt(rh + 8.313659))
        + math.atan(t + rh)
        - math.atan(rh - 1.676331)
        + 0.00391838 * math.pow(rh, 1.5) * math.atan(0.023101 * rh)
        - 4.686035
    )


def _wet_bulb_f(header: list[str], row: list[str], where: str) -> float | None:
    def cell(column: str) -> float | None:
        return number_of(row[header.index(column)], where, column)

    if "wet_bulb_f" in header:
        return cell("wet_bulb_f")
    if "wet_bulb_c" in header:
        celsius = cell("wet_bulb_c")
    elif "temperature_c" in header and "relative_humidity" in header:
        air, humidity = cell("temperature_c"), cell("relative_humidity")
        if air is None or humidity is None:
            return None
        if not 0 <= humidity <= 100:
            raise InputError(f"{where}: relative humidity {humidity:g} is not between 0 and 100 %")
        celsius = wet_bulb_stull_c(air, humidity)
    else:
        raise InputError(
            f"{where}: needs wet_bulb_f, wet_bulb_c, or temperature_c and relative_humidity"
        )
    return None if celsius is None else celsius * 9 / 5 + 32


@dataclass(frozen=True)
class Scarcity:
    """AWARE factors (L world-eq per L consumed) by zone: 12 months and the year."""

    version: str
    annual: Mapping[str, float]
    monthly: Mapping[str, tuple[float, ...]]

    def factor(self, zone: str, month: int | None = None) -> tuple[float, str]:
        """(factor, level used: `month` or `year`) of a zone. Raises InputError if it has none."""
        if month is not None and not 1 <= month <= 12:
            raise InputError(f"month {month}: from 1 to 12")
        if month is not None and zone in self.monthly:
            return self.monthly[zone][month - 1], "month"
        if zone in self.annual:
            return self.annual[zone], "year"
        raise InputError(f"no AWARE factor for zone {zone} in this file")


def read_aware(path: Path) -> Scarcity:
    """AWARE factors from the user's own CSV: zone, unit, cf_non_irri_yearly, cf_non_irri_jan … dec.

    Non-irrigation factors are taken, because a data centre is not a farm. Zones are alpha-2 or
    alpha-3 countries; finer rows that are no zone here are kept under their own name.
    """
    name, header, rows = csv_rows(path)
    months = [f"cf_non_irri_{month}" for month in MONTHS]
    missing = {"zone", "cf_non_irri_yearly", "unit"} - set(header)
    if missing:
        raise InputError(f"{name}: AWARE table lacks the column(s) {', '.join(sorted(missing))}")
    annual: dict[str, float] = {}
    monthly: dict[str, tuple[float, ...]] = {}
    version = ""
    for line, row in rows:
        cell = dict(zip(header, row, strict=True))
        where = f"{name}:{line}"
        if cell["unit"] not in UNITS["L world-eq/L"]:
            raise InputError(f"{where}: unknown unit {cell['unit']!r} of a scarcity factor")
        zone = _zone_or_name(cell["zone"])
        year = number_of(cell["cf_non_irri_yearly"], where, "cf_non_irri_yearly")
        values = [number_of(cell.get(month, ""), where, month) for month in months]
        known = [v for v in (year, *values) if v is not None]
        if any(v < 0 for v in known):
            raise InputError(f"{where}: a scarcity factor is negative")
        if year is not None:
            annual[zone] = year
        if all(v is not None for v in values):
            monthly[zone] = tuple(v for v in values if v is not None)
        version = cell.get("version", "") or version
    return Scarcity(version, annual, monthly)


def _zone_or_name(text: str) -> str:
    try:
        return resolve_zone(text).id
    except InputError:
        return text


def csv_rows(path: Path) -> tuple[str, list[str], Rows]:
    """(name, header, (line, cells) of each row that is not empty). Raises InputError."""
    return str(path), *rows_of_text(str(path), read_text(path))


def rows_of_text(name: str, text: str) -> tuple[list[str], Rows]:
    """Header and rows of the text of a CSV called `name`. Raises InputError as `csv_rows` does."""
    reader = csv.reader(text.splitlines())
    header = [cell.strip() for cell in next(reader, [])]
    if not header:
        raise InputError(f"{name} is empty")
    rows = []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise InputError(
                f"{name}:{reader.line_num}: {len(row)} columns, the header has {len(header)}"
            )
        rows.append((reader.line_num, [cell.strip() for cell in row]))
    if not rows:
        raise InputError(f"{name} has a header and no rows")
    return header, rows


def times_of(name: str, header: list[str], rows: Rows, timezone: str | None) -> list[datetime]:
    """The time of each row. Raises InputError for one without offset where `timezone` is None."""
    lower = [cell.lower() for cell in header]
    column = next((lower.index(c) for c in TIME_COLUMNS if c in lower), None)
    if column is None:
        raise InputError(f"{name}: no time column (datetime, timestamp) among {', '.join(header)}")
    zone = UTC if "utc" in lower[column] else _timezone(timezone)
    out: list[datetime] = []
    seen: set[datetime] = set()
    for line, row in rows:
        try:
            moment = datetime.fromisoformat(row[column])
        except ValueError as error:
            raise InputError(f"{name}:{line}: {row[column]!r} is not an ISO 8601 time") from error
        if moment.tzinfo is None:
            if zone is None:
                raise InputError(
                    f"{name}:{line}: time {row[column]!r} has no UTC offset: add it, or say "
                    "--timezone"
                )
            if moment in seen:
                raise InputError(
                    f"{name}:{line}: local time {row[column]!r} occurs twice (daylight saving): "
                    "give UTC, or local time with its offset"
                )
            seen.add(moment)
            moment = moment.replace(tzinfo=zone)
        out.append(moment)
    return out


def _timezone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(f"unknown timezone {name!r}: such as UTC or Europe/Paris") from error


def number_of(text: str, where: str, column: str) -> float | None:
    """The finite number of a cell, None for an empty one. Raises InputError."""
    if text == "":
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{where}: {column} {text!r} is not a number") from error
    if not math.isfinite(value):
        raise InputError(f"{where}: {column} {text!r} is not finite")
    return value
