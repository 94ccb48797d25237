"""The bills as one function of joules and factors, on plain numbers and on draws alike.

METHOD §5 in one place: the same code gives the value (every input at its median) and the interval
(every input as draws), so the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from observatory.footprint import carbon, cost, water
from observatory.footprint.energy import J_PER_WH, Floats
from observatory.footprint.scenario import Scenario

Amount = float | Floats
#: quantities without energy in them
NO_JOULES = ("co2e_embodied_g", "cost_cloud_usd", "cost_api_usd")
#: quantities that charge device time, with whatever error it has
PER_DEVICE_SECOND = ("co2e_embodied_g", "co2e_total_g", "cost_own_usd", "cost_cloud_usd")


@dataclass(frozen=True)
class Use:
    """What the formulas need of the requests: joules, device-seconds and tokens."""

    joules: Amount
    device_s: Amount | None
    tokens: tuple[Amount, Amount] | None
    pue_inside: bool


def outputs(use: Use, v: Mapping[str, Amount], scenario: Scenario) -> dict[str, Amount]:
    """Every quantity that the roles in `v` and the use allow: METHOD §5, in one place.

    Keys are those of `QUANTITIES` and of the cost bases; one that cannot be made is left out.
    """
    it_j, at_j = use.joules, use.joules
    if use.pue_inside:
        it_j = at_j / v["pue"]
    elif scenario.boundary == "facility":
        at_j = it_j * v["pue"]
    out: dict[str, Amount] = {"energy_wh": at_j / J_PER_WH}
    if "ci" in v:
        out["co2e_operational_g"] = carbon.operational_g(at_j, v["ci"])
    if {"embodied", "life", "active"} <= set(v) and use.device_s is not None:
        mass = v["embodied"] + v.get("server", 0.0)
        share = carbon.embodied_g(mass, 1.0, v["life"], v["active"])
        out["co2e_embodied_g"] = use.device_s * share
    if "co2e_operational_g" in out and "co2e_embodied_g" in out:
        out["co2e_total_g"] = out["co2e_operational_g"] + out["co2e_embodied_g"]
    out |= _water(it_j, at_j, v, scenario)
    return out | _money(at_j, use, v, scenario)


def _water(it_j: Amount, at_j: Amount, v: Mapping[str, Amount], s: Scenario) -> dict[str, Amount]:
    out: dict[str, Amount] = {}
    if "wue" in v:
        out["water_on_site_l"] = water.on_site_l(it_j, v["wue"])
        if s.cycles is not None:
            out["water_withdrawal_l"] = water.withdrawal_l(out["water_on_site_l"], s.cycles)
    if "ewif" in v:
        out["water_off_site_l"] = water.off_site_l(at_j, v["ewif"])
    if len(out) >= 2 and "water_off_site_l" in out:
        on, off = out["water_on_site_l"], out["water_off_site_l"]
        out["water_l"] = on + off
        if s.scarcity_on_site is not None and s.scarcity_off_site is not None:
            out["water_scarcity_l"] = on * s.scarcity_on_site + off * s.scarcity_off_site
    return out


def _money(at_j: Amount, use: Use, v: Mapping[str, Amount], s: Scenario) -> dict[str, Amount]:
    out: dict[str, Amount] = {}
    if "tariff" in v:
        out["cost_electricity_usd"] = cost.electricity_usd(at_j, v["tariff"])
        known = s.capex_usd is not None and {"life", "active"} <= set(v)
        if known and s.capex_usd is not None and use.device_s is not None:
            unit = cost.amortised_usd(s.capex_usd, 1.0, v["life"], v["active"])
            out["cost_own_usd"] = out["cost_electricity_usd"] + use.device_s * unit
    if "price" in v and use.device_s is not None:
        out["cost_cloud_usd"] = use.device_s * cost.rented_usd(v["price"], 1.0)
    prices = s.api_input_usd_per_mtok, s.api_output_usd_per_mtok
    if use.tokens is not None and prices[0] is not None and prices[1] is not None:
        out["cost_api_usd"] = cost.api_usd(*use.tokens, prices[0], prices[1])
    return out
