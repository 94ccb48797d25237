"""The facts of a set as text: CSV for what is counted, JSON for what is nested.

Numbers keep their full precision and come back equal. An empty cell is NULL. Rows of `cell` and
`window` name their run and plan key instead of a row number, which no other database shares.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, Column, Float, Integer, Table
from sqlalchemy.types import BigInteger

from observatory.errors import InputError
from observatory.exports.tables import FORMULA, guarded
from observatory.records import canonical_json
from observatory.store import schema

#: file -> table, in the order in which they are loaded.
FACTS: dict[str, Table] = {
    "environment.json": schema.environment,
    "models.json": schema.model,
    "configurations.csv": schema.configuration,
    "runs.json": schema.run,
    "peaks.csv": schema.peak,
    "cells.csv": schema.cell,
    "windows.csv": schema.window,
}
#: how a window names its cell
CELL_NAME = ("run_id", "plan_key")
#: what else a person wants to see of a window's cell; not read back
SHOWN = ("phase", "prompt_tokens", "context_tokens", "output_tokens", "batch")


def columns_of(table: Table) -> list[str]:
    """Columns of a table's file: all but row numbers."""
    numbers = {"cell_id"} | ({"id"} if table is not schema.run else set())
    own = [c.name for c in table.columns if c.name not in numbers]
    return [*CELL_NAME, *SHOWN, *own] if table is schema.window else own


def to_text(name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows as a file of this name: JSON or CSV by its ending."""
    if name.endswith(".json"):
        kept = [{c: row[c] for c in columns} for row in rows]
        text = json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False, default=str)
        return (text + "\n").encode()
    return to_csv(columns, rows)


def from_text(name: str, content: bytes, table: Table) -> Iterator[dict[str, Any]]:
    """Rows of a file as the table holds them. Raises InputError with file and line."""
    return (from_json if name.endswith(".json") else from_csv)(name, content, table)


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """CSV of plain rows, `\\n` line ends."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return buffer.getvalue().encode()


def from_csv(name: str, content: bytes, table: Table) -> Iterator[dict[str, Any]]:
    """Rows of a file as the table holds them; a column that may be NULL and that the file does not
    have, for it is of an earlier version, is NULL. Raises InputError with file and line."""
    reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))
    wanted = columns_of(table)
    missing = [c for c in wanted if c not in (reader.fieldnames or [])]
    needed = [c for c in missing if not _may_be_null(table, c)]
    if needed:
        raise InputError(f"{name}: no column {needed[0]!r}: it is of another version")
    kept = [c for c in wanted if (c in table.c or c in CELL_NAME) and c not in missing]
    later = dict.fromkeys(missing)
    for row in reader:
        try:
            yield {c: _value(row[c], table.c.get(c)) for c in kept} | later
        except (ValueError, TypeError) as error:
            raise InputError(f"{name} line {reader.line_num}: {error}") from None


def _may_be_null(table: Table, column: str) -> bool:
    return column in table.c and bool(table.c[column].nullable)


def from_json(name: str, content: bytes, table: Table) -> Iterator[dict[str, Any]]:
    """Rows of a JSON list of objects. Raises InputError with file and place."""
    try:
        rows = json.loads(content)
    except ValueError as error:
        raise InputError(f"{name}: no JSON: {error}") from None
    if not isinstance(rows, list):
        raise InputError(f"{name}: expected a list of objects")
    wanted = columns_of(table)
    for place, row in enumerate(rows, 1):
        known = row if isinstance(row, dict) else {}
        missing = [c for c in wanted if c not in known and not _may_be_null(table, c)]
        if missing:
            raise InputError(f"{name} entry {place}: no key {missing[0]!r}: of another version")
        yield {c: known.get(c) for c in wanted}


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping | list | tuple):
        return canonical_json(value)
    return guarded(value)


def _value(text: str | None, column: Column[Any] | None) -> Any:
    if text is None:
        raise ValueError("a cell is missing")
    if text.startswith("'") and text[1:].startswith(FORMULA):
        text = text[1:]
    if column is None:
        return text
    if isinstance(column.type, JSON):
        return json.loads(text)
    if text == "" and column.nullable:
        return None
    if isinstance(column.type, Float):
        return float(text)
    if isinstance(column.type, BigInteger | Integer):
        return int(text)
    return text
