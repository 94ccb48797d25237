"""Rows of other people's files without trusting them: JSON, CSV, nesting, numbers, text.

A file that cannot be used raises InputError in one line. A row that cannot be used becomes a `Row`
with a reason, and the rows around it stand. Nothing is evaluated. `observatory.importers.files`
opens the files.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from observatory.capability.lanes import Score
from observatory.errors import InputError
from observatory.importers.files import MAX_JSON_BYTES, head, lines, text
from observatory.records import Reported

MAX_TEXT_CHARS = 500  #: of one cell that is kept
MAX_INTEGER = 2**53
MISSING_WORDS = {"", "na", "n/a", "nan", "none", "null", "-", "--"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")
_FORMULA = re.compile(r"^[=+@]|^-(?![\d.])")


class RowError(Exception):
    """A row that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: what it holds, or why it was left out."""

    id: str
    reported: tuple[Reported, ...] = ()
    scores: tuple[Score, ...] = ()
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A file being read. `rows` may be lazy and may raise InputError while it is consumed."""

    tool: str
    rows: Iterable[Row]
    tool_version: str | None = None
    licence: str | None = None
    url: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def header(path: Path) -> list[str]:
    """Column names of a CSV file's first line; [] where there is none. Raises nothing."""
    lines = head(path).splitlines()
    try:
        return next(csv.reader(lines[:1]), [])
    except csv.Error:
        return []


def columns(path: Path) -> list[str]:
    """Column names of a CSV file that is being read. Raises InputError as `lines` does."""
    try:
        return [name.strip() for name in next(csv.reader(lines(path)), [])]
    except csv.Error as error:
        raise InputError(f"{path}: broken CSV at line 1: {error}") from None


def json_value(path: Path, limit: int = MAX_JSON_BYTES) -> Any:
    """The value of a JSON file. NaN and Infinity are read as such, for `number` to refuse.

    Raises InputError for what `text` refuses, for broken JSON (with its line) and for nesting that
    no result file has.
    """
    return parse_json(text(path, limit), str(path))


def parse_json(content: str, where: str) -> Any:
    """The value of a JSON text. Raises InputError naming `where`."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise InputError(f"{where}: JSON nested too deeply to be a result file") from None
    except ValueError as error:  # an integer of thousands of digits
        raise InputError(f"{where}: broken JSON: {error}") from None


def csv_rows(path: Path, required: Iterable[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """(line number, cells by column) of a CSV file with a header; blank lines are passed over.

    A row with too many or too few cells comes as {} for the caller's `make` to refuse. Raises
    InputError for a header that repeats or lacks a column, and for what `lines` refuses.
    """
    reader = csv.reader(lines(path))
    try:
        names = [name.strip() for name in next(reader, [])]
        repeated = {n for n in names if n and names.count(n) > 1}
        if repeated:
            raise InputError(f"{path}: column {shown(sorted(repeated)[0])!r} appears twice")
        missing = [name for name in required if name not in names]
        if missing:
            has = shown(", ".join(names[:12]))
            raise InputError(f"{path}: no column {missing[0]!r}; it has {has}")
        for cells in reader:
            if not any(cells):
                continue
            row = dict(zip(names, cells, strict=False)) if len(cells) == len(names) else {}
            yield str(reader.line_num), row
    except csv.Error as error:
        raise InputError(f"{path}: broken CSV at line {reader.line_num}: {error}") from None


def each(items: Iterable[tuple[str, Any]], make: Callable[[str, Any], Row]) -> Iterator[Row]:
    """`make` for every (id, raw row); a RowError becomes a rejected row."""
    for key, raw in items:
        try:
            if isinstance(raw, Mapping) and not raw:
                raise RowError("has another number of cells than the header, or none")
            yield make(key, raw)
        except RowError as error:
            yield Row(shown(key), rejected=shown(str(error)))


def shown(value: str, most: int = MAX_TEXT_CHARS) -> str:
    """Text of a stranger's file as a message may hold it: one line, no control characters."""
    made = clean(value[:most].encode("utf-8", "replace").decode())
    return made or "?"


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """`value` as an object with text keys. Raises RowError."""
    if not isinstance(value, dict):
        raise RowError(f"{what} is no object")
    return value


def members(value: Any, what: str) -> list[Any]:
    """`value` as a list. Raises RowError."""
    if not isinstance(value, list):
        raise RowError(f"{what} is no list")
    return value


def number(row: Mapping[str, Any], name: str, scale: float = 1.0) -> float | None:
    """A finite number times `scale`; None where missing. Raises RowError for anything else."""
    value = row.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise RowError(f"{name} is no number")
    try:
        made = float(value) * scale
    except (ValueError, OverflowError):
        if isinstance(value, str) and value.strip().lower() in MISSING_WORDS:
            return None
        raise RowError(f"{name} {str(value)[:20]!r} is no number") from None
    if not math.isfinite(made):
        if isinstance(value, str) and value.strip().lower() in MISSING_WORDS:  # nan
            return None
        raise RowError(f"{name} is {made}, not a finite number")
    return made


def needed(row: Mapping[str, Any], name: str, scale: float = 1.0) -> float:
    """A finite number times `scale`. Raises RowError where it is missing or no number."""
    value = number(row, name, scale)
    if value is None:
        raise RowError(f"{name} is missing")
    return value


def whole(row: Mapping[str, Any], name: str) -> int | None:
    """A whole number; None where missing. Raises RowError for fractions and beyond 2^53."""
    value = number(row, name)
    if value is None:
        return None
    if value != math.floor(value) or abs(value) > MAX_INTEGER:
        raise RowError(f"{name} is {value:g}, not a whole number")
    return int(value)


def words(row: Mapping[str, Any], name: str) -> str | None:
    """Text of a cell, without control characters; None where missing.

    Raises RowError for text that a spreadsheet would run as a formula, is longer than 500
    characters or holds broken Unicode.
    """
    value = row.get(name)
    if value is None or value == "":
        return None
    if type(value) is not str:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise RowError(f"{name} is no text")
        value = str(value)
    made, fault = (_checked if len(value) <= 64 else _check)(value)
    if fault is not None:
        raise RowError(f"{name} {fault}")
    return made


def _check(text: str) -> tuple[str | None, str | None]:
    """(the cell's text or None where missing, what is wrong with it or None)."""
    made = clean(text)
    if made is None:
        return None, "holds broken Unicode"
    if len(made) > MAX_TEXT_CHARS:
        return None, f"is longer than {MAX_TEXT_CHARS} characters"
    if _FORMULA.match(made):
        return None, f"{made[:20]!r} would run as a formula in a spreadsheet"
    return (None if made.lower() in MISSING_WORDS else made), None


_checked = lru_cache(maxsize=4096)(_check)  # a column has few different texts, and each many rows


def name_of(row: Mapping[str, Any], name: str) -> str:
    """Text that must be there. Raises RowError."""
    made = words(row, name)
    if made is None:
        raise RowError(f"{name} is missing")
    return made


def clean(value: str) -> str | None:
    """`value` on one line without control characters; None where it is not valid Unicode."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return " ".join(_CONTROL.sub(" ", value).split())


def extras(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Other facts of a row worth keeping: short text, finite numbers and flags, as they are.

    Raises RowError for text that a spreadsheet would run as a formula.
    """
    kept: dict[str, Any] = {}
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            made = clean(value)
            value = made[:MAX_TEXT_CHARS] if made else None
            if value is not None and _FORMULA.match(value):
                raise RowError(f"{name} {value[:20]!r} would run as a formula in a spreadsheet")
        elif (isinstance(value, float) and not math.isfinite(value)) or (
            isinstance(value, int) and abs(value) > MAX_INTEGER
        ):
            value = None
        if value is not None and isinstance(value, (str, int, float, bool)):
            kept[name] = value
    return kept
