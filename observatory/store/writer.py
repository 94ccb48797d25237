"""Writing records: insert what is not there yet, by natural key, and nothing else.

Facts are never updated. The only updates are the status of a run and of a cell while it happens.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from operator import attrgetter
from typing import Any, cast

from sqlalchemy import Connection, Table, delete, func, select, update

from observatory.records import (
    Cell,
    Configuration,
    Energy,
    Environment,
    Finding,
    Model,
    Peak,
    Reported,
    Run,
    Source,
    Window,
    as_row,
)
from observatory.store import schema


def insert_new(
    connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]], chunk: int = 5000
) -> int:
    """Insert rows whose natural key is not in the table yet. Returns how many were new."""
    pending = list(rows)
    if not pending:
        return 0
    statement = _dialect_insert(connection, table)
    if len(pending) == 1:  # one window at a time, while a run measures: never count a long table
        return max(connection.execute(statement, dict(pending[0])).rowcount, 0)
    before = _count(connection, table)
    for start in range(0, len(pending), chunk):
        connection.execute(statement, cast(list[dict[str, Any]], pending[start : start + chunk]))
    return _count(connection, table) - before


def _count(connection: Connection, table: Table) -> int:
    """Rows of a table: drivers do not agree on what they report for many inserts at once."""
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _dialect_insert(connection: Connection, table: Table) -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table).on_conflict_do_nothing()


def add_environment(connection: Connection, environment: Environment) -> str:
    """Store a machine once; returns its key."""
    row = as_row(environment) | {
        "key": environment.key,
        "libraries": dict(environment.libraries),
        "devices": [asdict(device) for device in environment.devices],
        "virtualised": None if environment.virtualised is None else int(environment.virtualised),
    }
    insert_new(connection, schema.environment, [row])
    return environment.key


def add_models(connection: Connection, models: Iterable[Model]) -> None:
    """Store architectures once."""
    insert_new(
        connection,
        schema.model,
        [as_row(m) | {"key": m.key, "config": dict(m.config)} for m in models],
    )


def add_configurations(connection: Connection, configurations: Iterable[Configuration]) -> None:
    """Store configurations once; their models must be there."""
    insert_new(
        connection, schema.configuration, [as_row(c) | {"key": c.key} for c in configurations]
    )


def add_run(connection: Connection, run: Run) -> None:
    """Store a run."""
    insert_new(
        connection, schema.run, [as_row(run) | {"plan": dict(run.plan), "notes": dict(run.notes)}]
    )


def update_run(connection: Connection, run_id: str, **values: Any) -> None:
    """Change what is only known while or after a run happens (status, end, sensor, notes)."""
    connection.execute(update(schema.run).where(schema.run.c.id == run_id).values(**values))


def add_peaks(connection: Connection, run_id: str, peaks: Iterable[Peak]) -> None:
    """Store measured ceilings of the machine."""
    insert_new(connection, schema.peak, [as_row(p) | {"run_id": run_id} for p in peaks])


def add_cells(connection: Connection, cells: Iterable[Cell]) -> int:
    """Store planned cells; those already planned stay as they are."""
    rows = []
    for cell in cells:
        row = as_row(cell)
        row.update(as_row(row.pop("workload")))
        rows.append(row)
    return insert_new(connection, schema.cell, rows)


def set_cell_status(
    connection: Connection, run_id: str, plan_key: str, status: str, error: str | None
) -> None:
    """Record how a cell ended."""
    table = schema.cell
    connection.execute(
        update(table)
        .where(table.c.run_id == run_id, table.c.plan_key == plan_key)
        .values(status=status, error=error)
    )


def move_cells(connection: Connection, run_id: str, old: str, new: str) -> None:
    """Put a run's cells of one configuration under another: the model came up only now."""
    table = schema.cell
    connection.execute(
        update(table)
        .where(table.c.run_id == run_id, table.c.configuration_key == old)
        .values(configuration_key=new)
    )


def cell_id(connection: Connection, run_id: str, plan_key: str) -> int | None:
    """Row number of a planned cell; None where it was never planned."""
    table = schema.cell
    value = connection.execute(
        select(table.c.id).where(table.c.run_id == run_id, table.c.plan_key == plan_key)
    ).scalar()
    return None if value is None else int(value)


def add_windows(connection: Connection, cell: int, windows: Sequence[Window]) -> int:
    """Store windows of a cell; a window that is there already stays."""
    return insert_new(connection, schema.window, [_window_row(cell, w) for w in windows])


def _window_row(cell: int, window: Window) -> dict[str, Any]:
    row = as_row(window)
    energy: Energy = row.pop("energy")
    row["flags"] = list(dict.fromkeys((*window.flags, *energy.flags)))
    reason = energy.reason
    if energy.total_j is None and reason is None:
        reason = "no sensor gave a reading"
    return row | {
        "cell_id": cell,
        "energy_device_j": energy.device_j,
        "energy_cpu_j": energy.cpu_j,
        "energy_dram_j": energy.dram_j,
        "energy_idle_devices_j": energy.idle_devices_j,
        "energy_method": energy.method,
        "energy_provenance": energy.provenance,
        "energy_boundary": energy.boundary,
        "energy_reason": reason,
        "energy_integral_j": energy.integral_j,
        "energy_edge_bound_rel": energy.edge_bound_rel,
        "energy_systematic_rel": energy.systematic_rel,
        "power_max_w": energy.power_max_w,
    }


def add_source(connection: Connection, source: Source) -> bool:
    """Store the provenance of a file. Returns False where that very file was imported before."""
    row = as_row(source) | {"notes": dict(source.notes)}
    return insert_new(connection, schema.source, [row]) > 0


def add_reported(connection: Connection, source_key: str, rows: Iterable[Reported]) -> int:
    """Store somebody else's values. Returns how many were new.

    Files hold hundreds of thousands of values, so SQLite is given tuples: a dictionary for each of
    them takes twice as long, and counting the table beside them longer the longer it is.
    """
    if connection.dialect.name != "sqlite":
        made = [as_row(r) | {"source_key": source_key, "extra": dict(r.extra)} for r in rows]
        return insert_new(connection, schema.reported, made)
    cells = [(source_key, *_CELLS(r), json.dumps(dict(r.extra))) for r in rows]
    if not cells:
        return 0
    names = ("source_key", *_PLAIN, "extra")
    made_of = _dialect_insert(connection, schema.reported).values(dict.fromkeys(names))
    compiled = made_of.compile(dialect=connection.dialect)
    if tuple(compiled.positiontup) != names:  # the table's columns stand in the record's order
        raise AssertionError(f"columns {compiled.positiontup} are not {names}")
    return max(connection.exec_driver_sql(str(compiled), cells).rowcount, 0)


_PLAIN = tuple(f.name for f in fields(Reported) if f.name != "extra")
_CELLS = attrgetter(*_PLAIN)


def replace_findings(
    connection: Connection,
    findings: Iterable[Finding],
    configurations: Collection[str] | None = None,
) -> None:
    """Throw the findings on windows and cells (of these configurations) away and store these."""
    f, w, c = schema.finding, schema.window, schema.cell
    for subject, rows in (
        ("window", select(w.c.id).join(c, w.c.cell_id == c.c.id)),
        ("cell", select(c.c.id)),
    ):
        old = delete(f).where(f.c.subject == subject)
        if configurations is not None:
            mine = rows.where(c.c.configuration_key.in_(configurations))
            old = old.where(f.c.subject_id.in_(mine))
        connection.execute(old)
    insert_new(connection, f, [as_row(finding) for finding in findings])


def replace_reported_findings(
    connection: Connection, findings: Iterable[Finding], sources: Collection[str] | None = None
) -> None:
    """Throw the findings on reported rows (of these sources) away and store these."""
    f, r = schema.finding, schema.reported
    old = delete(f).where(f.c.subject == "reported")
    if sources is not None:
        mine = select(r.c.id).where(r.c.source_key.in_(sources))
        old = old.where(f.c.subject_id.in_(mine))
    connection.execute(old)
    insert_new(connection, f, [as_row(finding) for finding in findings])


def replace_derived(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    configurations: Collection[str] | None = None,
) -> None:
    """Throw the rows of a derived table (of these configurations) away and store these."""
    old = delete(table)
    if configurations is not None:
        old = old.where(table.c.configuration_key.in_(configurations))
    connection.execute(old)
    insert_new(connection, table, rows)
