"""One request by region and hour of the day, and a job billed over its own hours.

Hours come from the user's series of carbon intensity and weather. A zone without a series keeps its
annual value and no hours, and says so: the shape of a day is never made up. All hours are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd

from observatory.errors import InputError
from observatory.footprint.bills import footprints
from observatory.footprint.energy import EnergyInput, covered
from observatory.footprint.factors import FactorTable, load_factors
from observatory.footprint.hourly import HOUR, HourlyBill, HourlySeries, bill_hours, whole_hour
from observatory.footprint.resolve import Resolved, resolve
from observatory.footprint.result import Footprint
from observatory.footprint.scenario import Scenario
from observatory.footprint.zones import zones as known_zones

NO_SERIES = "no hourly series of this zone was given: --hourly-intensity gives one"
COLUMNS = ("zone", "zone_name", "hour_utc", "co2e_g", "co2e_low_g", "co2e_high_g",
           "intensity_g_per_kwh", "days", "kind", "level", "source", "reason")  # fmt: skip


@dataclass(frozen=True)
class Job:
    """Energy spread over hours: its bill by the hour, and the same with annual factors."""

    scenario: Scenario
    start: datetime
    end: datetime
    hourly: HourlyBill
    annual: HourlyBill
    kind: str | None
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """Hourly over annual carbon; None where the annual is 0."""
        whole = self.annual.co2e_operational_g
        part = self.hourly.co2e_operational_g
        return None if not whole or part is None else part / whole


def region_hours(
    energy: EnergyInput,
    scenario: Scenario,
    zones: Sequence[str],
    series: Mapping[str, HourlySeries],
    factors: FactorTable | None = None,
) -> pd.DataFrame:
    """Operational carbon of one request in each zone, at each UTC hour where hours are known.

    One row a zone and hour (`hour_utc` 0 to 23, `level` `hour`: the mean over the `days` of the
    series), and one row a zone for the whole (`hour_utc` missing, `level` `series`: the mean of the
    series; or `year`: the annual factor, where there is none). Columns as COLUMNS; grams, p5 and
    p95. Kinds of carbon intensity are never mixed: a zone that has only another kind has a reason
    and no number. Raises InputError where the series differ in kind, or where neither a series nor
    the scenario says it.
    """
    table = load_factors() if factors is None else factors
    for found in series.values():
        _kind_of(found, scenario)
    kinds = {s.kind for s in series.values()} - {None}
    if len(kinds) > 1:
        raise InputError(f"the hourly series are of kinds {', '.join(sorted(map(str, kinds)))}: "
                         "kinds never share a table, give files of one")  # fmt: skip
    kind = scenario.kind or next(iter(kinds), None)
    rows: list[dict[str, object]] = []
    for zone in zones:
        placed = replace(scenario, zone=zone, kind=kind, carbon_intensity_g_per_kwh=None)
        rows += _of_zone(energy, placed, series.get(zone), table)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return _one_kind(frame)


def _kind_of(series: HourlySeries, scenario: Scenario) -> str:
    """The kind of a series, its own or as the scenario says. Raises InputError for neither."""
    kind = series.kind or scenario.kind
    if kind is None:
        raise InputError(f"{series.source} does not say its kind of carbon intensity: say it with "
                         "--kind")  # fmt: skip
    return kind


def _of_zone(
    energy: EnergyInput, scenario: Scenario, series: HourlySeries | None, table: FactorTable
) -> list[dict[str, object]]:
    zone = scenario.zone or ""
    own = {"zone": zone, "zone_name": known_zones()[zone].name}
    if series is None:
        try:
            made = footprints([energy], scenario, table)[0]
        except InputError as error:  # no intensity of this kind
            return [own | {"level": "year", "kind": scenario.kind, "reason": str(error)}]
        return [own | _bill(made, 1.0) | {"level": "year", "reason": NO_SERIES,
                                          "source": f"factors {made.edition}"}]  # fmt: skip
    mean = sum(series.values.values()) / len(series.values)
    stated = replace(scenario, carbon_intensity_g_per_kwh=mean, kind=series.kind or scenario.kind)
    made = footprints([energy], stated, table)[0]  # carbon is proportional to the intensity
    facts = {"source": series.source, "kind": series.kind or scenario.kind}
    whole = {"intensity_g_per_kwh": mean, "level": "series", "days": _days(series, None)}
    out = [own | _bill(made, 1.0) | facts | whole]
    for hour in sorted({at.hour for at in series.values}):
        value = series.by_hour_of_day(hour)
        share = value / mean if mean else 0.0
        out.append(own | _bill(made, share) | facts | {
            "hour_utc": hour, "intensity_g_per_kwh": value, "level": "hour",
            "days": _days(series, hour)})  # fmt: skip
    return out


def _bill(made: Footprint, share: float) -> dict[str, object]:
    bill = made.co2e_operational_g.scaled(share)
    return {"co2e_g": bill.value, "co2e_low_g": bill.low, "co2e_high_g": bill.high,
            "kind": made.kind, "reason": bill.reason}  # fmt: skip


def _days(series: HourlySeries, hour: int | None) -> int:
    """Days of the series that have this hour (any hour, for None)."""
    return len({at.date() for at in series.values if hour is None or at.hour == hour})


def _one_kind(frame: pd.DataFrame) -> pd.DataFrame:
    """Values of the commonest kind; those of another kind become a reason."""
    known = frame.loc[frame["co2e_g"].notna(), "kind"]
    if known.nunique() < 2:
        return frame
    hours = frame.loc[frame["level"] == "hour", "kind"]
    kept = (hours if len(hours) else known).mode()[0]
    other = frame["co2e_g"].notna() & (frame["kind"] != kept)
    made = frame.copy()
    made.loc[other, "reason"] = [
        f"its carbon intensity is {kind}, the table's {kept}" for kind in frame.loc[other, "kind"]
    ]
    made.loc[other, ["co2e_g", "co2e_low_g", "co2e_high_g"]] = None
    return made


def spread(it_energy_j: float, start: datetime, end: datetime) -> dict[datetime, float]:
    """Energy of constant power over the UTC hours it touches, each by its share of the time.

    Raises InputError unless `start` is before `end` and both carry their UTC offset.
    """
    first, last = whole_hour(start), whole_hour(end)
    length = (end - start).total_seconds()
    if length <= 0:
        raise InputError(f"the end {end.isoformat()} is not after the start {start.isoformat()}")
    out: dict[datetime, float] = {}
    at = first
    while at <= last:
        inside = (min(end, at + HOUR) - max(start, at)).total_seconds()
        if inside > 0:
            out[at] = it_energy_j * inside / length
        at += HOUR
    return out


def bill_job(
    energy: EnergyInput,
    scenario: Scenario,
    span: tuple[datetime, datetime],
    intensity: HourlySeries | None,
    wue: HourlySeries | None,
    factors: FactorTable | None = None,
) -> Job:
    """Carbon and water of a job of constant power from start to end: each hour's own bill, added.

    An hour that a series lacks takes its month's mean, then the annual factor; the levels are
    counted. Raises InputError where energy is unknown or holds PUE already, where nothing says the
    kind of the series, and as `resolve` does.
    """
    table = load_factors() if factors is None else factors
    inside = covered(energy, scenario.boundary, scenario.active_share)
    if inside.joules is None or inside.pue_inside:
        raise InputError("an hourly bill needs IT energy: give --it-energy-wh, or --configuration")
    if intensity is not None:
        scenario = replace(scenario, kind=_kind_of(intensity, scenario))
    resolved = _resolved(scenario, table, energy.device, intensity)
    value = {role: f.value for role, f in resolved.factors.items()}
    pue = value["pue"] if scenario.boundary == "facility" else 1.0
    annual = {name: value.get(name) for name in ("ci", "wue", "ewif")}
    hours = spread(inside.joules, *span)
    mean = None
    if annual["ci"] is None and intensity is not None:
        mean = sum(intensity.values.values()) / len(intensity.values)
    made = bill_hours(
        hours, pue, (intensity, annual["ci"]), (wue, annual["wue"]), (None, annual["ewif"])
    )
    yearly = bill_hours(hours, pue, (None, mean if annual["ci"] is None else annual["ci"]),
                        (None, annual["wue"]), (None, annual["ewif"]))  # fmt: skip
    notes = [*resolved.notes, *(intensity.notes if intensity else ()), *(wue.notes if wue else ())]
    if mean is not None:
        notes.append("no annual intensity of this kind: the mean of the series stands in for it")
    return Job(scenario, *span, made, yearly, scenario.kind or resolved.kind, tuple(notes))


def _resolved(
    scenario: Scenario, table: FactorTable, device: str | None, intensity: HourlySeries | None
) -> Resolved:
    """The annual factors; without carbon where the registry has none of the series' kind."""
    try:
        return resolve(scenario, table, device)
    except InputError:
        if intensity is None:
            raise
        stated = replace(scenario, carbon_intensity_g_per_kwh=0.0)
        found = resolve(stated, table, device)
        factors = {role: f for role, f in found.factors.items() if role != "ci"}
        return Resolved(factors, found.missing, found.notes, scenario.kind)
