"""What `import published` and `dashboard --published` do: fill a store with what is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from observatory.errors import InputError
from observatory.verbs import options
from observatory.verbs.tables import told


def import_published(folders: Sequence[Path], db: str, json_: bool = False) -> None:
    """Load the sets in these folders; without one, those of the checkout and the shipped rows.

    Says in one line what was new. Raises InputError for a folder without a set, or a broken set.
    """
    from observatory.store.database import shown

    found = load_all(folders, db)
    if json_:
        options.print_json({"database": shown(db), **found})
        return
    click.echo(told(shown(db), sentence(found)))


def load_all(folders: Sequence[Path], db: str) -> dict[str, Any]:
    """Load; what was there and what was new, as plain values."""
    from observatory.datasets.read import PUBLISHED, load
    from observatory.datasets.shipped import load_shipped

    sets = [one for folder in folders or [PUBLISHED] for one in _sets(folder, bool(folders))]
    loaded = load(db, sets) if sets else []
    values, scores = (0, 0) if folders else load_shipped(db)
    return {
        "sets": [one.name for one in loaded],
        "runs_new": sum(one.new_runs for one in loaded),
        "windows_new": sum(one.new_windows for one in loaded),
        "bills_new": _bills(db) if loaded else 0,
        "reference_values_new": values,
        "scores_new": scores,
    }


def _bills(db: str) -> int:
    """Keep the bills that a run on this machine would have kept, so that `v_footprint` has rows."""
    from observatory.ingest import keep_bills
    from observatory.store.database import open_database

    engine = open_database(db)
    try:
        return keep_bills(engine)
    finally:
        engine.dispose()


def sentence(found: dict[str, Any]) -> str:
    """One line about what `load_all` did."""
    sets = found["sets"]
    what = f"{len(sets)} published set{'' if len(sets) == 1 else 's'}"
    new = [
        f"{found[key]:,} {name}"
        for key, name in (
            ("runs_new", "runs"), ("windows_new", "windows"),
            ("reference_values_new", "reference values"), ("scores_new", "capability scores"),
        )
        if found[key]
    ]  # fmt: skip
    return f"{what}; new: {', '.join(new)}" if new else f"{what}; nothing new"


def _sets(folder: Path, asked: bool) -> list[Path]:
    from observatory.datasets.read import SUMS, find_sets

    sets = find_sets(folder)
    if asked and not sets:
        raise InputError(f"{folder}: no published set here (a folder with {SUMS})")
    return sets
