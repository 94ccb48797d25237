"""Openly licensed rows of other people's measurements that ship with the package.

`data/*.jsonl`, made by `tools/reference_rows.py`: the first line is the source with its licence and
the hash of its file, every other one a row of it. Values are in SI units; that is the only change.
The hash is the natural key, so that importing the original file beside these rows adds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from observatory.capability.scores import shipped as shipped_scores
from observatory.derive import audit_reported
from observatory.importing import import_scores
from observatory.ingest import utc_now
from observatory.records import Reported, Source, canonical_json
from observatory.store import schema, writer
from observatory.store.database import open_database

SOURCE_FIELDS = ("key", "name", "tool", "tool_version", "licence", "url", "notes")
DEFAULTS = {f.name: f.default for f in fields(Reported) if f.default is not MISSING}


@dataclass(frozen=True, slots=True)
class Shipped:
    """One source and its rows."""

    source: Mapping[str, Any]  #: SOURCE_FIELDS
    rows: tuple[Reported, ...]


def to_lines(source: Mapping[str, Any], rows: Iterable[Sequence[Reported]]) -> Iterator[str]:
    """The lines of a file, from a source and the values of each of its rows."""
    yield canonical_json({name: source[name] for name in SOURCE_FIELDS})
    for values in rows:
        plain = [asdict(value) for value in values]
        if not plain:
            continue
        same = {
            name: value for name, value in plain[0].items()
            if name not in ("quantity", "value", "unit") and all(p[name] == value for p in plain)
        }  # fmt: skip
        kept = {n: v for n, v in same.items() if DEFAULTS.get(n, MISSING) != v and v != {}}
        own = [
            {n: v for n, v in p.items() if n not in same and DEFAULTS.get(n, MISSING) != v}
            for p in plain
        ]
        yield canonical_json({**kept, "values": own})


def from_lines(lines: Iterable[str]) -> Shipped:
    """What `to_lines` wrote."""
    first, *others = (json.loads(line) for line in lines)
    rows = []
    for line in others:
        shared = {name: value for name, value in line.items() if name != "values"}
        rows += [Reported(**{**shared, **own}) for own in line["values"]]
    return Shipped(first, tuple(rows))


def shipped_sets() -> list[Shipped]:
    """Every shipped source, by file name. The files are as checked as the code."""
    folder = resources.files("observatory.datasets").joinpath("data")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".jsonl")), key=lambda f: f.name)
    return [from_lines(f.read_text("utf-8").splitlines()) for f in files]


def load_shipped(database: str | Path) -> tuple[int, int]:
    """Add the shipped rows and scores that a database lacks: (values, scores) that were new."""
    engine = open_database(database)
    try:
        with engine.begin() as connection:
            values = sum(_add(connection, one) for one in shipped_sets())
        scores = 0 if _has_scores(engine) else import_scores(database)
        return values, scores
    finally:
        engine.dispose()


def _add(connection: Connection, one: Shipped) -> int:
    now = utc_now()
    count = len({row.row for row in one.rows})
    record = Source(
        **{name: one.source[name] for name in SOURCE_FIELDS},
        retrieved_utc=now, imported_utc=now, rows_read=count, rows_stored=count,
    )  # fmt: skip
    if not writer.add_source(connection, record):
        return 0
    added = writer.add_reported(connection, record.key, one.rows)
    audit_reported(connection, [record.key])
    return added


def _has_scores(engine: Engine) -> bool:
    """Whether the store holds as many scores as are shipped, so that nothing is new."""
    with engine.connect() as connection:
        have = connection.execute(select(func.count()).select_from(schema.capability)).scalar_one()
    return int(have) >= len(shipped_scores())
