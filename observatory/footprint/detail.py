"""One request in detail: which input matters, the layers of uncertainty, and the other choices.

Repeatability, systematics and choices are kept apart (METHOD §6): the first two as bands of their
own, the third as separate numbers that no interval hides.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from observatory.errors import InputError
from observatory.footprint.bills import draws, footprints, medians
from observatory.footprint.energy import BOUNDARIES, EnergyInput, covered
from observatory.footprint.factors import KINDS_OF_CARBON, FactorTable, load_factors
from observatory.footprint.resolve import Resolved, resolve
from observatory.footprint.result import COST_NAMES, QUANTITIES, Choice, Footprint
from observatory.footprint.scenario import Scenario
from observatory.footprint.uncertainty import (
    Floats,
    busy_draws,
    draws_of,
    quantiles,
    repeat_draws,
    sensor_draws,
    variance_shares,
)
from observatory.footprint.zones import EXAMPLE_ZONES

FIT_ERROR = "error of runtime and joules"  #: the private input of a result whose time has an error


def footprint(
    energy: EnergyInput, scenario: Scenario, factors: FactorTable | None = None
) -> Footprint:
    """Bills of one request, with variance shares, layers and choices."""
    table = load_factors() if factors is None else factors
    made = footprints([energy], scenario, table)[0]
    detailed = _layered(made, energy, resolve(scenario, table, energy.device), scenario)
    return replace(detailed, choices=choices(energy, scenario, table))


def footprint_examples(
    energy: EnergyInput, scenario: Scenario, factors: FactorTable | None = None
) -> list[Footprint]:
    """Bills in three contrasting zones, each marked as an example, for where no zone was given."""
    out = []
    for zone in EXAMPLE_ZONES:
        made = footprint(energy, replace(scenario, zone=zone), factors)
        out.append(replace(made, example=True))
    return out


def choices(energy: EnergyInput, scenario: Scenario, table: FactorTable) -> tuple[Choice, ...]:
    """The bill that each other choice would give: boundary, hydro rule, kind of carbon intensity.

    Options for which an input is missing are left out.
    """
    options: list[tuple[str, str, Scenario, str]] = [
        ("boundary", b, replace(scenario, boundary=b), "energy_wh")
        for b in BOUNDARIES if b != scenario.boundary
    ]  # fmt: skip
    if scenario.ewif_l_per_kwh is None:
        options += [
            ("hydro rule", rule, replace(scenario, hydro_rule=rule, hydro_l_per_kwh=None),
             "water_l") for rule in ("zero", "allocated") if rule != scenario.hydro_rule
        ]  # fmt: skip
    if scenario.carbon_intensity_g_per_kwh is None and scenario.zone is not None:
        options += [
            ("kind", kind, replace(scenario, kind=kind), "co2e_operational_g")
            for kind in KINDS_OF_CARBON
        ]
    out = []
    own = resolve(scenario, table, energy.device).kind
    for choice, option, other, quantity in options:
        if choice == "kind" and option == own:
            continue
        value = _point(energy, other, table, quantity, whole=choice == "boundary")
        if value is not None:
            out.append(Choice(choice, option, quantity, value))
    return tuple(out)


def _point(
    energy: EnergyInput, scenario: Scenario, table: FactorTable, quantity: str, whole: bool
) -> float | None:
    """The value of one quantity; None where it cannot be had, or (`whole`) is only a part."""
    try:
        resolved = resolve(scenario, table, energy.device)
    except InputError:  # the zone has no carbon intensity of that kind
        return None
    inside = covered(energy, scenario.boundary, scenario.active_share)
    if inside.joules is None or (whole and inside.missing):
        return None
    found = medians([energy], [inside], resolved, scenario).get(quantity)
    return None if found is None else float(found[0, 0])


def _layered(
    made: Footprint, energy: EnergyInput, resolved: Resolved, scenario: Scenario
) -> Footprint:
    """Add variance shares and the bands of repeatability and of systematics alone.

    Joules and device time of one request share their private draws, so they are one input.
    """
    billed = {name: name for name in QUANTITIES}
    if made.cost_basis is not None:
        billed["cost_usd"] = COST_NAMES[made.cost_basis]
    bills = made.bills()
    billed = {name: made_as for name, made_as in billed.items() if bills[name].value is not None}
    inside = [covered(energy, scenario.boundary, scenario.active_share)]
    n, seed = scenario.draws, scenario.seed
    inputs: dict[str, Floats] = {energy.sensor_id: sensor_draws(energy, n, seed)}
    own, time = repeat_draws(energy, n, seed), busy_draws(energy, n, seed)
    if not isinstance(time, float):
        inputs[FIT_ERROR] = time if isinstance(own, float) else own
    elif not isinstance(own, float):
        inputs["repeatability"] = own
    for factor in resolved.factors.values():
        values = draws_of(factor, n, seed)
        if not isinstance(values, float):
            inputs[factor.id] = values
    full = draws([energy], scenario, resolved, inside)
    shares = {name: variance_shares(full[made_as][0], inputs) for name, made_as in billed.items()}
    layers = {}
    for layer, repeat in (("repeatability", True), ("systematic", False)):
        part = draws([energy], scenario, resolved, inside, repeat=repeat, shared=not repeat)
        for name, made_as in billed.items():
            low, _, high = (float(q) for q in quantiles(np.array(part[made_as]))[:, 0])
            layers[f"{name}.{layer}"] = (low, high)
    return replace(made, variance_shares=shares, layers=layers)
