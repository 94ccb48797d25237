"""The one integrator: joules between two timestamps, from power samples or from a counter.

Pure functions on plain sequences: timestamps in ns on one monotonic clock, power in W, energy in J.
The rules are those of METHOD §3.4 and §3.5:

* power is integrated by trapezoid over *all* samples (a repeated value is a sample: leaving it out
  turns a plateau into a ramp), with the value at each edge interpolated;
* a hardware counter is a staircase. Its value at a change stands for the energy up to that change,
  so energy at an edge is interpolated between the changes on either side of it;
* a gap of more than 3 s between neighbouring samples, a counter that goes backwards or stands
  still, a window shorter than two ticks: no number, and a reason. Nothing is extrapolated beyond
  one tick, and nothing is ever 0 for want of data;
* the error that an edge can have is stored: tau * |dP| / E.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

MAX_GAP_S = 3.0
_NS = 1e-9
#: A change seen within this share of a tick counts as resolved, and its neighbours are placed a
#: whole number of ticks from it.
_RESOLVED = 0.1


@dataclass(frozen=True, slots=True)
class Joules:
    """Energy of one window from one series, or why there is none."""

    energy_j: float | None
    reason: str | None = None  #: reason code, where `energy_j` is None
    sentence: str = ""
    edge_bound_j: float | None = None  #: largest error that the two edges can have
    samples: int = 0  #: samples inside the window or next to its edges

    @property
    def edge_bound_rel(self) -> float | None:
        """`edge_bound_j` over the energy; None without either, or for an energy of zero."""
        if self.energy_j is None or self.edge_bound_j is None or self.energy_j <= 0:
            return None
        return self.edge_bound_j / self.energy_j


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a counter: the value it stepped to, and when, give or take `uncertainty_s`."""

    t_s: float
    energy_j: float
    uncertainty_s: float


def invalid(reason: str, sentence: str, samples: int = 0) -> Joules:
    """A window without a number."""
    return Joules(None, reason, sentence, None, samples)


def trapezoid(
    times_ns: Sequence[int],
    power_w: Sequence[float],
    start_ns: int,
    end_ns: int,
    *,
    tick_s: float | None = None,
    max_gap_s: float = MAX_GAP_S,
) -> Joules:
    """Integral of power over a window by trapezoid, with both edges interpolated.

    `times_ns` must not decrease. `tick_s` is the update period of the power field, where known: it
    enters the edge bound only. Reason codes: `edge_not_covered`, `sample_gap`,
    `fewer_than_two_samples`, `bad_sample`.
    """
    span = _covering(times_ns, start_ns, end_ns)
    if isinstance(span, Joules):
        return span
    first, last = span
    count = last - first + 1
    gap = _gap(times_ns, first, last, max_gap_s)
    if gap is not None:
        return gap
    t = [(times_ns[i] - start_ns) * _NS for i in range(first, last + 1)]
    p = [power_w[i] for i in range(first, last + 1)]
    if not all(math.isfinite(x) and x >= 0 for x in p):
        return invalid("bad_sample", "a power sample is negative or not a number", count)
    duration = (end_ns - start_ns) * _NS
    inside = [(x, y) for x, y in zip(t, p, strict=True) if 0 < x < duration]
    if count < 2 or (len(inside) < 2 and tick_s is not None and duration < 2 * tick_s):
        return invalid("fewer_than_two_samples", "fewer than two power samples in the window")
    points = [(0.0, _value_at(t, p, 0.0)), *inside, (duration, _value_at(t, p, duration))]
    energy = math.fsum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    bound = _power_edge_bound(t, p, 0.0, tick_s) + _power_edge_bound(t, p, duration, tick_s)
    return Joules(energy, edge_bound_j=bound, samples=count)


def counter_difference(
    times_ns: Sequence[int],
    energy_j: Sequence[float],
    start_ns: int,
    end_ns: int,
    *,
    tick_s: float | None = None,
    max_gap_s: float = MAX_GAP_S,
) -> Joules:
    """Energy of a window from samples of a cumulative counter that moves in steps.

    `tick_s` is the time between two steps; None says that the value is made at reading, so that
    every sample is exact at its own time. Reason codes: `edge_not_covered`, `sample_gap`,
    `counter_non_monotone`, `fewer_than_two_ticks`, `counter_stuck`, `bad_sample`.

    The bound is METHOD's tau*|dP|, with |dP| the range of power around the edge, or, where the
    counter was sampled more coarsely than it ticks, the largest error that interpolating across
    that longer stretch can have, f*(1-f)*length*|dP|, plus what is not known about the times of
    the steps themselves.
    """
    span = _covering(times_ns, start_ns, end_ns, slack_s=tick_s or 0.0)
    if isinstance(span, Joules):
        return span
    first, last = span
    count = last - first + 1
    gap = _gap(times_ns, first, last, max_gap_s)
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
    duration = (end_ns - start_ns) * _NS
    if tick_s is not None and duration < 2 * tick_s:
        return invalid(
            "fewer_than_two_ticks",
            f"a window of {duration:.3g} s is shorter than two ticks of {tick_s:.3g} s",
            count,
        )
    changes = counter_changes(
        [(t - start_ns) * _NS for t in times_ns[low : high + 1]], values, tick_s
    )
    return _between(changes, duration, tick_s, count)


def counter_changes(
    times_s: Sequence[float], energy_j: Sequence[float], tick_s: float | None
) -> list[Change]:
    """Steps of a counter from its samples, each placed in the middle of where it can have been.

    A new value seen at t_i appeared after the sample before it, and at most one tick before t_i.
    With `tick_s` None every sample is a step of its own. A step that was seen within a tenth of a
    tick places its unresolved neighbours a whole number of ticks away, where that agrees with what
    was seen of them.
    """
    if tick_s is None:
        return [Change(t, e, 0.0) for t, e in zip(times_s, energy_j, strict=True)]
    bounds: list[tuple[float, float, float]] = []
    for i, (t, e) in enumerate(zip(times_s, energy_j, strict=True)):
        if i == 0:
            bounds.append((t - tick_s, t, e))
        elif e > energy_j[i - 1]:
            bounds.append((max(times_s[i - 1], t - tick_s), t, e))
    changes = [Change((a + b) / 2, e, (b - a) / 2) for a, b, e in bounds]
    return [_refined(changes, bounds, i, tick_s) for i in range(len(changes))]


def median_tick(times_s: Sequence[float], energy_j: Sequence[float]) -> float | None:
    """Median time between observed steps, from samples much denser than the tick.

    None for fewer than three steps, or where the counter moved at (nearly) every sample, so that
    the sampling and not the counter set the pace.
    """
    steps = [i for i in range(1, len(energy_j)) if energy_j[i] > energy_j[i - 1]]
    if len(steps) < 3 or len(steps) > 0.6 * (len(energy_j) - 1):
        return None
    # The true step lies between two samples: their middle removes the delay of half a sample.
    middles = [(times_s[i - 1] + times_s[i]) / 2 for i in steps]
    return median(b - a for a, b in pairwise(middles))


def unwrap(previous_raw: int, raw: int, wrap_range: int) -> int:
    """Increase of a counter that wraps to 0 after `wrap_range`.

    A fall by more than half of the range is a wrap. A smaller fall is a counter that went
    backwards, and comes back as a negative number for the caller to see.
    """
    delta = raw - previous_raw
    if delta < 0 and wrap_range > 0 and -delta > wrap_range / 2:
        return delta + wrap_range
    return delta


def _covering(
    times_ns: Sequence[int], start_ns: int, end_ns: int, slack_s: float = 0.0
) -> tuple[int, int] | Joules:
    """Indices of the last sample at or before the start and the first at or after the end; at the
    end a stretch of `slack_s` may be missing."""
    if end_ns <= start_ns:
        return invalid("empty_window", "the window does not end after its start")
    first = bisect_right(times_ns, start_ns) - 1
    last = bisect_left(times_ns, end_ns)
    if last == len(times_ns) and times_ns and (end_ns - times_ns[-1]) * _NS <= slack_s:
        last -= 1
    if first < 0 or last >= len(times_ns):
        where = "start" if first < 0 else "end"
        return invalid(
            "edge_not_covered", f"no sample beyond the {where} of the window", max(0, last - first)
        )
    return first, last


def _gap(times_ns: Sequence[int], first: int, last: int, max_gap_s: float) -> Joules | None:
    widest = max(((times_ns[i + 1] - times_ns[i]) * _NS for i in range(first, last)), default=0.0)
    if widest <= max_gap_s:
        return None
    return invalid(
        "sample_gap",
        f"a gap of {widest:.1f} s between two samples, above {max_gap_s:g} s",
        last - first + 1,
    )


def _with_margin(times_ns: Sequence[int], first: int, last: int, tick_s: float) -> tuple[int, int]:
    """Widen by about three ticks (and at least two samples) on both sides."""
    margin = int(3 * tick_s / _NS)
    low = min(max(0, first - 2), bisect_left(times_ns, times_ns[first] - margin))
    high = max(
        min(len(times_ns) - 1, last + 2), bisect_right(times_ns, times_ns[last] + margin) - 1
    )
    return low, high


def _first_decrease(values: Sequence[float]) -> int | None:
    return next((i for i in range(1, len(values)) if values[i] < values[i - 1]), None)


def _value_at(t: Sequence[float], v: Sequence[float], at: float) -> float:
    """Linear interpolation; `at` lies within `t`."""
    right = min(max(bisect_left(t, at), 1), len(t) - 1)
    left = right - 1
    if t[right] == t[left]:
        return v[right]
    share = (at - t[left]) / (t[right] - t[left])
    return v[left] + share * (v[right] - v[left])


def _power_edge_bound(
    t: Sequence[float], p: Sequence[float], at: float, tick_s: float | None
) -> float:
    """Largest error at one edge: half of a step of |dP| anywhere between the two samples around it
    (or anywhere within a tick, where the field is updated more slowly than it is read)."""
    right = min(max(bisect_left(t, at), 1), len(t) - 1)
    near = p[max(0, right - 2) : right + 2]
    stretch = max(t[right] - t[right - 1], tick_s or 0.0)
    return stretch * (max(near) - min(near)) / 2


def _refined(
    changes: list[Change], bounds: list[tuple[float, float, float]], i: int, tick_s: float
) -> Change:
    here = changes[i]
    if here.uncertainty_s <= _RESOLVED * tick_s:
        return here
    low, high, _ = bounds[i]
    for j in (i + 1, i - 1):
        if not 0 <= j < len(changes) or changes[j].uncertainty_s > _RESOLVED * tick_s:
            continue
        ticks = round((changes[j].t_s - here.t_s) / tick_s)
        placed = changes[j].t_s - ticks * tick_s
        if 1 <= abs(ticks) <= 2 and low <= placed <= high:
            unsure = changes[j].uncertainty_s + _RESOLVED * tick_s
            return Change(placed, here.energy_j, min(here.uncertainty_s, unsure))
    return here


def _between(changes: list[Change], duration: float, tick_s: float | None, samples: int) -> Joules:
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
    energy = _energy_at(changes, t, duration) - _energy_at(changes, t, 0.0)
    if energy <= 0:
        return invalid("counter_stuck", "the energy counter did not move", samples)
    edges = [_edge(changes, t, at, energy / duration) for at in (0.0, duration)]
    spread = max(dp for _, dp in edges)
    bound = max((tick_s or 0.0) * spread, sum(error for error, _ in edges))
    return Joules(energy, edge_bound_j=bound, samples=samples)


def _energy_at(changes: list[Change], t: list[float], at: float) -> float:
    """Interpolated between two steps, or continued at the last slope (by a tick at most)."""
    right = min(max(bisect_left(t, at), 1), len(t) - 1)
    a, b = changes[right - 1], changes[right]
    if b.t_s <= a.t_s:
        return b.energy_j
    return a.energy_j + (at - a.t_s) / (b.t_s - a.t_s) * (b.energy_j - a.energy_j)


def _edge(changes: list[Change], t: list[float], at: float, mean_w: float) -> tuple[float, float]:
    """(largest error in J, range of power in W) around one edge."""
    right = min(max(bisect_left(t, at), 1), len(t) - 1)
    slopes = [mean_w]
    for k in (right - 1, right, right + 1):
        if 1 <= k < len(changes) and changes[k].t_s > changes[k - 1].t_s:
            rise = changes[k].energy_j - changes[k - 1].energy_j
            slopes.append(rise / (changes[k].t_s - changes[k - 1].t_s))
        else:
            slopes.append(0.0)  # nothing is known on that side: it may have been idle
    spread = max(slopes) - min(slopes)
    length = changes[right].t_s - changes[right - 1].t_s
    share = (at - changes[right - 1].t_s) / length if length > 0 else 0.0
    unsure = max(changes[right - 1].uncertainty_s, changes[right].uncertainty_s)
    return abs(share * (1 - share)) * length * spread + unsure * max(slopes), spread
