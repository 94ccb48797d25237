"""The one door in: records become facts, and facts become findings, summaries and fits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine

from observatory import answers
from observatory.derive import Derived, derive
from observatory.errors import InputError
from observatory.footprint import FactorTable, Footprint, Scenario, load_factors
from observatory.priors import configuration_prior
from observatory.records import (
    TRIED_AGAIN,
    Cell,
    CellStatus,
    Configuration,
    Environment,
    Model,
    Peak,
    Run,
    RunStatus,
    Window,
    Workload,
)
from observatory.records import utc_now as utc_now
from observatory.runtime.prior import Prior
from observatory.store import reader, schema, writer
from observatory.store.database import open_database, open_read_only, shown

RESUMABLE = (RunStatus.RUNNING.value, RunStatus.INTERRUPTED.value)


def latest_resumable(
    database: str | Path,
    plan_hash: str | None = None,
    environments: Collection[str] | None = None,
) -> str | None:
    """The newest run that was interrupted or killed, or that has cells worth another try (of this
    plan and in one of these environments, where given); None for none.

    Raises DatabaseError where the database cannot be read.
    """
    engine = open_read_only(database)
    cells = (CellStatus.PLANNED, *TRIED_AGAIN)
    with engine.connect() as connection:
        return reader.latest_unfinished(connection, RESUMABLE, cells, plan_hash, environments)


def stored_run(database: str | Path, run_id: str) -> Run:
    """A run as it stands in the store, read only. Raises InputError where there is none."""
    with open_read_only(database).connect() as connection:
        run = reader.run_record(connection, run_id)
    if run is None:
        raise InputError(f"no run {run_id!r} in {shown(database)}: see `observatory show`")
    return run


class Recorder:
    """One run being written. Every window is durable once `store` returns."""

    def __init__(self, engine: Engine, run: Run, database: str) -> None:
        self._engine = engine
        self.run = run
        self.database = database
        self._left: set[str] = set()  # configurations that cells were moved away from

    @classmethod
    def start(cls, database: str | Path, run: Run, environment: Environment) -> Self:
        """Open the database (made or migrated where needed) and store the run and its machine."""
        engine = open_database(database)
        with engine.begin() as connection:
            writer.add_environment(connection, environment)
            writer.add_run(connection, run)
        store_factors(engine, load_factors())
        return cls(engine, run, shown(database))

    @classmethod
    def resume(cls, database: str | Path, run_id: str) -> Self:
        """Go on with a stored run, its failed cells open again but for those that were refused: how
        each of them ended is kept in the run's notes. Raises InputError where there is no run of
        that id."""
        engine = open_database(database)
        with engine.begin() as connection:
            run = reader.run_record(connection, run_id)
            if run is None:
                raise InputError(f"no run {run_id!r} in {shown(database)}: see `observatory show`")
            failed = [c for c in reader.cell_records(connection, run_id) if c.status in TRIED_AGAIN]
            if failed:
                run = replace(run, notes=_with_tries(run, failed))
            for cell in failed:
                writer.set_cell_status(connection, run_id, cell.plan_key, CellStatus.PLANNED, None)
            writer.update_run(
                connection, run_id, status=RunStatus.RUNNING.value, ended_utc=None,
                notes=dict(run.notes),
            )  # fmt: skip
        return cls(engine, run, shown(database))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.dispose()

    def add_models(self, models: Iterable[Model]) -> None:
        """Store architectures once."""
        with self._engine.begin() as connection:
            writer.add_models(connection, models)

    def add_configurations(self, configurations: Iterable[Configuration]) -> None:
        """Store configurations once."""
        with self._engine.begin() as connection:
            writer.add_configurations(connection, configurations)

    def add_peaks(self, peaks: Iterable[Peak]) -> None:
        """Store ceilings of the machine as measured in this run."""
        with self._engine.begin() as connection:
            writer.add_peaks(connection, self.run.id, peaks)

    def plan(self, cells: Sequence[Cell]) -> int:
        """Store planned cells; those planned before stay as they are. Returns how many are new."""
        with self._engine.begin() as connection:
            return writer.add_cells(connection, cells)

    def move(self, old: str, new: str) -> None:
        """Put the cells of one configuration under another: nothing was loaded under the first."""
        self._left.add(old)
        with self._engine.begin() as connection:
            writer.move_cells(connection, self.run.id, old, new)

    def cells(self) -> list[Cell]:
        """The cells of this run with their current status, in planned order."""
        with self._engine.connect() as connection:
            return reader.cell_records(connection, self.run.id)

    def windows_done(self, plan_key: str) -> set[tuple[int, int]]:
        """(process_index, window_index) of the windows that this cell has."""
        with self._engine.connect() as connection:
            return reader.windows_done(connection, self.run.id, plan_key)

    def windows(self, plan_key: str, process_index: int) -> list[Window]:
        """The windows that a cell has of one process repeat, in order, without their energy."""
        with self._engine.connect() as connection:
            return reader.window_records(connection, self.run.id, plan_key, process_index)

    def prior(self, configuration_key: str, batch: int) -> Prior | None:
        """What a planner may believe before it measures; None without peaks of the device."""
        return configuration_prior(self._engine, configuration_key, self.run.environment_key, batch)

    def store(self, plan_key: str, *windows: Window) -> int:
        """Store windows of a cell, durable on return. Returns how many were new."""
        with self._engine.begin() as connection:
            return writer.add_windows(connection, self._cell(connection, plan_key), windows)

    def finish(self, plan_key: str, status: str, error: str | None = None) -> None:
        """Record how a cell ended."""
        with self._engine.begin() as connection:
            self._cell(connection, plan_key)
            writer.set_cell_status(connection, self.run.id, plan_key, status, error)

    def update_run(self, **fields: Any) -> None:
        """Store what is only known during or after the run (sensor, notes, …)."""
        with self._engine.begin() as connection:
            writer.update_run(connection, self.run.id, **fields)

    def note(self, **notes: Any) -> None:
        """Add facts of the run to those noted before."""
        self.run = replace(self.run, notes={**self.run.notes, **notes})
        self.update_run(notes=dict(self.run.notes))

    def close(self, status: str, scenario: Scenario | None = None, **fields: Any) -> Derived:
        """End the run, derive findings, summaries and fits, and keep the bills of one request.

        The request is one that most fits cover; without a zone in `scenario` it is billed in the
        example zones.
        """
        self.update_run(status=str(status), ended_utc=utc_now(), **fields)
        touched = {cell.configuration_key for cell in self.cells()} | self._left
        derived = derive(self._engine, touched)
        if derived.fits:
            keep_bills(self._engine, scenario)
        return derived

    def without_joules(self) -> list[tuple[str, str]]:
        """(cell, reason) of each cell of a working phase with windows and no measured joules."""
        with self._engine.connect() as connection:
            reasons = reader.cells_without_joules(connection, self.run.id)
        return [
            (f"{cell.phase} {cell.workload.label()}", reasons[cell.plan_key])
            for cell in self.cells()
            if cell.plan_key in reasons
        ]

    def _cell(self, connection: Any, plan_key: str) -> int:
        found = writer.cell_id(connection, self.run.id, plan_key)
        if found is None:
            raise InputError(f"cell {plan_key!r} was never planned in run {self.run.id}")
        return found


def _with_tries(run: Run, failed: Sequence[Cell]) -> dict[str, Any]:
    """A run's notes with how these cells ended before they are tried again."""
    tries = [
        {"cell": c.plan_key, "status": str(c.status), "error": c.error, "run_ended": run.ended_utc}
        for c in failed
    ]
    return {**run.notes, "tried_again": [*run.notes.get("tried_again", []), *tries]}


def store_factors(engine: Engine, table: FactorTable) -> int:
    """Keep the registry's rows beside the results, by id and edition. Returns how many are new."""
    rows = [
        {
            "id": f.id, "edition": f.edition, "zone": f.zone, "kind": f.kind, "value": f.value,
            "low": f.low, "high": f.high, "distribution": f.distribution or None, "unit": f.unit,
            "year": None if f.year is None else str(f.year), "source": f.source,
            "licence": f.licence or None, "verified": "yes" if f.verified else "no",
        }
        for f in table.rows
    ]  # fmt: skip
    with engine.begin() as connection:
        return writer.insert_new(connection, schema.factor, rows)


def keep_bills(engine: Engine, scenario: Scenario | None = None) -> int:
    """Keep the bills of one request that every fit covers, on every configuration.

    Without a zone in `scenario` they are those of the example zones. Returns how many are new: 0
    where nothing is fitted.
    """
    if not answers.fit_count(engine):
        return 0
    chosen = scenario or Scenario()
    request = Workload.request(*answers.covered_request(engine))
    return store_estimates(engine, answers.estimate(engine, request, chosen), chosen)


def store_estimates(
    engine: Engine, estimates: Sequence[answers.Estimate], scenario: Scenario
) -> int:
    """Keep bills in the store, each under its zone, scenario and edition.

    An estimate that is there already stays: a newer edition adds rows. Returns how many are new.
    """
    rows = [
        row for e in estimates for made in e.footprints for row in _estimate_rows(e, made, scenario)
    ]
    with engine.begin() as connection:
        return writer.insert_new(connection, schema.estimate, rows)


def _estimate_rows(
    e: answers.Estimate, made: Footprint, scenario: Scenario
) -> Iterable[dict[str, Any]]:
    shared = {
        "configuration_key": e.configuration_key, "environment_key": e.environment_key,
        "prompt_tokens": e.prompt_tokens, "output_tokens": e.output_tokens, "context_tokens": None,
        "batch": e.batch, "zone": made.zone or "stated numbers", "boundary": made.boundary,
        "scenario_hash": made.scenario_key, "scenario": asdict(scenario) | {"zone": made.zone},
        "edition": made.edition, "extrapolated": int(e.extrapolated),
        "factors": list(made.factor_ids), "kind": made.kind,
    }  # fmt: skip
    yield shared | {
        "bill": "runtime_s", "low": e.runtime_low_s, "mid": e.runtime_s, "high": e.runtime_high_s,
        "reason": None, "method": f"idealized runtime, recipe {e.recipe}", "provenance": "modelled",
    }  # fmt: skip
    for name, bill in made.bills().items():
        yield shared | {
            "bill": name, "low": bill.low, "mid": bill.value, "high": bill.high,
            "reason": bill.reason, "method": made.method, "provenance": made.provenance,
        }  # fmt: skip
