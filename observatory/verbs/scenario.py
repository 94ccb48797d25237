"""`observatory scenario FILE`: one request under every combination of a scenario file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.verbs import billing, compare, options
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from observatory.footprint.comparison import Change
    from observatory.footprint.matrix import Point

SHOWN = {"energy_wh": "energy_wh", "co2e_operational_g": "co2e_g", "water_l": "water_l",
         "cost_usd": "cost_usd"}  # fmt: skip
HEADS = ("energy", "carbon", "water", "money")


@click.command(name="scenario")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--csv", "csv_", is_flag=True, help="Print CSV and nothing else: one row each.")
@options.as_json
def command(file: Path, csv_: bool, json_: bool) -> None:
    """Bills of one request over a matrix of zones, hours, PUE, WUE, utilisation, …

    \b
    request: {it_energy_wh: 4}
    base: {tariff_usd_per_kwh: 0.1}
    matrix: {zone: [SWE, USA], pue: [1.1, 1.5]}

    Sentences compare the first combination with every other.
    """
    from observatory.footprint.comparison import Case
    from observatory.footprint.comparison import compare as compare_cases
    from observatory.footprint.factors import load_factors
    from observatory.footprint.matrix import load_scenario_file, run

    spec = load_scenario_file(file)
    table = load_factors(spec.factors, spec.edition)
    points = run(spec, table)
    if csv_:
        billing.print_csv([dict(p.coordinates) | p.bills.row() for p in points])
        return
    cases = [Case(p.label or "the request", spec.request, p.scenario) for p in points]
    changes = [
        compare_cases(cases[0], case, table) for case in cases[1:]
        if case.scenario.boundary == cases[0].scenario.boundary
    ]  # fmt: skip
    if json_:
        options.print_json({
            "points": [{"coordinates": dict(p.coordinates)} | p.bills.to_json() for p in points],
            "changes": [compare.change_json(change, False) for change in changes],
        })  # fmt: skip
        return
    _print(points, changes)


def _print(points: list[Point], changes: list[Change]) -> None:
    axes = list(points[0].coordinates)
    rows: list[list[Any]] = []
    for p in points:
        bills = p.bills.bills()
        cells = [billing.interval(bills[q], unit) for q, unit in SHOWN.items()]
        rows.append([" ".join(str(p.coordinates[axis]) for axis in axes), *cells])
    print_table("Bills per request", [" ".join(axes), *(f"#{h}" for h in HEADS)], rows)
    first = points[0].bills
    lines = [f"value [p5 – p95]; boundary {first.boundary}, edition {first.edition}, carbon "
             f"{first.kind}, hydro rule {first.hydro_rule}, energy {first.method}"]  # fmt: skip
    lines += dict.fromkeys(note for p in points for note in p.bills.notes)
    for quantity in SHOWN:
        reason = getattr(first, quantity).reason
        lines += [f"{billing.NAMES[quantity]}: – because {reason}"] if reason else []
    billing.print_lines([*lines, *(change.sentence for change in changes)])
