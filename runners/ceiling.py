"""How long a plan can take at most, where neighbours disturb the machine all the time.

`runners.expect` foretells a quiet machine: the least windows, each point once. Here every point
gets the most windows, and as many visits again as patience allows. Speeds are nominal in both: what
is bounded is how much is measured, not how slow a machine can get.
"""

from __future__ import annotations

from collections.abc import Sequence

from observatory.catalog.architecture import Architecture
from runners import expect
from runners.plan import Plan, Point, Target
from runners.points import PATIENT, Patience
from runners.profiles import Profile, profile_named

#: Below this ratio to what is expected a ceiling says nothing that a person needs.
WORTH_SAYING = 1.25


def thoroughness(plan: Plan) -> tuple[Profile, Patience]:
    """The profile and the patience of a plan: more of both where an error is asked for and no
    time."""
    profile, aim = profile_named(plan.profile), plan.aim
    if aim is not None and aim.target_error is not None and aim.budget_s is None:
        return profile.towards(aim.target_error), PATIENT
    return profile, Patience()


def process_s(
    plan: Plan, architecture: Architecture, target: Target, points: Sequence[Point],
    chooses: bool, speed: expect.Speed, window_s: float,
) -> float:  # fmt: skip
    """Seconds at most of one process with these points left, and with every candidate where a
    planner still has to choose; loading included, 0 where nothing is left."""
    profile, patience = thoroughness(plan)

    def visit_s(point: Point, windows: int) -> float:
        each_s = expect.pass_s(architecture, target, point, speed)
        rule = profile.warm_up
        warm_s = rule.max_passes * each_s
        if rule.cap_s is not None:
            warm_s = max(each_s, min(warm_s, rule.cap_s))
        return warm_s + windows * max(window_s, each_s)

    fixed = [p for p in points if p.role in ("idle", "anchor")]
    work = [p for p in points if p.role not in ("idle", "anchor")]
    candidates = list(target.candidates) if chooses else []
    seconds = sum(
        expect.cell_s(architecture, target, p, speed, profile, window_s) for p in fixed
    ) + sum(visit_s(p, profile.max_windows) for p in work)
    choosing_s = sum(visit_s(p, profile.max_windows) for p in candidates)
    if plan.aim is not None and plan.aim.budget_s is not None:
        choosing_s = min(choosing_s, plan.aim.budget_s)
    visited = [*work, *candidates]
    again_s = 0.0
    if visited:
        # One after each point that came out quiet, and those at the end.
        visits = min(len(visited) * (patience.tries - 1), len(visited) + patience.visits_at_end)
        short_s = sum(visit_s(p, profile.min_windows) for p in visited)
        again_s = short_s * visits / len(visited)
    if not (fixed or visited):
        return 0.0
    starting_s = expect.load_s(architecture, target) + expect.heating_s(target, profile, window_s)
    return starting_s + seconds + choosing_s + again_s


def within_budget(plan: Plan, expected_s: float, most_s: float) -> float:
    """The ceiling of a plan whose profile has a budget: near it nothing is visited again."""
    return most_s if plan.budget_s is None else min(most_s, max(expected_s, plan.budget_s))


def plan_s(
    plan: Plan, architectures: dict[str, Architecture], speed: expect.Speed,
    room: int | None = None,
) -> float:  # fmt: skip
    """Seconds at most of the whole plan where no joules are counted, as `expect.plan_s` expects it;
    what does not fit into `room` bytes is counted all the same."""
    window_s = thoroughness(plan)[0].window_target_s(None)
    total = 0.0
    for target in plan.targets:
        for index in range(plan.processes):
            points = [p for p in target.points if index == 0 or p.role != "idle"]
            total += process_s(plan, architectures[target.model], target, points,
                               bool(target.candidates), speed, window_s)  # fmt: skip
    return within_budget(plan, expect.plan_s(plan, architectures, speed, room), total)
