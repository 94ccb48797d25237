"""A measured configuration at a stated utilisation against a provider's list price.

Money: the hardware is paid by the hour (a rented price, or a purchase over its life) whether or not
it serves; electricity is paid by the request where a tariff is stated and rent does not include it.
Carbon and water: embodied carbon is the fixed part; of a provider only an interval of energy a
request is known at best, and its grid not at all, so its bills are an interval over example zones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Engine

from observatory import answers
from observatory.catalog.prices import ApiPrice
from observatory.decision.breakeven import BreakEven, break_even, capacity_per_h
from observatory.errors import InputError
from observatory.footprint import EXAMPLE_ZONES, EnergyInput, Scenario, footprints, load_factors
from observatory.footprint.carbon import S_PER_YEAR, embodied_g
from observatory.footprint.resolve import Resolved, resolve
from observatory.footprint.result import Bill
from observatory.records import Workload

S_PER_HOUR = 3600.0
J_PER_WH = 3600.0


@dataclass(frozen=True, slots=True)
class Against:
    """One configuration against one provider. `co2e_g` and `water_l` are intervals, or say why
    not; `usd` is None where the hardware has no price, with the flag that gives it."""

    model: str
    configuration: str
    workload: str
    utilisation: float
    provider: str
    price_source: str
    usd: BreakEven | None
    usd_reason: str | None
    co2e_g: BreakEven | None
    water_l: BreakEven | None
    energy_reason: str | None
    lower_bound: str | None  #: what the own energy leaves out, where a break-even rests on it

    def to_json(self) -> dict[str, Any]:
        """Nested plain values."""
        return asdict(self)


def against(
    engine: Engine,
    model: str,
    workload: Workload,
    offers: Sequence[ApiPrice],
    utilisation: float,
    scenario: Scenario,
    provider_wh: tuple[float, float] | None = None,
) -> list[Against]:
    """Every configuration of `model` against every offer, cheapest capacity first.

    `provider_wh` bounds the provider's energy a request, in Wh at its facility. Raises InputError
    for a utilisation outside (0, 1], UnknownNameError for a model that was not measured.
    """
    made = []
    for estimate, energy in answers.energy_inputs(engine, workload, model):
        capacity = capacity_per_h(estimate.runtime_s, workload.batch, utilisation)
        factors = resolve(scenario, load_factors(), energy.device)
        fixed, marginal, reason = _own_usd(energy, scenario, factors, utilisation)
        bills = _own_and_provider(energy, scenario, factors, utilisation, provider_wh, capacity)
        for offer in offers:
            price = offer.request_usd(workload.prompt_tokens or 0, workload.output_tokens or 0)
            usd = None if fixed is None else _marked(
                break_even(fixed, marginal.value or 0.0, price, capacity), marginal
            )  # fmt: skip
            least = any(found.lower_bound for found in (usd, *bills[:2]) if found is not None)
            made.append(Against(
                estimate.model, estimate.configuration, workload.label(), utilisation,
                f"{offer.provider} {offer.model}", offer.source, usd, reason, *bills,
                footprints([energy], scenario)[0].lower_bound if least else None,
            ))  # fmt: skip
    return made


def _own_usd(
    energy: EnergyInput, scenario: Scenario, factors: Resolved, utilisation: float
) -> tuple[float | None, Bill, str | None]:
    """(fixed $ an hour, $ a request, why there is none)."""
    none = Bill(0.0)
    values = {role: f.value for role, f in factors.factors.items()}
    if "price" in values:
        return values["price"] * energy.device_count, none, None
    if scenario.capex_usd is None:
        return None, none, "no price of the hardware: --gpu-price (USD/h) or --capex (USD) gives it"
    if "tariff" not in values or "life" not in values:
        return None, none, factors.missing.get("tariff") or "no lifetime: --lifetime-years gives it"
    made = footprints([energy], scenario)[0].costs["electricity"]
    if made.value is None:
        return None, none, made.reason
    hours = values["life"] * S_PER_YEAR / S_PER_HOUR
    return scenario.capex_usd * energy.device_count / hours, made, None


def _own_and_provider(
    energy: EnergyInput,
    scenario: Scenario,
    factors: Resolved,
    utilisation: float,
    provider_wh: tuple[float, float] | None,
    capacity: float,
) -> tuple[BreakEven | None, BreakEven | None, str | None]:
    """Break-even in grams and in litres against the interval of the provider's bills."""
    if provider_wh is None:
        return None, None, "the provider's energy is unknown: --provider-wh LOW,HIGH bounds it"
    own = footprints([energy], scenario)[0]
    if own.co2e_operational_g.value is None or own.water_l.value is None:
        return None, None, own.co2e_operational_g.reason or own.water_l.reason
    values = {role: f.value for role, f in factors.factors.items()}
    hourly: float | None = None
    if {"embodied", "life"} <= set(values):
        mass = values["embodied"] + values.get("server", 0.0)
        hourly = embodied_g(mass, S_PER_HOUR * energy.device_count, values["life"], 1.0)
    theirs = [
        footprints([EnergyInput(facility_j=wh * J_PER_WH, provenance="estimated", device=None)],
                   replace(scenario, zone=zone))[0]
        for zone in EXAMPLE_ZONES for wh in provider_wh
    ]  # fmt: skip
    grams = [f.co2e_operational_g.value for f in theirs if f.co2e_operational_g.value is not None]
    litres = [f.water_l.value for f in theirs if f.water_l.value is not None]
    if not grams or not litres:
        return None, None, "the example zones give no bill of the provider"
    water = _interval(0.0, own.water_l, litres, capacity)
    if hourly is None:
        return None, water, "no embodied carbon of the device: --embodied-kg gives it"
    return _interval(hourly, own.co2e_operational_g, grams, capacity), water, None


def _interval(fixed: float, marginal: Bill, others: Sequence[float], capacity: float) -> BreakEven:
    low, high = min(others), max(others)
    middle = (low * high) ** 0.5
    found = break_even(fixed, marginal.value or 0.0, middle, capacity, low, high)
    return _marked(found, marginal)


def _marked(found: BreakEven, marginal: Bill) -> BreakEven:
    """A marginal cost that leaves something out makes every volume a lower bound."""
    return replace(found, lower_bound=marginal.lower_bound)


def parse_interval(text: str) -> tuple[float, float]:
    """Two positive numbers, `LOW,HIGH`. Raises InputError."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low <= high < float("inf"):
        raise InputError(f"interval {text!r}: give two positive numbers, such as 0.2,0.6")
    return low, high
