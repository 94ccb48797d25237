"""Four bills for a request: energy, carbon, water and money, each with its interval.

`footprints` bills many requests at once with the same draws; `detail.footprint` bills one and says
more. The value of a bill is the formula at the median of every input; `low` and `high` are p5 and
p95 of the draws. A bill that cannot be made is None with a reason that names the flag which would
give it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from observatory.errors import InputError
from observatory.footprint.energy import Covered, EnergyInput, covered
from observatory.footprint.factors import FactorTable, load_factors
from observatory.footprint.formulas import NO_JOULES, PER_DEVICE_SECOND, Amount, Use, outputs
from observatory.footprint.resolve import Resolved, resolve
from observatory.footprint.result import COST_NAMES, QUANTITIES, Bill, Footprint
from observatory.footprint.scenario import Scenario
from observatory.footprint.uncertainty import (
    Floats,
    busy_draws,
    draws_of,
    quantiles,
    repeat_draws,
    sensor_draws,
)
from observatory.footprint.zones import zones

CHUNK = 64  #: estimates per block, so that a block of draws stays in the cache


def footprints(
    energies: Sequence[EnergyInput],
    scenario: Scenario,
    factors: FactorTable | None = None,
) -> list[Footprint]:
    """Bills of many requests in one scenario, in the order given; shared inputs share draws."""
    table = load_factors() if factors is None else factors
    resolved = {device: resolve(scenario, table, device) for device in {e.device for e in energies}}
    out: list[Footprint | None] = [None] * len(energies)
    inside = [covered(e, scenario.boundary, scenario.active_share) for e in energies]
    key = scenario.key
    for indexes in _blocks(energies, inside):
        block = [energies[i] for i in indexes]
        factor = resolved[block[0].device]
        within = [inside[i] for i in indexes]
        mids = medians(block, within, factor, scenario)
        bands = _bands(draws(block, scenario, factor, within))
        for row, index in enumerate(indexes):
            bills = _bills(row, mids, bands, inside[index], factor, scenario)
            made = _assemble(
                bills, energies[index], inside[index], factor, scenario, (table.edition, key)
            )
            out[index] = made
    return [made for made in out if made is not None]


def _blocks(energies: Sequence[EnergyInput], inside: Sequence[Covered]) -> Iterable[list[int]]:
    """Indexes of estimates that use the same factors and formulas, in blocks of CHUNK."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, (energy, part) in enumerate(zip(energies, inside, strict=True)):
        tokens = energy.prompt_tokens is not None and energy.output_tokens is not None
        key = (energy.device, part.joules is None, part.pue_inside, energy.busy_s is None, tokens)
        groups.setdefault(key, []).append(i)
    for indexes in groups.values():
        for start in range(0, len(indexes), CHUNK):
            yield indexes[start : start + CHUNK]


def draws(
    block: Sequence[EnergyInput],
    scenario: Scenario,
    resolved: Resolved,
    inside: Sequence[Covered],
    repeat: bool = True,
    shared: bool = True,
) -> dict[str, Floats]:
    """Draws of every quantity, shape (len(block), draws); the block shares device and formulas.

    `repeat` and `shared` switch what is private to a result (repeatability, the error of its
    runtime) and everything systematic on, to show them apart.
    """
    n, seed = scenario.draws, scenario.seed
    gains, times = np.empty((len(block), n)), np.empty((len(block), n))
    for row, energy in enumerate(block):
        own: Amount = repeat_draws(energy, n, seed) if repeat else 1.0
        gains[row] = sensor_draws(energy, n, seed) * own if shared else own
        times[row] = busy_draws(energy, n, seed) if repeat else 1.0
    exact = not repeat or all(not energy.busy_error_rel for energy in block)
    use = _use(block, inside, gains, 1.0 if exact else times)
    values = {
        role: draws_of(f, n, seed) if shared else f.value for role, f in resolved.factors.items()
    }
    made = outputs(use, values, scenario)
    return {k: np.broadcast_to(np.asarray(v, float), gains.shape) for k, v in made.items()}


def _use(
    block: Sequence[EnergyInput], inside: Sequence[Covered], gains: Amount, times: Amount
) -> Use:
    def column(values: list[float | None]) -> Floats | None:
        known = [v for v in values if v is not None]
        return np.array(known)[:, None] if len(known) == len(values) else None

    joules = column([part.joules for part in inside])
    device_s = column([e.device_count * e.busy_s / e.batch if e.busy_s is not None else None
                       for e in block])  # fmt: skip
    prompt, output = (
        column([getattr(e, name) for e in block]) for name in ("prompt_tokens", "output_tokens")
    )
    return Use(
        joules=np.full((len(block), 1), np.nan) if joules is None else joules * gains,
        device_s=None if device_s is None else device_s * times,
        tokens=None if prompt is None or output is None else (prompt, output),
        pue_inside=inside[0].pue_inside,
    )


def medians(
    block: Sequence[EnergyInput],
    inside: Sequence[Covered],
    resolved: Resolved,
    scenario: Scenario,
) -> dict[str, Floats]:
    """Quantities at the median of every input, shape (len(block), 1)."""
    use = _use(block, inside, 1.0, 1.0)
    mids: dict[str, Amount] = {role: f.value for role, f in resolved.factors.items()}
    made = outputs(use, mids, scenario)
    return {k: np.broadcast_to(np.asarray(v, float), (len(block), 1)) for k, v in made.items()}


def _bands(made: Mapping[str, Floats]) -> dict[str, Floats]:
    """p5, p50, p95 of every quantity, shape (3, len(block))."""
    return {name: quantiles(np.array(values)) for name, values in made.items()}


def _bills(
    row: int,
    mids: Mapping[str, Floats],
    bands: Mapping[str, Floats],
    inside: Covered,
    resolved: Resolved,
    scenario: Scenario,
) -> dict[str, Bill]:
    out: dict[str, Bill] = {}
    for name in (*QUANTITIES, *COST_NAMES.values()):
        needs_joules = name not in NO_JOULES
        if needs_joules and inside.joules is None:
            why = "; ".join(f"{part}: {text}" for part, text in inside.missing.items())
            out[name] = Bill(reason=f"energy unknown at boundary {scenario.boundary} ({why})")
        elif name in mids:
            low, mid, high = (float(q) for q in bands[name][:, row])
            least = needs_joules and bool(inside.missing)
            out[name] = Bill(float(mids[name][row, 0]), low, high, mid, lower_bound=least)
        else:
            out[name] = Bill(reason=_reason(name, resolved, scenario))
    return out


def _reason(name: str, resolved: Resolved, scenario: Scenario) -> str:
    missing = resolved.missing
    needs = {
        "co2e_operational_g": ("ci",),
        "co2e_embodied_g": ("embodied", "life", "active"),
        "co2e_total_g": ("ci", "embodied", "life", "active"),
        "water_on_site_l": ("wue",),
        "water_off_site_l": ("ewif",),
        "water_l": ("wue", "ewif"),
        "cost_electricity_usd": ("tariff",),
        "cost_own_usd": ("tariff", "life", "active"),
        "cost_cloud_usd": ("price",),
    }
    for role in needs.get(name, ()):
        if role in missing:
            return missing[role]
    if name == "cost_own_usd" and scenario.capex_usd is None:
        return "no purchase price of a device: --capex gives it (USD)"
    if name == "cost_api_usd":
        if None not in (scenario.api_input_usd_per_mtok, scenario.api_output_usd_per_mtok):
            return "tokens of the request are unknown: --prompt and --output give them"
        return "no list price: --api-input-price and --api-output-price give it (USD/Mtoken)"
    if name == "water_withdrawal_l":
        return "no cycles of concentration: --cycles gives them"
    if name == "water_scarcity_l":
        return "no scarcity factors: --scarcity gives them (for example from an AWARE file)"
    return "device time of the request is unknown: --busy-s gives it"


def _assemble(
    bills: dict[str, Bill],
    energy: EnergyInput,
    inside: Covered,
    resolved: Resolved,
    scenario: Scenario,
    identity: tuple[str, str],
) -> Footprint:
    basis, money = _headline_cost(bills, scenario, resolved)
    notes = list(resolved.notes)
    if inside.missing and inside.joules is not None:
        parts = ", ".join(f"{part} ({why})" for part, why in inside.missing.items())
        notes.append(f"lower bound: energy leaves out {parts}")
    timed = any(bills[name].value is not None for name in PER_DEVICE_SECOND)
    if timed and "busy_error_rel" in energy.reasons:
        why = energy.reasons["busy_error_rel"]
        notes.append(f"embodied carbon and money leave out the error of the runtime ({why})")
    roles = _roles_used(bills, inside, scenario.boundary)
    used = [f.id for role, f in resolved.factors.items() if role in roles]
    return Footprint(
        energy_wh=bills["energy_wh"],
        co2e_operational_g=bills["co2e_operational_g"],
        co2e_embodied_g=bills["co2e_embodied_g"],
        co2e_total_g=bills["co2e_total_g"],
        water_on_site_l=bills["water_on_site_l"],
        water_off_site_l=bills["water_off_site_l"],
        water_l=bills["water_l"],
        water_withdrawal_l=bills["water_withdrawal_l"],
        water_scarcity_l=bills["water_scarcity_l"],
        cost_usd=money,
        costs={base: bills[name] for base, name in COST_NAMES.items()},
        cost_basis=basis,
        boundary=scenario.boundary,
        covers=inside.covers,
        complete=not inside.missing,
        zone=scenario.zone,
        zone_name=zones()[scenario.zone].name if scenario.zone else None,
        edition=identity[0],
        kind=resolved.kind,
        provenance=energy.provenance,
        method=energy.method or energy.provenance,
        hydro_rule=scenario.hydro_rule,
        factor_ids=tuple(sorted(used)),
        assumed=resolved.assumed(roles),
        notes=tuple(notes),
        scenario_key=identity[1],
        label=energy.label,
        energy=energy,
        leaves_out=tuple(inside.missing),
        draws=scenario.draws,
        seed=scenario.seed,
    )


def _roles_used(bills: Mapping[str, Bill], inside: Covered, boundary: str) -> set[str]:
    roles = {"ci", "wue", "ewif", "tariff"} if inside.joules is not None else set()
    if boundary == "facility" and inside.joules is not None:
        roles |= {"pue"}
    if bills["co2e_embodied_g"].value is not None:
        roles |= {"embodied", "server", "life", "active"}
    if bills["cost_own_usd"].value is not None:
        roles |= {"life", "active"}
    if bills["cost_cloud_usd"].value is not None:
        roles |= {"price"}
    return roles


def _headline_cost(
    bills: Mapping[str, Bill], scenario: Scenario, resolved: Resolved
) -> tuple[str | None, Bill]:
    wanted = [scenario.cost_basis] if scenario.cost_basis else list(COST_NAMES)
    for basis in wanted:
        bill = bills[COST_NAMES[basis]]
        if bill.value is not None:
            return basis, bill
    if scenario.cost_basis:
        return scenario.cost_basis, bills[COST_NAMES[scenario.cost_basis]]
    for role, basis in (("tariff", "electricity"), ("price", "cloud")):
        if role not in resolved.missing:  # a price was given: something else is missing
            return None, bills[COST_NAMES[basis]]
    return None, Bill(reason="no price: --tariff (USD/kWh) or --gpu-price (USD/h) gives it")


def require_one_kind(made: Iterable[Footprint]) -> None:
    """Raises InputError where a table would mix kinds of carbon intensity."""
    kinds = {f.kind: f.zone for f in made if f.kind is not None}
    if len(kinds) > 1:
        text = ", ".join(f"{zone}: {kind}" for kind, zone in kinds.items())
        raise InputError(f"carbon intensities of different kinds in one table ({text}): say --kind")
