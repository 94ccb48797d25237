"""Watching a slow counter: its steps seen closely, its tick measured, in few readings.

A reading of the counter can cost 4 ms of CPU time. So a step is waited for where it can be foretold
(`runners.sensors.steps`), and read just before and just after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runners.sensors.base import Parts, Sample, SensorFacts
from runners.sensors.clock import Clock
from runners.sensors.staircase import median_tick
from runners.sensors.steps import Seen, StepClock

BURST_FROM_TICK_S = 0.01  #: faster counters need no watching: a sample is never staler than this
POLL_S = 0.002  #: slept between two readings, at the least
TICK_STEPS = 4  #: steps in a row that tell a tick
JUST_NOW = 0.7  #: share of a tick since a step for which it need not be looked for again
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
        Takes two ticks at most; a step that was seen just now serves again."""
        if not self._ticks:
            self._read(Parts.ALL)
        elif self._seen_just_now():
            self._read(Parts.STATE | Parts.NEIGHBOURS)
        elif self._next_step(first=True) is None and self._next_step(first=False) is None:
            self._any_step(Parts.ALL)

    def measure(self, seconds: float) -> Mapping[str, float]:
        """Tick of each counter that it can be told of, from steps seen within `seconds`; empty
        where none moves slowly enough to be polled.

        Where the tick that the sensor found when it opened still holds, the next step comes when
        that says, and none before it; else more are watched. Steps far apart then make it finer.
        """
        if not self._ticks:
            return {}
        end_ns = self._clock.now_ns() + int(seconds / _NS)
        self._steps = self._pace()
        if not self._still_holds():
            found = self._ticks_in(self._poll(end_ns))
            if not found:
                return {}
            self._ticks.update(found)
            self._steps = self._pace()
            self._any_step()
        self._assumed = False
        if self._steps is not None:
            for until_ns in ((self._clock.now_ns() + end_ns) // 2, end_ns):
                self._clock.sleep(max(0.0, (until_ns - self._clock.now_ns()) * _NS))
                self.look()
            self._ticks[self._counters[0]] = self._steps.tick_s
        return dict(self._ticks)

    def _pace(self) -> StepClock | None:
        """The pace of the one slow counter; several are not foretold."""
        return StepClock(*self._ticks.values()) if len(self._ticks) == 1 else None

    def _seen_just_now(self) -> bool:
        steps = self._steps
        return steps is not None and steps.age_s(self._clock.now_ns()) < JUST_NOW * steps.tick_s

    def _poll_s(self) -> float:
        return min(max(self._ticks.values()) / 10, POLL_S + self._reading_s())

    def _until_step_s(self) -> float | None:
        now_ns = self._clock.now_ns()
        return None if self._steps is None else self._steps.wait_s(now_ns, self._poll_s())

    def _next_step(self, first: bool) -> tuple[Sample, Sample] | None:
        """The next step that can be foretold, waited for; None where none can, or where it did not
        come. The `first` time a sample of everything else is taken beforehand, with the counter's
        value where a step is too near to be awaited."""
        wait_s = self._until_step_s()
        if self._steps is None or wait_s is None:
            return None
        if first:
            near = wait_s < 2 * self._poll_s()
            self._read(Parts.ALL if near else Parts.STATE | Parts.NEIGHBOURS)
        self._clock.sleep(self._until_step_s() or 0.0)
        unsure_s = self._steps.unsure_s(self._clock.now_ns())
        return self._step_within(unsure_s + 2 * self._poll_s())

    def _any_step(self, parts: Parts = Parts.COUNTERS) -> tuple[Sample, Sample] | None:
        """The next step, polled for."""
        return self._step_within(2 * max(self._ticks.values()), parts)

    def _step_within(
        self, seconds: float, parts: Parts = Parts.COUNTERS
    ) -> tuple[Sample, Sample] | None:
        """Read the counters, first with `parts` of a sample, until all have stepped and the step
        lies between two readings that are near: these. None where that did not come about."""
        poll_s = self._poll_s()
        deadline_ns = self._clock.now_ns() + int((seconds + poll_s) / _NS)
        began_ns = self._clock.now_ns()
        first = before = self._read(parts)
        while first and before and self._clock.now_ns() < deadline_ns:
            self._clock.sleep(max(POLL_S, poll_s - self._reading_s()))
            asked_ns = self._clock.now_ns()
            seen = self._read(Parts.COUNTERS)
            if seen is None or any(c not in seen.energy_j for c in self._counters):
                return None
            stepped = all(seen.energy_j.get(c) != first.energy_j.get(c) for c in self._counters)
            if stepped and (seen.t_ns - before.t_ns) * _NS <= NEAR_READINGS * poll_s:
                if self._steps is not None:  # when in a reading the value is taken is not known
                    self._steps.seen(Seen(began_ns, self._clock.now_ns()))
                return before, seen
            if stepped:  # the step is not known closely: the next one will be
                first = seen
            before, began_ns = seen, asked_ns
        return None

    def _still_holds(self) -> bool:
        """Whether the one counter steps when the tick that is known says, and not in between."""
        if self._assumed or self._steps is None:
            return False
        (name,) = self._counters
        one = self._any_step()
        two = self._next_step(first=False) if one else None
        if one is None or two is None:
            return False
        return one[1].energy_j[name] == two[0].energy_j[name]

    def _poll(self, end_ns: int) -> list[Sample]:
        """Samples every few milliseconds, until each counter has stepped `TICK_STEPS` times."""
        seen: list[Sample] = []
        stepped = dict.fromkeys(self._counters, 0)
        while self._clock.now_ns() < end_ns and min(stepped.values()) < TICK_STEPS:
            sample = self._read(Parts.COUNTERS)
            if sample is not None:
                for name in self._counters if seen else ():
                    stepped[name] += sample.energy_j.get(name) != seen[-1].energy_j.get(name)
                seen.append(sample)
            self._clock.sleep(POLL_S)
        return seen

    def _ticks_in(self, seen: Sequence[Sample]) -> dict[str, float]:
        ticks = {}
        for name in self._counters:
            series = [(s.t_ns * _NS, s.energy_j[name]) for s in seen if name in s.energy_j]
            tick = median_tick([t for t, _ in series], [e for _, e in series])
            if tick is not None:
                ticks[name] = tick
        return ticks
