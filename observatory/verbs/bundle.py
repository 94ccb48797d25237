"""`observatory bundle`: one zip with everything that a paper's artifact needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.verbs import billing, options


@click.command(name="bundle")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.zip")
@options.workload
@billing.zone
@billing.choices
@billing.registry
@options.database
def command(
    out: Path, prompt: int | None, output: int | None, batch: int, db: str,
    factor_files: tuple[Path, ...], edition: str | None, **choices: Any,
) -> None:  # fmt: skip
    """Tables, SQL dump, figures, factors with licences, checksums, citation and commands.

    The same database and choices give the same bytes.
    """
    from observatory import answers
    from observatory.exports.bundle import bundle
    from observatory.footprint import Scenario
    from observatory.store.database import open_read_only

    for flag, value in (("--prompt", prompt), ("--output", output), ("--batch", batch)):
        options.at_least_one(flag, value)
    engine = open_read_only(db)
    usual = answers.covered_request(engine)
    asked = Workload.request(prompt or usual[0], output or usual[1], batch)
    content = bundle(engine, asked, Scenario(**choices), billing.table_of(factor_files, edition))
    try:
        out.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from None
    click.echo(f"{out}: {len(content):,} bytes", err=True)
