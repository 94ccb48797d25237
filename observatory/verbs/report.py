"""`observatory report`: the answer of one run, as `run-benchmark` prints it at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from observatory.verbs import billing, options
from observatory.verbs.tables import legend, percent, print_table

if TYPE_CHECKING:
    from observatory.answers import RunReport


@click.command(name="report")
@click.argument("run_id", required=False)
@billing.zone
@billing.choices
@options.database
@options.as_json
def command(run_id: str | None, db: str, json_: bool, **choices: Any) -> None:
    """The answer of RUN_ID (default: the newest run): fits, errors, bills, what failed."""
    from observatory import answers
    from observatory.errors import InputError
    from observatory.footprint import Scenario
    from observatory.store.database import open_read_only, shown

    scenario = Scenario(**choices)
    engine = open_read_only(db)
    if run_id is None:
        known = answers.runs(engine)
        if known.empty:
            raise InputError(f"no run in {shown(db)} yet: `run-benchmark` makes one")
        run_id = str(known["id"].iloc[0])
    found = answers.run_report(engine, run_id, scenario)
    if json_:
        options.print_json(found.to_json())
    else:
        print_report(found, shown(db))


def print_report(report: RunReport, database: str) -> None:
    """Print what a run found: the sentence, the tables, what failed, and where the data are."""
    from rich.console import Console
    from rich.text import Text

    from observatory.headline import headline
    from observatory.verbs.estimate import print_estimates
    from observatory.verbs.tables import WIDTH, terminal_width

    console = Console(width=min(WIDTH, terminal_width()))
    if report.estimates:
        console.print(Text(headline(report.estimates), style="bold"))
        console.print()
        _print_fits(report.models, report.planners)
        print_estimates(report.estimates)
    else:
        console.print(Text("No fit: a fit needs a prefill and a decode point measured."))
    if report.run["sensor"] is None and report.run["sensor_reason"]:
        console.print(Text(f"energy is NULL: {report.run['sensor_reason']}", style="dim"))
    for failure in report.failures:
        said = f"{failure['status']}: {failure['model']} {failure['phase']}: {failure['error']}"
        console.print(Text(said, style="red"))
    counted = ", ".join(f"{n} {status}" for status, n in sorted(report.cells.items()))
    flagged = ", ".join(f"{n} {rule}" for rule, n in report.findings.items())
    console.print(Text(f"run {report.run['id']}: cells {counted}; findings: {flagged or 'none'}"))
    console.print(Text(f"all of it in {database}: `observatory show`, `observatory dashboard`"))


def _print_fits(models: tuple[dict[str, Any], ...], planners: tuple[dict[str, Any], ...]) -> None:
    marks, where = legend([m["configuration"] for m in models])
    print_table(
        "Idealized runtime: fitted, and held against points that no fit saw",
        ["model", "on", "#points", "#MAPE", "#held out", "#mean error", "#median", "#p90",
         "#between processes"],
        [
            [m["model"], mark, m["n_points"], percent(m["mape"]), m["n_heldout"],
             percent(m["heldout_mean_error"]), percent(m["heldout_median_error"]),
             percent(m["heldout_p90_error"]), percent(m["between_process_rel"])]
            for m, mark in zip(models, marks, strict=True)
        ],
        [*where, "held-out points were measured in the same processes; 'between processes' is the "
         "median spread",
         *sorted({f"MAPE –: {m['error_reason']}" for m in models if m["error_reason"]}),
         *map(_planned, planners)],
    )  # fmt: skip


def _planned(made: dict[str, Any]) -> str:
    """What a planner promised, in a line."""
    error, goal = made["expected_error"], made["target_error"]
    expected = "" if error is None else f", expected error {percent(error)}"
    aimed = "" if goal is None else f" of {percent(goal)} asked for"
    return (
        f"{made['target']}: planner chose {made['chosen']} of {made['candidates']} points in "
        f"{made['spent_s']:.1f} s: {made['stopped']}{expected}{aimed}"
    )
