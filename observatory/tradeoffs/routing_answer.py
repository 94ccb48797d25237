"""The routing lab's answer: one sentence, flat rows, and the curve of a router in one bill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from observatory.decision import policies
from observatory.decision.policies import Policy
from observatory.footprint import FactorTable, Scenario
from observatory.tradeoffs.routing import Lab
from observatory.tradeoffs.routing_bills import BILLS, BilledPolicy, RoutingBills, bill_policies
from observatory.tradeoffs.routing_use import ModelUse

WORDS = {"energy_wh": "energy", "co2e_operational_g": "carbon", "water_l": "water",
         "cost_usd": "money"}  # fmt: skip
COLUMNS = {"energy_wh": "energy_wh", "co2e_operational_g": "co2e_g", "water_l": "water_l",
           "cost_usd": "cost_usd"}  # fmt: skip
STEPS = 20  #: operating points of a curve


@dataclass(frozen=True, slots=True)
class Answer:
    """Policies billed in one scenario, and the threshold router and the random mix as curves."""

    billed: RoutingBills
    threshold: RoutingBills | None
    random: RoutingBills


def answer(
    lab: Lab,
    scores: Sequence[float] | None,
    uses: Sequence[ModelUse],
    scenario: Scenario,
    factors: FactorTable | None = None,
    example: bool = False,
) -> Answer:
    """Bill the policies of a lab and, at STEPS + 1 shares, the router's and the mix's."""
    reference = policies.single(lab.table, lab.strong)

    def billed(found: Sequence[Policy]) -> RoutingBills:
        made = bill_policies([*found, reference], len(found), uses, scenario, factors, example)
        return made.without_last()

    shares = [k / STEPS for k in range(STEPS + 1)]
    mixed = [policies.random_mix(lab.table, lab.weak, lab.strong, s) for s in shares]
    curve = None
    if lab.router is not None and scores is not None:
        routed = [policies.threshold(lab.table, scores, lab.weak, lab.strong, s) for s in shares]
        curve = billed(list({policy.name: policy for policy in routed}.values()))
    own = bill_policies(lab.policies, lab.reference, uses, scenario, factors, example)
    return Answer(own, curve, billed(mixed))


def rows(made: RoutingBills) -> list[dict[str, Any]]:
    """One flat row a policy: quality, bills and savings, each with `_low` and `_high`."""
    out: list[dict[str, Any]] = []
    for policy in made.policies:
        row: dict[str, Any] = {
            "policy": policy.name, "kind": policy.kind, "zone": made.zone,
            "quality": policy.quality.value, "quality_low": policy.quality.low,
            "quality_high": policy.quality.high,
        }  # fmt: skip
        for name, column in COLUMNS.items():
            bill = policy.bills[name]
            row |= {column: bill.value, f"{column}_low": bill.low, f"{column}_high": bill.high}
        for name, word in WORDS.items():
            saved = policy.saved[name]
            row |= {f"saved_{word}": saved.value, f"saved_{word}_low": saved.low,
                    f"saved_{word}_high": saved.high}  # fmt: skip
        reasons = {b.reason for b in policy.bills.values() if b.reason}
        row["missing"] = "; ".join(sorted(reasons)) or None
        least = any(bill.lower_bound for bill in policy.bills.values())
        row["lower_bound"] = made.lower_bound if least else None
        out.append(row)
    return out


def sentence(made: RoutingBills) -> str:
    """What the best router that can be built saves, against always asking the strong end.

    The oracle knows the answers and the random mix is no router: neither is proposed. Of the
    others the one that saves most is named, among those of the same quality within two points
    where there are any.
    """
    reference = next(p for p in made.policies if p.name == made.reference)
    lead = next((b for b in BILLS if reference.bills[b].value is not None), None)
    routers = [p for p in made.policies if p.kind in ("threshold", "cascade")]
    if lead is None or reference.quality.value is None:
        why = next((b.reason for b in reference.bills.values() if b.reason), "unknown")
        return f"What routing saves is unknown: {why}."
    usable = [p for p in routers if p.saved[lead].value is not None]
    if not usable:
        return f"{_capital(reference.name)} gets {_percent(reference.quality.value)} of " \
               f"{made.items} items right; no router of it could be billed."  # fmt: skip
    close = [p for p in usable if (p.quality.value or 0.0) >= reference.quality.value - 0.02]
    best = max(close or usable, key=lambda p: (p.saved[lead].value or 0.0, p.name))
    judge = best.kind == "cascade" and "judge error" not in best.name
    name = f"{_capital(best.name)}{', with a judge that never errs,' if judge else ''}"
    return (
        f"{name} gets {_percent(best.quality.value)} of {made.items} items right, "
        f"where {reference.name} gets {_percent(reference.quality.value)}, and {_savings(best)}."
    )


def _savings(policy: BilledPolicy) -> str:
    groups: dict[tuple[str, str], list[str]] = {}
    for name, word in WORDS.items():
        saved = policy.saved[name]
        if saved.value is None or saved.low is None or saved.high is None:
            continue
        sure = "saves" if (saved.p_saves or 0) >= 0.95 else "may save"
        if saved.value < 0:
            sure = "costs" if (saved.p_saves or 0) <= 0.05 else "may cost"
        amount = f"{_percent(abs(saved.value))} [{_interval(saved.low, saved.high, saved.value)}]"
        groups.setdefault((sure, amount), []).append(word)
    return "; ".join(
        f"{sure} {amount} {'more' if 'cost' in sure else 'of the'} {_list(names)}"
        for (sure, amount), names in groups.items()
    )


def _interval(low: float, high: float, value: float) -> str:
    ends = (low, high) if value >= 0 else (-high, -low)
    return " – ".join(f"{100 * end:.0f}" for end in ends)


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
