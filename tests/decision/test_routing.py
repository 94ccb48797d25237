"""Every field of the worked example to 1e-6, and the published pair counts of RouteLLM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.decision import chance, frontier, hull, routing
from observatory.decision.frontier import Option
from observatory.errors import InputError


@pytest.fixture(scope="module")
def example(reference: Path) -> dict[str, Any]:
    return json.loads((reference / "expected" / "routing_example.json").read_text())


@pytest.fixture(scope="module")
def table(example: dict[str, Any]) -> routing.Items:
    models = list(example["models"])
    items = example["items"]
    correct = [[items[i][m] for m in models] for i in items]
    cost = [example["models"][m]["cost_j"] for m in models]
    return routing.Items.of(list(items), models, correct, cost)


def close(value: object) -> object:
    return pytest.approx(value, abs=1e-6)


def test_frontier_hull_and_slopes(example: dict[str, Any], table: routing.Items) -> None:
    want, options = example["expected"], table.options()
    assert [o.name for o in frontier.frontier(options)] == want["pareto_frontier"]
    corners = [[o.cost, o.quality] for o in hull.concave_hull(options)]
    assert corners == [close(p) for p in want["convex_hull_zero_router"]]
    assert [o.name for o in hull.mixture_dominated(options)] == want["extended_dominated"]
    steps = {f"{s.cheaper}->{s.better}": s.cost_per_quality for s in hull.increments(options)}
    on_hull = {f"{s.cheaper}->{s.better}": s.cost_per_quality for s in hull.marginal_costs(options)}
    assert steps | on_hull == close(want["icer_j_per_extra_correct"])
    assert on_hull == close(want["wtp_switch_lambda"])


def test_cost_per_correct(example: dict[str, Any], table: routing.Items) -> None:
    want = example["expected"]["joules_per_correct"]
    own = {o.name: frontier.cost_per_correct(o, floor=0.0) for o in table.options()}
    own["oracle"] = routing.oracle(table).cost_per_correct
    own["cascade_perfect"] = routing.cascade(table, "SML").cost_per_correct
    assert own == close(want)
    floored = [frontier.cost_per_correct(o, floor=0.55) for o in table.options()]
    assert floored == [None, close(want["M"]), close(want["L"])]


def test_a_curve_starts_where_its_costs_begin_but_for_rounding() -> None:
    """A sum of costs in another order is larger by its rounding, and no reason to have no AIQ."""
    corners = [(1.0 + 2e-16, 0.5), (2.0, 1.0)]
    assert corners[0][0] > 1.0 and hull.aiq(corners, 1.0, 2.0) == pytest.approx(0.75)
    with pytest.raises(InputError, match="does not cover"):
        hull.aiq([(1.001, 0.5), (2.0, 1.0)], 1.0, 2.0)


def test_aiq_in_all_forms(example: dict[str, Any], table: routing.Items) -> None:
    want, options = example["expected"], table.options()
    corners = [(o.cost, o.quality) for o in hull.concave_hull(options)]
    assert hull.aiq(corners, 1, 10) == close(want["aiq_zero_router_normalised_by_range"])
    assert hull.aiq(corners, 1, 10, "cmax") == close(want["aiq_zero_router_normalised_by_cmax"])
    assert hull.aiq(frontier.step(options), 1, 10) == close(want["aiq_step_no_mixing"])


def test_router(example: dict[str, Any], table: routing.Items) -> None:
    want = example["expected"]
    scores = [example["router_scores"][i] for i in table.items]
    curve = routing.threshold_curve(table, scores, "S", "L")
    made = [
        {"strong_fraction": p.strong_fraction, "cost": p.cost, "quality": p.quality, "PGR": p.pgr}
        for p in curve
    ]
    assert made == [close(p) for p in want["router_curve"]]
    corners = hull.hull_of_points([(p.cost, p.quality) for p in curve])
    assert [list(p) for p in corners] == [close(p) for p in want["router_hull"]]
    assert hull.aiq(corners, 1, 10) == close(want["aiq_router"])
    assert routing.apgr(curve) == close(want["apgr"])
    assert routing.cpt(curve, 0.5) == close(want["cpt_50"])
    assert routing.cpt(curve, 0.8) == close(want["cpt_80"])


def test_oracle_and_cascades(example: dict[str, Any], table: routing.Items) -> None:
    want = example["expected"]
    best = routing.oracle(table)
    assert (best.cost, best.quality) == close((want["oracle"]["cost"], want["oracle"]["quality"]))
    free = best.cost - routing.unsolved(table) * 1.0 / len(table.items)
    assert free == close(want["oracle"]["cost_if_unsolvable_counted_zero"])
    for error, name in ((0.0, "cascade_SML_perfect_judge"), (0.2, "cascade_SML_judge_error_20pct")):
        made = routing.cascade(table, "SML", error)
        assert (made.cost, made.quality) == close((want[name]["cost"], want[name]["quality"]))


def test_iso_capability_and_hypervolume(example: dict[str, Any], table: routing.Items) -> None:
    want, options = example["expected"], table.options()
    for name, row in want["iso_capability"].items():
        bar = float(name.removeprefix("q>="))
        best = frontier.cheapest(options, bar)
        assert best is not None
        assert (best.name, best.cost) == (row["single"], close(row["single_cost"]))
        assert hull.cheapest_mixture(options, bar) == close(row["mixed_cost"])
    for name, area in want["hypervolume_log10cost"].items():
        cost, quality = (float(part.split("=")[1]) for part in name.split(","))
        assert hull.hypervolume(options, cost, quality) == close(area)


def test_two_uncertain_models(example: dict[str, Any]) -> None:
    want = example["expected"]["uncertainty_two_models"]
    a, b = ((want[m]["C"], want[m]["sC"], want[m]["Q"], want[m]["sQ"]) for m in "AB")
    assert chance.probability_less(b[2], b[3], a[2], a[3]) == close(want["p_A_better_quality"])
    assert chance.probability_less(b[0], b[1], a[0], a[1]) == close(want["p_B_cheaper"])
    a_beats, b_beats = chance.probability_dominates(a, b), chance.probability_dominates(b, a)
    assert (a_beats, b_beats) == close((want["p_A_dominates_B"], want["p_B_dominates_A"]))
    assert (1 - b_beats, 1 - a_beats) == close((want["p_A_on_frontier"], want["p_B_on_frontier"]))
    z = chance.Z90
    options = [Option("A", a[0], a[2], a[0] - z * a[1], a[0] + z * a[1], a[2] - z * a[3],
                      a[2] + z * a[3]),
               Option("B", b[0], b[2], b[0] - z * b[1], b[0] + z * b[1], b[2] - z * b[3],
                      b[2] + z * b[3])]  # fmt: skip
    drawn = chance.probability_on_frontier(*chance.normal_draws(options, 200_000))
    assert drawn == pytest.approx([want["p_A_on_frontier"], want["p_B_on_frontier"]], abs=0.005)


@pytest.mark.parametrize("benchmark", ["mmlu", "gsm8k"])
def test_published_counts_of_a_weak_and_a_strong_model(
    example: dict[str, Any], benchmark: str
) -> None:
    want = example["real_data_check"][benchmark]
    kinds = {"both": (1, 1), "strong_only": (0, 1), "weak_only": (1, 0), "neither": (0, 0)}
    correct = np.repeat(list(kinds.values()), [want[k] for k in kinds], axis=0)
    table = routing.Items.of(
        [str(i) for i in range(want["n"])], ["weak", "strong"], correct, [1, 9]
    )
    made, best = routing.pair(table, "weak", "strong"), routing.oracle(table)
    assert [getattr(made, k) for k in kinds] == [want[k] for k in kinds]
    assert routing.alone(table, "weak").quality == close(want["weak_accuracy"])
    assert routing.alone(table, "strong").quality == close(want["strong_accuracy"])
    assert best.quality == close(want["oracle_accuracy"])
    assert best.calls["strong"] == close(want["oracle_strong_call_fraction"])
    match = made.difference  # strong calls that lift weak's accuracy to strong's
    assert match == close(want["oracle_strong_call_fraction_to_match_strong"])
    assert made.strong_only - made.weak_only == want["mcnemar_b_minus_c"]
    assert made.paired_se == close(want["paired_diff_se"])
    assert made.unpaired_se == close(want["unpaired_diff_se"])


def test_an_item_nobody_solves_costs_the_cheapest_call() -> None:
    table = routing.Items.of(["q"], ["dear", "cheap"], [[0, 0]], [[9.0, 2.0]])
    made = routing.oracle(table)
    assert (made.cost, made.quality, made.calls["cheap"]) == (2.0, 0.0, 1.0)


def test_items_of_equal_score_move_together() -> None:
    table = routing.Items.of("abc", ["w", "s"], [[0, 1], [0, 1], [1, 1]], [1, 2])
    curve = routing.threshold_curve(table, [0.5, 0.5, 0.1], "w", "s")
    assert [p.strong_fraction for p in curve] == pytest.approx([0, 2 / 3, 1])


@pytest.mark.parametrize(
    ("correct", "cost"),
    [([[2.0]], [1.0]), ([[float("nan")]], [1.0]), ([[1.0]], [-1.0]), ([[1.0]], [float("inf")]),
     ([[1.0, 0.0]], [1.0]), ([], [1.0])],
)  # fmt: skip
def test_bad_tables_are_refused(correct: list[list[float]], cost: list[float]) -> None:
    with pytest.raises(InputError, match=r"^[^\n]+$"):
        routing.Items.of(["q"] if correct else [], ["m"], correct, cost)


def test_a_judge_error_must_be_a_share(table: routing.Items) -> None:
    for order, error in (("SML", 1.5), ("SS", 0.0), ("", 0.0), ("SX", 0.0)):
        with pytest.raises(InputError):
            routing.cascade(table, list(order), error)


outcomes = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=n, max_size=n),
        st.lists(st.floats(0.1, 100), min_size=3, max_size=3),
    )
)


@settings(deadline=None)
@given(outcomes, st.floats(0, 1))
def test_no_policy_beats_the_oracle(
    drawn: tuple[list[list[int]], list[float]], error: float
) -> None:
    correct, cost = drawn
    table = routing.Items.of([str(i) for i in range(len(correct))], "abc", correct, cost)
    best = routing.oracle(table)
    for model in "abc":
        assert routing.alone(table, model).quality <= best.quality + 1e-12
    order = [m for _, m in sorted(zip(cost, "abc", strict=True))]
    perfect = routing.cascade(table, order, 0.0)
    assert perfect.quality == pytest.approx(best.quality)
    assert perfect.cost >= best.cost - 1e-9
    noisy = routing.cascade(table, order, error)
    assert noisy.quality <= perfect.quality + 1e-12
    mix = routing.random_mix(table, "a", "b", error)
    assert min(table.options()[i].quality for i in (0, 1)) - 1e-12 <= mix.quality
