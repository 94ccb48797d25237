"""One run, from its plan to its last stored window.

The parent of the measured processes: it holds the store and the meter, decides what is measured
next, and turns every way a cell can end into a row. Nothing is kept back: each window is stored as
soon as it exists, so a kill at any moment loses the window under way and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from observatory.ingest import Recorder
from observatory.records import Cell, CellStatus, Phase, RunStatus, Window
from observatory.runtime.prior import Prior
from runners import expect
from runners.backends.base import BackendFacts
from runners.ceiling import thoroughness, within_budget
from runners.executors.local import LocalProcess
from runners.forecast import Forecast
from runners.ledger import Ledger
from runners.machine import Machine, configuration_of
from runners.memory import refusal
from runners.models import ResolvedModel
from runners.plan import Plan, Point, Target
from runners.planned import PlannedPoints, Rules
from runners.points import AgainWhenQuiet, FixedGrid, PointSource, Quiet
from runners.progress import Progress
from runners.protocol import Protocol, WorkerError
from runners.starting import Starting


@dataclass
class Session:
    """Runs a plan into a store. `models` are the plan's, by the name that its targets carry."""

    plan: Plan
    models: dict[str, ResolvedModel]
    machine: Machine
    recorder: Recorder
    protocol: Protocol
    progress: Progress

    def __post_init__(self) -> None:
        self.profile, self.patience = thoroughness(self.plan)
        self.protocol = replace(
            self.protocol, profile=self.profile, shortened=self.out_of_time, spare=self.has_spare
        )
        target_s = self.protocol.target_s()
        self.forecast = Forecast(self.plan, self.models, self.machine, target_s)
        self.starting = Starting(
            self.forecast, self.recorder, self.protocol, self.progress,
            loaded=dict(self.recorder.run.notes.get("loaded", {})),
        )  # fmt: skip
        self.pace = expect.Pace(0.0)
        self.ledger = Ledger(self.plan, self.recorder, self.profile.min_windows)
        self._keys: dict[str, str] = {}  # target label -> configuration key in the store
        self._empty_idle: Window | None = None
        self._planned: dict[str, Any] = dict(self.recorder.run.notes.get("planner", {}))
        self._foreseen: dict[str, int] = {}  # target label -> chosen points in the total
        self._visited: set[tuple[str, int]] = set()  # (plan key, process)
        self._index = 0  #: of the process under way
        self._again: AgainWhenQuiet | None = None  #: its source
        before = self.recorder.run.notes  # of a run that is gone on with
        self.shortened = bool(before.get("shortened"))
        self.hurried = bool(before.get("hurried"))
        self._spent_before_s = float(before.get("spent_s", 0.0))
        #: of visits that are over: what their least took, and was expected to
        self._visits_s = self._expected_visits_s = 0.0
        #: of the visit under way: its beginning, its share of what is left, and windows beyond it
        self._visit_began_s = self._visit_expected_s = self._visit_beyond_s = 0.0

    # ------------------------------------------------------------------ the whole run
    def run(self) -> RunStatus:
        """Measure everything that is not measured yet. Returns how the run ended."""
        self.ledger.settle()
        order = [
            (target, index)
            for index in range(self.plan.processes)
            for target in self.plan.target_order(index)
        ]
        todo = [
            (target, self._unfinished(target, index), self._is_undecided(target))
            for target, index in order
        ]
        expected = [self.forecast.process(*left) for left in todo]
        self.pace = expect.Pace(sum(seconds for _, seconds in expected))
        most_s = sum(self.forecast.most_s(*left) for left in todo)
        most_s = within_budget(self.plan, self.pace.remaining_s, most_s)
        self.progress.start(sum(cells for cells, _ in expected), self.pace.remaining_s, most_s)
        self._measure_empty_idle()
        for target, index in order:
            points = self._unfinished(target, index)
            if points or self._chooses(target, index):
                self._run_target(target, index, points)
        return self.ledger.outcome()

    def _unfinished(self, target: Target, index: int) -> list[Point]:
        """What a process repeat still has to measure, beside what a planner has yet to choose."""
        return self.ledger.unfinished(target, index, not self._is_undecided(target))

    def _is_undecided(self, target: Target) -> bool:
        """Whether a planner still has to choose points of a target."""
        return bool(target.candidates) and target.label not in self._planned

    def _chooses(self, target: Target, index: int) -> bool:
        """Whether this process is the one in which it chooses."""
        return index == 0 and self._is_undecided(target)

    def notes(self) -> dict[str, Any]:
        """Facts of the run for its row: what was loaded, and whether time ran out."""
        planner = {"planner": self._planned} if self._planned else {}
        hurry = {"shortened": self.shortened, "hurried": self.hurried}
        return {"loaded": self.starting.loaded, **hurry, **planner}

    @property
    def spent_s(self) -> float:
        """Seconds since the run began, without those while it was interrupted."""
        return self._spent_before_s + self.pace.elapsed_s

    def has_spare(self, seconds: float) -> bool:
        """Whether so many seconds may be spent beyond the least; always where there is no budget.
        What is left is foretold without them."""
        budget = self.plan.budget_s
        if budget is None:
            return True
        if self._has_room(seconds):
            self._visit_beyond_s += seconds
            return True
        if not self.hurried:
            self.hurried = True
            self.progress.note(f"the budget of {budget:.0f} s leaves no time for more windows")
        return False

    def _has_room(self, seconds: float) -> bool:
        budget = self.plan.budget_s
        return budget is None or self.spent_s + self._least_left_s() + seconds <= budget

    def _least_left_s(self) -> float:
        """What is left of the least, by what it took in the visits so far. Loading and the
        machine's peaks tell nothing of the rest; of the visit under way a part is over."""
        known = self._expected_visits_s > 0
        ratio = self._visits_s / self._expected_visits_s if known else 1.0
        over_s = min(self._visit_expected_s * ratio, self._visit_least_s())
        return max(0.0, self.pace.left_s * ratio - over_s)

    def _visit_least_s(self) -> float:
        """What the visit under way took so far, without windows beyond the least."""
        return self.pace.elapsed_s - self._visit_began_s - self._visit_beyond_s

    def _has_time_again(self) -> bool:
        """Whether a point that was disturbed may be visited again."""
        windows_s = self.profile.min_windows * self.protocol.target_s()
        return not self.out_of_time() and self._has_room(windows_s)

    def out_of_time(self) -> bool:
        """Whether the rest would go past the run's budget: one window a cell must do then."""
        budget = self.plan.budget_s
        if budget is None or self.spent_s < 0.25 * budget:
            return False
        late = not self._has_room(0.0)
        if late and not self.shortened:
            self.shortened = True
            self.progress.note(
                f"this machine is slow for the budget of {budget:.0f} s: one window a cell"
            )
        return late

    # ------------------------------------------------------------------ one target, one process
    def _run_target(self, target: Target, index: int, points: list[Point]) -> None:
        """Measure points in fresh processes: one, and another after each that died."""
        available = self.machine.available_bytes()
        whole = refusal(self.forecast.architecture(target), target, None, available)
        if whole is not None:
            self._register(target, None)
            self._fail_all(target, points, CellStatus.REFUSED, whole)
            return
        quiet = Quiet()
        source = self._source(target, index, [p for p in points if p.name != "idle empty"], quiet)
        persistent = AgainWhenQuiet(source, self._has_time_again, quiet, self.patience)
        self._index, self._again = index, persistent
        while not self._run_process(target, index, persistent, available):
            self.progress.note(f"{target.model}: starting a new process after the failure")
        if isinstance(source, PlannedPoints):
            self._conclude(target, source)

    def _source(self, target: Target, index: int, points: list[Point], quiet: Quiet) -> PointSource:
        """Where a process repeat's points come from: a planner where it has to choose."""
        if not self._chooses(target, index) or self.plan.aim is None:
            return FixedGrid(points)
        rules = Rules(
            self.plan.aim, self.profile, self.forecast.window_s,
            lambda batch: self._prior(target, batch),
        )  # fmt: skip
        return PlannedPoints(target, points, self.ledger.history(target, index), rules, quiet)

    def _prior(self, target: Target, batch: int) -> Prior | None:
        key = self._keys.get(target.label) or self.ledger.configuration_key(target)
        return None if key is None else self.recorder.prior(key, batch)

    def _conclude(self, target: Target, source: PlannedPoints) -> None:
        """What the planner reached: told, kept, and the time left corrected by it."""
        chosen = self.ledger.chosen(target)
        if not chosen:
            return  # its process never stood
        self._planned[target.label] = source.outcome()
        self.recorder.note(planner=self._planned)
        for line in source.sentences():
            self.progress.note(f"{target.model}: {line}")
        repeats = self.plan.processes
        foreseen = self._foreseen_points(target)
        beyond = chosen[expect.planner_points(target) : foreseen]  # already in the time left
        each_s = self.forecast.cells_s(target, chosen) - self.forecast.cells_s(target, beyond)
        self.pace.expect(repeats * (each_s - self.forecast.planner_s(target)))
        self.progress.expect(repeats * (len(chosen) - foreseen))

    def _foreseen_points(self, target: Target) -> int:
        """How many chosen points of a target the announced total holds, in each process."""
        return self._foreseen.get(target.label, expect.planner_points(target))

    def _foresee(self, target: Target, point: Point) -> None:
        """Let the total grow where a planner chooses more points than were announced."""
        chosen = len(self.ledger.chosen(target))
        if chosen > self._foreseen_points(target):
            self._foreseen[target.label] = chosen
            self.pace.expect(self.plan.processes * self.forecast.cell_s(target, point))
            self.progress.expect(self.plan.processes)

    def _run_process(
        self, target: Target, index: int, source: AgainWhenQuiet, available: int | None
    ) -> bool:
        """Measure points in one fresh process; False when it died before the source ran dry."""
        point = self._next(target, source)
        if point is None:
            return True
        self.progress.doing(f"{target.model}: loading, process {index + 1}")
        with LocalProcess(
            target.threads, self.plan.timeout_s, self.machine.device.visible, self.progress.tick
        ) as process:
            try:
                facts = self.starting.load(process, target)
                self.pace.done(self.forecast.load_s(target))
                self._register(target, facts)
                self.starting.peaks(process, target)
                self.starting.tick(process, target)
            except WorkerError as failure:
                if target.label not in self._keys:
                    self._register(target, None)
                rest = [point, *iter(source.propose, None)]
                self._fail_all(target, rest, failure.status, failure.message)
                return True
            while point is not None:
                if not self._try(process, target, index, point, source, available):
                    return False
                point = self._next(target, source)
        return True

    def _next(self, target: Target, source: AgainWhenQuiet) -> Point | None:
        """The next point that no earlier process has failed on."""
        while (point := source.propose()) is not None and self.ledger.has_failed(target, point):
            source.update(point, [])
            self._advance(target, point)
        return point

    def _try(
        self, process: LocalProcess, target: Target, index: int, point: Point,
        source: AgainWhenQuiet, available: int | None,
    ) -> bool:  # fmt: skip
        """Measure one point or store why not; False when the process is gone."""
        if point in target.candidates:
            position = len(target.points) + len(self.ledger.chosen(target))
            cell = self._cell(target, point, self._keys[target.label], position)
            self.ledger.plan(target, point, cell)
            self._foresee(target, point)
        reason = refusal(self.forecast.architecture(target), target, point, available)
        try:
            if reason is not None:
                raise WorkerError(CellStatus.REFUSED, reason, gone=False)
            source.update(point, self._measure(process, target, index, point, source))
        except WorkerError as failure:
            self._finish(target, point, failure.status, failure.message)
            source.update(point, [])
            return not failure.gone
        return True

    def _fail_all(self, target: Target, points: Sequence[Point], status: str, error: str) -> None:
        self.progress.note(f"{target.label}: {status}: {error}")
        for point in points:
            self._finish(target, point, status, error, quiet=True)

    def _measure(
        self, process: LocalProcess, target: Target, index: int, point: Point,
        source: AgainWhenQuiet,
    ) -> list[Window]:  # fmt: skip
        """One visit to a point in one process: each window is stored before the next begins."""
        key, each_s = target.plan_key(point), self.forecast.cell_s(target, point)
        again = (key, self._index) in self._visited  # not in what is left
        self._visit_began_s, self._visit_beyond_s = self.pace.elapsed_s, 0.0
        self._visit_expected_s = 0.0 if again else each_s
        self.progress.doing(f"{target.model} {point.phase} {point.workload.label()}")
        windows: list[Window] = []
        if point.phase == Phase.IDLE:
            windows.append(self.protocol.idle(index, process))
            self.recorder.store(key, *windows)
        else:
            first = self.ledger.next_window(target, point, index)
            for window in self.protocol.windows(process, point, index, first):
                self.recorder.store(key, window)
                windows.append(window)
                if len(windows) >= self.profile.min_windows and source.better_later(point, windows):
                    break
        if self.ledger.is_complete(target, point):
            self.ledger.finish(target, point, CellStatus.OK)
        self._visits_s += self._visit_least_s()
        self._expected_visits_s += each_s
        self._visit_expected_s = 0.0
        self._advance(target, point)
        return windows

    # ------------------------------------------------------------------ rows
    def _register(self, target: Target, facts: BackendFacts | None) -> None:
        """Store the model, the configuration as found, and the target's planned cells."""
        model = self.models[target.model]
        configuration = configuration_of(target, model, self.machine, facts)
        known = self._keys.get(target.label) or self.ledger.configuration_key(target)
        if known is None:
            self.recorder.add_models([model.record])
            self.recorder.add_configurations([configuration])
            self.recorder.plan(self._cells(target, configuration.key))
            known = configuration.key
        elif facts is not None and known == configuration_of(target, model, self.machine, None).key:
            self.recorder.add_configurations([configuration])  # an earlier try never came up
            self.recorder.move(known, configuration.key)
            known = configuration.key
        elif facts is not None and configuration.key != known:
            raise WorkerError(
                CellStatus.CRASHED,
                "this process came up with another configuration than the first one "
                f"({configuration.backend_version}, {configuration.attention}, "
                f"{configuration.kv_cache}, {configuration.compile_mode})",
            )
        self._keys[target.label] = known
        self._store_empty_idle(target)

    def _cells(self, target: Target, configuration_key: str) -> list[Cell]:
        idle = [p for p in target.points if p.role == "idle"]
        ordered = [*idle, *self.plan.point_order(target, 0)]
        return [self._cell(target, p, configuration_key, i) for i, p in enumerate(ordered)]

    def _cell(self, target: Target, point: Point, configuration_key: str, position: int) -> Cell:
        return Cell(
            run_id=self.recorder.run.id,
            plan_key=target.plan_key(point),
            configuration_key=configuration_key,
            phase=str(point.phase),
            workload=point.workload,
            role=point.role,
            expected_s=self.forecast.cell_s(target, point),
            position=position,
        )

    def _finish(
        self, target: Target, point: Point, status: str, error: str | None = None,
        quiet: bool = False,
    ) -> None:  # fmt: skip
        if not self.ledger.finish(target, point, status, error):
            return
        if error is not None and not quiet:
            self.progress.note(f"{target.plan_key(point)}: {status}: {error}")
        self._advance(target, point)

    def _advance(self, target: Target, point: Point) -> None:
        """One visit is over. A visit again was not announced: the total grows by it."""
        each_s, visit = self.forecast.cell_s(target, point), (target.plan_key(point), self._index)
        if visit in self._visited:
            self.pace.expect(each_s)
            self.progress.expect(1)
        self._visited.add(visit)
        self.pace.done(each_s)
        waiting = self._again.disturbed() if self._again else []
        left_s = self.pace.remaining_s + self.pace.scaled(self.forecast.cells_s(target, waiting))
        if self.plan.budget_s is not None:
            left_s = min(left_s, max(0.0, self.plan.budget_s - self.spent_s))
        self.progress.advance(f"{target.model} {point.label}", left_s)

    # ------------------------------------------------------------------ idle before any model
    def _measure_empty_idle(self) -> None:
        """The idle baseline before any load; its cell is planned with the first target."""
        for target in self.plan.targets:
            for point in target.points:
                if point.name != "idle empty" or not self.ledger.is_open(target, point):
                    continue
                if not self.ledger.is_measured(target, point, 0):
                    self.progress.doing("idle baseline, nothing loaded")
                    self._empty_idle = self.protocol.idle(0)

    def _store_empty_idle(self, target: Target) -> None:
        point = next((p for p in target.points if p.name == "idle empty"), None)
        if point is None or self._empty_idle is None:
            return
        self.recorder.store(target.plan_key(point), self._empty_idle)
        self._empty_idle = None
        self._finish(target, point, CellStatus.OK)
