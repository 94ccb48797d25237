"""`observatory footprint`: four bills for energy that the reader states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.units import show
from observatory.verbs import billing, compat_modes, numbers, options
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from observatory.footprint import EnergyInput, FactorTable, Footprint, Scenario

PARTS = {"device_wh": "device_j", "host_wh": "host_j", "idle_wh": "idle_j",
         "it_energy_wh": "wall_j", "facility_wh": "facility_j"}  # fmt: skip
PER = ("request", "1000-requests", "output-token", "correct-answer")
SCI_UNITS = ("request", "output-token", "million-tokens")


@click.command(name="footprint")
@click.option(
    "--it-energy-wh", type=numbers.AMOUNT, help="IT energy of one request, idle included."
)
@click.option("--device-wh", type=numbers.AMOUNT, help="Energy of the devices alone.")
@click.option("--host-wh", type=numbers.AMOUNT, help="Energy of CPU and DRAM around them.")
@click.option("--idle-wh", type=numbers.AMOUNT, help="Share of provisioned idle capacity.")
@click.option("--facility-wh", type=numbers.AMOUNT, help="Energy with PUE inside.")
@click.option("--device", help="Device name, such as 'NVIDIA H100 80GB HBM3'.")
@click.option(
    "--devices", type=numbers.SIZE, default=1, show_default=True, help="How many of them."
)
@click.option("--busy-s", type=numbers.AMOUNT, help="Seconds the devices are busy with the batch.")
@click.option(
    "--batch", type=numbers.SIZE, default=1, show_default=True, help="Requests that share them."
)
@click.option(
    "--prompt", type=numbers.Number(0, numbers.LARGEST_SIZE), help="Prompt tokens of a request."
)
@click.option(
    "--output", type=numbers.Number(0, numbers.LARGEST_SIZE), help="Output tokens of a request."
)
@click.option(
    "--zone",
    "zones",
    multiple=True,
    help="Grid zone: FRA, US-TX, "
    "cloud:aws:eu-west-1 (repeatable). Without one: three example zones.",
)
@billing.choices
@billing.registry
@click.option(
    "--mix",
    metavar="FUEL=SHARE,…",
    help="Generation mix to take EWIF from: coal=0.3,gas=0.2,hydro=0.5.",
)
@click.option("--at", metavar="TIME", help="Bill one hour, such as 2025-07-01T14:00Z.")
@click.option(
    "--hourly-intensity",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CSV of hourly carbon intensity, for --at.",
)
@click.option(
    "--hourly-weather",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CSV of hourly wet bulb or temperature and humidity, for --at.",
)
@click.option(
    "--scarcity",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="AWARE factors (CSV) to weight water by scarcity.",
)
@click.option("--month", type=numbers.Whole(1, 12), help="Month of the scarcity factor, 1 to 12.")
@click.option(
    "--per",
    type=click.Choice(PER),
    default="request",
    show_default=True,
    help="Unit of work of the bills.",
)
@click.option("--accuracy", type=numbers.NUMBER, help="Share of answers that are correct.")
@click.option("--ladder", is_flag=True, help="Show each boundary beside published figures.")
@click.option("--sci", type=click.Choice(SCI_UNITS), help="Show the SCI score with this R.")
@click.option("--sources", is_flag=True, help="List the factors used, with their sources.")
@click.option("--csv", "csv_", is_flag=True, help="Print CSV and nothing else: a row a zone.")
@compat_modes.mode_options
@options.as_json
def command(json_: bool, csv_: bool, sources: bool, per: str, accuracy: float | None,
            ladder: bool, sci: str | None, **given: Any) -> None:  # fmt: skip
    """Carbon, water and money of energy that you state, with intervals.

    \b
    observatory footprint --it-energy-wh 4 --pue 1.17 --wue 0.55 --ewif 3.142 \\
        --carbon-intensity 367
    observatory footprint --device-wh 0.14 --host-wh 0.06 --idle-wh 0.02 --zone FRA --ladder

    With --as MODE the arithmetic of another tool or paper instead of ours.
    """
    if given["mode"] is not None:
        compat_modes.run(given, json_)
        return
    energy, table, chosen, notes = _prepare(given)
    made = [_bill(energy, scenario, table, example) for scenario, example in chosen]
    if notes:
        made = [replace(m, notes=(*m.notes, *notes)) for m in made]

    from observatory.footprint import require_one_kind

    require_one_kind(made)
    work = billing.units_per_request(per, energy, accuracy)
    scores = [_sci(m, sci, energy) for m in made] if sci else []
    if json_:
        options.print_json(_document(made, work, scores, ladder, energy, chosen, table))
        return
    if csv_:
        billing.print_csv([{"per": work[0]} | replace_bills(m, work[1]) for m in made])
        return
    billing.print_footprints(made, work)
    for m, score in zip(made, scores, strict=False):
        click.echo(f"  SCI {m.zone or 'stated'}: {score['sci_g']:.6g} gCO2e per "
                   f"{score['functional_unit']} (ISO/IEC 21031)")  # fmt: skip
    if sources:
        billing.print_sources(made, table)
    if ladder:
        _print_ladder(energy, chosen[0][0], table)


def replace_bills(made: Footprint, scale: float) -> dict[str, Any]:
    """The flat row of a footprint for `scale` times the work."""
    out = made.row()
    for name, bill in made.per(scale).items():
        out |= {name: bill.value, f"{name}_low": bill.low, f"{name}_high": bill.high}
    return out


def _bill(energy: EnergyInput, scenario: Scenario, table: FactorTable, example: bool) -> Footprint:
    from observatory.footprint import footprint

    return replace(footprint(energy, scenario, table), example=example)


def _prepare(
    given: dict[str, Any],
) -> tuple[EnergyInput, FactorTable, list[tuple[Scenario, bool]], list[str]]:
    from observatory.footprint import EnergyInput, Scenario
    from observatory.footprint.mix import ewif_of, parse_mix
    from observatory.footprint.moment import at_moment, parse_moment, with_scarcity
    from observatory.footprint.readers import read_aware

    joules = {field: given[flag] * 3600 for flag, field in PARTS.items() if given[flag] is not None}
    if not joules:
        raise InputError(
            "no energy: give --it-energy-wh, or --device-wh, --host-wh and --idle-wh, or "
            "--facility-wh"
        )
    sums = {"wall_j", "facility_j"} & set(joules)
    if sums and len(joules) > 1:
        raise InputError("give energy as one sum (--it-energy-wh or --facility-wh) or in parts")
    energy = EnergyInput(
        **joules, device=given["device"], device_count=given["devices"], busy_s=given["busy_s"],
        batch=given["batch"], prompt_tokens=given["prompt"], output_tokens=given["output"],
        provenance="imported", method="stated", systematic_rel=0.0,
    )  # fmt: skip
    table = billing.table_of(given["factor_files"], given["edition"])
    fields = Scenario.__dataclass_fields__
    base = Scenario(**{k: v for k, v in given.items() if k in fields})
    if given["mix"] is not None:
        if base.ewif_l_per_kwh is not None:
            raise InputError("--mix and --ewif exclude each other")
        base = replace(base, ewif_l_per_kwh=ewif_of(parse_mix(given["mix"]), base, table))
    chosen = billing.example_scenarios(base, given["zones"])
    notes: list[str] = []
    if given["at"] is not None:
        moment = parse_moment(given["at"])
        if given["hourly_intensity"] is None and given["hourly_weather"] is None:
            raise InputError("--at needs --hourly-intensity or --hourly-weather")
        if len(chosen) > 1:
            raise InputError("--at needs exactly one --zone")
        found = at_moment(chosen[0][0], table, moment,
                          given["hourly_intensity"], given["hourly_weather"])  # fmt: skip
        chosen, notes = [(found.scenario, False)], [*found.notes]
    elif given["hourly_intensity"] is not None or given["hourly_weather"] is not None:
        raise InputError("an hourly file needs --at, the hour to bill")
    if given["scarcity"] is not None:
        aware = read_aware(given["scarcity"])
        weighted = [(with_scarcity(s, aware, given["month"]), e) for s, e in chosen]
        chosen = [(w.scenario, e) for w, e in weighted]
        notes += [note for w, _ in weighted for note in w.notes]
    return energy, table, chosen, notes


def _sci(made: Footprint, unit: str, energy: EnergyInput) -> dict[str, object]:
    from observatory.footprint.sci import sci_of

    tokens = energy.output_tokens
    if unit == "request":
        return sci_of(made, "request", 1.0).row()
    if tokens is None:
        raise InputError(f"--sci {unit} needs --output")
    if unit == "output-token":
        return sci_of(made, "output token", tokens).row()
    total = tokens + (energy.prompt_tokens or 0)
    return sci_of(made, "million tokens", total / 1e6).row()


def _document(
    made: list[Footprint],
    work: tuple[str, float],
    scores: list[dict[str, object]],
    ladder: bool,
    energy: EnergyInput,
    chosen: list[tuple[Scenario, bool]],
    table: FactorTable,
) -> dict[str, Any]:
    from observatory.footprint.result import bill_json

    out: dict[str, Any] = {"per": work[0], "footprints": []}
    for m in made:
        bills = {name: bill_json(bill) for name, bill in m.per(work[1]).items()}
        out["footprints"].append(m.to_json() | bills)
    out["factors"] = billing.used_factors(made, table)
    if scores:
        out["sci"] = scores
    if ladder:
        out["ladder"] = [_rung_json(r) for r in _rungs(energy, chosen[0][0], table)]
    return out


def _rungs(energy: EnergyInput, scenario: Scenario, table: FactorTable) -> Any:
    from observatory.footprint.ladder import ladder
    from observatory.footprint.resolve import resolve

    pue = resolve(scenario, table).factors["pue"].value
    return ladder(energy, pue, scenario.active_share)


def _rung_json(rung: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(rung)


def _print_ladder(energy: EnergyInput, scenario: Scenario, table: FactorTable) -> None:
    rows = []
    notes = []
    for rung in _rungs(energy, scenario, table):
        points = [
            f"{p.subject}{f', {p.workload}' if p.workload else ''}: {p.value:g} Wh"
            for p in rung.comparable if p.value is not None
        ]  # fmt: skip
        rows.append([rung.boundary, show(rung.energy_wh, "energy_wh"),
                     show(rung.added_wh, "energy_wh"), "\n".join(points[:4]) or "–"])  # fmt: skip
        if rung.reason:
            notes.append(f"{rung.boundary}: – because {rung.reason}")
    print_table("Boundary ladder", ["boundary", "#energy", "#added", "published per request"], rows)
    billing.print_lines(notes)
