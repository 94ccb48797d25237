"""What one run found, and what the whole store holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Engine, func, or_, select

from observatory.answers.bills import estimate
from observatory.answers.estimates import Estimate
from observatory.answers.fitted import covered_request, fits, models
from observatory.answers.tables import cells, runs
from observatory.derive import none_if_nan, plain_rows
from observatory.errors import InputError
from observatory.footprint import Scenario
from observatory.records import RunStatus, Workload
from observatory.store import schema


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one run found, for its last lines and for `--json`."""

    run: dict[str, Any]
    cells: dict[str, int]
    failures: tuple[dict[str, Any], ...]
    models: tuple[dict[str, Any], ...]
    estimates: tuple[Estimate, ...]
    findings: dict[str, int]
    planners: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Nested plain values."""
        own = asdict(replace(self, estimates=()))
        return own | {"estimates": [e.to_json() for e in self.estimates]}


def run_report(
    engine: Engine, run_id: str, scenario: Scenario | None = None, workload: Workload | None = None
) -> RunReport:
    """The answer of one run: its cells, its fits with held-out error and spread, a priced request.

    Raises InputError for an unknown run.
    """
    known = runs(engine)
    mine = known[known["id"] == run_id]
    if mine.empty:
        raise InputError(f"no run {run_id!r}: see `observatory show runs`")
    own_cells = cells(engine, run_id)
    keys = set(own_cells["configuration_key"])
    fitted = fits(engine)
    fitted = fitted[fitted["configuration_key"].isin(keys)]
    request = workload or Workload.request(*covered_request(engine))
    priced = () if fitted.empty else estimate(engine, request, scenario)
    bad = own_cells[~own_cells["status"].isin(["ok", "planned"])]
    columns = [
        "model", "configuration", "configuration_key", "n_points", "n_heldout", "mape",
        "error_reason", "heldout_mean_error", "heldout_median_error", "heldout_p90_error",
        "heldout_max_error",
        "between_process_rel", "device_s", "prompt_min", "prompt_max", "output_max", "context_max",
    ]  # fmt: skip
    return RunReport(
        run={k: none_if_nan(v) for k, v in next(iter(plain_rows(mine))).items()},
        cells={str(k): int(v) for k, v in own_cells["status"].value_counts().items()},
        failures=tuple(plain_rows(bad[["model", "phase", "plan_key", "status", "error"]])),
        models=tuple(plain_rows(fitted[columns])),
        estimates=tuple(e for e in priced if e.configuration_key in keys),
        findings=_findings_of(engine, run_id),
        planners=_planners_of(engine, run_id),
    )


def _planners_of(engine: Engine, run_id: str) -> tuple[dict[str, Any], ...]:
    """What each planner of the run chose and expected; empty for a fixed grid."""
    with engine.connect() as connection:
        notes = connection.scalar(select(schema.run.c.notes).where(schema.run.c.id == run_id)) or {}
    return tuple(
        {"target": target, **made}
        for target, planners in sorted(notes.get("planner", {}).items())
        for made in planners
    )


def _findings_of(engine: Engine, run_id: str) -> dict[str, int]:
    """Rule -> how many windows and cells of the run broke it."""
    f, w, c = schema.finding, schema.window, schema.cell
    mine = {
        "window": select(w.c.id).join(c, c.c.id == w.c.cell_id).where(c.c.run_id == run_id),
        "cell": select(c.c.id).where(c.c.run_id == run_id),
    }
    subjects = [(f.c.subject == name) & f.c.subject_id.in_(ids) for name, ids in mine.items()]
    query = select(f.c.rule, func.count()).where(or_(*subjects))
    with engine.connect() as connection:
        rows = connection.execute(query.group_by(f.c.rule).order_by(f.c.rule))
        return {str(rule): int(n) for rule, n in rows}


def overview(engine: Engine) -> dict[str, Any]:
    """Counts for the head of a page: runs, failed cells, windows, models, newest run."""
    known = runs(engine)
    return {
        "runs": len(known),
        "running": int((known["status"] == RunStatus.RUNNING.value).sum()),
        "cells_failed": int(known["cells_failed"].fillna(0).sum()),
        "windows": int(known["windows"].fillna(0).sum()),
        "newest_utc": None if known.empty else str(known["started_utc"].iloc[0]),
        "models": models(engine),
    }
