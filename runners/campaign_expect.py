"""How long a campaign will take on a device, before anything is measured there, or anything at all.

Times of cells are those of `runners.expect`: FLOPs and bytes at a share of nominal peaks, launch
cost, the profile's windows. What a part takes with all else is `runners.foresight`'s, a range.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from observatory.catalog import hardware
from observatory.records import Device
from observatory.units import show
from observatory.verbs import options
from observatory.verbs.tables import print_table
from runners import expect
from runners.campaign_file import Part
from runners.devices import Chosen
from runners.expect import TICK_S
from runners.foresight import Span, part_span
from runners.memory import refusal
from runners.models import ResolvedModel, resolve
from runners.plan import Plan
from runners.profiles import profile_named
from runners.request import make_plan


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell with its expected seconds over all processes, or why it will be refused."""

    part: str
    profile: str
    model: str
    phase: str
    prompt_tokens: int | None
    context_tokens: int | None
    output_tokens: int | None
    batch: int
    processes: int
    expected_s: float
    refused: str | None


@dataclass(frozen=True, slots=True)
class Expected:
    """A whole campaign on one device; `parts` with loading, idle baselines and anchors."""

    device: str
    cells: tuple[Cell, ...]
    parts: dict[str, Span]
    budgets_s: float | None = None  #: of all parts together, where each has one

    @property
    def total(self) -> Span:
        """All parts."""
        return sum(self.parts.values(), Span())


def expectations(parts: list[Part], device: str | None) -> Expected:
    """What the parts will take on an accelerator of the catalogue, or on the device that is here.

    Raises InputError, UnknownNameError.
    """
    from runners.benchmark import prepare
    from runners.environment import nvidia_devices

    cells: list[Cell] = []
    spans: dict[str, Span] = {}
    budgets: list[float] = []
    name = device or "this machine"
    here = [] if device is not None else nvidia_devices()
    room: int | None
    for part in parts:
        if device is not None:
            chosen, room = catalogue_device(device)
            plan, models = make_plan(part.request, chosen, 1, resolve, room)
            speed = expect.nominal_speed(chosen, 1)
            name = chosen.accelerator.name if chosen.accelerator else device
        else:
            plan, models, machine = prepare(part.request, here)
            room, speed = machine.available_bytes(), machine.speed
            name = machine.device.accelerator.name if machine.device.accelerator else "cpu"
        cells += part_cells(part.label, plan, models, speed, room)
        spans[part.label] = part_span(plan, models, speed, room)
        budgets += [] if plan.budget_s is None else [plan.budget_s]
    held_s = sum(budgets) if len(budgets) == len(parts) else None
    return Expected(name, tuple(cells), spans, held_s)


def catalogue_device(name: str) -> tuple[Chosen, int]:
    """An accelerator of the catalogue as if it were here and empty, and its memory in bytes."""
    card = hardware.lookup(name)
    room = round(card.memory_bytes)
    return Chosen("cuda", Device(0, "cuda", card.name, memory_bytes=room)), room


def part_cells(
    label: str, plan: Plan, models: dict[str, ResolvedModel], speed: expect.Speed,
    room: int | None,
) -> list[Cell]:  # fmt: skip
    """The working cells of a part."""
    profile = profile_named(plan.profile)
    window_s = profile.window_target_s(TICK_S)
    cells = []
    for target in plan.targets:
        architecture = models[target.model].architecture
        for point in target.points:
            if point.role in ("idle", "anchor"):
                continue
            each_s = expect.cell_s(architecture, target, point, speed, profile, window_s)
            work = point.workload
            cells.append(
                Cell(label, plan.profile, target.model, str(point.phase), work.prompt_tokens,
                     work.context_tokens, work.output_tokens, work.batch, plan.processes,
                     plan.processes * each_s, refusal(architecture, target, point, room))
            )  # fmt: skip
    return cells


def print_expectations(found: Expected, as_json: bool) -> None:
    """The cells, the parts and the sum."""
    if as_json:
        options.print_json({
            "device": found.device, "expected_s": asdict(found.total),
            "parts_s": {name: asdict(span) for name, span in found.parts.items()},
            "cells": [_plain(cell) for cell in found.cells],
        })  # fmt: skip
        return
    print_table(
        f"{len(found.cells)} cells on {found.device}",
        ["part", "phase", "#p", "#c", "#o", "#B", "#processes", "#expected"],
        [
            [c.part, c.phase, c.prompt_tokens, c.context_tokens, c.output_tokens, c.batch,
             c.processes, "refused" if c.refused else show(c.expected_s, "runtime_s", 3)]
            for c in found.cells
        ],
        [f"{c.part} {c.phase} B={c.batch}: refused: {c.refused}" for c in found.cells if c.refused]
        + [f"part {name}: {span.sentence} with loading, idle baselines and anchors"
           for name, span in found.parts.items()]
        + [f"{found.total.sentence} in all: from nominal speeds and one H100's timeline; "
           + _most(found)],
    )  # fmt: skip


def _most(found: Expected) -> str:
    """Where the upper end comes from."""
    if found.budgets_s is None:
        return "the most where the device heats slowly and windows scatter"
    return (
        f"the budgets hold it to {found.budgets_s / 60:.1f} min, with windows beyond the least "
        "as long as they last"
    )


def _plain(cell: Cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in Cell.__slots__}
