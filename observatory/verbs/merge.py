"""`observatory merge`: the facts of another database into this one."""

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
    """Add the runs and reported rows of OTHER databases. Doing it twice adds nothing."""
    from observatory.errors import InputError
    from observatory.merging import merge

    for path in other:
        if "://" not in path and not Path(path).is_file():
            raise InputError(f"no database at {path}: give an existing file")
    merged = {path: merge(db, path) for path in other}
    if json_:
        options.print_json({path: asdict(m) for path, m in merged.items()})
        return
    for path, m in merged.items():
        parts = [f"{n} {name}" for name, n in m.added.items() if n]
        click.echo(f"{path}: {', '.join(parts) if parts else 'nothing new'}")
