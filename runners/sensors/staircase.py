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
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from runners.sensors.integrate import MAX_GAP_S, NS, Joules, covering, gap_in, invalid

#: A change seen within this share of a tick counts as resolved, and its neighbours are placed a
#: whole number of ticks from it.
_RESOLVED = 0.1
_LEAST_SHARE = 0.2  #: least share of an edge's stretch from which power beyond it is inferred


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a counter: the value it stepped to, and when, give or take `uncertainty_s`."""

    t_s: float
    energy_j: float
    uncertainty_s: float


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
    changes = counter_changes(
        [(t - start_ns) * NS for t in times_ns[low : high + 1]], values, tick_s
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
    """Time between steps, from samples much denser than the tick.

    The median interval says how many ticks each interval holds; the mean over that many is the
    tick, finer than the samples are apart.

    None for fewer than three steps, or where the counter moved at (nearly) every sample, so that
    the sampling and not the counter set the pace.
    """
    steps = [i for i in range(1, len(energy_j)) if energy_j[i] > energy_j[i - 1]]
    if len(steps) < 3 or len(steps) > 0.6 * (len(energy_j) - 1):
        return None
    # The true step lies between two samples: their middle removes the delay of half a sample.
    middles = [(times_s[i - 1] + times_s[i]) / 2 for i in steps]
    intervals = [b - a for a, b in pairwise(middles)]
    typical = median(intervals)
    return (middles[-1] - middles[0]) / sum(max(1, round(i / typical)) for i in intervals)


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
    mean_w = energy / duration
    edges = [_edge(changes, t, 0.0, mean_w, False), _edge(changes, t, duration, mean_w, True)]
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


def _edge(
    changes: list[Change], t: list[float], at: float, mean_w: float, ends: bool
) -> tuple[float, float]:
    """(largest error in J, range of power in W) around one edge; `ends` for the window's end.

    Where no step beyond the edge is known, the power there follows from the edge's own stretch: its
    slope mixes inside and outside in the known shares. That says nothing when the stretch lies
    nearly all inside, but then little can be wrong: hence the floor under the share.
    """
    right = min(max(bisect_left(t, at), 1), len(t) - 1)
    edge = _slope(changes, right)
    inward, outward = (right - 1, right + 1) if ends else (right + 1, right - 1)
    inside = _slope(changes, inward)
    inside = mean_w if inside is None else inside
    here = inside if edge is None else edge
    length = t[right] - t[right - 1]
    share = (at - t[right - 1]) / length if length > 0 else 0.0
    within = share if ends else 1 - share
    outside = _slope(changes, outward)
    guessed = outside is None
    if outside is None:
        beyond = max(1 - within, _LEAST_SHARE) if 0 <= share <= 1 else _LEAST_SHARE
        outside = max(0.0, inside + (here - inside) / beyond)
    powers = (mean_w, inside, here, outside)
    spread = max(powers) - min(powers)
    error = abs(share * (1 - share)) * length * spread
    if guessed:
        error = max(error, abs(within) * length * abs(here - inside))
    unsure = max(changes[right - 1].uncertainty_s, changes[right].uncertainty_s)
    return error + unsure * max(powers), spread


def _slope(changes: list[Change], k: int) -> float | None:
    """Mean power between step k-1 and step k; None where there is no such stretch."""
    if not 1 <= k < len(changes) or changes[k].t_s <= changes[k - 1].t_s:
        return None
    rise = changes[k].energy_j - changes[k - 1].energy_j
    return rise / (changes[k].t_s - changes[k - 1].t_s)
