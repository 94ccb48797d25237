"""Which cells of a run are open, measured or ended: the plan held against the store."""

from __future__ import annotations

from observatory.ingest import Recorder
from observatory.records import Cell, CellStatus, Phase, RunStatus, Window
from runners.plan import Plan, Point, Target


class Ledger:
    """The state of every cell, read once and kept in step with the store."""

    def __init__(self, plan: Plan, recorder: Recorder, min_windows: int) -> None:
        self._plan, self._recorder, self._min_windows = plan, recorder, min_windows
        self._status = {cell.plan_key: str(cell.status) for cell in recorder.cells()}

    def settle(self) -> None:
        """Close cells that have all their windows: the run was killed before it could say so."""
        for target in self._plan.targets:
            for point in (*target.points, *self.chosen(target)):
                repeats = 1 if point.phase == Phase.IDLE else self._plan.processes
                if all(self.is_measured(target, point, index) for index in range(repeats)):
                    self.finish(target, point, CellStatus.OK)

    def chosen(self, target: Target) -> list[Point]:
        """Points of a target that a planner has chosen so far, in the order of its choice."""
        if not target.candidates:
            return []
        candidates = {target.plan_key(point): point for point in target.candidates}
        return [candidates[key] for key in self._status if key in candidates]

    def plan(self, target: Target, point: Point, cell: Cell) -> None:
        """Store a cell that the plan did not hold: a planner chose it while the run lasts."""
        if target.plan_key(point) not in self._status:
            self._recorder.plan([cell])
            self._status[target.plan_key(point)] = str(CellStatus.PLANNED)

    def unfinished(self, target: Target, index: int, decided: bool = True) -> list[Point]:
        """Points of a target that process repeat `index` still has to measure, in order.

        A later process measures what the planner of the first one chose; so does the first one
        where the planner has `decided` and one of its points failed then.
        """
        idle = [p for p in target.points if p.role == "idle"] if index == 0 else []
        chosen = self.chosen(target) if index > 0 or decided else []
        return [
            point
            for point in [*idle, *self._plan.point_order(target, index, chosen)]
            if self.is_open(target, point) and not self.is_measured(target, point, index)
        ]

    def is_open(self, target: Target, point: Point) -> bool:
        """Whether the cell has not ended yet."""
        status = self._status.get(target.plan_key(point), CellStatus.PLANNED)
        return status == CellStatus.PLANNED

    def has_failed(self, target: Target, point: Point) -> bool:
        """Whether the cell has ended without a result."""
        status = self._status.get(target.plan_key(point), CellStatus.PLANNED)
        return status not in (CellStatus.PLANNED, CellStatus.OK)

    def is_measured(self, target: Target, point: Point, index: int) -> bool:
        """Whether process repeat `index` has stored windows enough."""
        key = target.plan_key(point)
        if key not in self._status:
            return False
        have = sum(1 for process, _ in self._recorder.windows_done(key) if process == index)
        return have >= (1 if point.phase == Phase.IDLE else self._min_windows)

    def is_complete(self, target: Target, point: Point) -> bool:
        """Whether every process repeat that the cell needs has measured it."""
        if point.phase == Phase.IDLE:
            return True
        done = {process for process, _ in self._recorder.windows_done(target.plan_key(point))}
        return done >= set(range(self._plan.processes))

    def history(self, target: Target, index: int) -> list[tuple[Point, list[Window]]]:
        """Chosen points that process repeat `index` has measured, with their windows."""
        return [
            (point, self._recorder.windows(target.plan_key(point), index))
            for point in self.chosen(target)
            if self.is_measured(target, point, index)
        ]

    def next_window(self, target: Target, point: Point, index: int) -> int:
        """The index that the next window of process repeat `index` takes."""
        done = self._recorder.windows_done(target.plan_key(point))
        return max((window for process, window in done if process == index), default=-1) + 1

    def finish(self, target: Target, point: Point, status: str, error: str | None = None) -> bool:
        """Store how a cell ended; False where it had ended before."""
        if not self.is_open(target, point):
            return False
        key = target.plan_key(point)
        self._recorder.finish(key, str(status), error)
        self._status[key] = str(status)
        return True

    def configuration_key(self, target: Target) -> str | None:
        """The configuration under which a target's cells are stored; None where none is."""
        mine = {target.plan_key(point) for point in target.points}
        cells = self._recorder.cells()
        return next((c.configuration_key for c in cells if c.plan_key in mine), None)

    def outcome(self) -> RunStatus:
        """How the run ended: done, or done with failures."""
        statuses = {str(cell.status) for cell in self._recorder.cells()}
        return RunStatus.DONE if statuses <= {CellStatus.OK} else RunStatus.FAILED
