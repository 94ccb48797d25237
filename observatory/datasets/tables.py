"""The facts of a set as text: CSV for what is counted, JSON for what is nested.

Numbers keep their full precision and come back equal. An empty cell is NULL. Rows of `cell` and
`window` name their run and plan key instead of a row number, which no other database shares.
"""

from __future__ import annotations

import csv
import io
import json
import math
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
LARGEST = 2**63  #: whole numbers of the store stay below it
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
    have, for it is of an earlier version, is NULL. Raises InputError with file, line and column."""
    reader = csv.DictReader(io.StringIO(_decoded(name, content), newline=""))
    wanted = columns_of(table)
    try:
        fields = list(reader.fieldnames or [])
        missing = [c for c in wanted if c not in fields]
        _require_columns(name, table, fields, missing)
        kept = [c for c in wanted if (c in table.c or c in CELL_NAME) and c not in missing]
        later = dict.fromkeys(missing)
        for row in reader:
            place = f"{name} line {reader.line_num}"
            if None in row:
                raise InputError(f"{place}: it has more cells than there are columns")
            yield {c: _value(place, c, row[c], table.c.get(c)) for c in kept} | later
    except csv.Error as error:
        raise InputError(f"{name} line {reader.line_num}: {error}") from None


def _decoded(name: str, content: bytes) -> str:
    """The text of a file, which every database can hold. Raises InputError with the line."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name} line {line}: it is not text (UTF-8)") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{name} line {line}: it holds a NUL byte")
    return text


def _require_columns(
    name: str, table: Table, fields: Sequence[str], missing: Sequence[str]
) -> None:
    needed = [c for c in missing if not _may_be_null(table, c)]
    if needed:
        raise InputError(f"{name}: no column {needed[0]!r}: it is of another version")
    unknown = [c for c in fields if c not in columns_of(table)]
    if unknown:
        raise InputError(f"{name}: unknown column {unknown[0]!r}: it is of a later version")
    twice = [c for c in fields if fields.count(c) > 1]
    if twice:
        raise InputError(f"{name}: column {twice[0]!r} is there twice")


def _may_be_null(table: Table, column: str) -> bool:
    return column in table.c and bool(table.c[column].nullable)


def from_json(name: str, content: bytes, table: Table) -> Iterator[dict[str, Any]]:
    """Rows of a JSON list of objects. Raises InputError with file, place and key."""
    try:
        rows = _json(_decoded(name, content))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: no JSON: {error}") from None
    if not isinstance(rows, list):
        raise InputError(f"{name}: expected a list of objects")
    wanted = columns_of(table)
    for number, row in enumerate(rows, 1):
        place, known = f"{name} entry {number}", row if isinstance(row, dict) else {}
        missing = [c for c in wanted if c not in known and not _may_be_null(table, c)]
        if missing:
            raise InputError(f"{place}: no key {missing[0]!r}: of another version")
        unknown = [key for key in known if key not in wanted]
        if unknown:
            raise InputError(f"{place}: unknown key {unknown[0]!r}: it is of a later version")
        for c in wanted:
            _require_fits(place, c, known.get(c), table.c[c])
        yield {c: known.get(c) for c in wanted}


def _json(text: str) -> Any:
    """JSON whose numbers are all finite. Raises ValueError."""

    def refused(constant: str) -> Any:
        raise ValueError(f"{constant} is no number")

    def finite(number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            raise ValueError(f"{number} is no finite number")
        return value

    return json.loads(text, parse_constant=refused, parse_float=finite)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping | list | tuple):
        return canonical_json(value)
    return guarded(value)


def _value(place: str, name: str, text: str | None, column: Column[Any] | None) -> Any:
    """A cell of a CSV file as the table holds it. Raises InputError with place and column."""
    if text is None:
        raise InputError(f"{place}, column {name!r}: a cell is missing: the line is cut off")
    if text.startswith("'") and text[1:].startswith(FORMULA):
        text = text[1:]
    if column is None:
        return text
    if text == "" and column.nullable:
        return None
    read = (
        _json if isinstance(column.type, JSON)
        else float if isinstance(column.type, Float)
        else int if isinstance(column.type, BigInteger | Integer)
        else str
    )  # fmt: skip
    try:
        value = read(text)
    except (ValueError, RecursionError):
        raise InputError(f"{place}, column {name!r}: cannot read {text[:40]!r}") from None
    _require_fits(place, name, value, column)
    return value


def _require_fits(place: str, name: str, value: Any, column: Column[Any]) -> None:
    """Raise InputError for a value that the column cannot hold."""
    kind = column.type
    if value is None:
        wrong = None if column.nullable else "it is empty"
    elif isinstance(kind, JSON):
        wrong = "it holds a NUL byte" if "\\u0000" in canonical_json(value) else None
    elif isinstance(kind, Float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        wrong = None if number and math.isfinite(value) else f"{value!r} is no finite number"
    elif isinstance(kind, BigInteger | Integer):
        whole = isinstance(value, int) and abs(value) < LARGEST
        wrong = None if whole else f"{str(value)[:40]} is no whole number of 64 bits"
    else:
        plain = isinstance(value, str) and "\0" not in value
        wrong = None if plain else f"{str(value)[:40]!r} is no text"
    if wrong is not None:
        raise InputError(f"{place}, column {name!r}: {wrong}")
