"""The door in for what others measured: one file, one transaction, one report.

A file that a reader cannot use changes nothing. Rows that are broken are listed and the others
stored. Importing the same bytes again adds nothing. Every stored row goes through the audit.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update

from observatory.capability.names import model_name
from observatory.capability.scores import shipped_rows
from observatory.derive import audit_reported
from observatory.errors import InputError
from observatory.importers import registry
from observatory.importers.reading import Reading, Row
from observatory.records import Reported, Source, utc_now
from observatory.store import schema, writer
from observatory.store.database import open_database

BATCH = 2000  #: rows in memory at once
MAX_ROWS = 2_000_000  #: of one file: it is stored and audited in one piece, 1 kB of memory a row
SHOWN = 20  #: rejected rows that a report lists


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of one file. Rows are the file's; values and scores what they hold."""

    path: str
    source: str
    tool: str
    tool_version: str | None
    licence: str | None
    read: int
    stored: int
    rejected: int
    values_new: int
    scores_new: int
    flagged: dict[str, int]  #: rule -> values of this file that broke it
    rejections: tuple[tuple[str, str], ...]  #: (row, reason), the first 20
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def new(self) -> bool:
        """Whether anything was added."""
        return bool(self.values_new or self.scores_new)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def import_file(
    database: str | Path,
    path: str | Path,
    source: str | None = None,
    aliases: Mapping[str, str] | None = None,
    licence: str | None = None,
    layer_scale: float | None = None,
) -> ImportReport:
    """Import one file by the reader named `source`, or the one that knows it.

    `licence` is stored where the format itself brings none; `layer_scale` multiplies the times of a
    log that profiled a part of the layers. Raises InputError for a file that cannot be used
    (nothing is stored) and DatabaseError for the store.
    """
    file = Path(path)
    name, reading = registry.read(file, source, layer_scale=layer_scale)
    engine = open_database(database)
    try:
        return _store(engine, file, name, reading, aliases, licence)
    finally:
        engine.dispose()


def _store(
    engine: Engine,
    file: Path,
    name: str,
    reading: Reading,
    aliases: Mapping[str, str] | None,
    licence: str | None,
) -> ImportReport:
    key, terms = _hash(file), reading.licence or licence
    record = Source(
        key, file.name, reading.tool, reading.tool_version, terms, reading.url, utc_now(),
        utc_now(), notes=reading.notes,
    )  # fmt: skip
    total, bad = Counter[str](), list[tuple[str, str]]()
    with engine.begin() as connection:
        known = not writer.add_source(connection, record)
        twins = _Twins(connection, reading.tool, key) if _has_twins(name) else None
        for rows in _batches(reading.rows):
            total["read"] += len(rows)
            if total["read"] > MAX_ROWS:
                raise InputError(f"{file}: holds more than {MAX_ROWS:,} rows: split it")
            good = [row for row in rows if row.rejected is None]
            total["stored"] += len(good)
            if len(good) < len(rows) and len(bad) < SHOWN:
                bad += [(row.id, row.rejected) for row in rows if row.rejected is not None]
                del bad[SHOWN:]
            facts = [twins.mark(row) if twins else row.reported for row in good]
            total["values"] += writer.add_reported(connection, key, itertools.chain(*facts))
            scores = [s.row(model_name(s.model, aliases)) for row in good for s in row.scores]
            total["scores"] += (
                writer.insert_new(connection, schema.capability, scores) if scores else 0
            )
        if not total["stored"]:
            raise InputError(_nothing(file, name, total["read"], bad))
        if not known:
            connection.execute(
                update(schema.source).where(schema.source.c.key == key).values(
                    rows_read=total["read"], rows_stored=total["stored"],
                    rows_rejected=total["read"] - total["stored"],
                )
            )  # fmt: skip
        flagged = _flagged(connection, key)
    return ImportReport(
        str(file), name, reading.tool, reading.tool_version, terms, total["read"], total["stored"],
        total["read"] - total["stored"], total["values"], total["scores"], flagged, tuple(bad),
        reading.notes,
    )  # fmt: skip


def _nothing(file: Path, name: str, read: int, bad: list[tuple[str, str]]) -> str:
    if not bad:
        return f"{file}: holds no row that the reader {name} knows"
    return f"{file}: none of its {read:,} rows can be used; row {bad[0][0][:40]}: {bad[0][1]}"


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from None
    return digest.hexdigest()[:16]


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while batch := list(itertools.islice(source, BATCH)):
        yield batch


def _has_twins(name: str) -> bool:
    return bool(getattr(registry.reader(name), "TWINS_ACROSS_FILES", False))


class _Twins:
    """Runs of the same tool in other files, to mark a run that is listed a second time.

    Two rows are one run where model, phase, batch and device agree and so do all quantities (two
    at least) that both hold.
    """

    def __init__(self, connection: Connection, tool: str, key: str) -> None:
        r, s = schema.reported, schema.source
        query = (
            select(r.c.source_key, r.c.row, r.c.model_name, r.c.batch, r.c.quantity, r.c.value)
            .join(s, s.c.key == r.c.source_key)
            .where(s.c.tool == tool, s.c.key != key)
            .order_by(r.c.id)
        )
        self._runs: dict[tuple[Any, ...], dict[str, dict[str, float]]] = {}
        for where, row, model, batch, quantity, value in connection.execute(query):
            runs = self._runs.setdefault((model, batch), {})
            runs.setdefault(f"{where}/{row}", {})[quantity] = value

    def mark(self, row: Row) -> tuple[Reported, ...]:
        """The row's facts, with `twin_of` in `extra` where another file holds the same run."""
        if not row.reported:
            return ()
        first = row.reported[0]
        own = {fact.quantity: fact.value for fact in row.reported}
        for where, other in self._runs.get((first.model_name, first.batch), {}).items():
            shared = own.keys() & other.keys()
            if len(shared) > 1 and all(own[q] == other[q] for q in shared):
                extra = {**first.extra, "twin_of": where}
                return tuple(replace(fact, extra=extra) for fact in row.reported)
        return row.reported


def _flagged(connection: Connection, key: str) -> dict[str, int]:
    """Judge the rows of one source; rule -> how many of its values broke it."""
    audit_reported(connection, [key])
    f, r = schema.finding, schema.reported
    query = (
        select(f.c.rule, func.count())
        .join(r, r.c.id == f.c.subject_id)
        .where(f.c.subject == "reported", r.c.source_key == key)
        .group_by(f.c.rule)
        .order_by(f.c.rule)
    )
    return {str(rule): int(n) for rule, n in connection.execute(query)}


def import_scores(database: str | Path) -> int:
    """Store the shipped capability scores. Returns how many were new."""
    engine = open_database(database)
    try:
        with engine.begin() as connection:
            return writer.insert_new(connection, schema.capability, shipped_rows())
    finally:
        engine.dispose()
