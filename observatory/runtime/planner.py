"""Which point to measure next: the one that lowers the expected held-out error most per second.

The planner holds no list of points. It is given candidates, a prior and a budget or a target, and
after each measurement asks its surrogate which candidate would teach most about the targets for
what it costs. It stops when the expected error meets the target or the budget has no room left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from observatory.errors import InputError
from observatory.runtime.belief import (
    Belief,
    believe,
    doubted,
    error_drops,
    expected_error,
    fit_hypotheses,
)
from observatory.runtime.fit import Fit, assemble
from observatory.runtime.fit import fit as fit_points
from observatory.runtime.kriging import (
    context_evidence,
    kriging_solution,
    mean_data,
    scatter_of,
    spread_of,
    surrogate_for,
)
from observatory.runtime.observations import (
    IndexArray,
    Observation,
    Point,
    rows_at,
    rows_of,
)
from observatory.runtime.prior import Prior
from observatory.runtime.surrogate import ONE_PROCESSOR, SHAPELESS, Hypothesis, Settings, Surrogate

CostOf = Callable[[Point, float], float]
_REFIT_EVERY = 3  # once there are many points, scales move little
_MANY = 12
_FORETOLD = 3  # prompts in a row that must come out as foretold before a target counts as met
_TIGHT = 0.2  # share of the budget from which the first decode is not put off
_NOTICEABLE = 0.05  # growth of a step over the contexts that may not be left unmeasured


@dataclass(frozen=True)
class Step:
    """One decision: the point, what it was expected to cost, and the errors before and after."""

    point: Point
    cost_s: float
    error_before: float | None
    error_after: float | None
    reason: str


class Planner:
    """Chooses points one by one: `propose`, measure, `update`, until `propose` gives None.

    `candidates` are what may be measured, `targets` what must be predicted well (by default the
    candidates); all share one batch size. `cost_s(point, expected_s)` is what measuring takes, by
    default the expected time of one iteration. `foretold` is how many prompts in a row must come
    out as foretold before a target counts as met; `ensure_fit` measures a decode stretch and the
    longest prompt even beyond the budget, for without them there is nothing to store. `noise_rel`
    and `resolution_s` describe the clock. `read_by` is the recipe by which the points will be read:
    the error of its interpolation then counts as well, held against the belief. Without it the
    belief itself is what will be read (`fit`).
    Raises InputError when neither a budget nor a target is given, or candidates cannot be fitted.
    """

    def __init__(
        self,
        candidates: Sequence[Point],
        *,
        prior: Prior | None = None,
        budget_s: float | None = None,
        target_error: float | None = None,
        targets: Sequence[Point] | None = None,
        cost_s: CostOf | None = None,
        repeats: int = 1,
        noise_rel: float = 0.002,
        resolution_s: float = 0.0,
        max_points: int | None = None,
        foretold: int = _FORETOLD,
        ensure_fit: bool = False,
        settings: Settings | None = None,
        read_by: str | None = None,
    ) -> None:
        _check(candidates, budget_s, target_error)
        self.candidates = list(dict.fromkeys(candidates))
        goals = list(dict.fromkeys(targets)) if targets else self.candidates
        self._points = list(dict.fromkeys([*self.candidates, *goals]))
        self._position = {point: i for i, point in enumerate(self._points)}
        self._goals = np.array([self._position[point] for point in goals])
        self._rows = rows_at(self._points)
        usual = SHAPELESS if prior is None else Settings() if prior.overlaps else ONE_PROCESSOR
        self.prior, self.settings = prior, settings or usual
        self.budget_s, self.target_error = budget_s, target_error
        self.cost_s: CostOf = cost_s or (lambda _point, expected: expected)
        self.repeats, self.max_points, self.foretold = repeats, max_points, foretold
        self.ensure_fit, self.read_by = ensure_fit, read_by
        self._measurable = _steady(self.candidates, self.settings.fewest_steps)
        self.noise_rel, self.resolution_s = noise_rel, resolution_s
        self.observations: list[Observation] = []
        self.spent_s = 0.0
        self.steps: list[Step] = []
        self._surprises: dict[int, float] = {}  # by prompt tokens
        self._prompts = len({p.prompt_tokens for p in self.candidates if p.has_prefill})
        self._hypotheses: dict[tuple[int, int], Hypothesis] = {}
        self._surrogate: Surrogate | None = None
        self._belief: Belief | None = None
        self._read: Fit | None = None  # by `read_by`, of what was observed

    def propose(self) -> Point | None:
        """The next point, or None: target met, budget spent, or nothing left to learn from."""
        if self._finished():
            return None
        if self._belief is None:
            first = min(
                self.candidates, key=lambda p: (not p.has_prefill, p.steps, p.prompt_tokens)
            )
            return self._decide(Step(first, self.cost_s(first, 0.0), None, None, "sets the scale"))
        open_ = self._owed() or self._affordable() or self._essential()
        if not open_:
            return None
        if self._believed_error_met() and (coarse := self._coarsest(open_)) is not None:
            before = self.expected_error()
            return self._decide(Step(coarse, self._cost(coarse), before, None, "interpolation"))
        index = np.array([self._position[point] for point in open_])
        drops = error_drops(self._belief, self._open_goals(), index)
        costs = np.array([self._cost(point) for point in open_])
        best = int(np.argmax(drops / np.maximum(costs, 1e-12)))
        if drops[best] <= 0:
            return None
        before = self.expected_error()
        after = None if before is None else before - float(drops[best])
        return self._decide(Step(open_[best], float(costs[best]), before, after, "teaches most"))

    def update(self, observation: Observation, spent_s: float | None = None) -> None:
        """Take in a measurement; `spent_s` is what it really cost, by default `cost_s` of it."""
        point = observation.point
        if point not in self._position:
            raise InputError(f"{point.label()}: not among the planner's candidates or targets")
        new = all(o.prompt_tokens != point.prompt_tokens for o in self.observations)
        if self._belief is not None and point.has_prefill and new:
            foretold = float(self._belief.mean[self._position[point]])
            self._surprises[point.prompt_tokens] = abs(foretold / observation.runtime_s - 1)
        self.observations.append(observation)
        self.spent_s += self.cost_s(point, observation.runtime_s) if spent_s is None else spent_s
        self._learn()

    def forget(self, point: Point) -> None:
        """Drop what was observed at a point, for it is measured again; the time stays spent."""
        self.observations = [o for o in self.observations if o.point != point]
        self._surprises.pop(point.prompt_tokens, None)
        if self.observations:
            self._learn()
        else:
            self._belief = None

    def exclude(self, unwanted: Callable[[Point], bool]) -> None:
        """Never propose these candidates: they cannot be measured here."""
        self.candidates = [point for point in self.candidates if not unwanted(point)]
        self._measurable = [point for point in self._measurable if not unwanted(point)]

    def stopped(self) -> str:
        """Why `propose` gave None: `target met`, `budget spent`, `all measured`, `nothing to gain`
        (no candidate would lower the expected error)."""
        if self._finished():
            return "target met"
        if self._belief is not None and (self._owed() or self._affordable()):
            return "nothing to gain"
        seen = {observation.point for observation in self.observations}
        return "budget spent" if set(self._measurable) - seen else "all measured"

    def expected_error(self) -> float | None:
        """Expected mean |T̂/T - 1| over the targets not measured yet; None before any data."""
        believed = self._believed_error()
        return None if believed is None else believed + self._gap()

    def why(self) -> str:
        """A sentence on the last decision, or on why there is none."""
        if not self.steps:
            return "nothing proposed yet"
        step = self.steps[-1]
        if step.error_before is None or step.error_after is None:
            return f"{step.point.label()}: {step.reason}"
        return (
            f"{step.point.label()}: expected error {step.error_before:.2%} -> "
            f"{step.error_after:.2%} for {step.cost_s:.3g} s"
        )

    def fit(self) -> Fit:
        """What the measurements say by now, as a storable fit of recipe `kriging`.

        Raises InputError as long as no prefill or no decode step was measured.
        """
        if not any(observation.point.steps for observation in self.observations):
            raise InputError("planner: no decode step measured yet: the budget is too small")
        prompts = [point.prompt_tokens for point in self._points if point.has_prefill]
        evidence = context_evidence(self.observations)
        solution = kriging_solution(
            self.observations, prompts, evidence.accepted, self.prior, self.settings,
            self.noise_rel, self.resolution_s,
        )  # fmt: skip
        return assemble(
            "kriging", solution, rows_of(self.observations), self.observations, (evidence,),
            self.spent_s,
        )  # fmt: skip

    def belief(self) -> Belief | None:
        """The posterior over `points()`, None before any data."""
        return self._belief

    def points(self) -> tuple[Point, ...]:
        """Candidates and targets, in the order of the belief's arrays."""
        return tuple(self._points)

    def _believed_error(self) -> float | None:
        if self._belief is None or not any(o.point.steps for o in self.observations):
            return None
        return expected_error(self._belief, self._open_goals())

    def _believed_error_met(self) -> bool:
        error = self._believed_error()
        return self.target_error is not None and error is not None and error <= self.target_error

    def _gap(self) -> float:
        """Mean relative difference over the targets between what the recipe reads and the belief:
        straight lines between few prompts cut the bends of the curve. 0 without a recipe."""
        if self._read is None or self._belief is None:
            return 0.0
        goals = self._open_goals()
        read = self._read.times(self._rows.select(goals))
        return float(np.mean(np.abs(read / self._belief.mean[goals] - 1)))

    def _coarsest(self, open_: Sequence[Point]) -> Point | None:
        """The prompt to measure whose reading is farthest from the belief."""
        prefills = [point for point in open_ if point.has_prefill]
        if self._read is None or self._belief is None or not prefills:
            return None
        index = np.array([self._position[point] for point in prefills])
        read = self._read.times(self._rows.select(index))
        return prefills[int(np.argmax(np.abs(read / self._belief.mean[index] - 1)))]

    def _decide(self, step: Step) -> Point:
        self.steps.append(step)
        return step.point

    def _finished(self) -> bool:
        if self.max_points is not None and len(self.observations) >= self.max_points:
            return True
        error = self.expected_error()
        met = self.target_error is not None and error is not None and error <= self.target_error
        return met and not self._owed() and self._foretold()

    def _foretold(self) -> bool:
        """Whether the latest prompts came out as foretold, within the target on average.

        They were chosen where doubt was largest, so a belief that passes is no luckier elsewhere;
        one that is sure and wrong goes on measuring.
        """
        latest = list(self._surprises.values())[-self.foretold :]
        enough = len(latest) == self.foretold or len(self._surprises) + 1 >= self._prompts
        return enough and float(np.mean(latest or [0.0])) <= (self.target_error or 0.0)

    def _owed(self) -> list[Point]:
        """What a target's promise needs whatever the belief: both ends, and slopes to tell b1.

        Empty without a target, but for the longest prompt where there is no prior. Slopes at four
        contexts where a context term is possible leave its evidence two rows to spare.
        """
        promised = self.target_error is not None
        if self._belief is None or self._surrogate is None or not (promised or not self.prior):
            return []
        seen = {observation.point for observation in self.observations}
        prefills = [point for point in self._measurable if point.has_prefill]
        steps = [point for point in self._measurable if point.steps]
        if not prefills or not steps:
            return []  # what was to be measured failed
        longest = max(prefills, key=lambda point: (point.prompt_tokens, -point.steps))
        missing = [] if longest.prompt_tokens in {
            point.prompt_tokens for point in seen if point.has_prefill
        } else [longest]  # fmt: skip
        affordable = set(self._affordable())
        if not promised:
            return [point for point in missing if point in affordable]
        shortest: dict[int, Point] = {}  # of each context: slopes cost no more than they need
        for point in sorted(steps, key=lambda point: (point.first_context, point.steps)):
            shortest.setdefault(point.first_context, point)
        decodes = list(shortest.values())
        scales = self._surrogate.scales
        growth = (scales.context_mean_s + scales.context_sd_s) * decodes[-1].first_context
        ends = 4 if growth > _NOTICEABLE * scales.step_s else 1
        wanted = {decodes[round(i * (len(decodes) - 1) / max(ends - 1, 1))] for i in range(ends)}
        missing += [point for point in sorted(wanted, key=decodes.index) if point not in seen]
        return [point for point in missing if point in affordable]

    def _cost(self, point: Point) -> float:
        assert self._belief is not None  # only asked once there is one
        return self.cost_s(point, float(max(self._belief.mean[self._position[point]], 0.0)))

    def _affordable(self) -> list[Point]:
        """Candidates within the budget; until a decode was measured, room is kept for one."""
        counts: dict[Point, int] = {}
        for observation in self.observations:
            counts[observation.point] = counts.get(observation.point, 0) + 1
        left = float("inf") if self.budget_s is None else self.budget_s - self.spent_s

        def within(points: Sequence[Point], room: float) -> list[Point]:
            return [
                point
                for point in points
                if counts.get(point, 0) < self.repeats and self._cost(point) <= room
            ]

        if any(point.steps for point in counts):
            return within(self._measurable, left)
        decodes = within([point for point in self._measurable if point.steps], left)
        if not decodes:
            return within([point for point in self.candidates if point.steps], left)
        kept = min(self._cost(point) for point in decodes)
        prefills = [point for point in self._measurable if not point.steps]
        return decodes if kept > _TIGHT * left else decodes + within(prefills, left - kept)

    def _essential(self) -> list[Point]:
        """What a fit cannot be without, whatever the budget: a decode stretch, the longest prompt.

        Empty unless `ensure_fit`, and once they are measured.
        """
        if not self.ensure_fit:
            return []
        seen = [observation.point for observation in self.observations]
        decodes = [point for point in self._measurable if point.steps]
        if decodes and not any(point.steps for point in seen):
            return [min(decodes, key=self._cost)]
        prefills = [point for point in self._measurable if point.has_prefill]
        longest = max(prefills, key=lambda point: (point.prompt_tokens, -point.steps), default=None)
        return [] if longest is None or longest in seen else [longest]

    def _open_goals(self) -> IndexArray:
        seen = {self._position[o.point] for o in self.observations}
        rest = [int(i) for i in self._goals if int(i) not in seen]
        return np.array(rest or self._goals, dtype=np.intp)

    def _learn(self) -> None:
        data = mean_data(self.observations, self._position)
        noise_rel = spread_of(self.observations, self.noise_rel)
        self._surrogate = surrogate_for(
            self._rows, data, self.prior, self.settings, noise_rel, self.resolution_s,
            spread_rel=scatter_of(self.observations),
        )  # fmt: skip
        known = len(data.index)
        if not self._hypotheses:
            self._hypotheses = fit_hypotheses(self._surrogate, data, {})
        data = doubted(self._surrogate, data, self._hypotheses)
        if known < _MANY or known % _REFIT_EVERY == 0:
            self._hypotheses = fit_hypotheses(self._surrogate, data, self._hypotheses)
        self._belief = believe(self._surrogate, data, self._hypotheses)
        self._read = self._reading()

    def _reading(self) -> Fit | None:
        """The fit by `read_by`; None without it, and as long as there are too few points for it."""
        if self.read_by is None:
            return None
        try:
            return fit_points(self.observations, self.read_by)
        except InputError:
            return None


def _steady(candidates: Sequence[Point], fewest: int) -> list[Point]:
    """Candidates without decode or with enough of it; all, where none has enough.

    A slope over one or two steps is mostly jitter of launches and the oddity of the first step: in
    public logs it is 3 to 10 % off, over a dozen steps below 1 %.
    """
    steady = [point for point in candidates if point.steps == 0 or point.steps >= fewest]
    return steady if any(point.steps for point in steady) else list(candidates)


def _check(candidates: Sequence[Point], budget_s: float | None, target_error: float | None) -> None:
    if budget_s is None and target_error is None:
        raise InputError("planner: give a budget in seconds, a target error, or both")
    for name, value in (("budget", budget_s), ("target error", target_error)):
        if value is not None and not value > 0:
            raise InputError(f"planner: {name} {value} must be positive")
    if not any(point.has_prefill for point in candidates):
        raise InputError("planner: no candidate has a prefill")
    if not any(point.steps for point in candidates):
        raise InputError("planner: no candidate has a decode step")
    if len({point.batch for point in candidates}) > 1:
        raise InputError("planner: candidates must share one batch size")
