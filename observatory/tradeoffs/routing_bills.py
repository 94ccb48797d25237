"""Four bills of routing policies, and what each saves against always asking one model.

A bill is linear in joules, device time and tokens, so that the mean use of each model under a
policy is billed as one request. All policies share the draws of grid, site and sensor, and the
repeatability of each model; what they have in common cancels in a saving (METHOD §6). The items
are a sample too: their sampling error enters as a joint normal over policies, models and quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from observatory.decision.policies import Policy
from observatory.footprint import EnergyInput, FactorTable, Scenario, load_factors
from observatory.footprint.bills import draws, medians
from observatory.footprint.energy import Floats, covered
from observatory.footprint.formulas import NO_JOULES
from observatory.footprint.resolve import Resolved, resolve
from observatory.footprint.result import COST_NAMES, Bill, bill_json, lower_bound_of
from observatory.footprint.uncertainty import normals, quantiles
from observatory.tradeoffs.routing_use import ModelUse

#: the four bills, in the order of tables
BILLS = ("energy_wh", "co2e_operational_g", "water_l", "cost_usd")
STATED = "cost_usd of the items"  #: basis of money where the scenario has no price
NO_PRICE = "no price: --tariff, --gpu-price or --price gives it, or a column cost_usd"


@dataclass(frozen=True, slots=True)
class Saving:
    """Share of the reference's bill that a policy saves: value, p5, p95, P(it saves)."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_saves: float | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, float | str | None]:
        """Plain values; a missing one carries its reason."""
        if self.value is None:
            return {"value": None, "reason": self.reason}
        return {"value": self.value, "p5": self.low, "p95": self.high, "p_saves": self.p_saves}


@dataclass(frozen=True, slots=True)
class BilledPolicy:
    """One policy, per item. `quality` has no interval where one item was answered."""

    name: str
    kind: str
    quality: Bill
    bills: Mapping[str, Bill]
    saved: Mapping[str, Saving]

    def to_json(self) -> dict[str, Any]:
        """Nested plain values."""
        return {
            "policy": self.name, "kind": self.kind, "quality": bill_json(self.quality),
            "bills": {name: bill_json(bill) for name, bill in self.bills.items()},
            "saved": {name: saved.to_json() for name, saved in self.saved.items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class RoutingBills:
    """Every policy's bills in one scenario."""

    reference: str
    policies: tuple[BilledPolicy, ...]
    zone: str | None
    example: bool
    boundary: str
    edition: str
    kind: str | None
    cost_basis: str | None
    items: int
    notes: tuple[str, ...] = field(default=())
    lower_bound: str | None = None  #: what the energy of the models leaves out

    def without_last(self) -> RoutingBills:
        """The same bills less the last policy, which stood in for the reference alone."""
        return replace(self, policies=self.policies[:-1])

    def to_json(self) -> dict[str, Any]:
        """Nested plain values."""
        own = {name: getattr(self, name) for name in (
            "reference", "zone", "example", "boundary", "edition", "kind", "cost_basis", "items",
            "lower_bound",
        )}  # fmt: skip
        made = [policy.to_json() for policy in self.policies]
        return own | {"notes": list(self.notes), "policies": made}


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One quantity of one policy: its value and draws, or why there is none."""

    value: float | None
    draws: Floats | None
    reason: str | None = None
    lower_bound: bool = False  #: as of `Bill`


def bill_policies(
    policies: Sequence[Policy],
    reference: int,
    uses: Sequence[ModelUse],
    scenario: Scenario,
    factors: FactorTable | None = None,
    example: bool = False,
) -> RoutingBills:
    """Bills per item of every policy, and savings against `policies[reference]`.

    `uses` has one entry a model, in the order of the policies' columns. A policy that asks a model
    of unknown energy has no bill but says whose it is; so with an unknown price.
    """
    table = load_factors() if factors is None else factors
    resolved = {use.model: resolve(scenario, table, use.base.device) for use in uses}
    sampled = _sampling(policies, uses, scenario)
    parts = [_model_draws(policies, j, use, scenario, resolved[use.model])
             for j, use in enumerate(uses)]  # fmt: skip
    basis = _basis(parts, uses, scenario)
    found = [_totals(i, policy, uses, parts, sampled.calls[i], basis)
             for i, policy in enumerate(policies)]  # fmt: skip
    against = found[reference]
    made = tuple(
        BilledPolicy(
            policy.name, policy.kind, _bill(sampled.quality[i]),
            {name: _bill(drawn) for name, drawn in found[i].items()},
            {name: _saving(found[i][name], against[name]) for name in BILLS},
        )
        for i, policy in enumerate(policies)
    )  # fmt: skip
    notes = dict.fromkeys(note for use in uses for note in (*use.notes, *resolved[use.model].notes))
    kinds = {r.kind for r in resolved.values()}
    return RoutingBills(
        policies[reference].name, made, scenario.zone, example, scenario.boundary, table.edition,
        kinds.pop() if len(kinds) == 1 else None, basis, len(policies[0].quality), tuple(notes),
        lower_bound_of(_leave_out(policies, uses, scenario)),
    )  # fmt: skip


def _leave_out(
    policies: Sequence[Policy], uses: Sequence[ModelUse], scenario: Scenario
) -> list[tuple[str, tuple[str, ...]]]:
    """(device, or the model where none is named; parts of the boundary that its energy leaves out)
    of the models that are asked and have energy."""
    found = []
    for j, use in enumerate(uses):
        asked = next((policy.calls[:, j] for policy in policies if policy.calls[:, j].any()), None)
        if asked is not None:
            inside = covered(_mean_use(use, asked), scenario.boundary, scenario.active_share)
            if inside.joules is not None:
                found.append((use.base.device or use.model, tuple(inside.missing)))
    return found


def _mean_use(use: ModelUse, calls: Floats) -> EnergyInput:
    """What an item uses of one model on average, as one request."""

    def mean(values: Floats | None) -> float | None:
        return None if values is None else float((calls * values).mean())

    amounts: dict[str, Any] = {name: mean(values) for name, values in use.joules.items()}
    amounts |= {"busy_s": mean(use.busy_s), "prompt_tokens": mean(use.prompt_tokens),
                "output_tokens": mean(use.output_tokens)}  # fmt: skip
    return replace(use.base, **amounts)


def _model_draws(
    policies: Sequence[Policy], column: int, use: ModelUse, scenario: Scenario, resolved: Resolved
) -> list[dict[str, _Drawn]]:
    """For each policy, every quantity that this model adds to it."""
    priced = scenario
    if use.price is not None:
        priced = replace(scenario, api_input_usd_per_mtok=use.price[0],
                         api_output_usd_per_mtok=use.price[1])  # fmt: skip
    block = [_mean_use(use, policy.calls[:, column]) for policy in policies]
    inside = [covered(energy, scenario.boundary, scenario.active_share) for energy in block]
    mids = medians(block, inside, resolved, priced)
    drawn = draws(block, priced, resolved, inside)
    known = inside[0].joules is not None
    least = known and bool(inside[0].missing)
    out = []
    for i, policy in enumerate(policies):
        found = {
            name: _Drawn(float(mids[name][i, 0]), drawn[name][i],
                         lower_bound=least and name not in NO_JOULES)
            for name in mids if known or name in ("cost_cloud_usd", "cost_api_usd")
        }  # fmt: skip
        if use.stated_usd is not None:
            stated = float((policy.calls[:, column] * use.stated_usd).mean())
            found[STATED] = _Drawn(stated, np.full(scenario.draws, stated))
        if not known:
            why = use.reason or "; ".join(f"{k}: {v}" for k, v in inside[0].missing.items())
            gone = _Drawn(None, None, f"energy of {use.model} is unknown ({why})")
            found |= dict.fromkeys(BILLS[:3], gone)
        for name, role in (("co2e_operational_g", "ci"), ("water_l", "ewif")):
            if known and name not in found:
                found[name] = _Drawn(None, None, resolved.missing.get(role, "unknown"))
        out.append(found)
    return out


def _basis(
    parts: Sequence[Sequence[Mapping[str, _Drawn]]], uses: Sequence[ModelUse], scenario: Scenario
) -> str | None:
    """The first basis of money that most models have: one policy never adds two kinds of money."""
    wanted = [scenario.cost_basis] if scenario.cost_basis else [*COST_NAMES, STATED]
    counts = {
        basis: sum(COST_NAMES.get(basis, STATED) in part[0] for part in parts) for basis in wanted
    }
    best = max(counts, key=lambda basis: counts[basis])
    return best if counts[best] or scenario.cost_basis else None


def _totals(
    index: int,
    policy: Policy,
    uses: Sequence[ModelUse],
    parts: Sequence[Sequence[Mapping[str, _Drawn]]],
    shift: Floats,
    basis: str | None,
) -> dict[str, _Drawn]:
    """Sums over models. `shift` (models, draws) is the sampling error of ln(use) of each model."""
    asked = [j for j in range(len(uses)) if policy.calls[:, j].any()]
    found: dict[str, _Drawn] = {}
    for name in BILLS:
        if name == "cost_usd" and basis is None:
            found[name] = _Drawn(None, None, NO_PRICE)
            continue
        source = COST_NAMES.get(basis or "", STATED) if name == "cost_usd" else name
        amounts = [(uses[j].model, j, parts[j][index].get(source)) for j in asked]
        lacking = [m for m, _, drawn in amounts if drawn is None]
        missing = next((d.reason for _, _, d in amounts if d is not None and d.value is None), None)
        if lacking:
            found[name] = _Drawn(None, None, _no_price(lacking, basis, asked, parts, index))
        elif missing is not None:
            found[name] = _Drawn(None, None, missing)
        else:
            total, value = np.zeros(shift.shape[1]), 0.0
            for _, j, drawn in amounts:
                if drawn is not None and drawn.draws is not None:
                    total = total + drawn.draws * np.exp(shift[j])
                    value += drawn.value or 0.0
            least = any(drawn is not None and drawn.lower_bound for _, _, drawn in amounts)
            found[name] = _Drawn(value, total, lower_bound=least)
    return found


def _no_price(
    lacking: Sequence[str],
    basis: str | None,
    asked: Sequence[int],
    parts: Sequence[Sequence[Mapping[str, _Drawn]]],
    index: int,
) -> str:
    """Why money is missing: electricity of a model without joules, else a price."""
    energies = (parts[j][index]["energy_wh"] for j in asked)
    unknown = next((drawn.reason for drawn in energies if drawn.value is None), None)
    if basis in ("electricity", "own") and unknown is not None:
        return unknown
    return f"no price of {', '.join(lacking)} (basis {basis})"


@dataclass(frozen=True, slots=True)
class _Sampled:
    calls: Floats  #: (policies, models, draws), error of the logarithm of the mean use
    quality: list[_Drawn]


def _sampling(policies: Sequence[Policy], uses: Sequence[ModelUse], scenario: Scenario) -> _Sampled:
    """Means over items as joint draws: normal by the central limit, their covariances as observed;
    use by the delta method on a logarithm, so that it stays above zero however few the items."""
    n, models = len(policies[0].quality), len(uses)
    columns = [
        policy.calls[:, j] * use.weight for policy in policies for j, use in enumerate(uses)
    ] + [policy.quality for policy in policies]
    means = np.array([float(c.mean()) for c in columns])
    noise = np.zeros((len(columns), scenario.draws))
    if n > 1:
        centred = np.stack([c - m for c, m in zip(columns, means, strict=True)])
        spread, axes = np.linalg.eigh(centred @ centred.T / (n - 1) / n)
        kept = spread > spread.max(initial=0.0) * 1e-12
        z = np.stack([normals(f"items:{k}", scenario.draws, scenario.seed)
                      for k in range(int(kept.sum()))]) if kept.any() else None  # fmt: skip
        if z is not None:
            noise = (axes[:, kept] * np.sqrt(spread[kept])) @ z
    split = len(policies) * models
    relative = np.divide(noise[:split], means[:split, None], out=np.zeros_like(noise[:split]),
                         where=means[:split, None] > 0)  # fmt: skip
    quality = [
        _Drawn(means[split + i], np.clip(means[split + i] + noise[split + i], 0, 1))
        for i in range(len(policies))
    ]
    return _Sampled(relative.reshape(len(policies), models, -1), quality)


def _bill(drawn: _Drawn) -> Bill:
    if drawn.value is None or drawn.draws is None:
        return Bill(reason=drawn.reason)
    low, mid, high = (float(q) for q in quantiles(drawn.draws.copy()[None, :])[:, 0])
    return Bill(drawn.value, low, high, mid, lower_bound=drawn.lower_bound)


def _saving(own: _Drawn, against: _Drawn) -> Saving:
    if own.value is None or own.draws is None:
        return Saving(reason=own.reason)
    if against.value is None or against.draws is None:
        return Saving(reason=against.reason)
    if against.value == 0 or not against.draws.all():
        return Saving(reason="the reference costs nothing")
    share = 1 - own.draws / against.draws
    low, _, high = (float(q) for q in quantiles(share.copy()[None, :])[:, 0])
    p = float(np.mean(share > 0) + 0.5 * np.mean(share == 0))
    return Saving(1 - own.value / against.value, low, high, p)
