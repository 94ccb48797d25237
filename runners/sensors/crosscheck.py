"""A counter held against the power between its readings. Pure.

A counter that is dear to read is read seldom, so one that falls, or is reset, and climbs again in
between shows no decrease. But it then rises less than power says: one stretch falls short, the
others do not. A device whose two readings differ by a constant factor falls short everywhere; that
is a disagreement of sensors (METHOD §3.5), and not judged here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from runners.sensors.integrate import MAX_GAP_S, NS

SHORT_REL = 0.05  #: of a stretch's own joules (METHOD §3.5)
SHORT_REL_ALONE = 0.25  #: the same where too few stretches tell a fall from a constant factor
FEWEST_STRETCHES = 3
TELLING_TICKS = 5.0  #: a stretch of fewer ticks says nothing of the factor

Series = Sequence[tuple[int, float]]  #: (time in ns, value), in order of time


def shortfall_j(
    counted_j: Series,
    powered_w: Series,
    start_ns: int,
    end_ns: int,
    tick_s: float | None,
    unsure_ns: Sequence[int] = (),
) -> float | None:
    """Joules by which the counter's rise between two of its readings beside the window falls short
    of what power says, where that is more than its ticks, the times of its readings (each give or
    take `unsure_ns`), a change of power between two samples and the two sensors' usual difference
    explain; else None. Readings more than a tick outside the window are not looked at."""
    slack = int((tick_s or 0.0) / NS)
    counted = [(*p, u) for p, u in zip(counted_j, unsure_ns or [0] * len(counted_j), strict=True)]
    near = [p for p in counted if start_ns - slack <= p[0] <= end_ns + slack]
    before = [p for p in counted if p[0] < start_ns - slack][-1:]
    after = [p for p in counted if p[0] > end_ns + slack][:1]
    stretches = []
    for (t0, e0, u0), (t1, e1, u1) in pairwise([*before, *near, *after]):
        expected = _between(powered_w, t0, t1)
        if expected is not None:
            integral, unsure_j, most_w = expected
            unsure_j += (2 * (tick_s or 0.0) + (u0 + u1) * NS) * most_w
            stretches.append(((t1 - t0) * NS, e1 - e0, integral, unsure_j))
    telling = [
        rise / integral
        for length, rise, integral, _ in stretches
        if integral > 0 and length > TELLING_TICKS * (tick_s or 0.0) and length > 0
    ]
    enough = len(telling) >= FEWEST_STRETCHES
    factor = min(1.0, median(telling)) if enough else 1.0
    rel = SHORT_REL if enough else SHORT_REL_ALONE
    worst = 0.0
    for _, rise, integral, unsure_j in stretches:
        short = factor * integral - rise
        if short > rel * integral + unsure_j:
            worst = max(worst, short)
    return worst or None


def _between(powered_w: Series, start_ns: int, end_ns: int) -> tuple[float, float, float] | None:
    """(trapezoid in J, how much less it can be, largest power in W) between two times; None where
    power has a gap. Power changes at any time between two samples."""
    low = bisect_left(powered_w, start_ns, key=lambda p: p[0])
    high = bisect_left(powered_w, end_ns, key=lambda p: p[0])
    inside = list(powered_w[low:high])
    around = [*powered_w[max(0, low - 1) : low], *inside, *powered_w[high : high + 1]]
    if not around or end_ns <= start_ns:
        return None
    times = [start_ns, *(t for t, _ in inside), end_ns]
    if any((b - a) * NS > MAX_GAP_S for a, b in pairwise(times)):
        return None
    watts = [around[0][1], *(w for _, w in inside), around[-1][1]]
    lengths = [(b - a) * NS for a, b in pairwise(times)]
    joules = sum(s * (v + w) / 2 for s, (v, w) in zip(lengths, pairwise(watts), strict=True))
    least_j = sum(s * min(v, w) for s, (v, w) in zip(lengths, pairwise(watts), strict=True))
    return joules, joules - least_j, max(watts)
