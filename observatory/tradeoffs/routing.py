"""The routing lab: what routers between models get and spend, on a table of items.

Policies are decided by one cost of the table. `observatory.tradeoffs.routing_bills` then bills
the same policies in joules, carbon, water and money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from observatory.decision import frontier, hull, policies, routing
from observatory.decision.items import CurvePoint, Items, Routed
from observatory.decision.policies import Policy
from observatory.errors import InputError, UnknownNameError

Corners = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a reader may choose. None or empty: the cheapest end, the best end, order by cost."""

    weak: str | None = None
    strong: str | None = None
    cascade: tuple[str, ...] = ()
    judge_error: float = 0.0
    strong_share: float = 0.5  #: of the random mix and of one threshold router
    target: float = 0.8  #: share of the quality gap that the other threshold router recovers


@dataclass(frozen=True, slots=True)
class Aiq:
    """Average improvement in quality in both forms; None where the curve does not span the cost."""

    cost_from: float
    cost_to: float
    range: float | None
    cmax: float | None


@dataclass(frozen=True, slots=True)
class Router:
    """The threshold router of the table's scores."""

    curve: tuple[CurvePoint, ...]
    hull: tuple[tuple[float, float], ...]
    apgr: float | None
    cpt_50: float | None
    cpt_80: float | None
    aiq: Aiq


@dataclass(frozen=True, slots=True)
class Lab:
    """Everything the lab says under one cost. `policies` and `routed` have the same order."""

    table: Items
    weak: str
    strong: str
    policies: tuple[Policy, ...]
    routed: tuple[Routed, ...]
    reference: int  #: which policy is always the strong end
    router: Router | None
    router_reason: str | None

    @property
    def unsolved_items(self) -> int:
        """Items that no model solves even in part."""
        return routing.unsolved(self.table)

    @property
    def corners(self) -> Corners:
        """(cost, quality) of the hull of single models: what mixing can reach."""
        return [(o.cost, o.quality) for o in hull.concave_hull(self.table.options())]

    @property
    def aiq_mixing(self) -> Aiq:
        """AIQ of mixing single models at random."""
        return _aiq(self.corners, _span(self.table))

    @property
    def aiq_single(self) -> Aiq:
        """AIQ of the staircase of single models."""
        return _aiq(frontier.step(self.table.options()), _span(self.table))

    def saving(self, policy: Routed) -> float | None:
        """Share of the cost of always the strong end that a policy saves."""
        return routing.saving(policy, self.routed[self.reference])

    def to_json(self) -> dict[str, Any]:
        """Nested plain values."""
        options = self.table.options()
        found: dict[str, Any] = {
            "items": len(self.table.items), "models": list(self.table.models),
            "weak": self.weak, "strong": self.strong, "unsolved_items": self.unsolved_items,
            "policies": [
                asdict(p) | {"kind": decided.kind, "cost_per_correct": p.cost_per_correct,
                             "saving_against_strong": self.saving(p)}
                for decided, p in zip(self.policies, self.routed, strict=True)
            ],
            "frontier": [o.name for o in frontier.frontier(options)],
            "hull": [{"cost": c, "quality": q} for c, q in self.corners],
            "marginal_costs": [asdict(s) | {"cost_per_quality": s.cost_per_quality}
                               for s in hull.marginal_costs(options)],
            "aiq_mixing": asdict(self.aiq_mixing), "aiq_single": asdict(self.aiq_single),
            "router_reason": self.router_reason,
        }  # fmt: skip
        if self.router is not None:
            found["router"] = asdict(self.router) | {
                "hull": [{"cost": c, "quality": q} for c, q in self.router.hull]
            }
        return found


def lab(table: Items, scores: Sequence[float] | None, choices: Choices | None = None) -> Lab:
    """Decide every policy on one table. Raises InputError, UnknownNameError for a wrong choice."""
    asked = choices or Choices()
    cheap, best = table.ends()
    weak, strong = asked.weak or cheap, asked.strong or best
    by_cost = sorted(table.options(), key=lambda o: (o.cost, -o.quality))
    order = asked.cascade or tuple(o.name for o in by_cost)
    made = [policies.single(table, m) for m in table.models]
    reference = table.column(strong)
    made += [policies.oracle(table), policies.random_mix(table, weak, strong, asked.strong_share)]
    router, reason = _router(table, scores, weak, strong)
    if router is not None and scores is not None:
        shares = [asked.strong_share]
        enough = policies.least_strong(router.curve, asked.target)
        shares += [enough.strong_fraction] if enough is not None else []
        found = [policies.threshold(table, scores, weak, strong, share) for share in shares]
        made += {policy.name: policy for policy in found}.values()
    made.append(policies.cascade(table, order, asked.judge_error))
    routed = tuple(policy.routed(table) for policy in made)
    return Lab(table, weak, strong, tuple(made), routed, reference, router, reason)


def _router(
    table: Items, scores: Sequence[float] | None, weak: str, strong: str
) -> tuple[Router | None, str | None]:
    if scores is None:
        return None, "no threshold router: the items have no router_score each"
    if weak == strong:
        return None, f"no threshold router: {weak} is the cheapest and the best"
    curve = routing.threshold_curve(table, scores, weak, strong)
    reach = hull.hull_of_points([(p.cost, p.quality) for p in curve])
    return Router(
        tuple(curve), tuple(reach), routing.apgr(curve), routing.cpt(curve, 0.5),
        routing.cpt(curve, 0.8), _aiq(reach, _span(table)),
    ), None  # fmt: skip


def _span(table: Items) -> tuple[float, float]:
    costs = [o.cost for o in table.options()]
    return min(costs), max(costs)


def _aiq(corners: Sequence[tuple[float, float]], span: tuple[float, float]) -> Aiq:
    def over(divisor: str) -> float | None:
        try:
            return hull.aiq(corners, *span, divisor)
        except InputError:
            return None

    return Aiq(*span, over("range"), over("cmax"))


def decisive(by_cost: Mapping[str, Items], asked: str | None = None) -> str:
    """The cost that decides: the one asked for, else joules, else money, else the first.

    Raises UnknownNameError for a cost that no table has.
    """
    if asked is not None and asked not in by_cost:
        raise UnknownNameError("cost column", asked, list(by_cost), f"one of {', '.join(by_cost)}")
    if asked is not None:
        return asked
    for ending in ("_j", "_wh", "_usd"):
        for cost in by_cost:
            if cost.endswith(ending):
                return cost
    return next(iter(by_cost))
