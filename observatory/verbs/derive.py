"""`observatory derive`: findings, summaries and fits again, from the facts."""

from __future__ import annotations

from dataclasses import asdict

import click

from observatory.verbs import options


@click.command(name="derive")
@options.database
@options.as_json
def command(db: str, json_: bool) -> None:
    """Make findings, summaries and fits again from the stored facts (and migrate an old database).

    Runs do this by themselves; it is needed after an upgrade whose rules or recipes are better.
    """
    from pathlib import Path

    from observatory.derive import derive
    from observatory.errors import InputError
    from observatory.store.database import open_database

    if "://" not in db and not Path(db).exists():
        raise InputError(f"no database at {db}: run `run-benchmark` first, or give --db")
    made = derive(open_database(db))
    if json_:
        options.print_json(asdict(made))
    else:
        click.echo(f"{made.summaries} summaries, {made.fits} fits, {made.findings} findings")
