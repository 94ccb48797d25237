"""Points chosen while measuring, and points measured again when a neighbour was busy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from observatory.catalog.hardware import Hardware
from observatory.errors import InputError
from observatory.records import Phase, Window, Workload
from observatory.runtime.fit import fit
from observatory.runtime.observations import observed
from observatory.runtime.prior import Prior, roofline_prior
from runners.devices import Chosen
from runners.models import resolve
from runners.plan import Aim, Plan, Point, Target
from runners.planned import PlannedPoints, Rules, requests_over, runtime_point
from runners.points import MOST_TRIES, AgainWhenQuiet, FixedGrid
from runners.profiles import profile_named
from runners.request import ModelRequest, Request, make_plan

CPU = Chosen("cpu")
Law = Callable[[Point], float]


def window(seconds: float, *flags: str) -> Window:
    return Window(0, 0, 1, seconds, "", None, flags=flags)


def made(aim: Aim | None = None, batches: tuple[int, ...] = (1,)) -> tuple[Plan, Target]:
    request = Request(
        models=(ModelRequest("SmolLM2-135M", batches=batches),),
        target_error=aim.target_error if aim else None,
        budget_s=aim.budget_s if aim else None,
    )
    plan, _ = make_plan(request, CPU, 1, resolve)
    return plan, plan.targets[0]


def cpu_prior(batch: int) -> Prior:
    architecture = resolve("SmolLM2-135M").architecture
    machine = Hardware.measured("a CPU", 200e9, 12e9, 16e9)
    return roofline_prior(architecture, machine, "bfloat16", 1, batch)


def cpu_law(point: Point) -> float:
    """Launches and compute one after the other; attention grows with the context."""
    work = point.workload
    prefill = steps = 0.0
    if work.prompt_tokens is not None:
        prefill = 0.09 + 7e-4 * work.prompt_tokens + 5e-7 * work.prompt_tokens**2
    first = (work.prompt_tokens or work.context_tokens or 0) + 1
    count = (work.output_tokens or 1) - (work.prompt_tokens is not None)
    steps = sum(0.026 + 2.5e-5 * (first + i) for i in range(count))
    return work.batch * (prefill + steps)


def source_of(
    plan: Plan, target: Target, history: list[tuple[Point, list[Window]]] | None = None
) -> PlannedPoints:
    assert plan.aim is not None
    rules = Rules(plan.aim, profile_named("quick"), 0.3, cpu_prior)
    order = [p for p in target.points if p.name == "idle resident"]
    return PlannedPoints(target, [*order, *plan.point_order(target, 0)], history or [], rules)


def measure(source: PlannedPoints, law: Law, noise: float = 0.01) -> list[Point]:
    """Everything that a source asks for, in its order."""
    rng = np.random.default_rng(1)
    asked = []
    while (point := source.propose()) is not None:
        asked.append(point)
        times = law(point) * np.exp(rng.normal(0, noise, 2))
        source.update(point, [window(float(t)) for t in times])
    return asked


def test_it_stops_by_itself_before_the_grid_is_measured_and_keeps_its_promise() -> None:
    plan, target = made(Aim(target_error=0.05))
    source = source_of(plan, target)
    asked = measure(source, cpu_law)
    chosen = [point for point in asked if point in target.candidates]
    (outcome,) = source.outcome()
    assert outcome["stopped"] == "target met" and outcome["expected_error"] <= 0.05
    assert len(chosen) == outcome["chosen"] <= 0.7 * len(target.candidates)
    fitted = fit([observed(runtime_point(p), cpu_law(p)) for p in chosen])
    held = [p.workload for p in target.points if p.role == "heldout"]
    errors = [
        abs(fitted.predict(w.prompt_tokens or 0, w.output_tokens or 0).runtime_s / t - 1)
        for w in held
        if (t := cpu_law(Point(Phase.E2E, w)))
    ]
    assert len(errors) >= 8 and np.mean(errors) <= 0.05


def test_held_out_requests_stand_between_chosen_points_and_anchors_at_both_ends() -> None:
    plan, target = made(Aim(target_error=0.05))
    asked = measure(source_of(plan, target), cpu_law)
    assert [p.name for p in asked[:2]] == ["idle resident", "anchor start"]
    assert asked[-1].name == "anchor end"
    assert [p.role for p in asked[2:8]] == ["fit", "heldout"] * 3
    assert {p for p in asked if p.role == "heldout"} == {
        p for p in target.points if p.role == "heldout"
    }
    assert len(set(asked)) == len(asked)


def test_an_interrupted_choice_goes_on_from_what_is_stored() -> None:
    plan, target = made(Aim(target_error=0.05))
    whole = [p for p in measure(source_of(plan, target), cpu_law, 0) if p in target.candidates]
    history = [(p, [window(cpu_law(p))]) for p in whole[:4]]
    rest = [
        p for p in measure(source_of(plan, target, history), cpu_law, 0) if p in target.candidates
    ]
    assert set(rest).isdisjoint(whole[:4]), "nothing is measured twice"
    assert abs(len(rest) + 4 - len(whole)) <= 2


def test_a_failed_point_is_not_asked_for_again_nor_a_larger_one() -> None:
    plan, target = made(Aim(target_error=0.05))
    source = source_of(plan, target)
    failed: list[int] = []
    while (point := source.propose()) is not None:
        prompt = point.workload.prompt_tokens or 0
        if point.phase == Phase.PREFILL and prompt > 200:
            assert not failed or prompt < min(failed)
            failed.append(prompt)
            source.update(point, [])
        else:
            source.update(point, [window(cpu_law(point))])
    assert failed
    assert source.outcome()[0]["stopped"] in ("target met", "all measured", "nothing to gain")


def test_a_budget_ends_the_choice_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, target = made(Aim(budget_s=4.0))
    source = source_of(plan, target)
    now = [0.0]
    monkeypatch.setattr("runners.planned.time.monotonic", lambda: now[0])
    while (point := source.propose()) is not None:
        now[0] += 0.9
        source.update(point, [window(cpu_law(point))])
    (outcome,) = source.outcome()
    assert outcome["stopped"] == "budget spent" and outcome["spent_s"] <= 4.0 + 0.9
    assert "budget spent" in source.sentences()[0]


def test_a_budget_too_small_for_anything_still_gives_a_fit() -> None:
    plan, target = made(Aim(target_error=0.05, budget_s=1e-3))
    asked = [p for p in measure(source_of(plan, target), cpu_law) if p in target.candidates]
    assert {p.phase for p in asked} == {Phase.PREFILL, Phase.DECODE}
    prompts = [p.workload.prompt_tokens for p in target.candidates if p.phase == Phase.PREFILL]
    assert max(prompts, key=lambda p: p or 0) in {p.workload.prompt_tokens for p in asked}
    assert len(asked) <= 3


def test_each_batch_size_has_its_own_planner() -> None:
    plan, target = made(Aim(target_error=0.05), batches=(1, 2))
    source = source_of(plan, target)
    measure(source, cpu_law)
    assert [outcome["batch"] for outcome in source.outcome()] == [1, 2]
    assert all(outcome["stopped"] == "target met" for outcome in source.outcome())


def test_targets_lie_inside_what_the_candidates_reach() -> None:
    _, target = made()
    candidates = [runtime_point(p) for p in target.candidates]
    reach = max(p.first_context + p.steps for p in candidates if not p.has_prefill)
    goals = requests_over(candidates)
    assert {p.prompt_tokens for p in goals} == {
        p.prompt_tokens for p in candidates if p.has_prefill
    }
    assert all(p.prompt_tokens + p.output_tokens <= reach for p in goals)


def drain(source: AgainWhenQuiet, busy: Callable[[int], bool]) -> list[Point]:
    asked: list[Point] = []
    while (point := source.propose()) is not None:
        asked.append(point)
        flags = ("cpu_contended",) if busy(len(asked)) else ()
        source.update(point, [window(1.0, *flags)])
    return asked


GRID = [
    Point(Phase.IDLE, Workload(None, None), "idle", "idle resident"),
    Point(Phase.ANCHOR, Workload.prefill(16), "anchor", "anchor start"),
    *(Point(Phase.PREFILL, Workload.prefill(p)) for p in (8, 16, 32)),
    Point(Phase.ANCHOR, Workload.prefill(16), "anchor", "anchor end"),
]


def test_a_quiet_run_measures_each_point_once() -> None:
    assert drain(AgainWhenQuiet(FixedGrid(GRID), lambda: True), lambda _: False) == GRID


def test_disturbed_points_come_again_once_it_is_quiet_and_before_the_last_anchor() -> None:
    asked = drain(AgainWhenQuiet(FixedGrid(GRID), lambda: True), lambda n: n <= 4)
    assert asked == [*GRID[:5], GRID[2], GRID[3], GRID[5]]


def test_a_machine_that_is_never_quiet_is_tried_once_more_and_no_longer() -> None:
    asked = drain(AgainWhenQuiet(FixedGrid(GRID), lambda: True), lambda _: True)
    assert asked == [*GRID[:5], GRID[2], GRID[5]]
    assert max(asked.count(point) for point in asked) <= MOST_TRIES


def test_without_time_nothing_is_measured_again() -> None:
    assert drain(AgainWhenQuiet(FixedGrid(GRID), lambda: False), lambda n: n <= 4) == GRID


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (Request(target_error=1.5), "--target-error 1.5"),
        (Request(target_error=float("nan")), "--target-error nan"),
        (Request(budget_s=-1), "--budget -1"),
        (Request(budget_s=float("nan")), "--budget nan"),
        (Request(target_error=0.05, fixed_grid=True), "--fixed-grid"),
        (Request(budget_s=3, template=ModelRequest("", prompts=(8, 16))), "--budget"),
    ],
)
def test_an_aim_that_makes_no_sense_is_refused(request_: Request, text: str) -> None:
    with pytest.raises(InputError, match=text):
        make_plan(request_, CPU, 1, resolve)


def test_prompts_or_a_fixed_grid_leave_nothing_to_choose() -> None:
    for request in (
        Request(fixed_grid=True),
        Request(template=ModelRequest("", prompts=(8, 64))),
    ):
        plan, _ = make_plan(request, CPU, 1, resolve)
        assert plan.aim is None and not any(t.candidates for t in plan.targets)
        assert any(p.phase == Phase.PREFILL for p in plan.targets[0].points)


def test_the_fixed_grid_is_what_the_planner_chooses_from() -> None:
    planned, _ = make_plan(Request(), CPU, 1, resolve)
    fixed, _ = make_plan(Request(fixed_grid=True), CPU, 1, resolve)
    for one, other in zip(planned.targets, fixed.targets, strict=True):
        assert set(other.points) == {*one.points, *one.candidates}
    assert planned.hash != fixed.hash
    assert replace(planned, aim=Aim(0.01)).hash != planned.hash
