"""How far a part of a campaign has come on a machine like this one, as its database tells.

A part belongs to the kind of machine that measured it: the processor, the CPUs to be had of it and
the accelerators, by name. Another card or processor leaves the part open; another card of the same
name, driver or library does not, for a campaign is often done in pieces on machines that are lent.
A run is gone on with only in the very environment that it began in, which has all of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from observatory.ingest import RESUMABLE
from observatory.records import TRIED_AGAIN, CellStatus, Environment
from observatory.store import reader, schema
from observatory.store.database import open_read_only

#: `FAILED`: measured, but cells failed that are worth another try. `DONE` may hold refused cells.
DONE, FAILED, INTERRUPTED, OPEN = "done", "failed", "interrupted", "open"


@dataclass(frozen=True, slots=True)
class FailedCell:
    """A cell without a result, and why."""

    cell: str
    status: str
    error: str | None

    @property
    def sentence(self) -> str:
        """One line."""
        return f"{self.cell}: {self.status}" + (f": {self.error}" if self.error else "")


@dataclass(frozen=True, slots=True)
class PartState:
    """Where a part stands; `failed` are the cells without a result of the run that says so."""

    name: str
    failed: tuple[FailedCell, ...] = ()


def part_state(database: str, plan_hash: str, here: Environment) -> PartState:
    """Where the part with this plan stands on this kind of machine.

    One run that has ended with a result or a refusal for every cell makes it done. Else the newest
    run of this very environment decides: one of another state of the machine (a driver, a library)
    cannot be gone on with, and the part is begun anew beside it.
    """
    if "://" not in database and not Path(database).exists():
        return PartState(OPEN)
    engine = open_read_only(database)
    try:
        with engine.connect() as connection:
            found = [
                (_state(connection, row["id"], row["status"]), row["environment_key"] == here.key)
                for row in _runs(connection, plan_hash)
                if _kind(row) == _kind(asdict(here))
            ]
    finally:
        engine.dispose()
    done = [state for state, _ in found if state.name == DONE]
    mine = [state for state, same in found if same]
    if done:
        return min(done, key=lambda state: len(state.failed))
    return mine[0] if mine else PartState(OPEN)


def _runs(connection: Connection, plan_hash: str) -> list[Mapping[str, Any]]:
    """Runs of a plan with their machines, the newest first."""
    r, e = schema.run, schema.environment
    machine = (e.c.cpu_model, e.c.cpu_logical_cores, e.c.devices)
    query = (
        select(r.c.id, r.c.status, r.c.environment_key, *machine)
        .join(e, r.c.environment_key == e.c.key)
        .where(r.c.plan_hash == plan_hash)
        .order_by(r.c.started_utc.desc())
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _kind(machine: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two machines one kind."""
    devices: Iterable[Mapping[str, Any]] = machine["devices"]
    cards = sorted((str(card["name"]), bool(card.get("mig"))) for card in devices)
    return machine["cpu_model"], machine["cpu_logical_cores"], cards


def _state(connection: Connection, run_id: str, status: str) -> PartState:
    if status in RESUMABLE:
        return PartState(INTERRUPTED)
    failed = tuple(
        FailedCell(cell.plan_key, str(cell.status), cell.error)
        for cell in reader.cell_records(connection, run_id)
        if cell.status != CellStatus.OK
    )
    again = any(cell.status in (CellStatus.PLANNED, *TRIED_AGAIN) for cell in failed)
    return PartState(FAILED if again else DONE, failed)
