"""The tables of `observatory export` and of the bundle by name: each a question to `answers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import pandas as pd
from sqlalchemy import Engine

from observatory import answers
from observatory.errors import InputError, UnknownNameError
from observatory.footprint import FactorTable, Scenario
from observatory.records import Workload
from observatory.tradeoffs import Limits
from observatory.tradeoffs import frontier as ask_frontier


@dataclass(frozen=True)
class Ask:
    """What the tables are of; a table uses what concerns it. `keys` are configurations."""

    workload: Workload | None = None
    scenario: Scenario = field(default_factory=Scenario)
    factors: FactorTable | None = None
    keys: tuple[str, ...] = ()
    run_id: str | None = None
    cost: str = "energy_j"
    lane: str | None = None
    imported: bool = False
    mix_lanes: bool = False
    limits: Limits = field(default_factory=Limits)


def table(engine: Engine, what: str, ask: Ask | None = None) -> pd.DataFrame:
    """The table called `what`. Raises UnknownNameError, and InputError as the question does."""
    if what not in TABLES:
        raise UnknownNameError("table", what, list(TABLES), f"one of {', '.join(TABLES)}")
    asked = ask or Ask()
    made = TABLES[what](engine, asked)
    if asked.keys and "configuration_key" in made:
        made = made[made["configuration_key"].isin(asked.keys)].reset_index(drop=True)
    return made


def request(engine: Engine, ask: Ask) -> Workload:
    """The request asked for, else one that most fits cover."""
    return ask.workload or Workload.request(*answers.covered_request(engine))


def _footprint(engine: Engine, ask: Ask) -> pd.DataFrame:
    return answers.estimate_frame(
        answers.estimate(engine, request(engine, ask), ask.scenario, None, ask.factors)
    )


def _frontier(engine: Engine, ask: Ask) -> pd.DataFrame:
    """One row a point; the cost is named by its quantity, so that its unit stands in its name."""
    if ask.lane is None:
        raise InputError("--what frontier needs --lane; `observatory frontier --lanes` lists them")
    found = ask_frontier(
        engine, ask.cost, ask.lane, request(engine, ask), ask.scenario, ask.imported,
        ask.mix_lanes, ask.limits,
    )  # fmt: skip
    names = {"cost": ask.cost, "cost_low": f"{ask.cost}_low", "cost_high": f"{ask.cost}_high"}
    rows = [
        {"group": group.name, "workload": group.workload}
        | {names.get(k, k): v for k, v in asdict(point).items()}
        | {"badge": found.badge, "lower_bound": group.lower_bound}
        for group in found.groups for point in group.points
    ]  # fmt: skip
    return pd.DataFrame(rows)


TABLES: Mapping[str, Callable[[Engine, Ask], pd.DataFrame]] = {
    "summary": lambda engine, _: answers.summary(engine),
    "windows": lambda engine, ask: answers.windows(engine, ask.run_id),
    "fits": lambda engine, _: answers.fits(engine, None),
    "footprint": _footprint,
    "frontier": _frontier,
    "idealized": lambda engine, _: answers.idealized(engine),
    "configurations": lambda engine, _: answers.configurations(engine),
    "estimates": lambda engine, _: answers.footprint_table(engine),
    "capability": lambda engine, _: answers.capability_table(engine),
    "runs": lambda engine, _: answers.runs(engine),
    "cells": lambda engine, ask: answers.cells(engine, ask.run_id),
    "findings": lambda engine, _: answers.findings(engine),
}
