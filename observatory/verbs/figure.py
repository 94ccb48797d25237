"""`observatory figure NAME`: a figure of the pages as a file for a paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.verbs import billing, numbers, options
from observatory.verbs.chosen import configuration_keys
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from observatory.exports.drawings import Ask
    from observatory.footprint import FactorTable

FORMATS = ("svg", "pdf", "png", "json")
COSTS = ("runtime_s", "energy_j", "co2e_g", "co2e_total_g", "water_l", "cost_usd")


@click.command(name="figure")
@click.argument("name", required=False)
@click.option("--list", "list_", is_flag=True, help="List the figures, and stop.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS),
    help="File format; without it that of --out, else svg. json: plotly, needs no browser.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="File to write.  [default: NAME.FORMAT]")  # fmt: skip
@click.option("--width", type=click.Choice(("column", "page")), default="column",
              show_default=True, help="3.4 or 7 inches: a column, a whole page.")  # fmt: skip
@click.option("--configuration", "named", multiple=True, metavar="NAME",
              help="A key, MODEL or MODEL:words (repeatable).  [default: the fastest]")  # fmt: skip
@click.option("--cost", type=click.Choice(COSTS), default="energy_j", show_default=True,
              help="Cost of `frontier` and `routing`.")  # fmt: skip
@click.option("--items", type=click.Path(path_type=Path), metavar="FILE",
              help="Table of items of `routing`, as `observatory route` takes it.")  # fmt: skip
@click.option("--lane", metavar="LANE", help="Lane of the scores of `frontier`.")
@click.option("--imported", is_flag=True, help="`frontier` of imported rows.")
@click.option("--group", metavar="TEXT", help="Which group of `frontier`: a part of its name.")
@click.option("--mix-lanes", is_flag=True, help="Let several lanes share the axis of `frontier`.")
@click.option(
    "--max-ttft",
    type=numbers.AMOUNT,
    metavar="S",
    help="`frontier`: leave out slower tokens.",
)
@click.option(
    "--max-tpot",
    type=numbers.AMOUNT,
    metavar="S",
    help="`frontier`: leave out slower tokens.",
)
@click.option(
    "--budget",
    type=numbers.AMOUNT,
    metavar="COST",
    help="`frontier`: leave out dearer requests.",
)
@click.option("--hourly-intensity", "intensity", multiple=True, metavar="[ZONE=]FILE",
              help="`region-hours`: CSV of hourly carbon intensity (repeatable).")  # fmt: skip
@options.workload
@click.option("--zone", "zones", multiple=True,
              help="Grid zone, such as FRA; several for the figures by region.")  # fmt: skip
@billing.choices
@billing.registry
@options.database
def command(
    name: str | None, list_: bool, form: str | None, out: Path | None, width: str, db: str,
    factor_files: tuple[Path, ...], edition: str | None, **given: Any,
) -> None:  # fmt: skip
    """A figure of the pages for a paper: white, column width, the same bytes each time.

    \b
    observatory figure decode --out decode.pdf
    observatory figure frontier --lane mmlu/acc/5-shot --cost energy_j --width page --format svg
    observatory figure ratios --configuration BASE --configuration OTHER --zone FRA

    SVG, PDF and PNG need the extra `figures` and a Chrome or Chromium.
    """
    from observatory.exports.drawings import DRAWINGS

    if list_:
        print_table("", ["figure", "shows"], [[d.name, d.shows] for d in DRAWINGS.values()])
        return
    if name is None:
        raise InputError("name a figure; --list lists them")
    kind = form or _format_of(out)
    target = out or Path(f"{name}.{kind}")

    from observatory.exports.drawings import draw
    from observatory.exports.rendering import render
    from observatory.figures.paper import for_paper
    from observatory.store.database import open_read_only

    engine = open_read_only(db)
    asked = ask_of(engine, given, billing.table_of(factor_files, edition))
    content = render(for_paper(draw(engine, name, asked), width), kind)
    try:
        target.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None
    click.echo(f"{target}: {len(content):,} bytes", err=True)


def _format_of(out: Path | None) -> str:
    """The format that the name of the file says; svg without one. Raises InputError."""
    if out is None or not out.suffix:
        return "svg"
    kind = out.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise InputError(f"--out {out}: .{kind} is none of {', '.join(FORMATS)}; say --format")
    return kind


def ask_of(engine: Engine, given: dict[str, Any], factors: FactorTable) -> Ask:
    """What the options ask for. Raises InputError."""
    from observatory import answers
    from observatory.exports.drawings import Ask
    from observatory.footprint import Scenario
    from observatory.footprint.intensity_files import read_by_zone
    from observatory.tradeoffs import Limits

    series = read_by_zone(given["intensity"], given["kind"])
    usual = answers.covered_request(engine)
    asked = Workload.request(given["prompt"] or usual[0], given["output"] or usual[1],
                             given["batch"])  # fmt: skip
    zones = tuple(given["zones"])
    scenario = Scenario(**{k: v for k, v in given.items() if k in Scenario.__dataclass_fields__})
    return Ask(
        asked,
        replace(scenario, zone=zones[0]) if len(zones) == 1 else scenario,
        configuration_keys(engine, given["named"]),
        given["cost"], given["lane"], given["imported"], given["mix_lanes"],
        Limits(given["max_ttft"], given["max_tpot"], None, given["budget"]),
        given["items"], given["group"], zones if len(zones) > 1 else (), series, factors,
    )  # fmt: skip
