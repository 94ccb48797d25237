"""What the rest of a run will take: expected times of cells, loads and planners of one plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from observatory.catalog.architecture import Architecture
from runners import ceiling, expect
from runners.machine import Machine
from runners.models import ResolvedModel
from runners.plan import Plan, Point, Target
from runners.profiles import profile_named


@dataclass
class Forecast:
    """Expected seconds. `window_s` changes once the sensor's tick is known."""

    plan: Plan
    models: Mapping[str, ResolvedModel]
    machine: Machine
    window_s: float

    def architecture(self, target: Target) -> Architecture:
        """The target's model."""
        return self.models[target.model].architecture

    def cell_s(self, target: Target, point: Point) -> float:
        """One point in one process."""
        return expect.cell_s(
            self.architecture(target), target, point, self.machine.speed,
            profile_named(self.plan.profile), self.window_s,
        )  # fmt: skip

    def cells_s(self, target: Target, points: Sequence[Point]) -> float:
        """Points of one target in one process."""
        return sum(self.cell_s(target, point) for point in points)

    def load_s(self, target: Target) -> float:
        """Until a fresh process has its model."""
        return expect.load_s(self.architecture(target), target)

    def planner_s(self, target: Target) -> float:
        """What a planner will choose, in one process."""
        return expect.planner_s(
            self.plan, self.architecture(target), target, self.machine.speed, self.window_s
        )

    def most_s(self, target: Target, points: Sequence[Point], chooses: bool) -> float:
        """One process with these points left at most, however its machine is disturbed."""
        return ceiling.process_s(
            self.plan, self.architecture(target), target, points, chooses, self.machine.speed,
            self.window_s,
        )  # fmt: skip

    def process(self, target: Target, points: Sequence[Point], chooses: bool) -> tuple[int, float]:
        """Cells and seconds of one process with these points left, and with those that a planner
        still has to choose; loading included."""
        cells, seconds = len(points), self.cells_s(target, points)
        if chooses:
            cells += expect.planner_points(target)
            seconds += self.planner_s(target)
        return cells, seconds + (self.load_s(target) if cells else 0.0)
