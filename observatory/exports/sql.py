"""SQL text that both `sqlite3` and PostgreSQL read: tables, rows and views in standard syntax.

Numbers are written in full precision (SQLite reads one in ten thousand a unit in the last place
off), texts are quoted by doubling the quote (no backslash escapes, as
PostgreSQL's `standard_conforming_strings` and SQLite have it), nested values are JSON text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd
from sqlalchemy import BigInteger, Engine, Float, Integer, Table, text

from observatory.errors import InputError
from observatory.exports.trimming import Keep, rows_of
from observatory.store import schema
from observatory.store.views import VIEWS

HEAD = "-- Inference Observatory. Read with: sqlite3 NEW.db < FILE, or psql -f FILE\n"


def literal(value: Any) -> str:
    """A value as an SQL literal. Raises InputError for a text that holds a NUL character."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA:
        return "NULL"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "NULL"
    if isinstance(value, Mapping | list | tuple):
        value = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    quoted = str(value)
    if "\x00" in quoted:
        raise InputError("a text holds a NUL character, which SQL text cannot carry")
    return "'" + quoted.replace("'", "''") + "'"


def name(identifier: str) -> str:
    """A quoted identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def insert(table: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """One INSERT a row: both programs read it, and a row that is wrong is named by its line."""
    head = f"INSERT INTO {name(table)} ({', '.join(name(c) for c in columns)}) VALUES"
    for row in rows:
        yield f"{head} ({', '.join(literal(value) for value in row)});\n"


def from_frame(frame: pd.DataFrame, table: str) -> str:
    """One table with the rows of `frame`."""
    columns = [str(c) for c in frame.columns]
    kinds = [_kind(frame[c]) for c in frame.columns]
    body = ",\n".join(f"  {name(c)} {kind}" for c, kind in zip(columns, kinds, strict=True))
    parts = [HEAD, "BEGIN;\n", f"CREATE TABLE {name(table)} (\n{body}\n);\n"]
    whole = [kind == "BIGINT" for kind in kinds]
    rows = (
        [int(v) if w and not pd.isna(v) else _none(v) for v, w in zip(row, whole, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    )
    return "".join([*parts, *insert(table, columns, rows), "COMMIT;\n"])


def _none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _kind(column: pd.Series[Any]) -> str:
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_integer_dtype(column):
        return "BIGINT"
    return "DOUBLE PRECISION" if pd.api.types.is_float_dtype(column) else "TEXT"


def dump(engine: Engine, keep: Keep | None = None) -> Iterator[str]:
    """The store (or what `keep` keeps): every table with its primary key and rows, then views."""
    asked = keep or Keep()
    yield HEAD
    yield "BEGIN;\n"
    with engine.connect() as connection:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        yield 'CREATE TABLE "alembic_version" ("version_num" VARCHAR(32) PRIMARY KEY);\n'
        yield from insert("alembic_version", ["version_num"], [[version]])
        for table in schema.metadata.sorted_tables:
            yield _create(table)
            rows = rows_of(connection, table, asked)
            yield from insert(table.name, [c.name for c in table.columns], rows)
    for view, query in VIEWS.items():
        yield f"CREATE VIEW {name(view)} AS {' '.join(query.split())};\n"
    yield "COMMIT;\n"


def _create(table: Table) -> str:
    lines = [
        f"  {name(c.name)} {_type(c.type)}{'' if c.nullable else ' NOT NULL'}"
        for c in table.columns
    ]
    key = ", ".join(name(c.name) for c in table.primary_key.columns)
    return f"CREATE TABLE {name(table.name)} (\n" + ",\n".join(
        [*lines, f"  PRIMARY KEY ({key})"]
    ) + "\n);\n"  # fmt: skip


def _type(kind: object) -> str:
    if isinstance(kind, Float):
        return "DOUBLE PRECISION"
    # `INTEGER PRIMARY KEY` is SQLite's row number; PostgreSQL's BIGINT holds as much
    return "BIGINT" if isinstance(kind, BigInteger | Integer) else "TEXT"
