"""Opening other people's files without trusting them: kinds, sizes, packing, encodings.

A file that cannot be used raises InputError in one line. Nothing is unpacked from an archive. What
the lines hold is for `observatory.importers.reading`.
"""

from __future__ import annotations

import codecs
import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path

from observatory.errors import InputError

MAX_JSON_BYTES = 32 * 2**20  #: a parsed JSON file takes ten times its size in memory
MAX_TEXT_BYTES = 512 * 2**20  #: read line by line
MAX_LINE_CHARS = 4 * 2**20
HEAD_BYTES = 65_536
_MAGIC = {
    b"PK\x03\x04": "a zip archive", b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file",
    b"(\xb5/\xfd": "a zstd file", b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a rar archive",
    b"PAR1": "a Parquet file", b"SQLite format 3": "a SQLite database", b"%PDF": "a PDF",
    b"\x80\x04\x95": "a pickle",
}  # fmt: skip
_GZIP = b"\x1f\x8b"
_NUL = "has NUL bytes"


def head(path: Path, nul: bool = False) -> str:
    """The first 64 KiB as text, for sniffing; '' where they are no text. Raises nothing.

    Text with NUL bytes is none, unless `nul` says that the reader can do with some. Only a plain
    file is opened: a pipe would wait for a writer for ever.
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
    if b"\x00" in raw and not nul:
        return ""
    return raw.decode("utf-8-sig", "replace")


def lines(path: Path, limit: int = MAX_TEXT_BYTES) -> Iterator[str]:
    """Lines of a UTF-8 text file, gunzipped where needed, never more than `limit` bytes in all.

    Raises InputError for a file that is absent, too large (packed or unpacked), no UTF-8 text, has
    NUL bytes or a line of more than 4 million characters.
    """
    for number, raw in enumerate(_raw_lines(path, limit), start=1):
        text, fault = _decoded(raw, number)
        if fault is not None:
            raise _refused(path, number, fault, binary=fault == _NUL)
        yield text


def log_lines(path: Path, limit: int = MAX_TEXT_BYTES) -> Iterator[tuple[str, str | None]]:
    """Lines of a text log as (text, what is wrong with its bytes or None).

    A damaged line leaves the others standing; what cannot be decoded of it is U+FFFD. Raises
    InputError as `lines` does for absence and sizes, and where most lines of the first 64 KiB are
    damaged: that is another encoding, or no text at all.
    """
    raw_lines = _raw_lines(path, limit)
    start: list[tuple[str, str | None]] = []
    size = 0
    for number, raw in enumerate(raw_lines, start=1):
        start.append(_decoded(raw, number))
        size += len(raw)
        if size >= HEAD_BYTES:
            break
    damaged = [(n, fault) for n, (_, fault) in enumerate(start, start=1) if fault is not None]
    if 2 * len(damaged) > len(start):
        raise _refused(path, *damaged[0], binary=any(fault == _NUL for _, fault in damaged))
    yield from start
    for raw in raw_lines:
        yield _decoded(raw, len(start) + 1)


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
    found = _first_fault(raw)
    if found is not None:
        raise _refused(path, *found, binary=b"\x00" in raw)
    return raw.decode("utf-8-sig")


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
    found = None if raw.startswith(_GZIP) else _first_fault(raw, whole=False)
    if found is not None:
        return _refused(path, *found, binary=b"\x00" in raw)
    return InputError(
        f"{path}: no reader knows this file: name its source; `observatory import --list` has them"
    )


def _raw_lines(path: Path, limit: int) -> Iterator[bytes]:
    packed = _checked_size(path, limit)
    total = 0
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            for number in itertools.count(1):
                raw = stream.readline(MAX_LINE_CHARS + 1)
                if not raw:
                    return
                total += len(raw)
                if total > limit:
                    raise InputError(f"{path}: unpacks to more than {limit >> 20} MiB: refused")
                if len(raw) > MAX_LINE_CHARS:
                    raise InputError(f"{path}: line {number} is longer than {MAX_LINE_CHARS} bytes")
                yield raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be unpacked ({error})") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _decoded(raw: bytes, number: int) -> tuple[str, str | None]:
    """(text of a line, what is wrong with its bytes or None); the first line may have a mark."""
    encoding = "utf-8-sig" if number == 1 else "utf-8"
    if b"\x00" in raw:
        return raw.decode(encoding, "replace"), _NUL
    try:
        return raw.decode(encoding), None
    except UnicodeDecodeError as error:
        return raw.decode(encoding, "replace"), _not_utf8(error)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"is not UTF-8 (byte 0x{error.object[error.start]:02x})"


def _first_fault(raw: bytes, whole: bool = True) -> tuple[int, str] | None:
    """(line number, fault) of the first line that is no text; None where all are.

    A start of a file (not `whole`) may end within a character.
    """
    fault, at = _NUL, raw.find(b"\x00")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(raw, final=whole)
    except UnicodeDecodeError as error:
        if at < 0 or b"\n" in raw[error.start : at]:
            fault, at = _not_utf8(error), error.start
    return None if at < 0 else (raw.count(b"\n", 0, at) + 1, fault)


def _refused(path: Path, number: int, fault: str, binary: bool) -> InputError:
    advice = "this is no UTF-8 text file" if binary else "convert it, such as with iconv"
    return InputError(f"{path}: line {number} {fault}: {advice}")


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
