"""Points that a planner chooses while a process measures them (METHOD §2.4).

Only the first process of a configuration chooses; later ones repeat what it chose, so that every
point is held against fresh processes. Held-out requests are measured in turn with chosen points:
neither kind has the colder or the quieter half of the process to itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from observatory.fitting import DEFAULT_RECIPE
from observatory.records import Phase, Window, Workload
from observatory.runtime import observations
from observatory.runtime.observations import observed
from observatory.runtime.planner import Planner
from observatory.runtime.prior import Prior
from observatory.statistics import median
from runners.expect import measuring_s
from runners.plan import Aim, Point, Target
from runners.points import Quiet
from runners.profiles import Profile

#: Neighbouring windows of one point hide the drift between points: the error of their mean is not
#: believed below it.
LEAST_NOISE_REL = 0.005
#: Prompts in a row that must come out as foretold before a target counts as met.
FORETOLD = 2

#: A point with the windows that an earlier, interrupted process of the same repeat has stored.
History = Sequence[tuple[Point, Sequence[Window]]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a planner of one target needs to know: when to stop, what measuring costs, what is
    believed beforehand (asked for when the process stands, by batch size)."""

    aim: Aim
    profile: Profile
    window_s: float
    prior: Callable[[int], Prior | None]


class PlannedPoints:
    """The points of the process that chooses: idle, first anchor, chosen and held-out points in
    turn, last anchor. `fixed` are those that are measured in any case, in order."""

    def __init__(
        self, target: Target, fixed: Sequence[Point], history: History, rules: Rules,
        quiet: Quiet | None = None,
    ) -> None:  # fmt: skip
        work = [point for point in fixed if point.role not in ("idle", "anchor")]
        start = fixed.index(work[0]) if work else len(fixed) - 1
        self._first, self._heldout = list(fixed[:start]), work
        self._last = list(fixed[start + len(work) :])
        self._target, self._history, self._rules = target, history, rules
        self._quiet = quiet or Quiet()
        self._planners: dict[int, Planner] | None = None  # by batch size
        self._asked_s = 0.0
        self._heldout_next = False
        self._noise: dict[Point, float] = {}
        self._windows: dict[Point, list[Window]] = {}

    def propose(self) -> Point | None:
        """The next point; None once the planners have what they need and the rest is measured."""
        self._asked_s = time.monotonic()
        if self._first:
            return self._first.pop(0)
        if self._heldout_next and self._heldout:
            self._heldout_next = False
            return self._heldout.pop(0)
        chosen = self._choose()
        if chosen is not None:
            self._heldout_next = True
            return chosen
        rest = self._heldout or self._last
        return rest.pop(0) if rest else None

    def update(self, point: Point, windows: Sequence[Window]) -> None:
        """Let the planner learn from its points, from the quiet windows of each if it has some. A
        failed point is never asked for again, nor one that would take more."""
        spent_s, self._asked_s = time.monotonic() - self._asked_s, time.monotonic()
        planner = self._planner_of(point)
        if planner is None:
            return
        if not windows:
            planner.exclude(lambda other: _at_least(other, point))
            return
        if point in self._windows:  # again, for it was disturbed: no cost of choosing
            planner.forget(runtime_point(point))
            spent_s = 0.0
        self._learn(planner, point, windows, spent_s)

    def remaining(self) -> Sequence[Point]:
        """What is measured in any case."""
        return (*self._first, *self._heldout, *self._last)

    def outcome(self) -> list[dict[str, Any]]:
        """What each planner reached, for the run's notes; a list over batch sizes."""
        return [
            {
                "batch": planner.candidates[0].batch if planner.candidates else None,
                "chosen": len({o.point for o in planner.observations}),
                "candidates": len(planner.candidates),
                "expected_error": planner.expected_error(),
                "target_error": planner.target_error,
                "budget_s": planner.budget_s,
                "spent_s": planner.spent_s,
                "noise_rel": planner.noise_rel,
                "prior": planner.prior.source if planner.prior else None,
                "stopped": planner.stopped(),
            }
            for planner in (self._planners or {}).values()
        ]

    def sentences(self) -> list[str]:
        """What each planner reached, for a person."""
        lines = []
        for made in self.outcome():
            error, goal = made["expected_error"], made["target_error"]
            reached = "no error expected yet" if error is None else f"expected error {error:.1%}"
            aimed = "" if goal is None else f" of {goal:.1%} asked for"
            batch = f" at batch {made['batch']}" if len(self._planners or {}) > 1 else ""
            lines.append(
                f"planner chose {made['chosen']} of {made['candidates']} points{batch} "
                f"in {made['spent_s']:.1f} s: {made['stopped']}, {reached}{aimed}"
            )
        return lines

    def _choose(self) -> Point | None:
        if self._planners is None:
            self._planners = self._make_planners()
        wanted = (planner.propose() for planner in self._planners.values())
        point = next((point for point in wanted if point is not None), None)
        return None if point is None else plan_point(point)

    def _planner_of(self, point: Point) -> Planner | None:
        if self._planners is None or point not in self._target.candidates:
            return None
        return self._planners[point.workload.batch]

    def _make_planners(self) -> dict[int, Planner]:
        by_batch: dict[int, list[Point]] = {}
        for point in self._target.candidates:
            by_batch.setdefault(point.workload.batch, []).append(point)
        planners = {batch: self._planner(batch, points) for batch, points in by_batch.items()}
        for point, windows in self._history:
            spent_s = sum(w.duration_s for w in windows)
            self._learn(planners[point.workload.batch], point, windows, spent_s)
        return planners

    def _planner(self, batch: int, points: Sequence[Point]) -> Planner:
        rules = self._rules
        candidates = [runtime_point(point) for point in points]
        return Planner(
            candidates,
            prior=rules.prior(batch),
            budget_s=rules.aim.budget_s,
            target_error=rules.aim.target_error,
            targets=requests_over(candidates),
            cost_s=lambda _, each_s: measuring_s(each_s, rules.profile, rules.window_s),
            noise_rel=LEAST_NOISE_REL,
            foretold=FORETOLD,
            ensure_fit=True,
            read_by=DEFAULT_RECIPE,
        )

    def _learn(
        self, planner: Planner, point: Point, windows: Sequence[Window], spent_s: float
    ) -> None:
        measured = self._windows.setdefault(point, [])
        measured.extend(windows)
        seconds = [w.duration_s / w.iterations for w in self._quiet.among(measured) or measured]
        if len(seconds) > 1:
            centre = sum(seconds) / len(seconds)
            squares = sum((s / centre - 1) ** 2 for s in seconds) / (len(seconds) - 1)
            self._noise[point] = math.sqrt(squares / len(seconds))
            # The median of |N(0, s)| is 0.6745 s: robust where one point met a busy neighbour.
            planner.noise_rel = max(LEAST_NOISE_REL, median([*self._noise.values()]) / 0.6745)
        planner.update(observed(runtime_point(point), median(seconds)), spent_s)


def requests_over(candidates: Sequence[observations.Point]) -> list[observations.Point]:
    """What must be predicted well: requests of every candidate prompt, with short, middle and long
    answers, all inside the contexts that the candidates reach."""
    decodes = [point for point in candidates if not point.has_prefill]
    steps = max(point.steps for point in decodes)
    reach = max(point.first_context + point.steps for point in decodes)
    found = [
        observations.Point("e2e", point.prompt_tokens, output, point.batch)
        for point in candidates
        if point.has_prefill
        for output in (2, steps, 4 * steps)
        if point.prompt_tokens + output <= reach
    ]
    return found or list(candidates)


def runtime_point(point: Point) -> observations.Point:
    """The planner's name of a point."""
    work = point.workload
    return observations.Point(
        str(point.phase), work.prompt_tokens or 0, work.output_tokens or 1, work.batch,
        work.context_tokens,
    )  # fmt: skip


def plan_point(point: observations.Point) -> Point:
    """The plan's name of a point that a planner proposed."""
    if point.has_prefill:
        return Point(Phase.PREFILL, Workload.prefill(point.prompt_tokens, point.batch))
    assert point.context_tokens is not None  # a decode stretch has one
    return Point(
        Phase.DECODE, Workload.decode(point.context_tokens, point.output_tokens, point.batch)
    )


def _at_least(other: observations.Point, point: Point) -> bool:
    """Whether a candidate works on as many tokens of the same phase as a point that failed."""
    failed = runtime_point(point)
    same = other.has_prefill == failed.has_prefill
    return same and other.first_context >= failed.first_context
