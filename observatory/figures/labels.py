"""Where a label stands beside its point, so that it covers no other label, point or bar."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CHARACTER_PX, LINE_PX, GAP_PX = 6.6, 15.0, 7.0
#: the plot that labels are placed for, in pixels (a telephone's): on a wider one they are further
#: apart
PLOT_PX = (250.0, 360.0)
FAR_PX = 1e4
NEAR_PX = 36.0  #: from its point to a name that is not wanted at any price
CROSSED = 50.0  #: how much worse it is to stand on the line of another label than on a point
SLIGHT = 2.0 * LINE_PX + 10.0  #: what a label covers of a line that crosses it, in square pixels
ALONG = tuple(i / 12 for i in range(12))  #: places on a line where it is looked at
#: plotly's `textposition` -> the label's centre, in widths right of and heights above the point
POSITIONS = {
    "top center": (0.0, 1.0), "bottom center": (0.0, -1.0), "top left": (-1.0, 1.0),
    "bottom right": (1.0, -1.0), "top right": (1.0, 1.0), "bottom left": (-1.0, -1.0),
    "middle right": (1.0, 0.0), "middle left": (-1.0, 0.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, y upwards."""

    left: float
    right: float
    bottom: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area shared with another, in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)


def around(text: str, x: float, y: float, position: str) -> Box:
    """The box of a label at a point."""
    width, (right, up) = CHARACTER_PX * len(text), POSITIONS[position]
    half, tall = width / 2, LINE_PX / 2
    cx, cy = x + right * (half + GAP_PX), y + up * (tall + GAP_PX)
    return Box(cx - half, cx + half, cy - tall, cy + tall)


def place(
    labels: Sequence[tuple[str, float, float]], obstacles: Sequence[Box]
) -> list[tuple[str, str]]:
    """(text, `textposition`) of each label (text, x, y in pixels); the first take their pick.

    A label takes the first position that covers nothing, else the one that covers least of the
    obstacles and no other label. It is left out ("") where every position would cover a label.
    """
    taken: list[Box] = []
    made = []
    for text, x, y in labels:
        boxes = {position: around(text, x, y, position) for position in POSITIONS}
        free = [p for p, box in boxes.items() if not any(box.overlap(b) for b in taken)]
        if not text or not free:
            made.append(("", "top center"))
            continue
        best = min(free, key=lambda p: sum(boxes[p].overlap(b) for b in obstacles))
        taken.append(boxes[best])
        made.append((text, best))
    return made


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with its bars, in the units of the axes; `text` is its label, or empty."""

    text: str
    x: float
    y: float
    x_bar: tuple[float | None, float | None] = (None, None)
    y_bar: tuple[float | None, float | None] = (None, None)


def beside(
    marks: Sequence[Mark], y_span: tuple[float, float], log_x: bool = True
) -> list[tuple[str, str]]:
    """(text, `textposition`) of each mark, clear of all points and bars as far as there is room.

    `y_span` is what the y axis shows; x spans the marks and their bars, on a log axis unless told.
    """
    places, obstacles = _scene(marks, y_span, log_x)
    return place([(m.text, x, y) for m, (x, y) in zip(marks, places, strict=True)], obstacles)


def leaders(
    marks: Sequence[Mark], y_span: tuple[float, float], wanted: int
) -> list[tuple[float, float] | None]:
    """Where the label of each mark stands, in pixels right of and above its point, on a log x axis.

    It may stand away from the point, on a line that leads to it. The first `wanted` labels take the
    place that covers least; the others are left out (None) where they would cover more than a line.
    """
    places, obstacles = _scene(marks, y_span, log_x=True)
    obstacles += [Box(-FAR_PX, FAR_PX, -FAR_PX, 4), Box(-FAR_PX, FAR_PX, PLOT_PX[1], FAR_PX)]
    made: list[tuple[float, float] | None] = []
    texts: list[Box] = []
    ways: list[Box] = []
    for i, (mark, (x, y)) in enumerate(zip(marks, places, strict=True)):
        half = CHARACTER_PX * len(mark.text) / 2
        best, least = None, math.inf
        for dx, dy in _offsets(half, NEAR_PX if i >= wanted else FAR_PX) if mark.text else ():
            box = Box(x + dx - half, x + dx + half, y + dy - LINE_PX / 2, y + dy + LINE_PX / 2)
            line = [Box(at - 1, at + 1, up - 1, up + 1)
                    for at, up in ((x + dx * t, y + dy * t) for t in ALONG)]  # fmt: skip
            covered = sum(box.overlap(other) for other in obstacles)
            covered += FAR_PX * sum(bit.overlap(other) for bit in (box, *line) for other in texts)
            covered += CROSSED * sum(box.overlap(bit) for bit in ways)
            if covered < least:
                best, least, taken, way = (dx, dy), covered, box, line
        if best is not None and (least <= SLIGHT or i < wanted):
            texts.append(taken)
            ways += way
            made.append(best)
        else:
            made.append(None)
    return made


def _offsets(half: float, most: float) -> list[tuple[float, float]]:
    """Centres of a label of this half width about its point, at most `most` above or below it, the
    nearest first."""
    side = half + 2 * GAP_PX
    near = [(0.0, 1.0), (0.0, -1.0), (side, 0.0), (-side, 0.0)]
    found = [(dx, dy * (LINE_PX + GAP_PX / 2)) for dx, dy in near]
    for far in (20, 34, 50, 68, 90, 120):
        found += [(dx, sign * far) for dx in (0.0, -side, side, -side / 2, side / 2)
                  for sign in (1.0, -1.0)]  # fmt: skip
    return [(dx, dy) for dx, dy in found if abs(dy) <= most]


def _scene(
    marks: Sequence[Mark], y_span: tuple[float, float], log_x: bool
) -> tuple[list[tuple[float, float]], list[Box]]:
    """Where the marks are in pixels; and points, bars and the outside, which labels should not
    cover."""
    scale: Callable[[float], float] = math.log if log_x else float
    xs = [
        scale(v) for m in marks for v in (m.x, *m.x_bar) if v is not None and (v > 0 or not log_x)
    ]
    left, width = min(xs), (max(xs) - min(xs)) or 1.0

    def px(value: float | None) -> float:
        known = left if value is None or (log_x and value <= 0) else scale(value)
        return PLOT_PX[0] * (known - left) / width

    def py(value: float) -> float:
        return PLOT_PX[1] * (value - y_span[0]) / ((y_span[1] - y_span[0]) or 1.0)

    # what hangs over the sides of the plot would cover the ticks, or be cut
    obstacles = [Box(-FAR_PX, -6, -FAR_PX, FAR_PX),
                 Box(PLOT_PX[0] + 6, FAR_PX, -FAR_PX, FAR_PX)]  # fmt: skip
    for m in marks:
        x, y = px(m.x), py(m.y)
        obstacles.append(Box(x - 7, x + 7, y - 7, y + 7))
        if None not in m.x_bar:
            obstacles.append(Box(px(m.x_bar[0]), px(m.x_bar[1]), y - 1, y + 1))
        low, high = m.y_bar
        if low is not None and high is not None:
            obstacles.append(Box(x - 1, x + 1, py(low), py(high)))
    return [(px(m.x), py(m.y)) for m in marks], obstacles
