"""Merging stores: the facts of one database into another. Natural keys make it idempotent.

Facts are the same in both or in one alone. What is said of a run and its cells while they happen
changes, so that two copies of a run may differ: the later one is right, in whatever order they are
merged. Bills that the other database keeps come along, with their scenario and edition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, UniqueConstraint, bindparam, func, select

from observatory.derive import derive
from observatory.errors import InputError
from observatory.records import CellStatus, RunStatus, canonical_json
from observatory.store import schema, writer
from observatory.store.database import open_database, open_read_only, parse_url

BY_KEY = (
    schema.environment, schema.model, schema.configuration, schema.run, schema.source,
    schema.factor,
)  # fmt: skip
BY_NUMBER = (schema.peak, schema.reported, schema.capability)
CHUNK = 10_000
IN_ONE_QUERY = 500  #: cells: SQLite limits the variables of a statement


@dataclass(frozen=True, slots=True)
class Merged:
    """How many facts and kept bills were new, by table."""

    added: dict[str, int]

    @property
    def total(self) -> int:
        """Rows added in all."""
        return sum(self.added.values())


def merge(into: str | Path, other: str | Path) -> Merged:
    """Add the facts and kept bills of `other` to `into`, in one transaction, and derive again.

    Raises InputError where both are the same database, or where two copies of a run were each gone
    on with; DatabaseError where one cannot be read.
    """
    if _same(into, other):
        raise InputError(f"{other} is the database itself: give another one to merge")
    source = open_read_only(other)
    target = open_database(into)
    with target.begin() as connection:
        newer = _newer_runs(source, connection)
        added = {t.name: _copy(source, connection, t) for t in BY_KEY}
        added |= {t.name: _copy(source, connection, t, drop=("id",)) for t in BY_NUMBER}
        added |= _copy_cells(source, connection, newer)
        added[schema.estimate.name] = _copy_bills(source, connection, newer)
        for run in newer.values():
            connection.execute(
                schema.run.update().where(schema.run.c.id == run["id"]).values(**run)
            )
    derive(target)
    return Merged(added)


def _same(a: str | Path, b: str | Path) -> bool:
    first, second = parse_url(a), parse_url(b)
    if first.get_backend_name() == second.get_backend_name() == "sqlite":
        return Path(str(first.database)).resolve() == Path(str(second.database)).resolve()
    return first == second


def _newer_runs(source: Engine, target: Connection) -> dict[str, dict[str, Any]]:
    """Rows of `source` for the runs that both have, where its copy is the later one."""
    with source.connect() as connection:
        there = _runs(connection)
    here = _runs(target)
    return {run: row for run, (age, row) in there.items() if run in here and age > here[run][0]}


def _runs(connection: Connection) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Each run with how far it has come: whether it is done, the last moment that is known of it
    (a killed run has no end, but windows), and its row where that is the same."""
    r, c, w = schema.run, schema.cell, schema.window
    latest = (
        select(c.c.run_id, func.max(w.c.started_utc).label("moment"))
        .join(w, w.c.cell_id == c.c.id)
        .group_by(c.c.run_id)
    )
    last = {row.run_id: row.moment for row in connection.execute(latest)}
    found = {}
    for mapping in connection.execute(select(r)).mappings():
        row = dict(mapping)
        moment = max(row["started_utc"], row["ended_utc"] or "", last.get(row["id"]) or "")
        ended = row["ended_utc"] is not None
        age = (row["status"] == RunStatus.DONE, moment, ended, canonical_json(row))
        found[row["id"]] = (age, row)
    return found


def _copy(source: Engine, target: Connection, table: Table, drop: tuple[str, ...] = ()) -> int:
    added = 0
    with source.connect() as connection:
        rows = connection.execution_options(yield_per=CHUNK).execute(select(table)).mappings()
        for part in rows.partitions(CHUNK):
            kept = [{k: v for k, v in row.items() if k not in drop} for row in part]
            added += writer.insert_new(target, table, kept)
    return added


def _copy_cells(source: Engine, target: Connection, newer: Mapping[str, Any]) -> dict[str, int]:
    """Cells by (run, plan key) and their windows, whose cell numbers differ between databases."""
    with source.connect() as connection:
        cells = [dict(row) for row in connection.execute(select(schema.cell)).mappings()]
    new = writer.insert_new(
        target, schema.cell, [{k: v for k, v in c.items() if k != "id"} for c in cells]
    )
    stored = [dict(row) for row in target.execute(select(schema.cell)).mappings()]
    known = {(row["run_id"], row["plan_key"]): row for row in stored}
    number = {}
    for cell in cells:  # one that was planned or failed here may have a result there
        mine = known[cell["run_id"], cell["plan_key"]]
        number[cell["id"]] = mine["id"]
        _advance(target, mine, cell, cell["run_id"] in newer)
    added = 0
    with source.connect() as connection:
        rows = connection.execution_options(yield_per=CHUNK).execute(select(schema.window))
        for part in rows.mappings().partitions(CHUNK):
            kept = [_renumbered(dict(row), number) for row in part]
            _refuse_forks(target, kept)
            added += writer.insert_new(target, schema.window, kept)
    return {"cell": new, "window": added}


def _copy_bills(source: Engine, target: Connection, newer: Mapping[str, Any]) -> int:
    """Bills that `source` keeps. One that is kept here stays, unless it is of an earlier copy of a
    run of which `source` has the later."""
    e, c = schema.estimate, schema.cell
    before = int(target.execute(select(func.count()).select_from(e)).scalar_one())
    if newer:
        unique = next(u for u in e.constraints if isinstance(u, UniqueConstraint))
        names = [column.name for column in unique.columns]
        stacks = select(c.c.configuration_key).where(c.c.run_id.in_(list(newer)))
        query = select(*(e.c[n] for n in names)).where(e.c.configuration_key.in_(stacks))
        with source.connect() as connection:
            later = [{f"of_{n}": row[n] for n in names}
                     for row in connection.execute(query).mappings()]  # fmt: skip
        if later:
            same = (e.c[n] == bindparam(f"of_{n}") for n in names)
            target.execute(e.delete().where(*same), later)
    _copy(source, target, e, drop=("id",))
    return int(target.execute(select(func.count()).select_from(e)).scalar_one()) - before


def _advance(
    target: Connection, mine: Mapping[str, Any], other: Mapping[str, Any], newer: bool
) -> None:
    """Take over how a cell ended in the other copy of its run where that says more, or as much in a
    later copy: a result more than a failure, a failure more than a plan."""
    c = schema.cell
    changing = ("configuration_key", "status", "error", "expected_s", "position")
    more = _told(other["status"]) - _told(mine["status"])
    if (more > 0 or (more == 0 and newer)) and any(mine[n] != other[n] for n in changing):
        values = {name: other[name] for name in changing}
        target.execute(c.update().where(c.c.id == mine["id"]).values(**values))


def _told(status: str) -> int:
    return {CellStatus.PLANNED: 0, CellStatus.OK: 2}.get(CellStatus(status), 1)


def _refuse_forks(target: Connection, rows: list[dict[str, Any]]) -> None:
    """Raise InputError where a window stands in both databases and is not the same fact."""
    w, c = schema.window, schema.cell
    names = ("cell_id", "process_index", "window_index", "started_utc", "duration_s")
    columns = [w.c[name] for name in names]
    cells = sorted({row["cell_id"] for row in rows})
    mine = {}
    for start in range(0, len(cells), IN_ONE_QUERY):
        some = cells[start : start + IN_ONE_QUERY]
        for found in target.execute(select(*columns).where(w.c.cell_id.in_(some))):
            mine[tuple(found[:3])] = tuple(found[3:])
    for row in rows:
        key = (row["cell_id"], row["process_index"], row["window_index"])
        if mine.get(key, (row["started_utc"], row["duration_s"])) != (
            row["started_utc"], row["duration_s"],
        ):  # fmt: skip
            query = select(c.c.run_id, c.c.plan_key).where(c.c.id == row["cell_id"])
            run, cell = target.execute(query).one()
            raise InputError(
                f"run {run} was gone on with in both databases: they hold different windows of "
                f"{cell!r}; keep one of them"
            )


def _renumbered(row: dict[str, Any], number: dict[int, int]) -> dict[str, Any]:
    row.pop("id")
    return row | {"cell_id": number[row["cell_id"]]}
