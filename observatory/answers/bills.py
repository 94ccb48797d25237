"""A request billed: in a scenario, against another configuration, in detail, by zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
from sqlalchemy import Engine

from observatory.answers.estimates import Estimate
from observatory.answers.requests import energy_inputs
from observatory.footprint import (
    EXAMPLE_ZONES,
    EnergyInput,
    FactorTable,
    Footprint,
    Scenario,
    footprint,
    footprints,
    load_factors,
)
from observatory.footprint import comparison as footprint_comparison
from observatory.footprint.ladder import Rung, ladder
from observatory.footprint.resolve import resolve
from observatory.records import Workload


def estimate(
    engine: Engine,
    workload: Workload,
    scenario: Scenario | None = None,
    model: str | None = None,
    factors: FactorTable | None = None,
    keys: Sequence[str] | None = None,
    known: Mapping[tuple[str, str | None], str] | None = None,
) -> list[Estimate]:
    """What a request costs on each measured configuration (or those of `keys`), fastest first.

    `known` saves looking the scores up again, as in `energy_inputs`.

    `scenario` without a zone bills in three contrasting example zones. Raises InputError where
    nothing was measured yet, UnknownNameError for a model without a fit.
    """
    bare = energy_inputs(engine, workload, model, keys, known)
    table = load_factors() if factors is None else factors
    billed = _bill([e for e, _ in bare], [i for _, i in bare], scenario or Scenario(), table)
    return sorted(billed, key=lambda e: (e.runtime_s, e.model, e.configuration_key))


def compare(
    engine: Engine, workload: Workload, scenario: Scenario, a: str, b: str
) -> footprint_comparison.Change:
    """What moving one request from configuration `a` to `b` (their keys) saves, on shared draws.

    Raises InputError for an unknown key, or a scenario without a zone.
    """
    cases = [_one(engine, workload, key) for key in (a, b)]
    names = [f"{e.model} on {e.configuration}" for e, _ in cases]
    if cases[0][0].configuration == cases[1][0].configuration:
        names = [e.model for e, _ in cases]
    first, second = (
        footprint_comparison.Case(name, joules, scenario)
        for name, (_, joules) in zip(names, cases, strict=True)
    )
    return footprint_comparison.compare(first, second)


def bill_in_detail(
    engine: Engine, workload: Workload, scenario: Scenario, key: str
) -> tuple[Footprint, tuple[Rung, ...]]:
    """One configuration's bills with variance shares, and its ladder of boundaries.

    Raises InputError for an unknown key, or a scenario without a zone.
    """
    _, joules = _one(engine, workload, key)
    table = load_factors()
    pue = resolve(scenario, table, joules.device).factors["pue"].value
    return footprint(joules, scenario, table), ladder(joules, pue, scenario.active_share)


def bills_by_zone(
    engine: Engine, workload: Workload, scenario: Scenario, key: str, zones: Sequence[str]
) -> pd.DataFrame:
    """One configuration's bills in each of `zones`, all else as the scenario has it."""
    _, joules = _one(engine, workload, key)
    made = [footprints([joules], replace(scenario, zone=zone))[0] for zone in zones]
    return pd.DataFrame([{"zone_name": f.zone_name, **f.row()} for f in made])


def _one(engine: Engine, workload: Workload, key: str) -> tuple[Estimate, EnergyInput]:
    return energy_inputs(engine, workload, None, [key], known={})[0]


def _bill(
    bare: Sequence[Estimate],
    energies: Sequence[EnergyInput],
    scenario: Scenario,
    table: FactorTable,
) -> list[Estimate]:
    stated = scenario.zone is not None or scenario.carbon_intensity_g_per_kwh is not None
    zones = [scenario] if stated else [replace(scenario, zone=z) for z in EXAMPLE_ZONES]
    made = [footprints(energies, each, table) for each in zones]
    return [
        replace(e, footprints=tuple(replace(column[i], example=not stated) for column in made))
        for i, e in enumerate(bare)
    ]
