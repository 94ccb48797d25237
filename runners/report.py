"""What `run-benchmark` prints: the plan before, the answer after."""

from __future__ import annotations

from typing import Any

import click

from observatory.records import Phase
from observatory.units import show
from observatory.verbs import options
from observatory.verbs.tables import percent, print_table
from runners import expect
from runners.machine import Machine
from runners.models import ResolvedModel
from runners.plan import Plan
from runners.profiles import profile_named
from runners.progress import clock_text


def check_zone(zone: str | None) -> None:
    """Raise UnknownNameError for a zone that no bill can be made for, before anything is measured."""
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
        for point in target.points:
            repeats = 1 if point.phase == Phase.IDLE else plan.processes
            each_s = expect.cell_s(architecture, target, point, machine.speed, profile, window_s)
            work = point.workload
            rows.append({
                "model": target.model, "phase": str(point.phase), "role": point.role,
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
    total_s = expect.plan_s(plan, architectures, machine.speed)
    if as_json:
        options.print_json({
            "plan_hash": plan.hash, "profile": plan.profile, "processes": plan.processes,
            "seed": plan.seed, "device": machine.device.name, "expected_s": total_s, "cells": rows,
        })  # fmt: skip
        return
    print_table(
        f"{len(rows)} cells, profile {plan.profile}, {plan.processes} processes a configuration",
        ["model", "phase", "#p", "#c", "#o", "#B", "role", "#expected"],
        [
            [r["model"], r["phase"], r["prompt_tokens"], r["context_tokens"], r["output_tokens"],
             r["batch"], r["role"], show(r["expected_s"], "runtime_s", 2)]
            for r in rows
        ],
        [f"about {clock_text(total_s)} in all, loading included, on {machine.device.name} "
         "(from nominal speeds: rough)"],
    )  # fmt: skip


def print_report(database: str, run_id: str, scenario: Any, as_json: bool) -> None:
    """The answer of a run: what it cost, how sure that is, and where the data went."""
    from observatory import answers
    from observatory.store.database import open_read_only

    found = answers.run_report(open_read_only(database), run_id, scenario)
    if as_json:
        options.print_json({**found.to_json(), "database": database})
        return
    _print_cells(found)
    _print_models(found)
    click.echo(f"run {run_id} in {database}: `observatory show`, `observatory estimate`, "
               "`observatory dashboard`")  # fmt: skip


def _print_cells(found: Any) -> None:
    counts = ", ".join(f"{n} {status}" for status, n in sorted(found.cells.items()))
    click.echo(f"cells: {counts}")
    for row in found.failures:
        click.echo(f"  {row['plan_key']}: {row['status']}: {row['error']}")
    for rule, n in found.findings.items():
        click.echo(f"  finding {rule}: {n} windows")


def _print_models(found: Any) -> None:
    fits = {row["configuration_key"]: row for row in found.models}
    estimates = {e.configuration_key: e for e in found.estimates}
    if not estimates:
        click.echo("no idealized runtime: the run has too few prefill and decode cells for a fit")
        return
    any_one = next(iter(estimates.values()))
    print_table(
        f"One request: {any_one.prompt_tokens} prompt + {any_one.output_tokens} output tokens",
        ["model", "#TTFT", "#TPOT", "#E2E", "#energy", "#held-out", "#p90", "#processes"],
        [
            [e.model, show(e.ttft_s, "ttft_s"), show(e.tpot_s, "tpot_s"),
             show(e.runtime_s, "runtime_s"), show(e.energy_j, "energy_j"),
             percent(fits[k]["heldout_median_error"]), percent(fits[k]["heldout_p90_error"]),
             percent(fits[k]["between_process_rel"])]
            for k, e in estimates.items() if k in fits
        ],
        ["held-out: median and p90 error of the fit on requests that it never saw, same processes;",
         "processes: median spread between fresh processes", *_energy_notes(estimates)],
    )  # fmt: skip


def _energy_notes(estimates: dict[str, Any]) -> list[str]:
    notes = set()
    for one in estimates.values():
        if one.energy_j is None:
            notes.add(f"energy is NULL: {one.energy_reason}")
        else:
            notes.add(f"energy {one.energy_provenance} by {one.energy_method}, "
                      f"boundary {one.energy_boundary}")  # fmt: skip
    return sorted(notes)
