"""A part of the store that stands alone: some configurations with all that belongs to them.

Whole configurations are kept, so that every summary and fit stays true: they pool the windows of
all runs. Without raw windows, derived rows still answer every question but those about a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, and_, func, or_, select

from observatory.errors import InputError
from observatory.store import schema
from observatory.store.database import open_database
from observatory.store.schema import metadata

ROWS_AT_ONCE = 5000


@dataclass(frozen=True)
class Keep:
    """What of the store to keep: these configurations (None: all), with or without raw windows.

    Chosen configurations go without the rows that others reported, which belong to none of them.
    """

    keys: tuple[str, ...] | None = None
    windows: bool = True

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.keys is None and self.windows


def rows_of(connection: Connection, table: Table, keep: Keep) -> Iterator[tuple[Any, ...]]:
    """The kept rows of a table by primary key, as plain tuples in the order of its columns."""
    query = select(table).order_by(*table.primary_key.columns)
    for row in connection.execute(_kept(query, table, keep)):
        yield tuple(row)


def counts(engine: Engine, keep: Keep | None = None) -> dict[str, int]:
    """Table -> number of kept rows."""
    asked = keep or Keep()
    with engine.connect() as connection:
        return {
            table.name: connection.execute(
                _kept(select(func.count()).select_from(table), table, asked)
            ).scalar_one()
            for table in metadata.sorted_tables
        }


def write_sqlite(engine: Engine, path: Path, keep: Keep) -> None:
    """A new SQLite database of this version with the kept rows, a single file.

    Raises InputError where `path` exists: a database is never written over.
    """
    if path.exists():
        raise InputError(f"{path} exists: give a new file, or move it away")
    copy = open_database(path)
    with engine.connect() as connection, copy.begin() as into:
        for table in metadata.sorted_tables:
            names = [column.name for column in table.columns]
            batch: list[dict[str, Any]] = []
            for row in rows_of(connection, table, keep):
                batch.append(dict(zip(names, row, strict=True)))
                if len(batch) == ROWS_AT_ONCE:
                    into.execute(table.insert(), batch)
                    batch = []
            if batch:
                into.execute(table.insert(), batch)
    with copy.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
    copy.dispose()


def _kept(query: Select[Any], table: Table, keep: Keep) -> Select[Any]:
    condition = _condition(table, keep)
    return query if condition is None else query.where(condition)


def _condition(table: Table, keep: Keep) -> ColumnElement[bool] | None:
    """The condition on a row; None for every row."""
    cell, window, finding = schema.cell, schema.window, schema.finding
    mine = None if keep.keys is None else cell.c.configuration_key.in_(keep.keys)
    if table is window and not keep.windows:
        return window.c.id < 0  # none: ids count from 1
    if table is finding:
        return _of_kept_subjects(keep, mine)
    if mine is None:
        return None
    runs = select(cell.c.run_id).where(mine)
    by_table: dict[Table, ColumnElement[bool]] = {
        cell: mine,
        window: window.c.cell_id.in_(select(cell.c.id).where(mine)),
        schema.run: schema.run.c.id.in_(runs),
        schema.peak: schema.peak.c.run_id.in_(runs),
        schema.environment: schema.environment.c.key.in_(
            select(schema.run.c.environment_key).where(schema.run.c.id.in_(runs))
        ),
        schema.configuration: schema.configuration.c.key.in_(keep.keys or ()),
        schema.model: schema.model.c.key.in_(
            select(schema.configuration.c.model_key).where(
                schema.configuration.c.key.in_(keep.keys or ())
            )
        ),
        schema.reported: schema.reported.c.id < 0,
        schema.source: schema.source.c.key.is_(None),
    }
    if table in by_table:
        return by_table[table]
    if "configuration_key" in table.c:
        return table.c.configuration_key.in_(keep.keys or ())
    return None


def _of_kept_subjects(keep: Keep, mine: ColumnElement[bool] | None) -> ColumnElement[bool] | None:
    """Findings on rows that are kept."""
    if keep.everything:
        return None
    f, cell, window = schema.finding.c, schema.cell, schema.window
    cells = select(cell.c.id) if mine is None else select(cell.c.id).where(mine)
    parts = [and_(f.subject == "cell", f.subject_id.in_(cells))]
    if keep.windows:
        windows = select(window.c.id).where(window.c.cell_id.in_(cells))
        parts.append(and_(f.subject == "window", f.subject_id.in_(windows)))
    if keep.keys is None:
        parts.append(f.subject == "reported")
    return or_(*parts)
