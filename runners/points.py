"""Where the next point comes from: a fixed grid, or a planner that chooses by what it has seen."""

from __future__ import annotations

from collections.abc import Sequence
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
