"""`observatory hours`: a request by region and hour of day, or a job billed over its own hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.units import show
from observatory.verbs import billing, numbers, options
from observatory.verbs.chosen import configuration_keys
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    import pandas as pd

    from observatory.footprint import EnergyInput, FactorTable, Scenario
    from observatory.footprint.hourly import HourlySeries
    from observatory.footprint.region_hours import Job

BLOCKS = tuple(range(0, 24, 3))  #: hours that a person is shown; `--json` and `--csv` have all


@click.command(name="hours")
@click.option(
    "--it-energy-wh",
    type=numbers.AMOUNT,
    help="IT energy of the request (or of the whole job).",
)
@click.option("--configuration", metavar="NAME",
              help="Energy of a request on this measured configuration instead.")  # fmt: skip
@options.workload
@click.option("--hourly-intensity", "intensity", multiple=True, metavar="[ZONE=]FILE",
              help="CSV of hourly carbon intensity: Electricity Maps, Great Britain, WattTime, or "
              "a time and carbon_intensity (repeatable).")  # fmt: skip
@click.option("--hourly-weather", "weather", metavar="FILE",
              help="CSV of hourly wet bulb, or temperature and humidity, for water on site."
              )  # fmt: skip
@click.option("--timezone", help="Of times without an offset, such as Europe/Paris.")
@click.option("--zone", "zones", multiple=True,
              help="Zone (repeatable).  [default: those of the files, then contrasting ones]"
              )  # fmt: skip
@click.option("--start", metavar="TIME", help="Bill a job from here: 2025-07-01T14:00Z.")
@click.option(
    "--hours", "length", type=numbers.POSITIVE, metavar="H", help="How long the job runs."
)
@billing.choices
@billing.registry
@options.database
@click.option("--csv", "csv_", is_flag=True, help="Print CSV and nothing else.")
@options.as_json
def command(
    intensity: tuple[str, ...], weather: str | None, timezone: str | None, zones: tuple[str, ...],
    start: str | None, length: float | None, csv_: bool, json_: bool, **given: Any,
) -> None:  # fmt: skip
    """Carbon of one request by region and UTC hour of day; or of a job over its own hours.

    \b
    observatory hours --it-energy-wh 0.3 --hourly-intensity FR_2024_hourly.csv --zone FRA \\
        --kind average-lifecycle
    observatory hours --it-energy-wh 9000 --hourly-intensity GBR=gb.csv --zone GBR \\
        --start 2025-07-01T14:00Z --hours 6

    Hours come from files that you have: none is shipped, and no shape of a day is made up. A zone
    without a file is shown by its annual value.
    """
    from observatory.footprint import Scenario
    from observatory.footprint.intensity_files import read_by_zone

    if (start is None) != (length is None):
        raise InputError("a job needs both --start and --hours")
    table = billing.table_of(given["factor_files"], given["edition"])
    fields = Scenario.__dataclass_fields__
    scenario = Scenario(**{k: v for k, v in given.items() if k in fields})
    series = read_by_zone(intensity, scenario.kind, timezone)
    energy = _energy(given)
    if start is not None and length is not None:
        zone = _one_zone(zones, series)
        found = series.get(zone)
        job = _job(energy, replace(scenario, zone=zone), table, found, weather, start, length)
        _print_job(job, json_)
        return
    if weather is not None:
        raise InputError("--hourly-weather is of a job: give --start and --hours")
    _print_table(_frame(energy, scenario, zones, series, table), csv_, json_)


def _energy(given: dict[str, Any]) -> EnergyInput:
    """The stated energy, or that of a measured configuration."""
    from observatory.footprint.matrix import stated_energy

    stated, named = given["it_energy_wh"], given["configuration"]
    if (stated is None) == (named is None):
        raise InputError("give either --it-energy-wh or --configuration")
    if stated is not None:
        return stated_energy(stated)
    from observatory import answers
    from observatory.store.database import open_read_only

    engine = open_read_only(given["db"])
    usual = answers.covered_request(engine)
    asked = Workload.request(given["prompt"] or usual[0], given["output"] or usual[1],
                             given["batch"])  # fmt: skip
    keys = configuration_keys(engine, [named])
    return answers.energy_inputs(engine, asked, None, keys)[0][1]


def _one_zone(zones: tuple[str, ...], series: dict[str, HourlySeries]) -> str:
    from observatory.footprint.zones import resolve_zone

    named = [resolve_zone(zone).id for zone in zones] or list(series)
    if len(named) != 1:
        raise InputError("a job runs in one zone: give --zone once")
    return named[0]


def _frame(
    energy: EnergyInput, scenario: Scenario, zones: tuple[str, ...],
    series: dict[str, HourlySeries], table: FactorTable,
) -> pd.DataFrame:  # fmt: skip
    from observatory.exports.frames import REGIONS
    from observatory.footprint.region_hours import region_hours
    from observatory.footprint.zones import resolve_zone

    named = [resolve_zone(zone).id for zone in zones] or [*series, *REGIONS]
    return region_hours(energy, scenario, list(dict.fromkeys(named)), series, table)


def _job(
    energy: EnergyInput, scenario: Scenario, table: FactorTable, intensity: HourlySeries | None,
    weather: str | None, start: str, length: float,
) -> Job:  # fmt: skip
    from pathlib import Path

    from observatory.footprint.hourly import wue_series
    from observatory.footprint.readers import read_weather
    from observatory.footprint.region_hours import bill_job
    from observatory.footprint.resolve import resolve

    try:
        moment = datetime.fromisoformat(start)
    except ValueError as error:
        raise InputError(f"--start {start!r}: needs a time such as 2025-07-01T14:00Z") from error
    if moment.tzinfo is None:
        raise InputError(f"--start {start!r}: say the UTC offset, as in {start}Z")
    if not 0 < length <= 24 * 366:
        raise InputError(f"--hours {length:g}: more than 0, at most a year (8784)")
    if intensity is None and weather is None:
        raise InputError(
            f"no hours are known of {scenario.zone}: give --hourly-intensity ZONE=FILE or "
            "--hourly-weather; `observatory footprint` bills the year"
        )
    wue = None
    if weather is not None:
        annual = resolve(replace(scenario, carbon_intensity_g_per_kwh=0.0), table).factors["wue"]
        wue = wue_series(annual.value, read_weather(Path(weather)))
    span = (moment, moment + timedelta(hours=length))
    return bill_job(energy, scenario, span, intensity, wue, table)


def _print_job(job: Job, json_: bool) -> None:
    rows = {
        name: (getattr(job.hourly, name), getattr(job.annual, name))
        for name in ("co2e_operational_g", "water_on_site_l", "water_off_site_l")
    }
    if json_:
        options.print_json({
            "zone": job.scenario.zone, "kind": job.kind, "boundary": job.scenario.boundary,
            "start": job.start.isoformat(), "end": job.end.isoformat(),
            "it_energy_j": job.hourly.it_energy_j,
            "hourly": {name: hourly for name, (hourly, _) in rows.items()},
            "annual": {name: annual for name, (_, annual) in rows.items()},
            "carbon_ratio": job.ratio, "levels": {k: dict(v) for k, v in job.hourly.levels.items()},
            "notes": list(job.notes),
        })  # fmt: skip
        return
    print_table(
        f"A job in {job.scenario.zone}, {job.start:%Y-%m-%d %H:%M} to {job.end:%Y-%m-%d %H:%M}",
        ["", "#over its hours", "#with annual factors"],
        [[billing.NAMES[name], show(hourly, billing.unit_of(name)),
          show(annual, billing.unit_of(name))] for name, (hourly, annual) in rows.items()],
    )  # fmt: skip
    lines = [f"IT energy {show(job.hourly.it_energy_j / 3600, 'energy_wh')} at constant power, "
             f"boundary {job.scenario.boundary}, carbon {job.kind}"]  # fmt: skip
    if job.ratio is not None:
        lines.append(f"these hours emit {job.ratio:.3g} times what the year's mean says")
    lines += [f"{name}: " + ", ".join(f"{n} hours by {level}" for level, n in counts.items())
              for name, counts in job.hourly.levels.items()]  # fmt: skip
    billing.print_lines([*lines, *job.notes])


def _print_table(frame: pd.DataFrame, csv_: bool, json_: bool) -> None:
    from observatory.exports import tables

    if json_:
        options.print_json(tables.records(frame))
        return
    if csv_:
        click.echo(tables.to_csv(frame), nl=False)
        return
    known = frame["co2e_g"].dropna()
    like = None if known.empty else float(known.median())
    rows = []
    for zone, group in frame.groupby("zone", sort=False):
        by_hour = dict(zip(group["hour_utc"], group["co2e_g"], strict=True))
        mean = group.loc[group["level"] != "hour", "co2e_g"].iloc[0]
        cells = [_number(by_hour.get(hour), like) for hour in BLOCKS]
        rows.append([zone, _number(mean, like), *cells])
    unit = show(like, "co2e_g").rpartition(" ")[2]
    print_table(f"Carbon of one request by UTC hour ({unit}), every third hour",
                ["zone", "#mean", *(f"#{hour:02d}" for hour in BLOCKS)], rows)  # fmt: skip
    billing.print_lines(_said(frame))


def _number(value: float | None, like: float | None) -> str | None:
    if value is None or value != value:
        return None
    return show(value, "co2e_g", like=like).rpartition(" ")[0]


def _said(frame: pd.DataFrame) -> list[str]:
    """Kind, source and days of the hours; zones without hours, with the reason."""
    lines = []
    years = frame[frame["level"] != "hour"]
    for row in years[years["reason"].isna()].to_dict("records"):
        lines.append(f"{row['zone']}: mean of {row['days']:.0f} days, {row['kind']}, "
                     f"{row['source']}")  # fmt: skip
    for reason, group in years[years["reason"].notna()].groupby("reason", sort=False):
        zones = ", ".join(group["zone"])
        lines.append(f"{zones}: {reason}")
    return lines
