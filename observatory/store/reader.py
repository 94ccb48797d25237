"""Reading the store: tables as DataFrames and as records. No science here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import (
    Connection,
    Engine,
    Float,
    Integer,
    Select,
    Table,
    Text,
    and_,
    case,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.types import TypeEngine

from observatory.records import Cell, Phase, Provenance, Run, Window, Workload
from observatory.store import schema


def frame(connection: Connection | Engine, query: Select[Any]) -> pd.DataFrame:
    """The result of a query as a DataFrame; missing text stays None, missing numbers NaN."""
    return pd.read_sql_query(query, connection)


def table(connection: Connection | Engine, which: Table) -> pd.DataFrame:
    """A whole table. Not for `window` in bulk: ask `windows` for one run or configuration."""
    return frame(connection, select(which))


def windows(
    connection: Connection | Engine,
    run_id: str | None = None,
    configurations: Collection[str] | None = None,
) -> pd.DataFrame:
    """Windows with their cell, run and machine, one row each, in a fixed order."""
    w, c, r = schema.window, schema.cell, schema.run
    query = (
        select(
            w,
            c.c.run_id, c.c.plan_key, c.c.configuration_key, c.c.phase, c.c.prompt_tokens,
            c.c.output_tokens, c.c.context_tokens, c.c.batch, c.c.role,
            r.c.environment_key, r.c.profile,
        )
        .join(c, w.c.cell_id == c.c.id)
        .join(r, c.c.run_id == r.c.id)
        .order_by(r.c.started_utc, r.c.id, c.c.plan_key, w.c.process_index, w.c.window_index)
    )  # fmt: skip
    if run_id is not None:
        query = query.where(c.c.run_id == run_id)
    if configurations is not None:
        query = query.where(c.c.configuration_key.in_(configurations))
    return frame(connection, query)


def empty_idles(connection: Connection | Engine) -> pd.DataFrame:
    """Idle windows before any model was loaded (`run_id`, `duration_s`, `flags`), by run."""
    w, c = schema.window, schema.cell
    query = (
        select(c.c.run_id, w.c.duration_s, w.c.flags)
        .join(c, w.c.cell_id == c.c.id)
        .where(c.c.phase == "idle", w.c.process_id == "")
        .order_by(c.c.run_id, w.c.id)
    )
    return frame(connection, query)


def run_notes(connection: Connection) -> dict[str, Mapping[str, Any]]:
    """Run -> what was noted of it (sensor, planner, what was loaded)."""
    r = schema.run
    rows = connection.execute(select(r.c.id, r.c.notes).order_by(r.c.id))
    return {str(run): notes for run, notes in rows}


def reported(
    connection: Connection | Engine,
    sources: Collection[str] | None = None,
    violations: bool = False,
    without: Collection[str] = (),
    coded: bool = False,
    stated: Collection[str] = (),
) -> pd.DataFrame:
    """Reported rows with the name of their file, in a fixed order.

    Rows that a finding leaves out (severity `exclude`) are left out unless `violations` is true.
    Columns named in `without` are not read; `coded` texts are categories, which take less memory.
    Facts named in `stated` are read out of `extra` into columns of their own, as text.
    """
    r, s, f = schema.reported, schema.source, schema.finding
    query = (
        select(r, s.c.name.label("source_name"), s.c.tool)
        .join(s, r.c.source_key == s.c.key)
        .order_by(r.c.source_key, r.c.id)
    )
    if not violations:
        broken = select(f.c.subject_id).where(f.c.subject == "reported", f.c.severity == "exclude")
        query = query.where(r.c.id.not_in(broken))
    if without:
        kept = [c for c in query.selected_columns if c.key not in without]
        query = query.with_only_columns(*kept, maintain_column_froms=True)
    if stated:
        query = query.add_columns(*(r.c.extra[name].as_string().label(name) for name in stated))
    if sources is not None:
        query = query.where(s.c.key.in_(sources))
    return _lean_frame(connection, query, coded)


def reported_alike(
    connection: Connection | Engine, sources: Collection[str], stated: Collection[str] = ()
) -> pd.DataFrame:
    """Rows of all other sources that hold a value which these sources hold for the same model."""
    r = schema.reported
    same = tuple_(r.c.model_name, r.c.quantity, r.c.value)
    here = select(*same.clauses).where(r.c.source_key.in_(sources), r.c.value.is_not(None))
    rows = tuple_(r.c.source_key, r.c.row)
    there = select(*rows.clauses).where(r.c.source_key.not_in(sources), same.in_(here))
    query = select(
        *(c for c in r.c if c.key != "extra"),
        *(r.c.extra[name].as_string().label(name) for name in stated),
    ).where(rows.in_(there))
    return _lean_frame(connection, query.order_by(r.c.id))


def _lean_frame(
    connection: Connection | Engine, query: Select[Any], coded: bool = False
) -> pd.DataFrame:
    """As `frame`, but made column by column in blocks, so that few Python objects live at once.

    A large import is judged as a whole; with a Python object for each cell that took 230 MB for
    100,000 values. Numbers are floats with NaN for what is missing, or integers where nothing is;
    `coded` texts are categories.
    """
    if isinstance(connection, Engine):
        with connection.connect() as opened:
            return _lean_frame(opened, query, coded)
    columns = [(str(column.key), _Column(column.type)) for column in query.selected_columns]
    result = connection.execute(query.execution_options(yield_per=2000))
    for rows in result.partitions():
        for (_, column), cells in zip(columns, zip(*rows, strict=True), strict=True):
            column.add(cells)
    return pd.DataFrame({name: column.whole(coded) for name, column in columns})


class _Column:
    """Cells as they come, held as numbers: texts as the place of each among the different ones."""

    def __init__(self, kind: TypeEngine[Any]) -> None:
        self._kind = kind
        self._texts = _Places()
        self._blocks: list[Any] = []

    def add(self, cells: Sequence[Any]) -> None:
        if isinstance(self._kind, (Float, Integer)):
            self._blocks.append(np.array(cells, dtype=float))
        elif isinstance(self._kind, Text):
            places = map(self._texts.__getitem__, cells)
            self._blocks.append(np.fromiter(places, np.int32, len(cells)))
        else:
            self._blocks.append(list(cells))

    def whole(self, coded: bool) -> pd.Series[Any]:
        """The column; its blocks are let go of."""
        blocks, self._blocks = self._blocks, []
        if isinstance(self._kind, (Float, Integer)):
            numbers = np.concatenate(blocks) if blocks else np.empty(0)
            exact = isinstance(self._kind, Integer) and not np.isnan(numbers).any()
            return pd.Series(numbers.astype(np.int64) if exact else numbers)
        if isinstance(self._kind, Text):
            codes = np.concatenate(blocks) if blocks else np.empty(0, np.int32)
            texts = pd.Categorical.from_codes(codes, pd.Index(list(self._texts), dtype="str"))
            return pd.Series(texts) if coded else pd.Series(texts).astype("str")
        return pd.Series([cell for block in blocks for cell in block], dtype=object)


class _Places(dict[Any, int]):
    """Different texts in order of their first appearance, each with its place; None is at -1."""

    def __missing__(self, text: Any) -> int:
        if text is None:
            return -1
        place = self[text] = len(self)
        return place


def capability(
    connection: Connection, models: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Scores (of these models, where given) as plain rows, in the order in which they came."""
    c = schema.capability
    query = select(c).order_by(c.c.id)
    if models is not None:
        query = query.where(c.c.model_name.in_(models))
    return [dict(row) for row in connection.execute(query).mappings()]


def scored_models(connection: Connection) -> list[str]:
    """Names of the models that have a score."""
    c = schema.capability
    return list(connection.scalars(select(c.c.model_name).distinct().order_by(c.c.model_name)))


def model_names(connection: Connection) -> list[str]:
    """Names of the models that a configuration was measured or planned of."""
    m = schema.model
    return list(connection.scalars(select(m.c.name).distinct().order_by(m.c.name)))


def cells(connection: Connection | Engine, run_id: str | None = None) -> pd.DataFrame:
    """Cells with the name of their model, in planned order."""
    c, k, m = schema.cell, schema.configuration, schema.model
    query = (
        select(c, m.c.name.label("model"))
        .join(k, c.c.configuration_key == k.c.key)
        .join(m, k.c.model_key == m.c.key)
        .order_by(c.c.run_id, c.c.position, c.c.plan_key)
    )
    return frame(connection, query if run_id is None else query.where(c.c.run_id == run_id))


def cell_records(connection: Connection, run_id: str) -> list[Cell]:
    """The cells of a run as records, in planned order."""
    c = schema.cell
    rows = connection.execute(
        select(c).where(c.c.run_id == run_id).order_by(c.c.position, c.c.plan_key)
    ).mappings()
    return [_cell(dict(row)) for row in rows]


def _cell(row: dict[str, Any]) -> Cell:
    row.pop("id")
    names = ("prompt_tokens", "output_tokens", "batch", "context_tokens")
    workload = Workload(**{name: row.pop(name) for name in names})
    return Cell(workload=workload, **row)


def run_record(connection: Connection, run_id: str) -> Run | None:
    """One run as a record; None where it is not there."""
    row = connection.execute(select(schema.run).where(schema.run.c.id == run_id)).mappings().first()
    return None if row is None else Run(**dict(row))


def latest_unfinished(
    connection: Connection, runs: Sequence[str], cells: Sequence[str],
    plan_hash: str | None = None, environments: Collection[str] | None = None,
) -> str | None:  # fmt: skip
    """The newest run in one of the states `runs`, or with a cell in one of the states `cells` (of
    this plan and in one of these environments where given); None where there is none."""
    r, c = schema.run, schema.cell
    with_cells = select(c.c.id).where(c.c.run_id == r.c.id, c.c.status.in_(cells)).exists()
    query = select(r.c.id).where(r.c.status.in_(runs) | with_cells)
    if plan_hash is not None:
        query = query.where(r.c.plan_hash == plan_hash)
    if environments is not None:
        query = query.where(r.c.environment_key.in_(environments))
    return connection.execute(query.order_by(r.c.started_utc.desc()).limit(1)).scalar()


def windows_done(connection: Connection, run_id: str, plan_key: str) -> set[tuple[int, int]]:
    """(process_index, window_index) of the windows that a cell has."""
    w, c = schema.window, schema.cell
    rows = connection.execute(
        select(w.c.process_index, w.c.window_index)
        .join(c, w.c.cell_id == c.c.id)
        .where(c.c.run_id == run_id, c.c.plan_key == plan_key)
    )
    return {(int(a), int(b)) for a, b in rows}


def cells_without_joules(connection: Connection, run_id: str) -> dict[str, str]:
    """Plan key -> reason, of the cells whose windows all lack measured joules: those of working
    phases, not anchors and idle baselines."""
    w, c = schema.window, schema.cell
    measured = or_(w.c.energy_device_j.is_not(None), w.c.energy_cpu_j.is_not(None))
    measured = and_(measured, w.c.energy_provenance == Provenance.MEASURED.value)
    rows = connection.execute(
        select(c.c.plan_key, func.max(w.c.energy_reason))
        .join(c, w.c.cell_id == c.c.id)
        .where(c.c.run_id == run_id, c.c.phase.not_in((Phase.IDLE.value, Phase.ANCHOR.value)))
        .group_by(c.c.id, c.c.plan_key)
        .having(func.sum(case((measured, 1), else_=0)) == 0)
        .order_by(c.c.id)
    )
    return {str(key): str(reason or "estimated, not measured") for key, reason in rows}


def window_records(
    connection: Connection, run_id: str, plan_key: str, process_index: int
) -> list[Window]:
    """The windows of a cell in one process repeat, in order, without their energy."""
    w, c = schema.window, schema.cell
    known = {column.name for column in w.columns}
    names = [f.name for f in fields(Window) if f.name in known]
    rows = connection.execute(
        select(*(w.c[name] for name in names))
        .join(c, w.c.cell_id == c.c.id)
        .where(c.c.run_id == run_id, c.c.plan_key == plan_key, w.c.process_index == process_index)
        .order_by(w.c.window_index)
    ).mappings()
    return [Window(**{**row, "flags": tuple(row["flags"])}) for row in rows]
