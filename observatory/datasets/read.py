"""Loading published sets: checked against their checksums, added to a store, once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from observatory.datasets.tables import CELL_NAME, FACTS, from_text
from observatory.derive import derive
from observatory.errors import InputError
from observatory.store import schema, writer
from observatory.store.database import open_database

SUMS = "SHA256SUMS"
#: Where a checkout keeps its sets.
PUBLISHED = Path("results") / "published"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one set: its runs, and how many runs and windows were new."""

    name: str
    runs: tuple[str, ...]
    new_runs: int
    new_windows: int


def find_sets(folder: Path) -> list[Path]:
    """Sets under a folder, or the folder itself where it is one; sorted by name."""
    if (folder / SUMS).is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{SUMS}"))


def read_set(folder: Path) -> dict[str, bytes]:
    """The files of a set by name. Raises InputError where one is absent or was changed."""
    sums = _read(folder / SUMS).decode("utf-8", "replace")
    files: dict[str, bytes] = {}
    for line in sums.splitlines():
        digest, _, name = line.partition("  ")
        if not name or "/" in name or name.startswith("."):
            raise InputError(f"{folder / SUMS}: cannot read the line {line[:60]!r}")
        files[name] = _read(folder / name)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise InputError(f"{folder / name} is not as it was published: get the set again")
    absent = [name for name in FACTS if name not in files]
    if absent:
        raise InputError(f"{folder}: {absent[0]} is not in {SUMS}: this is no published set")
    return files


def load(database: str | Path, folders: Sequence[Path]) -> list[Loaded]:
    """Add the sets' facts to a database and derive what follows. Runs that it has stay as they are.

    Raises InputError for a set that is broken: of none is anything stored then.
    """
    contents = [(folder.resolve().name, read_set(folder)) for folder in folders]
    engine = open_database(database)
    try:
        with engine.begin() as connection:
            done = [add_facts(connection, name, files) for name, files in contents]
        if any(one.new_runs for one in done):
            _derive_again(engine, [run for one in done for run in one.runs])
    finally:
        engine.dispose()
    return done


def add_facts(connection: Connection, name: str, files: dict[str, bytes]) -> Loaded:
    """Insert the runs of a set that are not there yet, whole."""
    tables = {file: list(from_text(f"{name}/{file}", files[file], FACTS[file])) for file in FACTS}
    runs = [row["id"] for row in tables["runs.json"]]
    r = schema.run
    there = set(connection.execute(select(r.c.id).where(r.c.id.in_(runs))).scalars())
    new = {run for run in runs if run not in there}
    windows = 0
    for file, table in FACTS.items():
        rows = tables[file]
        if table is schema.run:
            rows = [row for row in rows if row["id"] in new]
        elif "run_id" in (rows[0] if rows else {}):
            rows = [row for row in rows if row["run_id"] in new]
        if table is schema.window:
            windows = writer.insert_new(connection, table, _numbered(connection, rows, name))
        else:
            writer.insert_new(connection, table, rows)
    return Loaded(name, tuple(runs), len(new), windows)


def _numbered(
    connection: Connection, rows: list[dict[str, Any]], name: str
) -> list[dict[str, Any]]:
    """Windows with the row number that their cell has in this database."""
    c = schema.cell
    runs = {row["run_id"] for row in rows}
    query = select(c.c.id, c.c.run_id, c.c.plan_key).where(c.c.run_id.in_(runs))
    number = {(run, key): cell for cell, run, key in connection.execute(query)}
    made = []
    for row in rows:
        where = tuple(row.pop(part) for part in CELL_NAME)
        if where not in number:
            raise InputError(f"{name}/windows.csv: cells.csv has no cell {where[1]!r}")
        made.append(row | {"cell_id": number[where]})
    return made


def _derive_again(engine: Engine, runs: list[str]) -> None:
    """Findings, summaries and fits of the configurations that these runs touched."""
    c = schema.cell
    with engine.connect() as connection:
        query = select(c.c.configuration_key).where(c.c.run_id.in_(runs)).distinct()
        touched = set(connection.execute(query).scalars())
    derive(engine, touched)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read it: {error.strerror}") from None
