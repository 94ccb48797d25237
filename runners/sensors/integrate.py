"""The one integrator: joules between two timestamps, from samples of power.

The difference of a hardware counter, which moves in steps, is in `runners.sensors.staircase` and
obeys the same rules.

Pure functions on plain sequences: timestamps in ns on one monotonic clock, power in W, energy in J.
The rules are those of METHOD §3.4 and §3.5:

* power is integrated by trapezoid over *all* samples (a repeated value is a sample: leaving it out
  turns a plateau into a ramp), with the value at each edge interpolated;
* a hardware counter is a staircase. Its value at a change stands for the energy up to that change,
  so energy at an edge is interpolated between the changes on either side of it;
* a gap of more than 3 s between neighbouring samples, a counter that goes backwards or stands
  still, power that reads 0 W throughout, a window shorter than two ticks: no number, and a reason.
  Nothing is extrapolated beyond one tick, and nothing is ever 0 for want of data;
* the error that an edge can have is stored: tau * |dP| / E.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_GAP_S = 3.0
LEAST_SAMPLES = 0.5  #: share of the samples that a window should have, to be integrated
NS = 1e-9


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
    period_s: float | None = None,
) -> Joules:
    """Integral of power over a window by trapezoid, with both edges interpolated.

    `times_ns` must not decrease. `tick_s` is the update period of the power field, or the time over
    which it averages, where known: a window of less than two has no number, and it enters the edge
    bound. `period_s` is the time that should lie between two samples: a window with less than half
    of its samples has no number. Reason codes: `edge_not_covered`, `sample_gap`, `sparse_samples`,
    `fewer_than_two_samples`, `fewer_than_two_ticks`, `bad_sample`, `zero_power`.
    """
    span = covering(times_ns, start_ns, end_ns)
    if isinstance(span, Joules):
        return span
    first, last = span
    count = last - first + 1
    gap = gap_in(times_ns, first, last, max_gap_s)
    if gap is not None:
        return gap
    t = [(times_ns[i] - start_ns) * NS for i in range(first, last + 1)]
    p = [power_w[i] for i in range(first, last + 1)]
    if not all(math.isfinite(x) and x >= 0 for x in p):
        return invalid("bad_sample", "a power sample is negative or not a number", count)
    duration = (end_ns - start_ns) * NS
    inside = [(x, y) for x, y in zip(t, p, strict=True) if 0 < x < duration]
    if count < 2:
        return invalid("fewer_than_two_samples", "fewer than two power samples in the window")
    if tick_s is not None and duration < 2 * tick_s:
        sentence = f"a window of {duration:.3g} s is shorter than two updates of {tick_s:.3g} s"
        return invalid("fewer_than_two_ticks", sentence, count)
    if period_s is not None and len(inside) + 1 < LEAST_SAMPLES * duration / period_s:
        return invalid(
            "sparse_samples",
            f"{len(inside)} power samples in {duration:.3g} s, one every {period_s:g} s was asked",
            count,
        )
    points = [(0.0, _value_at(t, p, 0.0)), *inside, (duration, _value_at(t, p, duration))]
    energy = math.fsum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    if energy <= 0:
        return invalid("zero_power", "power read 0 W throughout the window", count)
    bound = _power_edge_bound(t, p, 0.0, tick_s) + _power_edge_bound(t, p, duration, tick_s)
    return Joules(energy, edge_bound_j=bound, samples=count)


def covering(
    times_ns: Sequence[int], start_ns: int, end_ns: int, slack_s: float = 0.0
) -> tuple[int, int] | Joules:
    """Indices of the last sample at or before the start and the first at or after the end; at the
    end a stretch of `slack_s` may be missing."""
    if end_ns <= start_ns:
        return invalid("empty_window", "the window does not end after its start")
    first = bisect_right(times_ns, start_ns) - 1
    last = bisect_left(times_ns, end_ns)
    if last == len(times_ns) and times_ns and (end_ns - times_ns[-1]) * NS <= slack_s:
        last -= 1
    if first < 0 or last >= len(times_ns):
        where = "start" if first < 0 else "end"
        return invalid(
            "edge_not_covered", f"no sample beyond the {where} of the window", max(0, last - first)
        )
    return first, last


def gap_in(times_ns: Sequence[int], first: int, last: int, max_gap_s: float) -> Joules | None:
    """The refusal where two neighbours of these samples are too far apart; else None."""
    widest = max(((times_ns[i + 1] - times_ns[i]) * NS for i in range(first, last)), default=0.0)
    if widest <= max_gap_s:
        return None
    return invalid(
        "sample_gap",
        f"a gap of {widest:.1f} s between two samples, above {max_gap_s:g} s",
        last - first + 1,
    )


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
    low = min(max(0, right - 2), bisect_left(t, at - (tick_s or 0.0)))
    high = max(right + 2, bisect_right(t, at + (tick_s or 0.0)))
    near = p[low:high]
    stretch = max(t[right] - t[right - 1], tick_s or 0.0)
    return stretch * (max(near) - min(near)) / 2
