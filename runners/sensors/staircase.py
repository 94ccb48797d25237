"""Joules between two timestamps from a hardware counter, which is a staircase. Pure.

A counter's value at a step stands for the energy up to that step. So energy at a window's edge is
interpolated between the steps on either side of it, and the window's energy is the difference of
two such values. Where between two samples a step fell is not seen: it is placed, and the placing's
uncertainty enters the stored bound. Rules and units as in `runners.sensors.integrate`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from runners.sensors.edge import Edge
from runners.sensors.integrate import MAX_GAP_S, NS, Joules, covering, gap_in, invalid
from runners.sensors.steps import Change, Seen

_RESOLVED = 0.1  #: a change known to this share of a tick stays where it was seen
_PLACING = 0.2  #: one known to this share of a tick places others a whole number of ticks from it
_NEAR_TICKS = 4  #: so far from such a change a tick that is known to 2 % places another
_LEAST_APART = 0.97  #: two steps are so many ticks apart at least (tick and steps are not exact)
_LATE = 3.0  #: a sample is late that comes after so many times the usual distance
_LATE_TICKS = 0.1  #: and after this share of a tick

#: (after, by, energy): between two times, in s, a counter stepped to a value in J.
_Bound = tuple[float, float, float]


def counter_difference(
    times_ns: Sequence[int],
    energy_j: Sequence[float],
    start_ns: int,
    end_ns: int,
    *,
    tick_s: float | None = None,
    max_gap_s: float = MAX_GAP_S,
    stepped: Sequence[Seen | None] = (),
    unsure_ns: Sequence[int] = (),
    powered: Sequence[tuple[int, float]] = (),
) -> Joules:
    """Energy of a window from samples of a cumulative counter that moves in steps.

    `tick_s` is the time between two steps; None says that the value is made at reading, so that
    every sample is exact at its own time. `stepped` holds the step whose value each sample shows,
    where the pace of the counter tells it; `unsure_ns` how much earlier or later than its time each
    sample can have been taken. Samples of power, `powered` in (ns, W), enter the bound alone.
    Reason codes: `edge_not_covered`, `sample_gap`, `counter_non_monotone`, `fewer_than_two_ticks`,
    `counter_stuck`, `bad_sample`.

    The bound is METHOD's tau*|dP|, with |dP| the range of power around the edge, or, where the
    counter was sampled more coarsely than it ticks, the largest error that interpolating across
    that longer stretch can have, f*(1-f)*length*|dP|, or what power in that range can have drawn
    on either side of the edge, plus what is not known about the times of the steps themselves.
    """
    span = covering(times_ns, start_ns, end_ns, slack_s=tick_s or 0.0)
    if isinstance(span, Joules):
        return span
    first, last = span
    count = last - first + 1
    gap = gap_in(times_ns, first, last, max_gap_s)
    if gap is not None:
        return gap
    # Neighbours beyond the edges give the power outside the window, and the last step before it.
    low, high = _with_margin(times_ns, first, last, tick_s or 0.0)
    values = energy_j[low : high + 1]
    backwards = _first_decrease(values)
    if backwards is not None:
        before, after = values[backwards - 1], values[backwards]
        return invalid(
            "counter_non_monotone",
            f"the energy counter went from {before:.6g} J to {after:.6g} J",
            count,
        )
    if not all(math.isfinite(v) for v in values):
        return invalid("bad_sample", "a counter sample is not a number", count)
    duration = (end_ns - start_ns) * NS
    if tick_s is not None and duration < 2 * tick_s:
        return invalid(
            "fewer_than_two_ticks",
            f"a window of {duration:.3g} s is shorter than two ticks of {tick_s:.3g} s",
            count,
        )
    known = [
        None if step is None else ((step.after_ns - start_ns) * NS, (step.by_ns - start_ns) * NS)
        for step in stepped[low : high + 1]
    ]
    relative_s = [(t - start_ns) * NS for t in times_ns[low : high + 1]]
    unsure_s = [u * NS for u in unsure_ns[low : high + 1]]
    changes = counter_changes(relative_s, values, tick_s, known, unsure_s)
    power_w = [((t - start_ns) * NS, w) for t, w in powered if math.isfinite(w) and w >= 0]
    return _between(changes, duration, tick_s, count, power_w)


def counter_changes(
    times_s: Sequence[float],
    energy_j: Sequence[float],
    tick_s: float | None,
    stepped_s: Sequence[tuple[float, float] | None] = (),
    unsure_s: Sequence[float] = (),
) -> list[Change]:
    """Steps of a counter from its samples, each placed in the middle of where it can have been.

    A new value seen at t_i, give or take `unsure_s`, appeared after the sample before it, and at
    most one tick before t_i; `stepped_s` narrows that, where it agrees. With `tick_s` None every
    sample is a step of its own. Steps are a tick apart, and one that is closely known places the
    neighbours that are not a whole number of ticks away, where that agrees with what was seen.
    """
    if tick_s is None:
        return [Change(t, e, 0.0) for t, e in zip(times_s, energy_j, strict=True)]
    bounds: list[_Bound] = []
    told = stepped_s or [None] * len(times_s)
    late = unsure_s or [0.0] * len(times_s)
    for i, (t, e, known) in enumerate(zip(times_s, energy_j, told, strict=True)):
        if i == 0 or e > energy_j[i - 1]:
            low = t - late[i] - tick_s
            bounds.append(
                (low if i == 0 else max(times_s[i - 1] - late[i - 1], low), t + late[i], e)
            )
        bounds[-1] = _narrowed(bounds[-1], known)
    bounds = _apart(bounds, _LEAST_APART * tick_s)
    changes = [Change((a + b) / 2, e, (b - a) / 2) for a, b, e in bounds]
    return [_refined(changes, bounds, i, tick_s) for i in range(len(changes))]


def _narrowed(bound: _Bound, known: tuple[float, float] | None) -> _Bound:
    """The bound where it agrees with what is known; a value did not step after it was seen."""
    low, high = (max(bound[0], known[0]), min(bound[1], known[1])) if known else bound[:2]
    return (low, high, bound[2]) if low < high else bound


def _apart(bounds: list[_Bound], apart_s: float) -> list[_Bound]:
    """The bounds narrowed by what the neighbours' say, for two steps are a tick apart at least."""
    found = list(bounds)
    for i in reversed(range(len(found) - 1)):
        low, high, energy_j = found[i]
        found[i] = (low, max(low, min(high, found[i + 1][1] - apart_s)), energy_j)
    for i in range(1, len(found)):
        low, high, energy_j = found[i]
        found[i] = (min(high, max(low, found[i - 1][0] + apart_s)), high, energy_j)
    return found


def median_tick(times_s: Sequence[float], energy_j: Sequence[float]) -> float | None:
    """Time between steps, from samples much denser than the tick.

    The median interval says how many ticks each interval holds; the mean over that many is the
    tick, finer than the samples are apart. An interval in which a sample came late is left out: how
    many steps it holds is not known.

    None for fewer than two intervals, or where the counter moved at (nearly) every sample, so that
    the sampling and not the counter set the pace.
    """
    steps = [i for i in range(1, len(energy_j)) if energy_j[i] > energy_j[i - 1]]
    if len(steps) < 3 or len(steps) > 0.6 * (len(energy_j) - 1):
        return None
    # The true step lies between two samples: their middle removes the delay of half a sample.
    middles = [(times_s[i - 1] + times_s[i]) / 2 for i in steps]
    apart = [b - a for a, b in pairwise(times_s)]
    late_s = max(_LATE * median(apart), _LATE_TICKS * median(b - a for a, b in pairwise(middles)))
    intervals = [
        b - a
        for (i, a), (j, b) in pairwise(zip(steps, middles, strict=True))
        if max(apart[i - 1 : j]) <= late_s
    ]
    if len(intervals) < 2:
        return None
    typical = median(intervals)
    return sum(intervals) / sum(max(1, round(i / typical)) for i in intervals)


def unwrap(previous_raw: int, raw: int, wrap_range: int, most: float = math.inf) -> int:
    """Increase of a counter that wraps to 0 after `wrap_range`.

    A fall by more than half of the range is a wrap, if the increase that it means is at most
    `most`. Any other fall is a counter that went backwards or was reset, and comes back as a
    negative number for the caller to see.
    """
    delta = raw - previous_raw
    if delta < 0 and wrap_range > 0 and -delta > wrap_range / 2 and delta + wrap_range <= most:
        return delta + wrap_range
    return delta


def _with_margin(times_ns: Sequence[int], first: int, last: int, tick_s: float) -> tuple[int, int]:
    """Widen by about three ticks (and at least two samples) on both sides."""
    margin = int(3 * tick_s / NS)
    low = min(max(0, first - 2), bisect_left(times_ns, times_ns[first] - margin))
    high = max(
        min(len(times_ns) - 1, last + 2), bisect_right(times_ns, times_ns[last] + margin) - 1
    )
    return low, high


def _first_decrease(values: Sequence[float]) -> int | None:
    return next((i for i in range(1, len(values)) if values[i] < values[i - 1]), None)


def _refined(changes: list[Change], bounds: list[_Bound], i: int, tick_s: float) -> Change:
    here = changes[i]
    resolved, one = _RESOLVED * tick_s, 0.51 * tick_s  # beyond that, several places are possible
    if not resolved < here.uncertainty_s <= one:
        return here
    low, high, _ = bounds[i]
    for j in (i + 1, i - 1, i + 2, i - 2):
        if not 0 <= j < len(changes) or changes[j].uncertainty_s > _PLACING * tick_s:
            continue
        ticks = round((changes[j].t_s - here.t_s) / tick_s)
        placed = changes[j].t_s - ticks * tick_s
        if 1 <= abs(ticks) <= _NEAR_TICKS and low <= placed <= high:
            unsure = changes[j].uncertainty_s + _RESOLVED * tick_s
            return Change(placed, here.energy_j, min(here.uncertainty_s, unsure))
    return here


def _between(
    changes: list[Change],
    duration: float,
    tick_s: float | None,
    samples: int,
    power_w: Sequence[tuple[float, float]],
) -> Joules:
    t = [c.t_s for c in changes]
    e = [c.energy_j for c in changes]
    if len(changes) < 2 or t[0] > 0 or e[-1] == e[0]:
        if len(changes) < 2 or e[-1] == e[0]:
            return invalid("counter_stuck", "the energy counter did not move", samples)
        return invalid("edge_not_covered", "no step of the counter before the window", samples)
    if duration > t[-1] + (tick_s or 0.0):
        late = duration - t[-1]
        if late > 2 * max(tick_s or 0.0, t[-1] - t[-2]):
            return invalid(
                "counter_stuck",
                f"the energy counter stood still for the last {late:.2g} s",
                samples,
            )
        return invalid("edge_not_covered", "no step of the counter after the window", samples)
    edges = [Edge.of(changes, t, at, duration) for at in (0.0, duration)]
    start_j, end_j = (e.linear_j() if tick_s is None else e.energy_j(tick_s) for e in edges)
    energy = end_j - start_j
    if energy <= 0:
        return invalid("counter_stuck", "the energy counter did not move", samples)
    mean_w = energy / duration
    told = [
        e.error_and_spread(mean_w, j, power_w) for e, j in zip(edges, (start_j, end_j), strict=True)
    ]
    errors, spreads = zip(*told, strict=True)
    bound = max((tick_s or 0.0) * max(spreads), sum(errors))
    return Joules(energy, edge_bound_j=bound, samples=samples)
