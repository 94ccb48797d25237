"""Moving from A to B: what it saves and costs, how sure that is, and where the two break even."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from observatory.errors import InputError
from observatory.footprint.bills import draws, footprints, require_one_kind
from observatory.footprint.energy import EnergyInput, covered
from observatory.footprint.factors import FactorTable, load_factors
from observatory.footprint.resolve import resolve
from observatory.footprint.result import COST_NAMES, Footprint
from observatory.footprint.scenario import Scenario
from observatory.footprint.uncertainty import Comparison, Floats, compare_draws

#: quantity -> the word of the sentence
WORDS = {
    "energy_wh": "energy",
    "co2e_operational_g": "carbon",
    "co2e_embodied_g": "embodied carbon",
    "water_on_site_l": "water on site",
    "water_l": "water",
    "cost_usd": "money",
}
HEADLINE = ("energy_wh", "co2e_operational_g", "water_l", "cost_usd")
SAME = 0.0005  #: a change below 0.05 % is called none
MANY = 3.0  #: from this ratio on, times read better than per cent


@dataclass(frozen=True, slots=True)
class Case:
    """One side of a comparison: a request in a scenario, with a name for the sentence."""

    name: str
    energy: EnergyInput
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Statement:
    """One quantity of A and B. `comparison` is of B to A, on shared draws."""

    quantity: str
    value_a: float
    value_b: float
    comparison: Comparison

    @property
    def change(self) -> float | None:
        """(B - A) / A of the values; None where A is 0."""
        return None if self.value_a == 0 else self.value_b / self.value_a - 1

    @property
    def verdict(self) -> str:
        """`B is lower`, `A is lower`, `undecided` or `equal`."""
        if self.change is not None and abs(self.change) < SAME and self.comparison.p_less == 0.5:
            return "equal"
        swap = {"A is lower": "B is lower", "B is lower": "A is lower"}
        return swap.get(self.comparison.verdict, "undecided")

    def phrase(self) -> str:
        """Such as `saves 41 % carbon (P(better) = 0.97)`; an undecided change only `may`."""
        word = WORDS.get(self.quantity, self.quantity)
        if self.verdict == "equal":
            return f"leaves {word} unchanged"
        if self.change is None:
            return f"changes {word} from 0 to {self.value_b:.3g}"
        open_ = self.verdict == "undecided"
        p = f"(P(better) {probability(self.comparison.p_less)}{', undecided' if open_ else ''})"
        if self.change < 0:
            verb = "may save" if open_ else "saves"
            return f"{verb} {-self.change * 100:.3g} % {word} {p}"
        verb = "may cost" if open_ else "costs"
        if self.change >= MANY - 1:
            return f"{verb} {self.change + 1:.3g} times the {word} {p}"
        return f"{verb} {self.change * 100:.3g} % more {word} {p}"


@dataclass(frozen=True, slots=True)
class Change:
    """Everything about moving from A to B."""

    a: Footprint
    b: Footprint
    name_a: str
    name_b: str
    statements: tuple[Statement, ...]
    break_even: Mapping[str, float]
    missing: Mapping[str, str]  #: quantity -> why it cannot be compared
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """One sentence: `Moving from A to B saves … and costs …`."""
        phrases = [s.phrase() for s in self.statements if s.quantity in HEADLINE]
        if not phrases:
            return f"{self.name_a} and {self.name_b} have no bill in common."
        joined = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
        return f"Moving from {self.name_a} to {self.name_b} {joined}."


def probability(p: float) -> str:
    """`= 0.18`, or `> 0.99` and `< 0.01` where two digits would round to certainty."""
    if p >= 0.995:
        return "> 0.99"
    return "< 0.01" if p <= 0.005 else f"= {p:.2f}"


def compare(a: Case, b: Case, factors: FactorTable | None = None) -> Change:
    """Compare two requests on common random numbers (METHOD §6).

    Raises InputError where the two differ in draws or seed, in boundary, or in the kind of carbon
    intensity: those are choices and are never mixed in one table.
    """
    table = load_factors() if factors is None else factors
    if (a.scenario.draws, a.scenario.seed) != (b.scenario.draws, b.scenario.seed):
        raise InputError("compare: both sides need the same number of draws and the same seed")
    if a.scenario.boundary != b.scenario.boundary:
        raise InputError(
            f"compare: boundaries differ ({a.scenario.boundary}, {b.scenario.boundary}): say "
            "--boundary for both"
        )
    made = [footprints([case.energy], case.scenario, table)[0] for case in (a, b)]
    require_one_kind(made)
    sides = [case_draws(case.energy, case.scenario, table, m.cost_basis)
             for case, m in zip((a, b), made, strict=True)]  # fmt: skip
    statements, missing = [], {}
    for quantity in WORDS:
        if quantity == "cost_usd" and made[0].cost_basis != made[1].cost_basis:
            missing[quantity] = (
                f"cost bases differ ({made[0].cost_basis}, {made[1].cost_basis}): say --cost-basis"
            )
            continue
        bills = [getattr(m, quantity) for m in made]
        if bills[0].value is None or bills[1].value is None:
            missing[quantity] = bills[0].reason or bills[1].reason or "unknown"
            continue
        comparison = compare_draws(sides[1][quantity], sides[0][quantity])
        statements.append(Statement(quantity, bills[0].value, bills[1].value, comparison))
    return Change(
        made[0],
        made[1],
        a.name,
        b.name,
        tuple(statements),
        _break_even(made[0], made[1]),
        missing,
        _unlike(made[0], made[1]),
    )


def _unlike(a: Footprint, b: Footprint) -> tuple[str, ...]:
    """What the two leave out, and what makes them hard to compare, as sentences."""
    out = []
    if a.leaves_out == b.leaves_out:
        out += [a.lower_bound] if a.lower_bound else []
    else:
        out += [f"{name}: {m.lower_bound}" for name, m in (("A", a), ("B", b)) if m.lower_bound]
    if a.covers and b.covers and a.covers != b.covers:
        out.append(
            f"the energy of A covers {'+'.join(a.covers)}, that of B {'+'.join(b.covers)}: the "
            "difference contains the parts that only one has"
        )
    if a.method != b.method:
        out.append(f"energy was obtained differently: A {a.method}, B {b.method}")
    return tuple(out)


def case_draws(
    energy: EnergyInput, scenario: Scenario, table: FactorTable, cost_basis: str | None = None
) -> dict[str, Floats]:
    """Draws of every quantity of one request, each of shape (draws,); `cost_usd` by basis."""
    inside = covered(energy, scenario.boundary, scenario.active_share)
    resolved = resolve(scenario, table, energy.device)
    out = {name: v[0] for name, v in draws([energy], scenario, resolved, [inside]).items()}
    if cost_basis is not None and COST_NAMES[cost_basis] in out:
        out["cost_usd"] = out[COST_NAMES[cost_basis]]
    return out


def _break_even(a: Footprint, b: Footprint) -> dict[str, float]:
    """The factor at which B's bill would equal A's, all else as it is."""
    out: dict[str, float] = {}
    energy_b = b.energy_wh.value
    if not energy_b:
        return out
    if a.co2e_operational_g.value is not None:
        out["carbon_intensity_g_per_kwh"] = a.co2e_operational_g.value / energy_b * 1e3
    if a.water_l.value is not None and b.water_on_site_l.value is not None:
        left = a.water_l.value - b.water_on_site_l.value
        if left >= 0:
            out["ewif_l_per_kwh"] = left / energy_b * 1e3
    if a.cost_usd.value is not None and b.cost_basis == "electricity":
        out["tariff_usd_per_kwh"] = a.cost_usd.value / energy_b * 1e3
    return out
