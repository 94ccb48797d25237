"""Was the machine as fast as usual while a window lasted?

A neighbour on the same host takes memory bandwidth, cache and clock without taking CPU time, so the
share of CPU time (METHOD §3.14) does not show it: on a shared virtual machine passes were seen to
take 5 to 40 % longer for seconds at a full share. So on a CPU a short pass of a fixed workload, the
anchor's (METHOD §3.11), is timed at both edges of every window. A window is beside a slow machine
where that pass took `SLOW_REL` longer than usual; usual is the lower quartile over the windows of
the same process, for fresh processes differ (METHOD §3.14), and a quarter of quiet windows is
enough to know what quiet is (ours).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

SLOW_REL = 0.05  #: the bound of a coefficient of variation that calls for a look (METHOD §3.9)
USUAL_QUANTILE = 0.25


def usual_pass_s(passes_s: Sequence[float | None]) -> float:
    """The reference pass of a quiet machine: lower quartile of those timed beside the windows of
    one process; NaN where there is none. Missing ones (None, NaN) are left out."""
    timed = [p for p in passes_s if p is not None and not math.isnan(p)]
    return float(np.quantile(timed, USUAL_QUANTILE)) if timed else math.nan


def is_slow(pass_s: float | None, usual_s: float) -> bool:
    """Whether a pass took more than `SLOW_REL` longer than usual; False where one is missing."""
    return pass_s is not None and pass_s > (1 + SLOW_REL) * usual_s
