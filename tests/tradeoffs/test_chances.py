"""Which points are drawn changes no chance: what is left out could be on no frontier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.capability.known import Match
from observatory.capability.scores import Scored
from observatory.decision.frontier import frontier_mask
from observatory.footprint import EnergyInput, Scenario, footprints, load_factors
from observatory.tradeoffs.candidates import Candidate
from observatory.tradeoffs.chances import Joined, chances, shown
from observatory.tradeoffs.spreads import Priced, Stated, alike

DRAWS = 400


def score(model: str, value: float, half: float | None = 0.02) -> Match:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Match(
        Scored(model, "synthetic/lane", value, value, low, high, None, "synthetic", "CC0",
               "fraction"), False, None,
    )  # fmt: skip


def joined_of(costs: list[float], matches: list[Match]) -> list[Joined]:
    return [
        Joined(i, Candidate(m.scored.model, f"stack {i}", None), cost, m)
        for i, (cost, m) in enumerate(zip(costs, matches, strict=True))
    ]


def by_hand(spread: Stated | Priced, joined: list[Joined]) -> np.ndarray:
    """Every point drawn, none left out."""
    cost = spread.drawn([j.place for j in joined], DRAWS)
    known: dict[str, np.ndarray] = {}
    for j in joined:
        s = j.match.scored
        only = Stated([s.model], np.ones(1), np.full(1, np.nan), np.full(1, np.nan))
        assert only.bands([0]) == [(None, None)]
        if s.model not in known:
            from observatory.tradeoffs.chances import _drawn_score

            known[s.model] = _drawn_score(s, DRAWS)
    quality = np.stack([known[j.match.scored.model] for j in joined], axis=1)
    return np.asarray(frontier_mask(cost, quality).mean(axis=0))


points = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.floats(0.1, 100), st.floats(0.0, 0.4), st.booleans()
    ),
    min_size=1, max_size=25,
)  # fmt: skip


@given(points)
@settings(max_examples=60, deadline=None)
def test_stated_costs_have_the_chances_of_drawing_them_all(
    made: list[tuple[str, float, float, bool]],
) -> None:
    scores = {name: score(name, 0.3 + 0.1 * i, None if name == "d" else 0.03)
              for i, name in enumerate("abcd")}  # fmt: skip
    cost = np.array([c for _, c, _, _ in made])
    known = np.array([k for *_, k in made])
    wide = np.array([w for _, _, w, _ in made])
    spread = Stated([f"{i}" for i in range(len(made))], cost,
                    np.where(known, cost * (1 - wide), np.nan),
                    np.where(known, cost * (1 + wide), np.nan))  # fmt: skip
    joined = joined_of(cost.tolist(), [scores[name] for name, *_ in made])
    assert np.array_equal(chances(spread, joined, DRAWS), by_hand(spread, joined))


def energy(i: int, joules: float, device: str = "H100-SXM5", rel: float = 0.02) -> EnergyInput:
    return EnergyInput(device_j=joules, device=device, busy_s=joules / 300,
                       busy_error_rel=1.6 * rel, prompt_tokens=100, output_tokens=50,
                       repeat_rel_std=rel, label=f"synthetic {i}")  # fmt: skip


@given(points)
@settings(max_examples=25, deadline=None)
def test_priced_costs_have_the_chances_of_drawing_them_all(
    made: list[tuple[str, float, float, bool]],
) -> None:
    scores = {name: score(name, 0.3 + 0.1 * i) for i, name in enumerate("abcd")}
    energies = [energy(i, joules, "H100-SXM5" if card else "A100-SXM4-80GB", wide)
                for i, (_, joules, wide, card) in enumerate(made)]  # fmt: skip
    for quantity in ("co2e_operational_g", "co2e_total_g", "cost_usd"):
        scenario = Scenario(zone="FRA", embodied_kg=150.0, gpu_price_usd_per_h=3.0)
        spread = Priced(alike(energies, scenario), quantity, scenario, load_factors())
        joined = joined_of(spread.mid.tolist(), [scores[name] for name, *_ in made])
        assert np.array_equal(chances(spread, joined, DRAWS), by_hand(spread, joined))


@pytest.mark.parametrize("quantity", ["energy_wh", "co2e_operational_g", "co2e_total_g", "water_l",
                                      "cost_usd"])  # fmt: skip
@pytest.mark.parametrize("boundary", ["device", "facility"])
@pytest.mark.parametrize("capex", [None, 30_000.0])
def test_bands_are_those_of_the_bills(quantity: str, boundary: str, capex: float | None) -> None:
    scenario = Scenario(zone="DEU", boundary=boundary, tariff_usd_per_kwh=0.2, capex_usd=capex,
                        embodied_kg=150.0)  # fmt: skip
    blind = replace(energy(3, 1.0), device_j=None, reasons={"device": "no sensor"})
    energies = [energy(0, 50.0), energy(1, 70.0, "L4"), energy(2, 60.0), blind]
    priced = Priced(alike(energies, scenario), quantity, scenario, load_factors())
    bills = [made.bills()[quantity] for made in footprints(energies, scenario)]
    known = [i for i, bill in enumerate(bills) if bill.value is not None]
    assert {0, 2} <= set(known) and 3 not in known
    for i, (low, high) in zip(known, priced.bands(known), strict=True):
        assert priced.mid[i] == bills[i].value
        assert (low, high) == (bills[i].low, bills[i].high)
    for i in set(range(4)) - set(known):
        assert np.isnan(priced.mid[i]) and priced.reasons[i] == bills[i].reason


@pytest.mark.parametrize("error", [0.0, 0.3, 1.2])
def test_rented_time_is_as_uncertain_as_the_time(error: float) -> None:
    scenario = Scenario(zone="FRA", gpu_price_usd_per_h=3.0)
    energies = [replace(energy(i, 50.0), busy_error_rel=error) for i in range(3)]
    priced = Priced(alike(energies, scenario), "cost_usd", scenario, load_factors())
    drawn = priced.drawn([0, 1, 2], DRAWS)
    least, greatest = priced.reach(DRAWS)
    assert np.all(least <= drawn * (1 + 1e-12)) and np.all(drawn <= greatest * (1 + 1e-12))
    relative = drawn / drawn.mean(axis=0)
    assert (relative.std(axis=0) > 0.1).all() == (error > 0)
    assert np.array_equal(drawn[:, 0], drawn[:, 1]) == (error == 0)  # each has its own error


def test_two_stacks_of_one_model_share_its_score() -> None:
    """The dearer stack cannot win by the luck of a score that is the same for both."""
    spread = Stated(["one", "two"], np.array([1.0, 1.5]), np.full(2, np.nan), np.full(2, np.nan))
    same = joined_of([1.0, 1.5], [score("a", 0.5), score("a", 0.5)])
    assert chances(spread, same).tolist() == [1.0, 0.0]
    other = joined_of([1.0, 1.5], [score("a", 0.5), score("b", 0.5)])
    assert 0.4 < chances(spread, other)[1] < 0.6


def test_shown_points_are_the_frontier_then_the_likely_then_the_cheapest_of_each_model() -> None:
    names = ["a", "a", "a", "b", "b", "c"]
    joined = joined_of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [score(n, 0.5) for n in names])
    mask = np.array([True, False, False, False, False, False])
    sure = np.array([1.0, 0.0, 0.2, 0.0, 0.0, 0.0])
    assert shown(joined, mask, sure, None) == [0, 1, 2, 3, 4, 5]
    assert shown(joined, mask, sure, 4) == [0, 2, 3, 5]
