"""`observatory show`: what is in the database."""

from __future__ import annotations

from typing import Any

import click

from observatory.units import show as text
from observatory.verbs import options
from observatory.verbs.tables import in_one_unit, legend, percent, print_table

WHAT = ("summary", "runs", "cells", "fits", "findings", "api-runs")


@click.command(name="show")
@click.argument("what", type=click.Choice(WHAT), default="summary")
@click.option("--run", "run_id", help="Only this run (cells).")
@options.database
@options.as_json
def command(what: str, run_id: str | None, db: str, json_: bool) -> None:
    """Show WHAT is stored: summary (default), runs, cells, fits, findings or api-runs.

    api-runs: imported HELM runs, their idealized runtime beside ours.
    """
    from observatory import answers
    from observatory.api_runs import api_runs
    from observatory.derive import plain_rows
    from observatory.ingest import stored_run
    from observatory.store.database import open_read_only

    engine = open_read_only(db)
    if run_id is not None:
        stored_run(db, run_id)
    frame = {
        "summary": lambda: answers.summary(engine),
        "runs": lambda: answers.runs(engine),
        "cells": lambda: answers.cells(engine, run_id),
        "fits": lambda: answers.fits(engine, None, recipe=None),
        "findings": lambda: answers.findings(engine),
        "api-runs": lambda: api_runs(engine),
    }[what]()
    rows = list(plain_rows(frame))
    if json_:
        options.print_json(rows)
        return
    if not rows:
        click.echo(f"no {what} in {db} yet: `run-benchmark` fills it")
        return
    PRINTERS[what](rows)


def _summary(rows: list[dict[str, Any]]) -> None:
    time, times = _around_the_middle(
        "time", "runtime_s",
        [(r["runtime_low_s"], r["runtime_s"], r["runtime_high_s"]) for r in rows],
    )  # fmt: skip
    energy, joules = _around_the_middle(
        "energy", "energy_j", [(None, r["energy_j"], None) for r in rows]
    )
    print_table(
        "Summary: median of one iteration [95 % interval]",
        ["model", "phase", "#p", "#c", "#o", "#B", time, "#token/s", energy, "#n", "role"],
        [
            [r["model"], r["phase"], r["prompt_tokens"] and int(r["prompt_tokens"]),
             None if r["context_tokens"] is None else int(r["context_tokens"]),
             r["output_tokens"] and int(r["output_tokens"]), r["batch"], took,
             None if r["tokens_per_s"] is None else f"{r['tokens_per_s']:.1f}",
             spent, f"{r['n_processes']}/{r['n_windows']}", r["role"]]
            for r, took, spent in zip(rows, times, joules, strict=True)
        ],
        _energy_notes(rows),
    )  # fmt: skip


def _around_the_middle(
    name: str, quantity: str, bounds: list[tuple[float | None, float | None, float | None]]
) -> tuple[str, list[str]]:
    """A column in the unit of its median: a pass takes milliseconds and an idle window seconds, so
    that the largest would turn most of them into thousandths."""
    from observatory.statistics import median

    known = [middle for _, middle, _ in bounds if middle is not None]
    return in_one_unit(name, quantity, bounds, like=median(known) if known else None)


def _energy_notes(rows: list[dict[str, Any]]) -> list[str]:
    methods = {f"energy {r['energy_provenance']} by {r['energy_method']}, {r['energy_boundary']}"
               for r in rows if r["energy_j"] is not None}  # fmt: skip
    reasons = {f"energy is NULL: {r['energy_reason']}" for r in rows if r["energy_reason"]}
    return [
        "p prompt, c context, o output tokens, B batch; n = processes / windows",
        *sorted(methods | reasons),
    ]


def _runs(rows: list[dict[str, Any]]) -> None:
    print_table(
        "Runs, newest first",
        ["run", "started (UTC)", "status", "profile", "#ok", "#failed", "#windows", "energy"],
        [
            [r["id"], r["started_utc"][:19], r["status"], r["profile"], _int(r["cells_ok"]),
             _int(r["cells_failed"]), _int(r["windows"]),
             r["sensor"] or f"NULL: {r['sensor_reason'] or 'no sensor'}"]
            for r in rows
        ],
    )  # fmt: skip


def _int(value: float | None) -> int | None:
    return None if value is None else int(value)


def _cells(rows: list[dict[str, Any]]) -> None:
    print_table(
        "Cells",
        ["run", "model", "phase", "#p", "#c", "#o", "#B", "status", "error"],
        [
            [r["run_id"], r["model"], r["phase"], _int(r["prompt_tokens"]),
             _int(r["context_tokens"]), _int(r["output_tokens"]), r["batch"], r["status"],
             r["error"]]
            for r in rows
        ],
    )  # fmt: skip


def _fits(rows: list[dict[str, Any]]) -> None:
    marks, where = legend([r["configuration"] for r in rows])
    print_table(
        "Fits",
        ["model", "on", "quantity", "recipe", "#points", "#MAPE", "#held out", "#median", "#p90",
         "#spread"],
        [
            [r["model"], mark, r["quantity"], r["recipe"], r["n_points"], percent(r["mape"]),
             r["n_heldout"], percent(r["heldout_median_error"]), percent(r["heldout_p90_error"]),
             percent(r["between_process_rel"])]
            for r, mark in zip(rows, marks, strict=True)
        ],
        [*where, "median and p90: error on points held out of the fit; spread: between processes"],
    )  # fmt: skip


def _api_runs(rows: list[dict[str, Any]]) -> None:
    from observatory.statistics import median

    groups: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["ours_basis"]), []).append(row)
    marks, where = legend([basis or "nothing to read it off" for _, basis in groups])

    def middle(group: list[dict[str, Any]], name: str) -> float | None:
        values = [row[name] for row in group if row[name] is not None]
        return median(values) if values else None

    print_table(
        "API runs: medians over scenarios",
        ["model", "ours from", "#runs", "#raw", "#theirs", "#ours", "#ours/theirs", "#outside"],
        [
            [model, mark, len(group), text(middle(group, "runtime_s"), "runtime_s"),
             text(middle(group, "theirs_s"), "runtime_s"),
             text(middle(group, "ours_s"), "runtime_s"), percent(middle(group, "ours_over_theirs")),
             sum(row["extrapolated"] is True for row in group)]
            for ((model, _), group), mark in zip(groups.items(), marks, strict=True)
        ],
        [*where, *sorted({f"NULL: {r['reason']}" for r in rows if r["reason"]}),
         "read at a scenario's mean tokens; outside: runs beyond the measured range"],
    )  # fmt: skip


def _findings(rows: list[dict[str, Any]]) -> None:
    print_table(
        "Findings",
        ["rule", "severity", "row", "what is wrong", "what to do"],
        [
            [r["rule"], r["severity"], f"{r['subject']} {r['subject_id']}", r["sentence"],
             r["remedy"]]
            for r in rows
        ],
    )  # fmt: skip


PRINTERS = {
    "summary": _summary, "runs": _runs, "cells": _cells, "fits": _fits, "findings": _findings,
    "api-runs": _api_runs,
}  # fmt: skip
