"""Watching a slow counter: its steps seen closely, its tick measured, in few readings.

A reading of the counter can cost 4 ms of CPU time. So a step is waited for where it can be foretold
(`runners.sensors.steps`), and read just before and just after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from runners.sensors.base import Parts, Sample, SensorFacts
from runners.sensors.clock import Clock
from runners.sensors.staircase import median_tick
from runners.sensors.steps import Seen, StepClock

BURST_FROM_TICK_S = 0.01  #: faster counters need no watching: a sample is never staler than this
POLL_S = 0.002  #: slept between two readings, at the least
TICK_STEPS = 4  #: steps in a row that tell a tick
SAME_TICK_REL = 0.2  #: two steps in a row tell a tick so well that half or twice it is told apart
NEAR_READINGS = 3  #: a step is seen closely between readings at most so many polls apart
_NS = 1e-9


class CounterWatch:
    """The slow counters that a run uses, read through `read`; one reading takes `reading_s`."""

    def __init__(
        self,
        read: Callable[[Parts], Sample | None],
        reading_s: Callable[[], float],
        clock: Clock,
        facts: SensorFacts,
    ) -> None:
        self._read, self._reading_s, self._clock = read, reading_s, clock
        ticks = {c: facts.tick_of(c) or 0.0 for c in facts.counters if c in facts.used}
        self._ticks = {c: tick for c, tick in ticks.items() if tick >= BURST_FROM_TICK_S}
        self._counters = tuple(self._ticks)
        self._assumed = facts.details.get("tick_measured") == "assumed"
        self._steps = self._pace()

    def look(self) -> None:
        """A sample of everything now, and, where the counter ticks slowly, one step seen closely.
        Takes two ticks at most."""
        if not self._ticks:
            self._read(Parts.ALL)
            return
        tick_s = max(self._ticks.values())
        poll_s = self._poll_s(tick_s)
        for first in (True, False):
            wait_s = self._until_step_s(poll_s)
            if self._steps is None or wait_s is None:
                break
            if first:  # a step that is too near is let go by, with the value before it
                near = wait_s < 2 * poll_s
                self._read(Parts.ALL if near else Parts.STATE | Parts.NEIGHBOURS)
            self._clock.sleep(self._until_step_s(poll_s) or 0.0)
            unsure_s = self._steps.unsure_s(self._clock.now_ns())
            if self._sees_a_step(unsure_s + 2 * poll_s, poll_s):
                return
        self._sees_a_step(2 * tick_s, poll_s, Parts.ALL)

    def measure(self, seconds: float) -> Mapping[str, float]:
        """Tick of each counter that it can be told of, from steps seen within `seconds`; empty
        where none moves slowly enough to be polled.

        Two steps in a row tell whether the tick is the one that the sensor found when it opened;
        else more are watched. Steps far apart then make it finer.
        """
        if not self._ticks:
            return {}
        end_ns = self._clock.now_ns() + int(seconds / _NS)
        seen = self._poll(end_ns, steps=2)
        if not self._agrees(seen):
            seen = self._poll(end_ns, steps=TICK_STEPS)
            found = self._ticks_in(seen)
            if not found:
                return {}
            self._ticks.update(found)
        self._assumed, self._steps = False, self._pace()
        if self._steps is not None:
            (name,) = self._counters
            for before, after in pairwise(seen):
                if before.energy_j.get(name) != after.energy_j.get(name):
                    self._steps.seen(Seen(before.t_ns, after.t_ns))
            for until_ns in ((self._clock.now_ns() + end_ns) // 2, end_ns):
                self._clock.sleep(max(0.0, (until_ns - self._clock.now_ns()) * _NS))
                self.look()
            self._ticks[name] = self._steps.tick_s
        return dict(self._ticks)

    def _pace(self) -> StepClock | None:
        """The pace of the one slow counter; several are not foretold."""
        return StepClock(*self._ticks.values()) if len(self._ticks) == 1 else None

    def _poll_s(self, tick_s: float) -> float:
        return min(tick_s / 10, POLL_S + self._reading_s())

    def _until_step_s(self, poll_s: float) -> float | None:
        now_ns = self._clock.now_ns()
        return None if self._steps is None else self._steps.wait_s(now_ns, poll_s)

    def _sees_a_step(self, within_s: float, poll_s: float, parts: Parts = Parts.COUNTERS) -> bool:
        """Read the counters, first with `parts` of a sample, until all have stepped and the step
        lies between two readings that are near. False where that did not come about."""
        deadline_ns = self._clock.now_ns() + int((within_s + poll_s) / _NS)
        first = before = self._read(parts)
        while first and before and self._clock.now_ns() < deadline_ns:
            self._clock.sleep(max(POLL_S, poll_s - self._reading_s()))
            seen = self._read(Parts.COUNTERS)
            if seen is None or any(c not in seen.energy_j for c in self._counters):
                return False
            stepped = all(seen.energy_j.get(c) != first.energy_j.get(c) for c in self._counters)
            if stepped and (seen.t_ns - before.t_ns) * _NS <= NEAR_READINGS * poll_s:
                if self._steps is not None:
                    self._steps.seen(Seen(before.t_ns, seen.t_ns))
                return True
            if stepped:  # the step is not known closely: the next one will be
                first = seen
            before = seen
        return False

    def _poll(self, end_ns: int, steps: int) -> list[Sample]:
        """Samples every few milliseconds, until each counter has stepped so many times."""
        seen: list[Sample] = []
        stepped = dict.fromkeys(self._counters, 0)
        while self._clock.now_ns() < end_ns and min(stepped.values()) < steps:
            sample = self._read(Parts.COUNTERS)
            if sample is not None:
                for name in self._counters if seen else ():
                    stepped[name] += sample.energy_j.get(name) != seen[-1].energy_j.get(name)
                seen.append(sample)
            self._clock.sleep(POLL_S)
        return seen

    def _agrees(self, seen: Sequence[Sample]) -> bool:
        """Whether two steps in a row lie as far apart as the tick of the one counter says."""
        if self._assumed or len(self._counters) != 1:
            return False
        (name,) = self._counters
        tick_s = self._ticks[name]
        steps_ns = [
            (a.t_ns + b.t_ns) / 2
            for a, b in pairwise(s for s in seen if name in s.energy_j)
            if a.energy_j[name] != b.energy_j[name]
        ]
        if len(steps_ns) < 2:
            return False
        return abs((steps_ns[-1] - steps_ns[-2]) * _NS / tick_s - 1) < SAME_TICK_REL

    def _ticks_in(self, seen: Sequence[Sample]) -> dict[str, float]:
        ticks = {}
        for name in self._counters:
            series = [(s.t_ns * _NS, s.energy_j[name]) for s in seen if name in s.energy_j]
            tick = median_tick([t for t, _ in series], [e for _, e in series])
            if tick is not None:
                ticks[name] = tick
        return ticks
