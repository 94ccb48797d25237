"""The planner: acceptance on the public logs, the knee and the staircase found in data alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_planner import RESOLUTION_S, logs, observations_of, prior_of
from observatory.errors import InputError
from observatory.runtime.belief import Belief, Posterior, error_drops
from observatory.runtime.fit import heldout_errors
from observatory.runtime.kriging import spread_of
from observatory.runtime.observations import Observation, Point, observed
from observatory.runtime.planner import Planner
from observatory.runtime.prior import Prior, ignorant_prior
from observatory.runtime.replay import CurvePoint, replay, seven_points, thinned
from observatory.runtime.surrogate import Hypothesis

PROMPTS = [1, 8, 24, 56, 100, 150, 200, 260, 330, 400, 470, 530, 600, 700, 800, 900, 1000]


def candidates(prompts: list[int] = PROMPTS, steps: int = 16) -> list[Point]:
    """Prefill and decode points as a live run has them."""
    made = [Point("prefill", p, 1) for p in prompts]
    return made + [Point("decode", 0, steps, context_tokens=c) for c in (16, 128, 512, 1024)]


class Machine:
    """A synthetic machine: a CPU-like prefill (quadratic), a step that grows, relative noise."""

    def __init__(self, noise: float, seed: int = 0, tile: int = 0, growth: float = 1e-5) -> None:
        self._rng = np.random.default_rng(seed)
        self.noise, self.tile, self.growth = noise, tile, growth

    def alpha(self, p: int) -> float:
        whole = self.tile * -(-p // self.tile) if self.tile else p
        return float((0.03**4 + (4e-4 * whole + 2e-7 * p * p) ** 4) ** 0.25)

    def truth(self, point: Point) -> float:
        prefill = self.alpha(point.prompt_tokens) if point.has_prefill else 0.0
        return prefill + 0.025 * point.steps + self.growth * point.context_sum

    def measure(self, point: Point) -> Observation:
        return observed(
            point, self.truth(point) * float(np.exp(self.noise * self._rng.standard_normal()))
        )


def drive(planner: Planner, machine: Machine) -> Planner:
    while (point := planner.propose()) is not None:
        planner.update(machine.measure(point))
    return planner


@pytest.fixture(scope="module")
def replayed(reference: Path) -> dict[str, list[tuple[CurvePoint, CurvePoint, CurvePoint]]]:
    """For each device and log: the planner at 0.9 % and at 2 %, and the seven points."""
    found: dict[str, list[tuple[CurvePoint, CurvePoint, CurvePoint]]] = {}
    for device, _, launch in logs(reference):
        grid = observations_of(launch)
        planned = replay(
            grid, [0.009, 0.02], prior=prior_of(launch, device), resolution_s=RESOLUTION_S
        )
        found.setdefault(device, []).append((planned[0], planned[1], seven_points(grid)))
    return found


def test_seven_points_are_as_published(reference: Path) -> None:
    import csv

    with (reference / "helm/expected/fit_reference.csv").open() as file:
        rows = {(r["hardware"], r["model"]): r for r in csv.DictReader(file)}
    for device, name, launch in logs(reference):
        row = rows[device, name]
        grid = observations_of(launch)
        linear, lookup = seven_points(grid), seven_points(grid, "helm-lookup")
        assert linear.heldout_mean * 100 == pytest.approx(float(row["L7_linear_mape"]), rel=0.02)
        assert lookup.heldout_mean * 100 == pytest.approx(float(row["L7_helm_mape"]), rel=0.02)


def test_planner_on_a100_at_nine_thousandths(
    replayed: dict[str, list[tuple[CurvePoint, CurvePoint, CurvePoint]]],
) -> None:
    points = [low for low, _, _ in replayed["a100"]]
    assert np.mean([p.share_time for p in points]) <= 0.009
    assert np.mean([p.heldout_mean for p in points]) <= 0.0070


def test_planner_on_a100_at_two_percent(
    replayed: dict[str, list[tuple[CurvePoint, CurvePoint, CurvePoint]]],
) -> None:
    points = [high for _, high, _ in replayed["a100"]]
    assert np.mean([p.share_time for p in points]) <= 0.02
    assert np.mean([p.heldout_mean for p in points]) <= 0.0025
    assert max(p.heldout_mean for p in points) <= 0.0040


def test_planner_never_loses_to_the_seven_points(reference: Path) -> None:
    for device, name, launch in logs(reference):
        grid = observations_of(launch)
        fixed = seven_points(grid)
        (equal,) = replay(
            grid, [fixed.share_time], prior=prior_of(launch, device), resolution_s=RESOLUTION_S
        )
        assert equal.heldout_mean <= fixed.heldout_mean, (device, name)


def test_no_list_of_prompt_lengths_is_baked_in(reference: Path) -> None:
    """Every third prompt length removed: the ratio to the seven points holds within a fifth."""
    ratios = []
    for device, _, launch in logs(reference):
        if device != "a100":
            continue
        grid = thinned(observations_of(launch), 3, 1)
        fixed = seven_points(grid)
        (equal,) = replay(
            grid, [fixed.share_time], prior=prior_of(launch, device), resolution_s=RESOLUTION_S
        )
        ratios.append((equal.heldout_mean, fixed.heldout_mean))
    planned, fixed_mean = np.mean(ratios, axis=0)
    assert planned <= 1.2 * 0.70 * fixed_mean


def test_the_staircase_is_found_where_it_is_and_not_assumed() -> None:
    prompts = [*range(32, 2049, 32)]
    points = candidates(prompts)
    for tile in (128, 0):
        planner = Planner(points, budget_s=1e9, max_points=40, noise_rel=0.002)
        drive(planner, Machine(0.001, tile=tile, growth=0.0))
        belief = planner.belief()
        assert belief is not None
        assert max(belief.tile_weights(), key=belief.tile_weights().__getitem__) == tile


@pytest.mark.parametrize(("noise", "target"), [(0.01, 0.05), (0.05, 0.10)])
def test_live_planner_stops_by_itself_and_meets_its_target(noise: float, target: float) -> None:
    """No prior: a quadratic prefill and a step that grows, earlier than the grid of candidates."""
    errors, counts = [], []
    for seed in range(4):
        machine = Machine(noise, seed)
        planner = Planner(candidates(), target_error=target, noise_rel=noise, repeats=2)
        drive(planner, machine)
        expected = planner.expected_error()
        assert expected is not None and expected <= target
        counts.append(len(planner.observations))
        prompts = (20, 70, 180, 300, 450, 650, 850, 990)
        held = [Point("e2e", p, o) for p in prompts for o in (1, 24)]
        quiet = [observed(point, machine.truth(point)) for point in held]
        errors.append(heldout_errors(planner.fit(), quiet).mean)
    assert max(counts) < len(candidates())
    assert max(errors) <= target


def test_context_is_measured_at_both_ends_where_it_can_matter() -> None:
    planner = drive(Planner(candidates(), target_error=0.03, noise_rel=0.01), Machine(0.005))
    contexts = {o.context_tokens for o in planner.observations if o.phase == "decode"}
    assert min(c for c in contexts if c) <= 128 and max(c for c in contexts if c) >= 512
    step = planner.belief()
    assert step is not None


def test_a_launch_bound_prior_spends_nothing_on_long_contexts(reference: Path) -> None:
    device, _, launch = logs(reference)[0]
    grid = observations_of(launch)
    (point,) = replay(grid, [0.009], prior=prior_of(launch, device), resolution_s=RESOLUTION_S)
    assert point.fit.b1_s is None


def test_noise_is_read_off_the_spread_of_iterations() -> None:
    point, lone = Point("e2e", 8, 12), Point("e2e", 8, 1)
    told = [observed(point, 1.0, std_s=0.04), observed(lone, 0.1, std_s=0.09)]
    assert spread_of(told, 0.002) == pytest.approx(0.02)  # half of it; a lone prefill tells nothing
    assert spread_of(told, 0.03) == 0.03
    assert spread_of([observed(point, 1.0)], 0.002) == 0.002


def test_a_point_at_which_hypotheses_disagree_is_worth_measuring() -> None:
    """Each of two hypotheses is sure; only the second candidate tells which of them is right."""
    blank = Hypothesis(0, 2, np.zeros(4), 0.0)

    def sure(mean: list[float]) -> Posterior:
        spread, noise = 1e-12 * np.eye(3), np.full(3, 1e-6)
        return Posterior(blank, 0.5, np.array(mean), spread, noise, spread, np.diag(spread))

    belief = Belief((sure([1.0, 1.0, 1.0]), sure([1.2, 1.0, 1.2])), 1.0)
    drops = error_drops(belief, np.array([0]), np.array([1, 2]))
    assert drops[0] < 1e-6 < 0.05 < drops[1]


def test_the_longest_prompt_of_whole_requests_is_owed_without_a_prior() -> None:
    """Every point of such a grid has a prefill: that is no sign that decodes failed."""
    points = [Point("e2e", p, o) for p in PROMPTS for o in (1, 16)]
    planner = drive(Planner(points, budget_s=4.0), Machine(0.01))
    assert max(o.prompt_tokens for o in planner.observations[:4]) == PROMPTS[-1]


def test_budget_is_kept_and_room_left_for_a_decode() -> None:
    machine = Machine(0.01)
    for budget in (0.6, 1.0, 3.0):
        planner = drive(Planner(candidates(), budget_s=budget), machine)
        assert planner.spent_s <= budget * 1.3  # one expectation may be off
        assert any(o.point.steps for o in planner.observations)
        planner.fit()


def test_cost_function_steers_the_choice() -> None:
    """With a fixed price a point, nothing is cheap for being short: longer prompts come early."""
    machine = Machine(0.01)
    planner = Planner(candidates(), budget_s=5.0, cost_s=lambda _point, _expected: 1.0)
    drive(planner, machine)
    assert len(planner.observations) == 5
    assert planner.spent_s == 5.0


def test_why_says_what_it_expects() -> None:
    planner = Planner(candidates(), budget_s=2.0)
    assert planner.why() == "nothing proposed yet"
    drive(planner, Machine(0.01))
    assert "expected error" in planner.why() and "->" in planner.why()


def test_any_prior_callable_will_do() -> None:
    wrong = Prior(lambda p: 1e-7 * np.asarray(p) ** 1.5, lambda c: 1e-9 * c, 1.0, 1.5, "wrong")
    for prior in (wrong, ignorant_prior(0.03)):
        planner = drive(Planner(candidates(), prior=prior, budget_s=6.0), Machine(0.005))
        held = [
            observed(Point("e2e", p, 9), Machine(0.0).truth(Point("e2e", p, 9))) for p in (90, 500)
        ]
        assert heldout_errors(planner.fit(), held).mean < 0.06


def test_same_measurements_same_proposals() -> None:
    def trail() -> list[Point]:
        planner = drive(Planner(candidates(), budget_s=2.0), Machine(0.02, seed=5))
        return [o.point for o in planner.observations]

    assert trail() == trail()


@pytest.mark.parametrize(
    ("points", "options", "words"),
    [
        (candidates(), {}, "budget"),
        (candidates(), {"budget_s": 0.0}, "positive"),
        (candidates(), {"target_error": -1.0}, "positive"),
        ([Point("prefill", 8, 1)], {"budget_s": 1.0}, "has a decode step"),
        ([Point("decode", 0, 8, 1, 4)], {"budget_s": 1.0}, "no candidate has a prefill"),
        ([Point("e2e", 8, 4), Point("e2e", 8, 4, 2)], {"budget_s": 1.0}, "one batch"),
    ],
)
def test_bad_plans_are_refused(points: list[Point], options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Planner(points, **options)  # type: ignore[arg-type]


def test_a_point_never_asked_for_is_refused() -> None:
    planner = Planner(candidates(), budget_s=1.0)
    with pytest.raises(InputError, match="not among"):
        planner.update(observed(Point("prefill", 777, 1), 1.0))
