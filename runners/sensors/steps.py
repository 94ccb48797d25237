"""When will the counter step next? Pure.

Seeing a step closely takes readings before and after it, and a reading can be dear. A counter steps
at an even pace, so once a step was seen the next ones are foretold, and every further one that is
seen narrows where they can be and sharpens the pace, as a watch is set by a time signal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NS = 1e-9
#: Uncertainty (two standard deviations, relative) of a tick from a few steps in a row, each seen to
#: some milliseconds.
FRESH_ERROR_REL = 0.02
JITTER_S = 0.001  #: a step comes this much early or late
LEAST_ERROR_REL = 2e-5  #: crystals differ by this much; no span makes a pace surer
#: Two standard deviations of the distance of two steps, each somewhere in an interval:
#: 2 * sqrt(2 / 12), over the sum of both lengths.
_TWO_SIGMA = 0.41
_KNOWN = 0.6  #: share of a tick within which the next step must be foretold


@dataclass(frozen=True, slots=True)
class Seen:
    """A step that came after one time and no later than another, both in ns."""

    after_ns: int
    by_ns: int

    @property
    def middle_ns(self) -> int:
        """The middle of where it can be."""
        return (self.after_ns + self.by_ns) // 2

    @property
    def width_s(self) -> float:
        """How closely it is known."""
        return (self.by_ns - self.after_ns) * NS


class StepClock:
    """The pace of one counter, from the steps that were seen."""

    def __init__(self, tick_s: float, error_rel: float = FRESH_ERROR_REL) -> None:
        self.tick_s, self.error_rel = tick_s, error_rel
        self._fresh = (tick_s, error_rel)
        self._first: Seen | None = None
        self._last = Seen(0, 0)
        self._ticks = 0  # from the first step to the last

    def seen(self, step: Seen) -> None:
        """A step was seen. It also narrows where those before it can have been."""
        if self._first is None:
            self._first, self._last, self._ticks = step, step, 0
            return
        since_s = (step.middle_ns - self._last.middle_ns) * NS
        ticks = round(since_s / self.tick_s)
        drift_s = self.error_rel * abs(since_s) + JITTER_S
        low = self._last.after_ns + round((ticks * self.tick_s - drift_s) / NS)
        high = self._last.by_ns + round((ticks * self.tick_s + drift_s) / NS)
        narrowed = Seen(max(step.after_ns, low), min(step.by_ns, high))
        misled = narrowed.by_ns < narrowed.after_ns
        if misled or ticks < 1 or drift_s > self.tick_s / 2:
            if misled:  # the pace was wrong: it is as unsure as at first
                self.tick_s, self.error_rel = self._fresh
            self._first, self._last, self._ticks = step, step, 0
            return
        self._ticks += ticks
        self._last = narrowed
        span_s = (narrowed.middle_ns - self._first.middle_ns) * NS
        unsure_s = _TWO_SIGMA * (self._first.width_s + narrowed.width_s)
        error_rel = max(unsure_s / span_s, LEAST_ERROR_REL)
        if error_rel < self.error_rel:
            self.tick_s, self.error_rel = span_s / self._ticks, error_rel

    def wait_s(self, now_ns: int, reading_s: float) -> float | None:
        """Seconds from now until a reading that takes `reading_s` is due so that it ends before the
        next step; None where no step was seen, or too long ago to foretell one."""
        if self._first is None:
            return None
        if self.unsure_s(now_ns) + reading_s > self.tick_s * _KNOWN:
            return None
        early_s = self._drift_s(now_ns) + reading_s
        due_s = (self._last.after_ns - now_ns) * NS - early_s
        return due_s + max(0, math.ceil(-due_s / self.tick_s)) * self.tick_s

    def age_s(self, now_ns: int) -> float:
        """Seconds since the last step that was seen; infinite before the first."""
        return math.inf if self._first is None else (now_ns - self._last.middle_ns) * NS

    def unsure_s(self, now_ns: int) -> float:
        """How long the stretch is in which a foretold step comes."""
        return 2 * self._drift_s(now_ns) + self._last.width_s

    def _drift_s(self, now_ns: int) -> float:
        return self.error_rel * (now_ns - self._last.middle_ns) * NS + JITTER_S
