"""Where the next point comes from: a fixed grid, or a planner that chooses by what it has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from observatory.quietness import is_slow, usual_pass_s
from observatory.records import Window
from runners.plan import Point


class PointSource(Protocol):
    """Gives points one by one to the process that measures them."""

    def propose(self) -> Point | None:
        """The next point to measure, or None when nothing more is wanted."""

    def update(self, point: Point, windows: Sequence[Window]) -> None:
        """What came of it: the windows of this process, none when the cell failed."""

    def remaining(self) -> Sequence[Point]:
        """Points that are still certain to come, for the time left; empty where not known."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to put up with a machine that neighbours slow: a point is measured `tries` times at
    most, and at the end so many visits are spent though it is not quiet."""

    tries: int = 3
    visits_at_end: int = 1


#: Where an error is asked for and no time: visits to a slow machine are cut short, so more fit.
PATIENT = Patience(tries=8, visits_at_end=12)


class Quiet:
    """Tells quiet windows from those that a neighbour disturbed: it took CPU time, or slowed the
    machine (`observatory.quietness`). How fast a quiet machine is, is learned by process."""

    def __init__(self) -> None:
        self._passes: dict[str, list[float]] = {}  # by process

    def learn(self, windows: Sequence[Window]) -> None:
        """Take in how fast the machine was beside these windows."""
        for window in windows:
            if window.reference_pass_s is not None:
                self._passes.setdefault(window.process_id, []).append(window.reference_pass_s)

    def among(self, windows: Sequence[Window]) -> list[Window]:
        """The quiet ones that are as long as was asked for."""
        usual_s = {
            process: usual_pass_s(self._passes.get(process, []))
            for process in {w.process_id for w in windows}
        }
        return [
            w
            for w in windows
            if not w.duration_s < (w.window_target_s or 0.0)
            and "cpu_contended" not in w.flags
            and not is_slow(w.reference_pass_s, usual_s[w.process_id])
        ]


class AgainWhenQuiet:
    """Another source, whose points are measured again where a neighbour disturbed all their
    windows: as soon as another point came out quiet, `while_time` lasts, and before the last
    anchor.

    At the end one disturbed point is tried in any case (more by `patience`), and the others if that
    one came out quiet. A point that seemed quiet is disturbed once a quieter machine was seen.
    """

    def __init__(
        self, source: PointSource, while_time: Callable[[], bool], quiet: Quiet | None = None,
        patience: Patience | None = None,
    ) -> None:  # fmt: skip
        self._source, self._while_time, self._quiet = source, while_time, quiet or Quiet()
        self._patience = patience or Patience()
        self._visits_at_end = self._patience.visits_at_end
        self._windows: dict[Point, list[Window]] = {}
        self._tries: dict[Point, int] = {}
        self._last: Point | None = None  #: measured last, of those that count
        self._held: list[Point] = []  #: the last anchor, or nothing
        self._ended = False

    def propose(self) -> Point | None:
        """A disturbed point if it is quiet now, else what the source proposes."""
        if self._is_quiet_now() and (again := self._again()):
            return again
        if not self._ended:
            point = self._source.propose()
            if point is not None and not (point.role == "anchor" and self._windows):
                return point
            self._ended = True
            self._held = [] if point is None else [point]
        if self._visits_at_end > 0 and (again := self._again()):
            self._visits_at_end -= 1
            return again
        return self._held.pop() if self._held else self._source.propose()

    def update(self, point: Point, windows: Sequence[Window]) -> None:
        """Let the source know, and keep in mind what was disturbed."""
        self._quiet.learn(windows)
        self._source.update(point, windows)
        if point.role in ("anchor", "idle") or not windows:
            return
        self._tries[point] = self._tries.get(point, 0) + 1
        self._windows.setdefault(point, []).extend(windows)
        self._last = point

    def better_later(self, point: Point, windows: Sequence[Window]) -> bool:
        """Whether a visit may be cut short after these windows: none is quiet, and the point will
        come again."""
        more = self._tries.get(point, 0) + 1 < self._patience.tries and self._while_time()
        return more and point.role != "anchor" and not self._quiet.among(windows)

    def remaining(self) -> Sequence[Point]:
        """The source's, disturbed points, and the last anchor."""
        return (*self._source.remaining(), *self.disturbed(), *self._held)

    def disturbed(self) -> list[Point]:
        """Points without a quiet window that were not tried too often."""
        return [
            point
            for point, windows in self._windows.items()
            if self._tries[point] < self._patience.tries and not self._quiet.among(windows)
        ]

    def _is_quiet_now(self) -> bool:
        return self._last is not None and bool(self._quiet.among(self._windows[self._last][-1:]))

    def _again(self) -> Point | None:
        waiting = sorted(self.disturbed(), key=self._tries.__getitem__)  # the least tried first
        return waiting[0] if waiting and self._while_time() else None


class FixedGrid:
    """The points of a plan in a given order."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = list(points)

    def propose(self) -> Point | None:
        """The next point, each once."""
        return self._points.pop(0) if self._points else None

    def update(self, point: Point, windows: Sequence[Window]) -> None:
        """A grid does not learn."""

    def remaining(self) -> Sequence[Point]:
        """Everything not proposed yet."""
        return tuple(self._points)
