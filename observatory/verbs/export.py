"""`observatory export`: what the store knows, as files for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.verbs import billing, numbers, options
from observatory.verbs.chosen import configuration_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from sqlalchemy import Engine

    from observatory.exports.questions import Ask
    from observatory.exports.trimming import Keep
    from observatory.footprint import FactorTable

WHAT = {
    "summary": "median of each measured point with its interval",
    "windows": "every raw window",
    "fits": "idealized runtime and energy with errors and ranges",
    "footprint": "one request's bills on each configuration, in the scenario given",
    "frontier": "cost against the scores of --lane, with the chance of each point to be the best",
    "idealized": "measured beside idealized beside roofline",
    "configurations": "what was measured on which machine, how much, when",
    "estimates": "bills kept in the store",
    "capability": "scores by lane",
    "runs": "runs", "cells": "cells", "findings": "what is wrong with which row",
    "all": "the whole store (format sql or sqlite)",
}  # fmt: skip
FORMATS = ("csv", "json", "parquet", "latex", "sql", "sqlite")
COSTS = ("runtime_s", "energy_j", "co2e_g", "co2e_total_g", "water_l", "cost_usd")


@click.command(name="export")
@click.option(
    "--what",
    type=click.Choice(list(WHAT)),
    default="summary",
    show_default=True,
    help="; ".join(f"{k}: {v}" for k, v in WHAT.items() if k != v) + ".",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="csv",
    show_default=True,
    help="latex: a booktabs table; sql: read by sqlite3 and by PostgreSQL; "
    "sqlite: a database of its own (--what all).",
)
@click.option(
    "--out",
    metavar="FILE",
    default="-",
    show_default=True,
    help="File to write; - is standard output.",
)
@click.option(
    "--columns",
    metavar="NAME,…",
    help="Only these columns, in this order; without it all, and for latex those of a paper.",
)
@click.option(
    "--width",
    type=click.Choice(("column", "page")),
    default="page",
    show_default=True,
    help="latex: lay out for one column of two, or for a page.",
)
@click.option("--model", help="Only rows of this model.")
@click.option("--phase", help="Only rows of this phase: prefill, decode, e2e.")
@click.option(
    "--configuration",
    "named",
    multiple=True,
    metavar="NAME",
    help="Only this configuration: a key, MODEL or MODEL:words (repeatable).",
)
@click.option("--run", "run_id", help="Only this run (windows, cells).")
@click.option("--without-windows", is_flag=True, help="--what all: leave out raw windows.")
@click.option("--cost", type=click.Choice(COSTS), default="energy_j", show_default=True,
              help="Cost of --what frontier.")  # fmt: skip
@click.option("--lane", metavar="LANE", help="Lane of the scores of --what frontier.")
@click.option("--imported", is_flag=True, help="--what frontier of imported rows.")
@click.option("--mix-lanes", is_flag=True, help="--what frontier: several lanes on one axis.")
@click.option("--max-ttft", type=numbers.AMOUNT, metavar="S", help="frontier: leave out slower.")
@click.option("--max-tpot", type=numbers.AMOUNT, metavar="S", help="frontier: leave out slower.")
@click.option("--budget", type=numbers.AMOUNT, metavar="COST", help="frontier: leave out dearer.")
@options.workload
@billing.zone
@billing.choices
@billing.registry
@options.database
def command(
    what: str, form: str, out: str, columns: str | None, width: str, model: str | None,
    phase: str | None, db: str, factor_files: tuple[Path, ...], edition: str | None, **given: Any,
) -> None:  # fmt: skip
    """Write a table of the store to a file. Values are in SI units, missing is empty or null.

    Text that a spreadsheet would run as a formula gets an apostrophe in front in CSV.
    """
    from observatory.ingest import stored_run
    from observatory.store.database import open_read_only

    if what == "all" and form not in ("sql", "sqlite"):
        raise InputError(f"--what all is a dump: --format sql or sqlite, not {form}")
    if form == "sqlite" and (what != "all" or out == "-"):
        raise InputError("--format sqlite is of --what all, with --out FILE")
    engine = open_read_only(db)
    if given["run_id"] is not None:
        stored_run(db, given["run_id"])
    keys = configuration_keys(engine, given["named"])
    if what == "all":
        _whole(engine, form, out, keep_of(engine, model, keys, not given["without_windows"]))
        return

    from observatory.exports.questions import table

    frame = table(
        engine, what, ask_of(engine, given, keys, billing.table_of(factor_files, edition))
    )
    for column, wanted in (("model", model), ("phase", phase)):
        frame = only(frame, column, wanted, what)
    chosen = None if columns is None else [c.strip() for c in columns.split(",") if c.strip()]
    _write(out, [rendered(frame, what, form, chosen, width)])
    if out != "-":
        click.echo(f"{out}: {len(frame)} rows", err=True)


def ask_of(
    engine: Engine, given: dict[str, Any], keys: tuple[str, ...], factors: FactorTable
) -> Ask:
    """What the options ask for."""
    from observatory import answers
    from observatory.exports.questions import Ask
    from observatory.footprint import Scenario
    from observatory.tradeoffs import Limits

    fields = Scenario.__dataclass_fields__
    usual = answers.covered_request(engine)
    return Ask(
        Workload.request(given["prompt"] or usual[0], given["output"] or usual[1], given["batch"]),
        Scenario(**{k: v for k, v in given.items() if k in fields}), factors, keys,
        given["run_id"], given["cost"], given["lane"], given["imported"], given["mix_lanes"],
        Limits(given["max_ttft"], given["max_tpot"], None, given["budget"]),
    )  # fmt: skip


def only(frame: pd.DataFrame, column: str, wanted: str | None, what: str) -> pd.DataFrame:
    """Rows whose `column` is `wanted`, a model in any spelling of its name. Raises InputError where
    that would leave none, or may mean several models."""
    if wanted is None:
        return frame
    if column not in frame:
        raise InputError(f"--what {what} has no column {column}: leave out --{column}")
    from observatory.catalog.named import meant, one_of

    values = frame[column].astype(str)
    if column == "model" and meant(wanted, values):
        wanted = one_of(wanted, values)
    kept = frame[values.str.casefold() == wanted.casefold()]
    if kept.empty:
        known = sorted(set(frame[column].astype(str)))[:8]
        raise InputError(f"no row with {column} {wanted!r}: there are {', '.join(known) or 'none'}")
    return kept


def rendered(
    frame: pd.DataFrame, what: str, kind: str, columns: Sequence[str] | None, width: str
) -> bytes:
    """The frame in one of FORMATS. Raises UnknownNameError for a column that it has not."""
    from observatory.exports import sql, tables

    if kind != "latex" and columns is not None:
        frame = tables.chosen(frame, columns)
    if kind == "sql":
        return sql.from_frame(frame, what).encode()
    return tables.write(frame, kind, what, columns, width)


def keep_of(engine: Engine, model: str | None, keys: tuple[str, ...], windows: bool) -> Keep:
    """Which part of the store a dump keeps. Raises InputError for an unknown model."""
    from observatory import answers
    from observatory.exports.trimming import Keep

    if model is None:
        return Keep(keys or None, windows)
    mine = only(answers.configurations(engine), "model", model, "all")
    of_model = tuple(str(key) for key in mine["configuration_key"])
    return Keep(tuple(dict.fromkeys((*keys, *of_model))), windows)


def _whole(engine: Engine, form: str, out: str, keep: Keep) -> None:
    """A dump or a database of its own, and on standard error what it holds."""
    from observatory.exports import sql, trimming

    if form == "sql":
        _write(out, (line.encode() for line in sql.dump(engine, keep)))
    else:
        trimming.write_sqlite(engine, Path(out), keep)
    if out != "-":
        held = trimming.counts(engine, keep)
        named = ", ".join(f"{held[name]:,} {name}{'' if held[name] == 1 else 's'}"
                          for name in ("configuration", "run", "window"))  # fmt: skip
        click.echo(f"{out}: {named}", err=True)


def _write(out: str, content: Iterable[bytes]) -> None:
    """Write piece by piece, since a dump need not fit into memory."""
    if out == "-":
        sys.stdout.buffer.writelines(content)
        sys.stdout.buffer.flush()
        return
    try:
        with Path(out).open("wb") as stream:
            stream.writelines(content)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from None
