"""Mixtures: the concave hull of a frontier, what it costs to climb it, and the area under it.

Sending a share of requests to one option and the rest to another reaches every point on the line
between them, so the upper concave hull is what mixing can do. An option below it is dominated by a
mixture (health economics calls it extended dominance, the slopes ICERs).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from observatory.decision.frontier import Option, frontier
from observatory.errors import InputError

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Step:
    """One step up the hull: `cost_per_quality` more cost for each unit of quality gained."""

    cheaper: str
    better: str
    extra_cost: float
    extra_quality: float

    @property
    def cost_per_quality(self) -> float:
        """Incremental cost over incremental quality; also the willingness to pay at which one
        switches."""
        return self.extra_cost / self.extra_quality


def concave_hull(options: Sequence[Option]) -> list[Option]:
    """Vertices of the hull from the cheapest to the best, cheapest first; equal points once."""
    hull: list[Option] = []
    for option in frontier(options):
        if hull and (option.cost, option.quality) == (hull[-1].cost, hull[-1].quality):
            continue
        while len(hull) > 1 and _below_or_on(hull[-2], hull[-1], option):
            hull.pop()
        hull.append(option)
    return hull


def _below_or_on(a: Option, middle: Option, b: Option) -> bool:
    left = (middle.quality - a.quality) * (b.cost - a.cost)
    right = (b.quality - a.quality) * (middle.cost - a.cost)
    return left <= right


def mixture_dominated(options: Sequence[Option]) -> list[Option]:
    """Options on the frontier that a mixture of two others beats."""
    hull = {o.name for o in concave_hull(options)}
    corners = {(o.cost, o.quality) for o in concave_hull(options)}
    return [
        o for o in frontier(options) if o.name not in hull and (o.cost, o.quality) not in corners
    ]


def increments(options: Sequence[Option]) -> list[Step]:
    """Steps between neighbours as given. Raises InputError where quality does not rise."""
    steps = []
    for a, b in itertools.pairwise(options):
        if b.quality <= a.quality:
            raise InputError(f"{a.name} to {b.name}: quality does not rise, so it has no price")
        steps.append(Step(a.name, b.name, b.cost - a.cost, b.quality - a.quality))
    return steps


def marginal_costs(options: Sequence[Option]) -> list[Step]:
    """What each further unit of quality costs along the hull; it only ever rises."""
    return increments(concave_hull(options))


def cheapest_mixture(options: Sequence[Option], quality: float) -> float | None:
    """Least expected cost of a mixture with this expected quality; None where none reaches it."""
    hull = concave_hull(options)
    if not hull or hull[-1].quality < quality:
        return None
    if hull[0].quality >= quality:
        return hull[0].cost
    for a, b in itertools.pairwise(hull):
        if b.quality >= quality:
            return a.cost + (quality - a.quality) / (b.quality - a.quality) * (b.cost - a.cost)
    return None


def hull_of_points(points: Sequence[Point]) -> list[Point]:
    """The hull of bare (cost, quality) points."""
    named = [Option(str(i), cost, quality) for i, (cost, quality) in enumerate(points)]
    return [(o.cost, o.quality) for o in concave_hull(named)]


def area_under(corners: Sequence[Point], cost_from: float, cost_to: float) -> float:
    """Area under a piecewise linear curve between two costs, flat after its last corner.

    Raises InputError where the curve starts after `cost_from`: there quality is not defined. The
    rounding of a sum of costs is no such start.
    """
    if not corners or cost_to < cost_from or not (
        corners[0][0] <= cost_from or math.isclose(corners[0][0], cost_from, rel_tol=1e-9)
    ):  # fmt: skip
        raise InputError(f"the curve does not cover costs from {cost_from} to {cost_to}")
    curve = [*corners, (max(cost_to, corners[-1][0]), corners[-1][1])]
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(curve):
        low, high = max(x0, cost_from), min(x1, cost_to)
        if high <= low:
            continue
        slope = (y1 - y0) / (x1 - x0)
        area += (high - low) * (y0 + slope * ((low + high) / 2 - x0))
    return area


def aiq(corners: Sequence[Point], cost_from: float, cost_to: float, over: str = "range") -> float:
    """Average improvement in quality: area under the curve of a router over its span of cost.

    `over` is the divisor, which must be printed beside it: `range` (cost_to - cost_from, as
    RouterBench has it) or `cmax` (cost_to, as some report it). Raises InputError for another word
    or an empty span.
    """
    spans = {"range": cost_to - cost_from, "cmax": cost_to}
    if over not in spans or spans[over] <= 0:
        raise InputError(
            f"AIQ over {over!r} from {cost_from} to {cost_to}: needs range or cmax > 0"
        )
    return area_under(corners, cost_from, cost_to) / spans[over]


def hypervolume(
    options: Sequence[Option], cost_reference: float, quality_reference: float, log10: bool = True
) -> float:
    """Area that the frontier dominates up to a reference point, which must be printed beside it.

    Cost on a log10 axis by default, because it spans decades. Options worse than the reference add
    nothing. Raises InputError for costs of zero or less on the log axis.
    """
    inside = [
        o for o in options if o.cost <= cost_reference and o.quality >= quality_reference
    ]  # fmt: skip
    if log10 and (cost_reference <= 0 or any(o.cost <= 0 for o in inside)):
        raise InputError("hypervolume on a log axis needs costs above zero")
    place = math.log10 if log10 else float
    kept = frontier(inside)
    ends = [*(o.cost for o in kept[1:]), cost_reference][: len(kept)]
    return sum(
        (place(end) - place(o.cost)) * (o.quality - quality_reference)
        for o, end in zip(kept, ends, strict=True)
    )
