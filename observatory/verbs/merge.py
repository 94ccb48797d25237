"""`observatory merge`: the facts of another database into this one, and their bills."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from observatory.verbs import options


@click.command(name="merge")
@click.argument("other", nargs=-1, required=True)
@options.database
@options.as_json
def command(other: tuple[str, ...], db: str, json_: bool) -> None:
    """Add the runs, reported rows and kept bills of OTHER databases. Doing it twice adds nothing.

    Then one request is billed on every configuration, in the scenarios that are kept.
    """
    from observatory.errors import InputError
    from observatory.merging import merge
    from observatory.recompute import bill_all
    from observatory.store.database import open_database

    for path in other:
        if "://" not in path and not Path(path).is_file():
            raise InputError(f"no database at {path}: give an existing file")
    merged = {path: merge(db, path) for path in other}
    engine = open_database(db)
    try:
        billed = bill_all(engine)
    finally:
        engine.dispose()
    if json_:
        options.print_json({path: asdict(m) for path, m in merged.items()} | {"bills_new": billed})
        return
    for path, m in merged.items():
        parts = [f"{n} {name}" for name, n in m.added.items() if n]
        click.echo(f"{path}: {', '.join(parts) if parts else 'nothing new'}")
    if billed:
        click.echo(f"bills of one request on every configuration: {billed} new")
