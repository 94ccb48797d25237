"""Reading other people's files without trusting them: sizes, encodings, nesting, numbers, text.

A file that cannot be used raises InputError in one line. A row that cannot be used becomes a `Row`
with a reason, and the rows around it stand. Nothing is unpacked from an archive, nothing evaluated.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from observatory.capability.lanes import Score
from observatory.errors import InputError
from observatory.records import Reported

MAX_JSON_BYTES = 32 * 2**20  #: a parsed JSON file takes ten times its size in memory
MAX_TEXT_BYTES = 512 * 2**20  #: read line by line
MAX_LINE_CHARS = 4 * 2**20
MAX_TEXT_CHARS = 500  #: of one cell that is kept
MAX_INTEGER = 2**53
HEAD_BYTES = 65_536
MISSING_WORDS = {"", "na", "n/a", "nan", "none", "null", "-", "--"}
_MAGIC = {
    b"PK\x03\x04": "a zip archive", b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file",
    b"(\xb5/\xfd": "a zstd file", b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a rar archive",
    b"PAR1": "a Parquet file", b"SQLite format 3": "a SQLite database", b"%PDF": "a PDF",
    b"\x80\x04\x95": "a pickle",
}  # fmt: skip
_GZIP = b"\x1f\x8b"
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


def head(path: Path) -> str:
    """The first 64 KiB as text, for sniffing; '' where they are no text. Raises nothing.

    Only a plain file is opened: a pipe would wait for a writer for ever.
    """
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as stream:
            raw = stream.read(HEAD_BYTES)
            if raw.startswith(_GZIP):
                raw = zlib.decompressobj(31).decompress(raw, HEAD_BYTES)
    except (OSError, ValueError, zlib.error):
        return ""
    if b"\x00" in raw:
        return ""
    return raw.decode("utf-8-sig", "replace")


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


def lines(path: Path, limit: int = MAX_TEXT_BYTES) -> Iterator[str]:
    """Lines of a UTF-8 text file, gunzipped where needed, never more than `limit` bytes in all.

    Raises InputError for a file that is absent, too large (packed or unpacked), no UTF-8 text, has
    NUL bytes or a line of more than 4 million characters.
    """
    packed = _checked_size(path, limit)
    total = 0
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            number = 0
            while raw := stream.readline(MAX_LINE_CHARS + 1):
                number += 1
                total += len(raw)
                if total > limit:
                    raise InputError(f"{path}: unpacks to more than {limit >> 20} MiB: refused")
                if len(raw) > MAX_LINE_CHARS:
                    raise InputError(f"{path}: line {number} is longer than {MAX_LINE_CHARS} bytes")
                if b"\x00" in raw:
                    raise InputError(f"{path}: line {number} has NUL bytes: this is no text file")
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise _encoding_error(path, error) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be unpacked ({error})") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def text(path: Path, limit: int = MAX_JSON_BYTES) -> str:
    """A whole UTF-8 text file of at most `limit` bytes. Raises InputError as `lines` does."""
    packed = _checked_size(path, limit)
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            raw = stream.read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be unpacked ({error})") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    if len(raw) > limit:
        raise InputError(f"{path}: unpacks to more than {limit >> 20} MiB: refused")
    if b"\x00" in raw:
        raise InputError(f"{path}: has NUL bytes: this is no UTF-8 text file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _encoding_error(path, error) from None


def _encoding_error(path: Path, error: UnicodeDecodeError) -> InputError:
    byte = error.object[error.start]
    return InputError(f"{path}: not UTF-8 (byte 0x{byte:02x}): convert it, such as with iconv")


def _checked_size(path: Path, limit: int) -> bool:
    """Whether the file is gzipped. Raises InputError for what is no plain file or too large."""
    try:
        if not path.is_file():
            there = "no file but a folder, pipe or device" if path.exists() else "no such file"
            raise InputError(f"{path}: {there}")
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(16)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise InputError(f"{path}: is {what}: unpack or export it, and import text files")
    if size > limit:
        raise InputError(f"{path}: {size >> 20} MiB is more than the {limit >> 20} MiB allowed")
    if size == 0:
        raise InputError(f"{path}: is empty")
    packed = start.startswith(_GZIP)
    if packed:
        _checked_unpacked(path, limit)
    return packed


def _checked_unpacked(path: Path, limit: int) -> None:
    """Unpack to nowhere first: a bomb is refused before its first row is read, and a broken archive
    before its last. Raises InputError."""
    total = 0
    try:
        with gzip.open(path, "rb") as stream:
            while block := stream.read(2**20):
                total += len(block)
                if total > limit:
                    raise InputError(f"{path}: unpacks to more than {limit >> 20} MiB: refused")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be unpacked ({error})") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def unknown(path: Path) -> InputError:
    """What to say of a file that no reader knows: what is wrong with it, where that can be told."""
    start = head(path).lstrip()
    try:
        _checked_size(path, MAX_JSON_BYTES if start.startswith(("{", "[")) else MAX_TEXT_BYTES)
        with path.open("rb") as stream:
            raw = stream.read(HEAD_BYTES)
    except InputError as error:
        return error
    except OSError as error:
        return InputError(f"cannot read {path}: {error.strerror or error}")
    if b"\x00" in raw and not raw.startswith(_GZIP):
        return InputError(f"{path}: has NUL bytes: this is no UTF-8 text file")
    return InputError(
        f"{path}: no reader knows this file: name its source; `observatory import --list` has them"
    )


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


def shown(value: str) -> str:
    """Text of a stranger's file as a message may hold it: one line, no control characters."""
    made = clean(value[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode())
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
