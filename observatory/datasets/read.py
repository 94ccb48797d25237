"""Loading published sets: checked against their checksums, added to a store, once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, UniqueConstraint, select
from sqlalchemy.exc import DataError, IntegrityError

from observatory.datasets.tables import CELL_NAME, FACTS, from_text
from observatory.derive import derive
from observatory.errors import InputError
from observatory.store import schema, writer
from observatory.store.database import open_database

Facts = dict[str, list[dict[str, Any]]]  #: rows by file
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
    named = [(folder.resolve().name, read_set(folder)) for folder in folders]
    contents = [(name, facts_of(name, files)) for name, files in named]
    engine = open_database(database)
    try:
        with engine.begin() as connection:
            done = [add_facts(connection, name, tables) for name, tables in contents]
        if any(one.new_runs for one in done):
            _derive_again(engine, [run for one in done for run in one.runs])
    finally:
        engine.dispose()
    return done


def facts_of(name: str, files: dict[str, bytes]) -> Facts:
    """The rows of a set by file. Raises InputError where one cannot be read, is there twice, or
    names another that is not there."""
    tables = {file: list(from_text(f"{name}/{file}", files[file], FACTS[file])) for file in FACTS}
    for file, table in FACTS.items():
        key = _natural_key(table)
        seen = set()
        for row in tables[file]:
            value = tuple(row[part] for part in key)
            if value in seen:
                raise InputError(f"{name}/{file}: {_shown(value)} is there twice")
            seen.add(value)
        for column, there, where in _references(table):
            known = {tuple(row[part] for part in there) for row in tables[where]}
            for row in tables[file]:
                value = tuple(row[part] for part in column)
                if value not in known:
                    raise InputError(f"{name}/{file}: {where} has no {_shown(value)}")
    return tables


def _natural_key(table: Table) -> tuple[str, ...]:
    """What names a row in a file: the primary key, or what is unique where that is a number."""
    if table is schema.window:
        return (*CELL_NAME, "process_index", "window_index")
    if "id" not in table.c or table is schema.run:
        return tuple(c.name for c in table.primary_key)
    unique = next(c for c in table.constraints if isinstance(c, UniqueConstraint))
    return tuple(c.name for c in unique.columns)


def _references(table: Table) -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """Columns of a file that name a row of another: (columns, columns there, file there)."""
    if table is schema.window:
        return [(CELL_NAME, CELL_NAME, "cells.csv")]
    files = {other: file for file, other in FACTS.items()}
    return [
        ((key.parent.name,), (key.column.name,), files[key.column.table])
        for key in table.foreign_keys
    ]


def _shown(value: tuple[Any, ...]) -> str:
    return ", ".join(repr(part) for part in value)


def add_facts(connection: Connection, name: str, tables: Facts) -> Loaded:
    """Insert the runs of a set that are not there yet, whole. Raises InputError where the store
    does not take a row."""
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
            rows = _numbered(connection, rows)
        try:
            added = writer.insert_new(connection, table, rows)
        except (IntegrityError, DataError) as error:
            raise InputError(f"{name}/{file}: the store does not take it: {error.orig}") from None
        windows += added if table is schema.window else 0
    return Loaded(name, tuple(runs), len(new), windows)


def _numbered(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Windows with the row number that their cell has in this database."""
    c = schema.cell
    runs = {row["run_id"] for row in rows}
    query = select(c.c.id, c.c.run_id, c.c.plan_key).where(c.c.run_id.in_(runs))
    number = {(run, key): cell for cell, run, key in connection.execute(query)}
    kept = [{k: v for k, v in row.items() if k not in CELL_NAME} for row in rows]
    return [
        new | {"cell_id": number[row["run_id"], row["plan_key"]]}
        for new, row in zip(kept, rows, strict=True)
    ]


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
