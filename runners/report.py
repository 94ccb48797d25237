"""What `run-benchmark` prints: the plan before, the answer after."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from observatory.records import Phase
from observatory.units import show
from observatory.verbs import options
from observatory.verbs.tables import print_table
from runners import ceiling, expect
from runners.machine import Machine
from runners.models import ResolvedModel
from runners.plan import Plan
from runners.profiles import profile_named
from runners.progress import expected_text


def check_zone(zone: str | None) -> None:
    """Raise UnknownNameError for an unknown zone, before anything is measured."""
    if zone is not None:
        from observatory.footprint.zones import resolve_zone

        resolve_zone(zone)


def plan_rows(
    plan: Plan, models: dict[str, ResolvedModel], machine: Machine
) -> list[dict[str, Any]]:
    """One row a cell, with the seconds expected over all processes."""
    profile = profile_named(plan.profile)
    window_s = profile.window_target_s(None)
    rows = []
    for target in plan.targets:
        architecture = models[target.model].architecture
        for point in (*target.points, *target.candidates):
            repeats = 1 if point.phase == Phase.IDLE else plan.processes
            role = "candidate" if point in target.candidates else point.role
            each_s = expect.cell_s(architecture, target, point, machine.speed, profile, window_s)
            work = point.workload
            rows.append({
                "model": target.model, "phase": str(point.phase), "role": role,
                "prompt_tokens": work.prompt_tokens, "context_tokens": work.context_tokens,
                "output_tokens": work.output_tokens, "batch": work.batch, "processes": repeats,
                "expected_s": repeats * each_s, "plan_key": target.plan_key(point),
            })  # fmt: skip
    return rows


def print_plan(
    plan: Plan, models: dict[str, ResolvedModel], machine: Machine, as_json: bool
) -> None:
    """The cells and the expected time of a dry run."""
    rows = plan_rows(plan, models, machine)
    architectures = {name: model.architecture for name, model in models.items()}
    total_s = expect.plan_s(plan, architectures, machine.speed, machine.available_bytes())
    most_s = ceiling.plan_s(plan, architectures, machine.speed, machine.available_bytes())
    if as_json:
        options.print_json({
            "plan_hash": plan.hash, "profile": plan.profile, "processes": plan.processes,
            "seed": plan.seed, "device": machine.device.name, "expected_s": total_s,
            "most_s": most_s, "aim": None if plan.aim is None else asdict(plan.aim), "cells": rows,
        })  # fmt: skip
        return
    candidates = sum(row["role"] == "candidate" for row in rows)
    print_table(
        f"{len(rows) - candidates} cells"
        + (f" and {candidates} candidates" if candidates else "")
        + f", profile {plan.profile}, {plan.processes} processes a configuration",
        ["model", "phase", "#p", "#c", "#o", "#B", "role", "#expected"],
        [
            [r["model"], r["phase"], r["prompt_tokens"], r["context_tokens"], r["output_tokens"],
             r["batch"], r["role"], show(r["expected_s"], "runtime_s", 2)]
            for r in rows
        ],
        [
            *_aim_lines(plan),
            f"in all {expected_text(total_s, most_s)}; loading included, on {machine.device.name} "
            "(from nominal speeds: rough)",
        ],
    )  # fmt: skip


def _aim_lines(plan: Plan) -> list[str]:
    """How a planner will choose among the candidates; nothing for a fixed grid."""
    if plan.aim is None:
        budget_s = plan.budget_s
        more = "windows beyond the least only while time is left"
        return [] if budget_s is None else [f"a budget of {budget_s:g} s: {more}"]
    error, budget_s = plan.aim.target_error, plan.aim.budget_s
    ends = [] if error is None else [f"the error expected elsewhere is {error:.1%}"]
    ends += [] if budget_s is None else [f"{budget_s:g} s are spent on them"]
    return [f"a planner chooses among the candidates until {' or '.join(ends)}"]


def print_report(database: str, run_id: str, scenario: Any, as_json: bool) -> None:
    """The answer of a run, as `observatory report` prints it again later."""
    from observatory import answers
    from observatory.store.database import open_read_only, shown
    from observatory.verbs.report import print_report as print_answer

    found = answers.run_report(open_read_only(database), run_id, scenario)
    if as_json:
        options.print_json({**found.to_json(), "database": shown(database)})
    else:
        print_answer(found, shown(database))
