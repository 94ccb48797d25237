"""When does the counter step? Pure.

Seeing a step closely takes a reading before and one after it, and a reading can be dear. A counter
steps at an even pace, so once a step was seen the next ones are foretold, and every further one
that is seen narrows where they can be and sharpens the pace, as a watch is set by a time signal.
Between two foretold steps a single reading then tells the energy up to a known time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

NS = 1e-9
#: Uncertainty (two standard deviations, relative) of a tick from a few steps in a row, each seen to
#: some milliseconds.
FRESH_ERROR_REL = 0.02
JITTER_S = 0.001  #: a step comes this much early or late (an H100's: 0.3 ms and less)
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


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a counter: the value it stepped to, and when, give or take `uncertainty_s`."""

    t_s: float
    energy_j: float
    uncertainty_s: float


@dataclass(frozen=True, slots=True)
class StepPace:
    """The pace of one counter: its tick, give or take `error_rel`, and the steps that were seen.

    `first` and `last` are the outermost steps that it was told by, `ticks` the ticks between them.
    """

    tick_s: float
    error_rel: float = FRESH_ERROR_REL
    first: Seen | None = None
    last: Seen | None = None
    ticks: int = 0

    def afresh(self) -> StepPace:
        """The same tick, as unsure as at first, and no step seen."""
        return StepPace(self.tick_s)

    def with_step(self, step: Seen) -> StepPace:
        """The pace after one more step was seen, which also narrows where those before it were.

        A step that comes where none was foretold is the first one of a pace as unsure as at first.
        One that is hardly known, as after a reading that took long, tells nothing.
        """
        if step.width_s > _KNOWN * self.tick_s:
            return self
        if self.first is None or self.last is None:
            return replace(self, first=step, last=step, ticks=0)
        since_s = (step.middle_ns - self.last.middle_ns) * NS
        ticks = round(since_s / self.tick_s)
        drift_s = self.error_rel * abs(since_s) + JITTER_S if ticks else 0.0
        if ticks < 0 or drift_s > self.tick_s / 2:
            return replace(self, first=step, last=step, ticks=0)
        low = self.last.after_ns + round((ticks * self.tick_s - drift_s) / NS)
        high = self.last.by_ns + round((ticks * self.tick_s + drift_s) / NS)
        narrowed = Seen(max(step.after_ns, low), min(step.by_ns, high))
        if narrowed.by_ns < narrowed.after_ns:
            return replace(self.afresh(), first=step, last=step)
        total = self.ticks + ticks
        if not total:
            return replace(self, first=narrowed, last=narrowed)
        span_s = (narrowed.middle_ns - self.first.middle_ns) * NS
        unsure_s = _TWO_SIGMA * (self.first.width_s + narrowed.width_s)
        error_rel = max(unsure_s / span_s, LEAST_ERROR_REL)
        if error_rel < self.error_rel:
            return StepPace(span_s / total, error_rel, self.first, narrowed, total)
        return replace(self, last=narrowed, ticks=total)

    def from_last(self) -> StepPace:
        """The same tick, told by steps from the last one on."""
        return replace(self, first=self.last, ticks=0)

    def wait_s(self, now_ns: int, reading_s: float) -> float | None:
        """Seconds from now until a reading that takes `reading_s` is due so that it ends before the
        next step; None where no step was seen, or too long ago to foretell one."""
        if self.last is None or not self.foretells(now_ns, reading_s):
            return None
        early_s = self._drift_s(now_ns) + reading_s
        due_s = (self.last.after_ns - now_ns) * NS - early_s
        return due_s + max(0, math.ceil(-due_s / self.tick_s)) * self.tick_s

    def next_step(self, now_ns: int) -> Seen | None:
        """The next step, or the one that is due now; None where no step was seen."""
        if self.last is None:
            return None
        since_s = (now_ns - self.last.by_ns) * NS - self._drift_s(now_ns)
        return self._foretold(max(0, math.ceil(since_s / self.tick_s)), now_ns)

    def around(self, began_ns: int, ended_ns: int) -> tuple[Seen, Seen | None] | None:
        """The last step that came before a reading between two times, and the one that may have
        come during it, if there is one. None where no step was seen, or too long ago."""
        if self.last is None:
            return None
        ticks = math.floor((began_ns - self.last.middle_ns) * NS / self.tick_s)
        before, after, later = (self._foretold(ticks + k, ended_ns) for k in (0, 1, 2))
        if before.by_ns > began_ns:  # it may come during the reading itself
            before, after, later = self._foretold(ticks - 1, ended_ns), before, after
        if after.by_ns >= later.after_ns or ended_ns > later.after_ns:
            return None
        return before, None if ended_ns <= after.after_ns else after

    def foretells(self, now_ns: int, reading_s: float) -> bool:
        """Whether a reading of so many seconds finds room between two steps that are foretold."""
        return self.unsure_s(now_ns) + reading_s <= self.tick_s * _KNOWN

    def age_s(self, now_ns: int) -> float:
        """Seconds since the last step that was seen; infinite before the first."""
        return math.inf if self.last is None else (now_ns - self.last.middle_ns) * NS

    def unsure_s(self, now_ns: int) -> float:
        """How long the stretch is in which a foretold step comes; infinite before the first."""
        return math.inf if self.last is None else 2 * self._drift_s(now_ns) + self.last.width_s

    def _foretold(self, ticks: int, now_ns: int) -> Seen:
        """The step so many ticks after the last one that was seen, as sure as it is now."""
        assert self.last is not None
        on_s, drift_s = ticks * self.tick_s, self._drift_s(now_ns)
        return Seen(
            self.last.after_ns + round((on_s - drift_s) / NS),
            self.last.by_ns + round((on_s + drift_s) / NS),
        )

    def _drift_s(self, now_ns: int) -> float:
        return self.error_rel * max(0.0, self.age_s(now_ns)) + JITTER_S
