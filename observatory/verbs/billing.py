"""Options and tables that the billing verbs share: every choice of a scenario as one flag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from observatory.errors import InputError
from observatory.units import show
from observatory.verbs import numbers
from observatory.verbs.tables import paragraph, print_table

if TYPE_CHECKING:
    from observatory.footprint import Bill, FactorTable, Footprint, Scenario
    from observatory.footprint.energy import EnergyInput

F = TypeVar("F", bound=Callable[..., Any])
KINDS = ("average-lifecycle", "average-direct", "marginal")
HYDRO = ("zero", "allocated", "custom")
COOLING = ("mid", "tower", "once")
BASES = ("own", "cloud", "api", "electricity")
NAMES = {
    "energy_wh": "energy",
    "co2e_operational_g": "carbon, operational",
    "co2e_embodied_g": "carbon, embodied",
    "co2e_total_g": "carbon, total",
    "water_on_site_l": "water on site",
    "water_off_site_l": "water off site",
    "water_l": "water, total",
    "water_withdrawal_l": "water withdrawn on site",
    "water_scarcity_l": "water, scarcity-weighted",
    "cost_usd": "money",
}
OPTIONAL = ("water_withdrawal_l", "water_scarcity_l")


#: option names and settings, in the order of --help; the parameter is the field of Scenario
CHOICES: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--boundary",), {"default": "facility", "show_default": True,
        "help": "What the joules cover: device, host, wall (host+idle), facility."}),
    (("--kind",), {"type": click.Choice(KINDS),
        "help": "Kind of carbon intensity; without it the zone's own."}),
    (("--facility",), {"metavar": "NAME",
        "help": "Whose PUE and WUE: site:gcp:hamina-finland, provider:aws, a cloud region."}),
    (("--carbon-intensity", "carbon_intensity_g_per_kwh"), {"type": numbers.AMOUNT,
        "metavar": "G/KWH", "help": "gCO2e per kWh, in place of the zone's."}),
    (("--pue",), {"type": numbers.Number(1, 5),
        "help": "Facility energy over IT energy, 1 or more."}),
    (("--wue", "wue_l_per_kwh"), {"type": numbers.AMOUNT, "metavar": "L/KWH",
        "help": "On-site water per kWh of IT energy."}),
    (("--ewif", "ewif_l_per_kwh"), {"type": numbers.AMOUNT, "metavar": "L/KWH",
        "help": "Water per kWh of electricity."}),
    (("--hydro-rule",), {"type": click.Choice(HYDRO), "default": "zero", "show_default": True,
        "help": "Evaporation of reservoirs charged to hydropower: none, all, or --hydro-wif."}),
    (("--hydro-wif", "hydro_l_per_kwh"), {"type": numbers.AMOUNT, "metavar": "L/KWH",
        "help": "Water per kWh of hydropower, for --hydro-rule custom."}),
    (("--cooling",), {"type": click.Choice(COOLING), "default": "mid", "show_default": True,
        "help": "Cooling of power plants behind EWIF: mixed, towers, once-through."}),
    (("--cycles",), {"type": numbers.AMOUNT,
        "help": "Cycles of concentration of a cooling tower; gives the withdrawal."}),
    (("--tariff", "tariff_usd_per_kwh"), {"type": numbers.PRICE,
        "metavar": "USD/KWH", "help": "Electricity price, or `catalog` (US states, industrial)."}),
    (("--gpu-price", "gpu_price_usd_per_h"), {"type": numbers.PRICE,
        "metavar": "USD/H", "help": "Price of one accelerator hour, or `catalog`."}),
    (("--capex", "capex_usd"), {"type": numbers.AMOUNT, "metavar": "USD",
        "help": "Purchase price of one device, amortised over its life."}),
    (("--lifetime-years",), {"type": numbers.Number(1e-6, 100),
        "help": "Lifetime of the hardware."}),
    (("--active-share",), {"type": numbers.Number(1e-6, 1),
        "help": "Share of the lifetime in which the hardware serves requests."}),
    (("--embodied-kg",), {"type": numbers.AMOUNT, "metavar": "KGCO2E",
        "help": "Embodied carbon of one device with its share of the server."}),
    (("--api-input-price", "api_input_usd_per_mtok"), {"type": numbers.AMOUNT,
        "metavar": "USD/MTOK", "help": "List price of prompt tokens."}),
    (("--api-output-price", "api_output_usd_per_mtok"), {"type": numbers.AMOUNT,
        "metavar": "USD/MTOK", "help": "List price of output tokens."}),
    (("--cost-basis",), {"type": click.Choice(BASES),
        "help": "Which money is the headline; without it the first that can be made."}),
    (("--seed",), {"type": numbers.SEED, "default": 0, "show_default": True,
        "help": "Seed of the draws."}),
)  # fmt: skip


def zone(function: F) -> F:
    """`--zone`: one grid zone, with no default."""
    return click.option(
        "--zone", help="Grid zone, such as FRA, US-TX, cloud:aws:eu-west-1. "
                       "Without one: three example zones side by side.",
    )(function)  # fmt: skip


def choices(function: F) -> F:
    """Every choice of a scenario but the zone."""
    for names, settings in reversed(CHOICES):
        function = click.option(*names, **settings)(function)
    return function


def assume_error(function: F) -> F:
    """`--assume-error`: the error of numbers that come without one."""
    return click.option(
        "--assume-error", type=numbers.AMOUNT, metavar="REL",
        help="Relative error (one standard deviation) of costs whose source states none; 0 takes "
             "them as exact.  [default: 0.085, from repeated rows of ML.ENERGY v3]",
    )(function)  # fmt: skip


def registry(function: F) -> F:
    """`--factors` and `--edition`: which numbers."""
    for option in (
        click.option("--edition", help="Edition of the factor registry, such as 2025.1."),
        click.option("--factors", "factor_files", multiple=True, metavar="FILE",
                     type=click.Path(path_type=Path),
                     help="CSV of your own factors, over the shipped ones (repeatable)."),
    ):  # fmt: skip
        function = option(function)
    return function


def table_of(factor_files: Sequence[Path], edition: str | None) -> FactorTable:
    """The registry from the options of `registry`."""
    from observatory.footprint import load_factors

    return load_factors(factor_files, edition)


def example_scenarios(scenario: Scenario, zones: Sequence[str]) -> list[tuple[Scenario, bool]]:
    """(scenario, is an example): one for each zone; three examples where nothing says a place."""
    from dataclasses import replace

    from observatory.footprint import EXAMPLE_ZONES

    if zones:
        return [(replace(scenario, zone=zone), False) for zone in zones]
    if scenario.carbon_intensity_g_per_kwh is not None or scenario.ewif_l_per_kwh is not None:
        return [(scenario, False)]
    return [(replace(scenario, zone=zone), True) for zone in EXAMPLE_ZONES]


def units_per_request(unit: str, energy: EnergyInput, accuracy: float | None) -> tuple[str, float]:
    """(phrase, how many requests make one `unit`). Raises InputError where something is missing."""
    if unit == "request":
        return "per request", 1.0
    if unit == "1000-requests":
        return "per 1000 requests", 1000.0
    if unit == "output-token":
        if not energy.output_tokens:
            raise InputError("--per output-token needs --output, the output tokens of a request")
        return "per output token", 1.0 / energy.output_tokens
    if accuracy is None or not 0 < accuracy <= 1:
        raise InputError("--per correct-answer needs --accuracy, between 0 and 1")
    return "per correct answer", 1.0 / accuracy


def interval(bill: Bill, unit: str) -> str:
    """As `Bill.shown`."""
    return bill.shown(unit)


def unit_of(quantity: str) -> str:
    """The registered unit of a billed quantity."""
    for prefix, unit in (("co2e", "co2e_g"), ("water", "water_l")):
        if quantity.startswith(prefix):
            return unit
    return quantity


def print_csv(rows: Sequence[dict[str, Any]]) -> None:
    """Rows as CSV on standard output; missing is an empty cell."""
    import csv
    import sys

    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def used_factors(made: Sequence[Footprint], table: FactorTable) -> list[dict[str, Any]]:
    """The registry's rows behind some bills, by id: value, unit, edition, source, licence.

    Numbers that the reader stated are in the request and carry no row.
    """
    from dataclasses import asdict

    ids = sorted({i for m in made for i in m.factor_ids})
    known = {f.id: f for f in table.current()}
    return [{"id": i} | asdict(known[i]) for i in ids if i in known]


def print_sources(made: Sequence[Footprint], table: FactorTable) -> None:
    """Where each factor comes from."""
    lines = [
        f"{row['id']} = {row['value']:g} {row['unit']} ({row['edition']}, {row['evidence']}): "
        f"{row['source']}"
        for row in used_factors(made, table)
    ]
    click.echo("Factors used")
    print_lines(lines)


def print_footprints(made: Sequence[Footprint], work: tuple[str, float]) -> None:
    """A row a quantity, a column a zone; value with p5 to p95; what qualifies them below."""
    phrase, scale = work
    example = any(m.example for m in made)
    title = f"Bills {phrase}" + (", in three example zones (--zone gives yours)" if example else "")
    rows = []
    notes: list[str] = []
    bills = [m.per(scale) for m in made]
    for quantity, name in NAMES.items():
        cells = [b[quantity] for b in bills]
        if quantity in OPTIONAL and all(c.value is None for c in cells):
            continue
        rows.append([name, *(interval(c, unit_of(quantity)) for c in cells)])
        reasons = dict.fromkeys(c.reason for c in cells if c.value is None and c.reason)
        notes += [f"{name}: – because {reason}" for reason in reasons]
    print_table(title, ["", *(f"#{m.zone or 'stated'}" for m in made)], rows)
    print_lines([*_qualify(made), *_others(made, scale), *notes])


def _others(made: Sequence[Footprint], scale: float) -> list[str]:
    """What the bills would be under another hydro rule or kind of carbon: choices, not errors."""
    out = []
    for m in made:
        for c in m.choices:
            if c.choice != "boundary":
                amount = show(c.value * scale, unit_of(c.quantity))
                where = f"{m.zone}: " if m.zone and len(made) > 1 else ""
                out.append(f"{where}{NAMES[c.quantity]}: {amount} with {c.choice} {c.option}")
    return out


def _qualify(made: Sequence[Footprint]) -> list[str]:
    first = made[0]
    kinds = ", ".join(dict.fromkeys(m.kind or "–" for m in made))
    lines = [
        f"value [p5 – p95]; boundary {first.boundary}, edition {first.edition}, "
        f"carbon {kinds}, hydro rule {first.hydro_rule}, energy {first.method}"
    ]
    if first.cost_basis:
        lines.append(f"money: {first.cost_basis}")
    for m in made:
        lines += [note if len(made) == 1 else f"{m.zone}: {note}" for note in m.notes]
    shared = [n for n in first.notes if all(n in m.notes for m in made)]
    if len(made) > 1 and shared:
        lines = [line for line in lines if not any(line.endswith(f": {n}") for n in shared)]
        lines += shared
    return lines


def print_lines(lines: Sequence[str]) -> None:
    """Notes below a table, each once, wrapped at the width of a table."""
    for line in dict.fromkeys(lines):
        click.echo(paragraph(line, 2))
