"""Merging stores: the facts of one database into another. Natural keys make it idempotent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, select

from observatory.derive import derive
from observatory.errors import InputError
from observatory.store import schema, writer
from observatory.store.database import open_database, open_read_only, parse_url

BY_KEY = (
    schema.environment, schema.model, schema.configuration, schema.run, schema.source,
    schema.factor,
)  # fmt: skip
BY_NUMBER = (schema.peak, schema.reported, schema.capability)
CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Merged:
    """How many facts were new, by table."""

    added: dict[str, int]

    @property
    def total(self) -> int:
        """Rows added in all."""
        return sum(self.added.values())


def merge(into: str | Path, other: str | Path) -> Merged:
    """Add the facts of `other` to `into`, in one transaction, and derive again.

    Raises InputError where both are the same database, DatabaseError where one cannot be read.
    """
    if _same(into, other):
        raise InputError(f"{other} is the database itself: give another one to merge")
    source = open_read_only(other)
    target = open_database(into)
    with target.begin() as connection:
        added = {t.name: _copy(source, connection, t) for t in BY_KEY}
        added |= {t.name: _copy(source, connection, t, drop=("id",)) for t in BY_NUMBER}
        added |= _copy_cells(source, connection)
    derive(target)
    return Merged(added)


def _same(a: str | Path, b: str | Path) -> bool:
    first, second = parse_url(a), parse_url(b)
    if first.get_backend_name() == second.get_backend_name() == "sqlite":
        return Path(str(first.database)).resolve() == Path(str(second.database)).resolve()
    return first == second


def _copy(source: Engine, target: Connection, table: Table, drop: tuple[str, ...] = ()) -> int:
    added = 0
    with source.connect() as connection:
        rows = connection.execution_options(yield_per=CHUNK).execute(select(table)).mappings()
        for part in rows.partitions(CHUNK):
            kept = [{k: v for k, v in row.items() if k not in drop} for row in part]
            added += writer.insert_new(target, table, kept)
    return added


def _copy_cells(source: Engine, target: Connection) -> dict[str, int]:
    """Cells by (run, plan key) and their windows, whose cell numbers differ between databases."""
    with source.connect() as connection:
        cells = [dict(row) for row in connection.execute(select(schema.cell)).mappings()]
    new = writer.insert_new(
        target, schema.cell, [{k: v for k, v in c.items() if k != "id"} for c in cells]
    )
    c = schema.cell
    known = {
        (row.run_id, row.plan_key): row.id
        for row in target.execute(select(c.c.id, c.c.run_id, c.c.plan_key))
    }
    number = {cell["id"]: known[cell["run_id"], cell["plan_key"]] for cell in cells}
    for cell in cells:  # a cell that was still planned here may have been finished there
        _advance(target, cell)
    added = 0
    with source.connect() as connection:
        rows = connection.execution_options(yield_per=CHUNK).execute(select(schema.window))
        for part in rows.mappings().partitions(CHUNK):
            kept = [_renumbered(dict(row), number) for row in part]
            added += writer.insert_new(target, schema.window, kept)
    return {"cell": new, "window": added}


def _advance(target: Connection, cell: dict[str, Any]) -> None:
    if cell["status"] == "planned":
        return
    c = schema.cell
    target.execute(
        c.update()
        .where(
            c.c.run_id == cell["run_id"],
            c.c.plan_key == cell["plan_key"],
            c.c.status == "planned",
        )
        .values(status=cell["status"], error=cell["error"])
    )


def _renumbered(row: dict[str, Any], number: dict[int, int]) -> dict[str, Any]:
    row.pop("id")
    return row | {"cell_id": number[row["cell_id"]]}
