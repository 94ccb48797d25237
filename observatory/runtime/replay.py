"""Offline mode: plans replayed on a full grid of measurements, as if each point were measured now.

Gives the curve of accuracy against cost: the share of the grid's points and of its device time that
a plan used, and its mean held-out error, on all points of the grid that it did not use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from observatory.errors import InputError
from observatory.runtime.fit import Fit, fit, heldout_errors
from observatory.runtime.observations import Observation, Point
from observatory.runtime.planner import Planner
from observatory.runtime.prior import Prior
from observatory.runtime.surrogate import Settings

# The fixed plan that METHOD 2.4 compares with: prompts at one output token, then two slopes.
SEVEN_PROMPTS = (1, 256, 512, 1024, 1536)
SEVEN_OUTPUT = 16


@dataclass(frozen=True)
class CurvePoint:
    """What a plan reached. Shares are of the grid; `expected` is what the planner foretold."""

    plan: str
    points: int
    share_points: float
    share_time: float
    heldout_mean: float
    heldout_max: float
    expected: float | None
    fit: Fit


def grid_of(observations: Sequence[Observation]) -> dict[Point, Observation]:
    """One observation a point; raises InputError where the grid repeats a point."""
    grid = {observation.point: observation for observation in observations}
    if len(grid) != len(observations):
        raise InputError("replay: the grid repeats points; average or denoise them first")
    return grid


def judge(
    grid: dict[Point, Observation], used: Sequence[Point], fitted: Fit, plan: str,
    expected: float | None = None, predictor: str = "interpolated",
) -> CurvePoint:  # fmt: skip
    """The curve's point of a fit that was made from the points `used`."""
    taken = set(used)
    held = [observation for point, observation in grid.items() if point not in taken]
    if predictor == "interpolated":
        errors = np.array(heldout_errors(fitted, held).all)
    else:
        p = [o.prompt_tokens for o in held]
        told = fitted.predict_many(p, [o.output_tokens for o in held], 1, predictor).runtime_s
        errors = np.abs(told / np.array([o.runtime_s for o in held]) - 1)
    total = sum(observation.runtime_s for observation in grid.values())
    spent = sum(grid[point].runtime_s for point in taken)
    return CurvePoint(
        plan, len(taken), len(taken) / len(grid), spent / total, float(errors.mean()),
        float(errors.max()), expected, fitted,
    )  # fmt: skip


def replay(
    observations: Sequence[Observation],
    shares: Sequence[float],
    *,
    prior: Prior | None = None,
    resolution_s: float = 0.0,
    settings: Settings | None = None,
    target_error: float | None = None,
) -> list[CurvePoint]:
    """The planner on a grid, judged at each share of its device time, ascending."""
    grid = grid_of(observations)
    total = sum(observation.runtime_s for observation in grid.values())
    planner = Planner(
        list(grid), prior=prior, budget_s=shares[0] * total, target_error=target_error,
        resolution_s=resolution_s, settings=settings,
    )  # fmt: skip
    curve = []
    for share in sorted(shares):
        planner.budget_s = share * total
        while (point := planner.propose()) is not None:
            planner.update(grid[point])
        used = [observation.point for observation in planner.observations]
        expected = planner.expected_error()
        curve.append(judge(grid, used, planner.fit(), f"planner {share:.1%}", expected))
    return curve


def nearest(values: Sequence[int], wanted: int) -> int:
    """The value nearest to `wanted`, the smaller of two equally near."""
    return min(sorted(values), key=lambda value: abs(value - wanted))


def seven_points(
    observations: Sequence[Observation], predictor: str = "interpolated"
) -> CurvePoint:
    """The fixed plan, at the grid's nearest points: five prefills and the slope at both ends.

    With `predictor` `helm-lookup` the same points are read by the paper's look-up.
    """
    grid = grid_of(observations)
    prompts = sorted({point.prompt_tokens for point in grid})
    output = nearest(sorted({point.output_tokens for point in grid}), SEVEN_OUTPUT)
    chosen = sorted({nearest(prompts, wanted) for wanted in SEVEN_PROMPTS})
    pairs = {(p, 1) for p in chosen} | {(chosen[0], output), (chosen[-1], output)}
    used = [point for point in grid if (point.prompt_tokens, point.output_tokens) in pairs]
    fitted = fit([grid[point] for point in used], interpolation="linear", context_term=False)
    name = "seven points" if predictor == "interpolated" else "paper's look-up"
    return judge(grid, used, fitted, name, predictor=predictor)


def thinned(
    observations: Sequence[Observation], every: int = 3, offset: int = 0
) -> list[Observation]:
    """The grid without every `every`-th prompt length, counted from `offset`."""
    prompts = sorted({observation.prompt_tokens for observation in observations})
    kept = {prompt for i, prompt in enumerate(prompts) if i % every != offset % every}
    return [observation for observation in observations if observation.prompt_tokens in kept]


def resampled(
    observations: Sequence[Observation], prompts: Sequence[int], resolution_s: float = 0.0
) -> list[Observation]:
    """The grid at other prompt lengths, its times interpolated between its own prompts.

    Between two prompts a line, at the same output length; prompts outside the grid are left out.
    `resolution_s` rounds as the log did. An interpolated point averages the noise of two, and no
    staircase shows between them: it is the grid of a smoother device.
    """
    columns: dict[tuple[str, int, int], list[Observation]] = {}
    for o in observations:
        columns.setdefault((o.phase, o.output_tokens, o.batch), []).append(o)
    found = []
    for column in columns.values():
        column.sort(key=lambda o: o.prompt_tokens)
        knots = [o.prompt_tokens for o in column]
        times = [o.runtime_s for o in column]
        for prompt in sorted(set(prompts)):
            if knots[0] <= prompt <= knots[-1]:
                time_s = float(np.interp(prompt, knots, times))
                if resolution_s:
                    time_s = round(time_s / resolution_s) * resolution_s
                found.append(replace(column[0], prompt_tokens=prompt, runtime_s=time_s))
    return found


def shifted(
    observations: Sequence[Observation], by: int, resolution_s: float = 0.0
) -> list[Observation]:
    """The grid with every prompt `by` tokens longer (`resampled`); the longest fall off its end."""
    prompts = {o.prompt_tokens + by for o in observations}
    return resampled(observations, sorted(prompts), resolution_s)
