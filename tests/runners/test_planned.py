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
from observatory.runtime.planner import Planner
from observatory.runtime.prior import Prior, roofline_prior
from runners.devices import Chosen
from runners.models import resolve
from runners.plan import Aim, Plan, Point, Target
from runners.planned import PlannedPoints, Rules, plan_point, requests_over, runtime_point
from runners.points import AgainWhenQuiet, FixedGrid, Patience, Quiet
from runners.profiles import profile_named
from runners.protocol import enough
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


def drain(source: AgainWhenQuiet, made: Callable[[int], Window]) -> list[Point]:
    """Everything that a source asks for; `made` says what the nth measurement gives."""
    asked: list[Point] = []
    while (point := source.propose()) is not None:
        asked.append(point)
        source.update(point, [made(len(asked))])
    return asked


def busy_when(busy: Callable[[int], bool]) -> Callable[[int], Window]:
    return lambda n: window(1.0, *(("cpu_contended",) if busy(n) else ()))


def beside(*pass_s: float) -> Callable[[int], Window]:
    """Windows of one process, with the reference pass of each; the last goes on."""
    return lambda n: replace(
        window(1.0), process_id="p", reference_pass_s=pass_s[min(n, len(pass_s)) - 1]
    )


GRID = [
    Point(Phase.IDLE, Workload(None, None), "idle", "idle resident"),
    Point(Phase.ANCHOR, Workload.prefill(16), "anchor", "anchor start"),
    *(Point(Phase.PREFILL, Workload.prefill(p)) for p in (8, 16, 32)),
    Point(Phase.ANCHOR, Workload.prefill(16), "anchor", "anchor end"),
]


def test_a_quiet_run_measures_each_point_once() -> None:
    assert drain(AgainWhenQuiet(FixedGrid(GRID), lambda: True), busy_when(lambda _: False)) == GRID


def test_disturbed_points_come_again_once_it_is_quiet_and_before_the_last_anchor() -> None:
    asked = drain(AgainWhenQuiet(FixedGrid(GRID), lambda: True), busy_when(lambda n: n <= 4))
    assert asked == [*GRID[:5], GRID[2], GRID[3], GRID[5]]


def test_a_machine_that_is_never_quiet_is_tried_once_more_and_no_longer() -> None:
    asked = drain(AgainWhenQuiet(FixedGrid(GRID), lambda: True), busy_when(lambda _: True))
    assert asked == [*GRID[:5], GRID[2], GRID[5]]
    assert max(asked.count(point) for point in asked) <= Patience().tries


def test_without_time_nothing_is_measured_again() -> None:
    assert (
        drain(AgainWhenQuiet(FixedGrid(GRID), lambda: False), busy_when(lambda n: n <= 4)) == GRID
    )


def test_a_point_measured_on_a_slow_machine_comes_again_once_the_machine_is_itself() -> None:
    """Full CPU share all along: the reference pass alone tells."""
    slow_at_third = beside(0.050, 0.051, 0.060, 0.050)
    asked = drain(AgainWhenQuiet(FixedGrid(GRID), lambda: True), slow_at_third)
    assert asked == [*GRID[:4], GRID[2], *GRID[4:]]


def test_what_seemed_quiet_is_slow_once_a_quieter_machine_was_seen() -> None:
    """A process that begins beside a neighbour knows nothing better until the neighbour leaves."""
    asked = drain(AgainWhenQuiet(FixedGrid(GRID), lambda: True), beside(0.07, 0.07, 0.07, 0.05))
    assert asked == [*GRID[:4], GRID[2], *GRID[4:]]


def test_patience_spends_more_visits_at_the_end_the_least_tried_first() -> None:
    patient = AgainWhenQuiet(FixedGrid(GRID), lambda: True, None, Patience(3, visits_at_end=5))
    asked = drain(patient, busy_when(lambda _: True))
    assert asked == [*GRID[:5], *GRID[2:5], GRID[2], GRID[3], GRID[5]]


def test_a_visit_in_vain_is_cut_short_where_the_point_will_come_again() -> None:
    slow, quiet = beside(0.07)(1), beside(0.05)(1)
    source = AgainWhenQuiet(FixedGrid(GRID), lambda: True, None, Patience(2))
    source.update(GRID[2], [quiet])
    assert source.better_later(GRID[3], [slow, slow])
    assert not source.better_later(GRID[3], [slow, quiet])
    assert not source.better_later(GRID[1], [slow, slow]), "an anchor has few windows"
    source.update(GRID[3], [slow, slow])
    assert not source.better_later(GRID[3], [slow, slow]), "the last try is a whole one"


def test_an_error_asked_for_makes_windows_last_until_they_agree_and_waits_for_no_heat() -> None:
    quick, standard = profile_named("quick"), profile_named("standard")
    towards = quick.towards(0.05)
    assert (towards.half_width_rel, towards.max_windows) == (0.05, 12)
    assert not towards.waits_for_heat and standard.waits_for_heat
    assert standard.towards(0.05) == standard
    scattered = [window(t) for t in (1.0, 1.1)]
    assert enough(scattered, quick) and not enough(scattered, towards)
    assert enough([window(1.0), window(1.002)], towards)


def bent_law(point: Point) -> float:
    """Steps as `cpu_law` has them; the prior's own prefill, bent upwards at the long end."""
    prompt = point.workload.prompt_tokens
    if prompt is None:
        return cpu_law(point)
    steps_s = cpu_law(point) - cpu_law(Point(Phase.PREFILL, Workload.prefill(prompt)))
    known_s = float(cpu_prior(1).prefill_s(np.array([float(prompt)]))[0])
    return 0.03 + 1.5 * known_s + 1e-5 * prompt**2 + steps_s


@pytest.mark.parametrize("read_by", [None, "relative"])
def test_the_promise_is_about_the_recipe_that_will_be_read(read_by: str | None) -> None:
    """The belief knows how the curve bends between few prompts; lines between them do not."""
    _, target = made(Aim(target_error=0.05))
    candidates = [runtime_point(p) for p in target.candidates]
    goals = requests_over(candidates)
    planner = Planner(
        candidates, prior=cpu_prior(1), target_error=0.05, noise_rel=0.005, foretold=2,
        targets=goals, read_by=read_by,
    )  # fmt: skip
    while (point := planner.propose()) is not None:
        planner.update(observed(point, bent_law(plan_point(point))))
    promised = planner.expected_error()
    assert planner.stopped() == "target met" and promised is not None
    read = fit(planner.observations)
    errors = [
        abs(read.predict(g.prompt_tokens, g.output_tokens).runtime_s / bent_law(request) - 1)
        for g in goals
        for request in [Point(Phase.E2E, Workload.request(g.prompt_tokens, g.output_tokens))]
    ]
    kept = float(np.mean(errors)) <= promised
    assert kept == (read_by is not None)


def test_what_is_slow_is_told_by_process() -> None:
    quiet = Quiet()
    slower = [replace(beside(0.08)(1), process_id="q") for _ in range(3)]
    windows = [beside(0.05)(1), beside(0.0524)(1), beside(0.0526)(1), beside(0.05)(1)]
    quiet.learn([*windows, *slower])
    assert quiet.among(windows) == [windows[0], windows[1], windows[3]]
    assert quiet.among(slower) == slower


def test_a_window_without_a_reference_is_quiet_and_a_short_one_is_not() -> None:
    quiet, short = Quiet(), replace(window(0.2), window_target_s=0.3)
    quiet.learn([window(1.0), short])
    assert quiet.among([window(1.0), short]) == [window(1.0)]


def test_a_planner_learns_from_the_quiet_windows_of_a_point() -> None:
    plan, target = made(Aim(target_error=0.05))
    quiet = Quiet()
    assert plan.aim is not None
    rules = Rules(plan.aim, profile_named("quick"), 0.3, cpu_prior)
    source = PlannedPoints(target, plan.point_order(target, 0), [], rules, quiet)
    while (point := source.propose()) is not None:
        law_s = cpu_law(point)
        pair = [
            replace(window(law_s * factor), process_id="p", reference_pass_s=0.05 * factor)
            for factor in (1.4, 1.0)
        ]
        quiet.learn(pair)
        source.update(point, pair)
    assert source._planners is not None
    for observation in source._planners[1].observations:
        assert observation.runtime_s == pytest.approx(cpu_law(plan_point(observation.point)))


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (Request(target_error=1.5), "--target-error 1.5"),
        (Request(target_error=float("nan")), "--target-error nan"),
        (Request(budget_s=-1), "--budget -1"),
        (Request(budget_s=float("nan")), "--budget nan"),
        (Request(target_error=0.05, fixed_grid=True), "--fixed-grid"),
        (Request(budget_s=0, template=ModelRequest("", prompts=(8, 16))), "--budget 0"),
        (Request(target_error=0.1, template=ModelRequest("", prompts=(8, 16))), "nothing is left"),
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
