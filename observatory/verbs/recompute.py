"""`observatory recompute`: bill kept estimates again under another edition of the factors."""

from __future__ import annotations

from typing import Any

import click

from observatory.verbs import billing, options


@click.command(name="recompute")
@billing.registry
@options.database
@options.as_json
def command(factor_files: tuple[Any, ...], edition: str | None, db: str, json_: bool) -> None:
    """Add estimates under --edition (or with --factors); those of other editions stay."""
    from pathlib import Path

    from observatory.errors import InputError

    if "://" not in db and not Path(db).exists():
        raise InputError(f"no database at {db}: run `run-benchmark` first, or give --db")
    table = billing.table_of(factor_files, edition)

    from observatory.recompute import recompute
    from observatory.store.database import open_database

    done = recompute(open_database(db), table)
    if json_:
        options.print_json({"edition": table.edition, "requests": done.requests,
                            "added": done.added, "kept": done.kept})  # fmt: skip
        return
    click.echo(f"edition {table.edition}: {done.added} bills added for {done.requests} requests; "
               f"{done.kept} bills of other editions stay")  # fmt: skip
