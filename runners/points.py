"""Where the next point comes from: a fixed grid, or a planner that chooses by what it has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

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


#: How often a point is measured that meets a busy neighbour each time.
MOST_TRIES = 3


def quiet(windows: Sequence[Window]) -> list[Window]:
    """The windows in which no neighbour took CPU time from the measured process."""
    return [w for w in windows if "cpu_contended" not in w.flags]


class AgainWhenQuiet:
    """Another source, whose points are measured again if a neighbour was busy in all their windows:
    as soon as another point came out quiet, `while_time` lasts, and before the last anchor.

    At the end one disturbed point is tried in any case, and the others if that one came out quiet.
    """

    def __init__(self, source: PointSource, while_time: Callable[[], bool]) -> None:
        self._source, self._while_time = source, while_time
        self._disturbed: list[Point] = []
        self._tries: dict[Point, int] = {}
        self._quiet = self._worked = False
        self._held: list[Point] = []  #: the last anchor, or nothing
        self._ended = False

    def propose(self) -> Point | None:
        """A disturbed point if it is quiet now, else what the source proposes."""
        if self._disturbed and self._quiet and self._while_time():
            return self._disturbed.pop(0)
        if self._ended:
            return self._last()
        point = self._source.propose()
        if point is not None and not (point.role == "anchor" and self._worked):
            return point
        self._ended = True
        self._held = [] if point is None else [point]
        if self._disturbed and self._while_time():
            return self._disturbed.pop(0)
        return self._last()

    def update(self, point: Point, windows: Sequence[Window]) -> None:
        """Let the source know, and keep in mind what was disturbed."""
        self._source.update(point, windows)
        self._tries[point] = self._tries.get(point, 0) + 1
        if point.role in ("anchor", "idle") or not windows:
            return
        self._worked, self._quiet = True, bool(quiet(windows))
        if not self._quiet and self._tries[point] < MOST_TRIES:
            self._disturbed.append(point)

    def remaining(self) -> Sequence[Point]:
        """The source's, disturbed points, and the last anchor."""
        return (*self._source.remaining(), *self._disturbed, *self._held)

    def _last(self) -> Point | None:
        if self._held:
            return self._held.pop()
        return self._source.propose()


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
