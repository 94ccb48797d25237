"""Hour by hour: intensity and weather series, and bills that add over hours.

A value missing for an hour is taken from the mean of that hour's month in the series, else from the
annual factor, and the level used is stored with the sum. All times are UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from observatory.errors import InputError
from observatory.footprint import carbon, water

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class HourlySeries:
    """Values by UTC hour. `unit` and `kind` say of what; `notes` what the reader found."""

    quantity: str  #: `carbon_intensity`, `wet_bulb`, `wue`, `ewif`
    unit: str
    values: Mapping[datetime, float]
    source: str
    kind: str | None = None
    notes: tuple[str, ...] = ()

    def monthly(self) -> dict[tuple[int, int], float]:
        """(year, month) -> mean."""
        groups: dict[tuple[int, int], list[float]] = {}
        for hour, value in self.values.items():
            groups.setdefault((hour.year, hour.month), []).append(value)
        return {month: float(np.mean(values)) for month, values in groups.items()}

    def gaps(self) -> list[datetime]:
        """Hours between the first and the last that have no value."""
        hours = sorted(self.values)
        out: list[datetime] = []
        for before, after in pairwise(hours):
            at = before + HOUR
            while at < after:
                out.append(at)
                at += HOUR
        return out

    def by_hour_of_day(self, hour: int) -> float:
        """Mean of all values at one UTC hour of the day. Raises InputError where there are none."""
        found = [value for at, value in self.values.items() if at.hour == hour]
        if not found:
            raise InputError(f"{self.source}: no value at hour {hour} UTC")
        return float(np.mean(found))


def whole_hour(moment: datetime) -> datetime:
    """The UTC hour that contains `moment`. Raises InputError for a time without offset."""
    if moment.tzinfo is None:
        raise InputError(f"time {moment.isoformat()} has no UTC offset")
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def series_of(
    pairs: Sequence[tuple[datetime, float]],
    quantity: str,
    unit: str,
    source: str,
    kind: str | None = None,
) -> HourlySeries:
    """A series from (time with offset, value). Sub-hourly values of an hour are averaged.

    Raises InputError when one instant occurs twice, as it does where local time was written without
    its offset in the hour that daylight saving repeats.
    """
    seen: dict[datetime, float] = {}
    for moment, value in pairs:
        instant = moment.astimezone(UTC)
        if instant in seen:
            raise InputError(
                f"{source}: the time {moment.isoformat()} occurs twice (daylight saving?): "
                "give UTC, or local time with its offset"
            )
        seen[instant] = value
    groups: dict[datetime, list[float]] = {}
    for instant, value in seen.items():
        groups.setdefault(whole_hour(instant), []).append(value)
    values = {hour: float(np.mean(found)) for hour, found in sorted(groups.items())}
    made = HourlySeries(quantity, unit, values, source, kind)
    gaps = made.gaps()
    if not gaps:
        return made
    note = (
        f"{source}: {len(gaps)} of {len(values) + len(gaps)} hours are missing, the first "
        f"{gaps[0]:%Y-%m-%dT%H:%MZ}; the month's mean stands in for them"
    )
    return HourlySeries(quantity, unit, values, source, kind, (note,))


@dataclass(frozen=True, slots=True)
class Levelled:
    """Values for a list of hours, each with the level that it came from."""

    values: tuple[float, ...]
    levels: tuple[str, ...]  #: `hour`, `month` or `year`

    def counts(self) -> dict[str, int]:
        """Level -> number of hours."""
        return dict(Counter(self.levels))


def at_hours(
    hours: Sequence[datetime], series: HourlySeries | None, annual: float | None
) -> Levelled:
    """Value of every hour: its own, else its month's mean, else the annual factor.

    Raises InputError where none of them is known.
    """
    months = series.monthly() if series is not None else {}
    values: list[float] = []
    levels: list[str] = []
    for moment in hours:
        hour = whole_hour(moment)
        if series is not None and hour in series.values:
            values.append(series.values[hour])
            levels.append("hour")
        elif (hour.year, hour.month) in months:
            values.append(months[hour.year, hour.month])
            levels.append("month")
        elif annual is not None:
            values.append(annual)
            levels.append("year")
        else:
            raise InputError(f"no value for {hour:%Y-%m-%dT%H:%MZ}: not in the series, no annual")
    return Levelled(tuple(values), tuple(levels))


def wue_series(annual_wue: float, weather: HourlySeries) -> HourlySeries:
    """Hourly WUE from wet-bulb temperatures (degrees F), its mean the annual WUE."""
    if weather.unit != "F":
        raise InputError(f"{weather.source}: wet bulb must be in F here, got {weather.unit}")
    hours = sorted(weather.values)
    shape = water.hourly_wue(annual_wue, np.array([weather.values[h] for h in hours]))
    values = dict(zip(hours, (float(x) for x in shape), strict=True))
    return HourlySeries("wue", "L/kWh", values, f"{weather.source}, wet-bulb curve")


@dataclass(frozen=True, slots=True)
class HourlyBill:
    """Sums over hours, and how many hours came from which level, by quantity.

    A bill is None where its factor is known neither by the hour nor for the year.
    """

    it_energy_j: float
    co2e_operational_g: float | None
    water_on_site_l: float | None
    water_off_site_l: float | None
    levels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def bill_hours(
    it_energy_j: Mapping[datetime, float],
    pue: float,
    intensity: tuple[HourlySeries | None, float | None],
    wue: tuple[HourlySeries | None, float | None],
    ewif: tuple[HourlySeries | None, float | None],
) -> HourlyBill:
    """Carbon and water of energy spread over hours: the sum of each hour's own bill (METHOD §5).

    Each factor comes as (hourly series or None, annual value or None).
    """
    hours = sorted(it_energy_j)
    joules = np.array([it_energy_j[h] for h in hours])
    facility = joules * pue
    asked = {
        "carbon_intensity": (intensity, facility, carbon.operational_g),
        "wue": (wue, joules, water.on_site_l),
        "ewif": (ewif, facility, water.off_site_l),
    }
    sums: dict[str, float | None] = dict.fromkeys(asked)
    levels: dict[str, Mapping[str, int]] = {}
    for name, ((series, annual), energy, formula) in asked.items():
        if series is not None or annual is not None:
            found = at_hours(hours, series, annual)
            sums[name] = float(np.sum(formula(energy, np.array(found.values))))
            levels[name] = found.counts()
    return HourlyBill(
        float(joules.sum()), sums["carbon_intensity"], sums["wue"], sums["ewif"], levels
    )
