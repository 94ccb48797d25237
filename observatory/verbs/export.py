"""`observatory export`: what the store knows, as files for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.verbs import billing, options

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine

    from observatory.footprint import FactorTable, Scenario

WHAT = {
    "summary": "median of each measured point with its interval",
    "windows": "every raw window",
    "fits": "idealized runtime and energy with errors and ranges",
    "footprint": "one request's bills on each configuration, in the scenario given",
    "idealized": "measured beside idealized beside roofline",
    "configurations": "what was measured on which machine, how much, when",
    "estimates": "bills kept in the store",
    "capability": "scores by lane",
    "runs": "runs", "cells": "cells", "findings": "what is wrong with which row",
    "all": "the whole store (format sql)",
}  # fmt: skip
FORMATS = ("csv", "json", "parquet", "latex", "sql")


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
    help="latex: a booktabs table; sql: read by sqlite3 and by PostgreSQL.",
)
@click.option(
    "--out",
    metavar="FILE",
    default="-",
    show_default=True,
    help="File to write; - is standard output.",
)
@click.option("--model", help="Only rows of this model.")
@click.option("--phase", help="Only rows of this phase: prefill, decode, e2e.")
@click.option("--run", "run_id", help="Only this run (windows, cells).")
@options.workload
@billing.zone
@billing.choices
@billing.registry
@options.database
def command(
    what: str, form: str, out: str, model: str | None, phase: str | None, run_id: str | None,
    prompt: int | None, output: int | None, batch: int, db: str,
    factor_files: tuple[Path, ...], edition: str | None, **choices: Any,
) -> None:  # fmt: skip
    """Write a table of the store to a file. Values are in SI units, missing is empty or null.

    Text that a spreadsheet would run as a formula gets an apostrophe in front in CSV.
    """
    from observatory.footprint import Scenario
    from observatory.store.database import open_read_only

    for flag, value in (("--prompt", prompt), ("--output", output), ("--batch", batch)):
        options.at_least_one(flag, value)
    scenario = Scenario(**choices)
    factors = billing.table_of(factor_files, edition)
    if what == "all" and form != "sql":
        raise InputError(f"--what all is a dump: --format sql, not {form}")
    engine = open_read_only(db)
    if what == "all":
        from observatory.exports import sql

        _write(out, "".join(sql.dump(engine)).encode())
        return
    frame = table(engine, what, run_id, (prompt, output, batch), scenario, factors)
    for column, wanted in (("model", model), ("phase", phase)):
        frame = only(frame, column, wanted, what)
    _write(out, rendered(frame, what, form))
    if out != "-":
        click.echo(f"{out}: {len(frame)} rows", err=True)


def table(
    engine: Engine,
    what: str,
    run_id: str | None,
    request: tuple[int | None, int | None, int],
    scenario: Scenario,
    factors: FactorTable,
) -> pd.DataFrame:
    """The table called `what`, from `answers`."""
    from observatory import answers

    if what == "footprint":
        usual = answers.covered_request(engine)
        asked = Workload.request(request[0] or usual[0], request[1] or usual[1], request[2])
        return answers.estimate_frame(answers.estimate(engine, asked, scenario, None, factors))
    if what == "windows":
        return answers.windows(engine, run_id)
    if what == "cells":
        return answers.cells(engine, run_id)
    if what == "fits":
        return answers.fits(engine, None)
    named = {"estimates": "footprint_table", "capability": "capability_table"}
    made: pd.DataFrame = getattr(answers, named.get(what, what))(engine)
    return made


def only(frame: pd.DataFrame, column: str, wanted: str | None, what: str) -> pd.DataFrame:
    """Rows whose `column` is `wanted`. Raises InputError where that would leave none."""
    if wanted is None:
        return frame
    if column not in frame:
        raise InputError(f"--what {what} has no column {column}: leave out --{column}")
    kept = frame[frame[column].astype(str).str.casefold() == wanted.casefold()]
    if kept.empty:
        known = sorted(set(frame[column].astype(str)))[:8]
        raise InputError(f"no row with {column} {wanted!r}: there are {', '.join(known) or 'none'}")
    return kept


def rendered(frame: pd.DataFrame, what: str, kind: str) -> bytes:
    """The frame in one of FORMATS."""
    if kind == "sql":
        from observatory.exports import sql

        return sql.from_frame(frame, what).encode()
    from observatory.exports import tables

    captions = {"footprint": "Bills of one request; 5th to 95th percentile in brackets."}
    usual = f"{what.capitalize()}: {WHAT[what]}; intervals in brackets."
    return tables.write(frame, kind, captions.get(what, usual))


def _write(out: str, content: bytes) -> None:
    if out == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        Path(out).write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from None
