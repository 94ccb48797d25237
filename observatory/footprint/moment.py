"""One hour: carbon intensity and WUE at a stated time, with the level each came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from observatory.errors import InputError
from observatory.footprint.factors import FactorTable
from observatory.footprint.hourly import HourlySeries, at_hours, wue_series
from observatory.footprint.intensity_files import read_intensity
from observatory.footprint.readers import Scarcity, read_weather
from observatory.footprint.resolve import resolve
from observatory.footprint.scenario import Scenario
from observatory.footprint.zones import chain, zones


@dataclass(frozen=True, slots=True)
class AtMoment:
    """A scenario with the numbers of one hour put in, and where they came from."""

    scenario: Scenario
    notes: tuple[str, ...]


def parse_moment(text: str) -> datetime:
    """An ISO 8601 time with its UTC offset. Raises InputError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"--at {text!r}: needs an ISO 8601 time such as 2025-07-01T14:00Z"
        ) from error
    if moment.tzinfo is None:
        raise InputError(f"--at {text!r}: say the UTC offset, as in {text}Z")
    return moment


def at_moment(
    scenario: Scenario,
    table: FactorTable,
    moment: datetime,
    intensity: Path | None,
    weather: Path | None,
) -> AtMoment:
    """Take the hour's own carbon intensity and WUE where files give them; else month, else year.

    Raises InputError where neither a series nor an annual value is known.
    """
    factors = resolve(scenario, table).factors
    notes: list[str] = []
    if intensity is not None:
        series = read_intensity(intensity, scenario.kind)
        annual = factors.get("ci")
        value = _level(series, moment, annual.value if annual else None, notes)
        scenario = replace(
            scenario, carbon_intensity_g_per_kwh=value, kind=series.kind or scenario.kind
        )
    if weather is not None:
        read = read_weather(weather)
        annual_wue = factors["wue"].value
        value = _level(wue_series(annual_wue, read), moment, annual_wue, notes, read.notes)
        scenario = replace(scenario, wue_l_per_kwh=value)
    return AtMoment(scenario, tuple(notes))


def _level(
    series: HourlySeries,
    moment: datetime,
    annual: float | None,
    notes: list[str],
    more: tuple[str, ...] = (),
) -> float:
    found = at_hours([moment], series, annual)
    notes.append(f"{series.quantity} of {moment.isoformat()}: level {found.levels[0]}")
    notes += [*series.notes, *more]
    return found.values[0]


def with_scarcity(scenario: Scenario, table: Scarcity, month: int | None) -> AtMoment:
    """The scenario with AWARE factors of its zone, or of the nearest wider one that has them."""
    if scenario.zone is None:
        raise InputError("--scarcity needs --zone")
    for zone in chain(zones()[scenario.zone]):
        if zone.id in table.annual or zone.id in table.monthly:
            value, level = table.factor(zone.id, month)
            made = replace(scenario, scarcity_on_site=value, scarcity_off_site=value)
            return AtMoment(made, (f"scarcity {value:g} of {zone.id}, level {level}, "
                                   f"{table.version or 'AWARE'}",))  # fmt: skip
    raise InputError(f"no AWARE factor for zone {scenario.zone} in this file")
