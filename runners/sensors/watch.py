"""Watching a slow counter: its steps seen closely, its tick measured, in few readings.

A reading of the counter can cost 4 ms of CPU time. Where the pace of the counter is known
(`runners.sensors.steps`) an edge of a window takes one reading on either side, each of whose values
stands for a known time; else a step is waited for, and read just before and just after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runners.sensors.base import Parts, Sample, SensorFacts
from runners.sensors.clock import Clock
from runners.sensors.staircase import median_tick
from runners.sensors.steps import Seen, StepPace

BURST_FROM_TICK_S = 0.01  #: faster counters need no watching: a sample is never staler than this
POLL_S = 0.002  #: slept between two readings, at the least
TICK_STEPS = 4  #: steps in a row that tell a tick
LEAST_POLLED = 50  #: readings that tell it to 2 %, however dear one is
POLLS = 3  #: so many times it is tried
JUST_NOW = 0.3  #: share of a tick since a step for which it need not be waited for again
NEAR_READINGS = 3  #: a step is seen closely between readings at most so many polls apart
COARSE = 0.2  #: share of a tick between two readings while a step is looked for
SURE = 0.25  #: share of a tick to which a step must be foretold for one reading to do
CLOSE = 0.2  #: a step that is foretold to this share of a tick is not narrowed further
FORETOLD = 0.5  #: share of a tick to which a step may be foretold when a pace is told by it
LATE_S = 0.001  #: waited beyond the time at which a step must have come
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
        self._pace = self._fresh_pace()
        self._shown: tuple[Seen, float] | None = None  # the last step that a value was told of

    def look(self, opening: bool = False) -> None:
        """A sample of everything now, and, where the counter ticks slowly, the step after it.

        Takes two ticks at most where the pace is known, else a few. `opening` says that a window
        follows: what was before does not matter, and a step that was seen just now serves again.
        """
        if not self._ticks:
            self._read(Parts.ALL)
        elif opening and self._seen_just_now():
            self._read(Parts.STATE | Parts.NEIGHBOURS)
        elif not self._foretold_step(opening):
            self._any_step(Parts.ALL)

    def stepped(self, sample: Sample, began_ns: int, ended_ns: int) -> Mapping[str, Seen]:
        """When the counter stepped to the value of a sample, read between two times, where its pace
        is known.

        A reading while a step is due narrows when that comes. A value that contradicts the pace
        ends it: nothing is foretold until it is known anew.
        """
        pace = self._pace
        around = None if pace is None else pace.around(began_ns, ended_ns)
        (name,) = self._counters if around else ("",)
        if pace is None or around is None or name not in sample.energy_j:
            return {}
        value, shown = sample.energy_j[name], self._shown
        step, due = around
        ticks = shown and round((step.middle_ns - shown[0].middle_ns) * _NS / pace.tick_s)
        if due is not None:
            if shown is None or ticks != 0:
                return {}
            came = value != shown[1]
            step = Seen(due.after_ns, min(ended_ns, due.by_ns)) if came else step
            learnt = step if came else Seen(max(began_ns, due.after_ns), due.by_ns)
            self._pace = pace.with_step(learnt)
        elif shown is not None and (ticks == 0) != (value == shown[1]):
            self._pace, self._shown = pace.afresh(), None
            return {}
        self._shown = (step, value)
        return {name: step}

    def measure(self, seconds: float) -> Mapping[str, float]:
        """Tick of each counter that it can be told of, from steps seen within `seconds`; empty
        where none moves slowly enough to be polled.

        Where the tick that the sensor found when it opened still holds, the next step comes when
        that says, and none before it; else more are watched. Steps far apart then make it finer.
        """
        if not self._ticks:
            return {}
        end_ns = self._clock.now_ns() + int(seconds / _NS)
        self._pace, self._shown = self._fresh_pace(), None
        if not self._still_holds():
            found: dict[str, float] = {}
            seen: list[Sample] = []
            for _ in range(POLLS):
                if not found:  # again where readings came late
                    seen += self._poll(end_ns)
                    found = self._ticks_in(seen)
            if not found:
                return {}
            self._ticks.update(found)
            self._pace, self._shown = self._fresh_pace(), None
            self._any_step()
        self._assumed = False
        if self._pace is not None:
            while (now_ns := self._clock.now_ns()) < end_ns:
                pace = self._pace  # as far on as a step is still foretold
                room_s = FORETOLD * pace.tick_s - pace.unsure_s(now_ns)
                hop_s = max(pace.tick_s, room_s / (2 * pace.error_rel))
                self._sleep_until(min(end_ns, now_ns + round(hop_s / _NS)))
                if self._next_step() is None:
                    self._any_step()
            self._ticks[self._counters[0]] = self._pace.tick_s
        return dict(self._ticks)

    def _fresh_pace(self) -> StepPace | None:
        """The pace of the one slow counter; several are not foretold."""
        return StepPace(next(iter(self._ticks.values()))) if len(self._ticks) == 1 else None

    def _seen_just_now(self) -> bool:
        # The sampler's thread may change both meanwhile: each is looked at once.
        now_ns, pace, shown = self._clock.now_ns(), self._pace, self._shown
        steps = [pace and pace.last, shown and shown[0]]
        return pace is not None and any(
            step.by_ns <= now_ns < step.middle_ns + JUST_NOW * pace.tick_s / _NS
            for step in steps
            if step
        )

    def _foretold_step(self, opening: bool) -> bool:
        """Read now and once the next step has surely come; where that is not known closely, once
        while it is due, too. One reading will do where a window is `opening` beside a step that is
        closely known. False where nothing can be foretold, or did not come true."""
        now_ns, reading_s = self._clock.now_ns(), self._reading_s()
        pace = self._pace
        if pace is None or not pace.foretells(now_ns + round(pace.tick_s / _NS), reading_s):
            return False
        due = pace.next_step(now_ns)
        assert due is not None
        alone = opening and due.width_s <= SURE * pace.tick_s
        if not alone:
            self._read(Parts.ALL)
        halfway_ns = due.middle_ns - round(reading_s / 2 / _NS)
        wide = due.width_s > max(CLOSE * pace.tick_s, 2 * (reading_s + POLL_S))
        if wide and not alone and self._clock.now_ns() < halfway_ns:
            self._sleep_until(halfway_ns)
            self._read(Parts.COUNTERS)
        if not self._shows(due):
            self._sleep_until(due.by_ns + round(LATE_S / _NS))
            self._read(Parts.ALL if alone else Parts.COUNTERS)
        return self._shows(due)

    def _shows(self, due: Seen) -> bool:
        """Whether the value that was read last is that of a step which was due."""
        shown, pace = self._shown, self._pace
        return bool(
            shown and pace and abs(shown[0].middle_ns - due.middle_ns) * _NS < pace.tick_s / 2
        )

    def _sleep_until(self, then_ns: int) -> None:
        self._clock.sleep(max(0.0, (then_ns - self._clock.now_ns()) * _NS))

    def _poll_s(self) -> float:
        return min(max(self._ticks.values()) / 10, POLL_S + self._reading_s())

    def _until_step_s(self) -> float | None:
        now_ns = self._clock.now_ns()
        return None if self._pace is None else self._pace.wait_s(now_ns, self._poll_s())

    def _next_step(self) -> tuple[Sample, Sample] | None:
        """The next step that can be foretold, waited for and polled for; None where none can, or
        where it did not come."""
        wait_s = self._until_step_s()
        pace = self._pace
        if pace is None or wait_s is None:
            return None
        self._clock.sleep(wait_s)
        unsure_s = pace.unsure_s(self._clock.now_ns())
        return self._step_within(unsure_s + 2 * self._poll_s())

    def _any_step(self, parts: Parts = Parts.COUNTERS) -> tuple[Sample, Sample] | None:
        """The next step; where a reading is dear, looked for coarsely, and closely once that
        foretells the one after it."""
        tick_s = max(self._ticks.values())
        if not self._reading_s():
            self._read(Parts.COUNTERS)  # to know how dear one is
        dear = self._reading_s() > POLL_S / 2
        if dear and self._pace is not None and self._poll_s() < COARSE * tick_s / 2:
            if self._step_within(1.5 * tick_s, parts, every_s=COARSE * tick_s) is not None:
                close = self._next_step()
                if close is not None:
                    self._pace = self._pace.from_last()
                    return close
                self._pace = self._pace.afresh()
            parts = Parts.COUNTERS
        return self._step_within(2 * tick_s, parts)

    def _step_within(
        self, seconds: float, parts: Parts = Parts.COUNTERS, every_s: float = 0.0
    ) -> tuple[Sample, Sample] | None:
        """Read the counters, first with `parts` of a sample, until all have stepped and the step
        lies between two readings that are near: these. None where that did not come about."""
        began_ns = self._clock.now_ns()
        deadline_ns = began_ns + int((seconds + self._poll_s()) / _NS)
        first = before = self._read(parts)
        while first and before and self._clock.now_ns() < deadline_ns:
            poll_s = max(self._poll_s(), every_s)
            self._clock.sleep(max(POLL_S, poll_s - self._reading_s()))
            asked_ns = self._clock.now_ns()
            seen = self._read(Parts.COUNTERS)
            if seen is None or any(c not in seen.energy_j for c in self._counters):
                return None
            stepped = all(seen.energy_j.get(c) != first.energy_j.get(c) for c in self._counters)
            if stepped and (seen.t_ns - before.t_ns) * _NS <= NEAR_READINGS * poll_s:
                if self._pace is not None:  # when in a reading the value is taken is not known
                    self._pace = self._pace.with_step(Seen(began_ns, self._clock.now_ns()))
                return before, seen
            if stepped:  # the step is not known closely: the next one will be
                first = seen
            before, began_ns = seen, asked_ns
        return None

    def _still_holds(self) -> bool:
        """Whether the one counter steps when the tick that is known says, and not in between."""
        if self._assumed or self._pace is None:
            return False
        (name,) = self._counters
        one = self._any_step()
        two = self._next_step() if one else None
        if one is None or two is None:
            return False
        return one[1].energy_j[name] == two[0].energy_j[name]

    def _poll(self, end_ns: int) -> list[Sample]:
        """Samples every few milliseconds, until each counter has stepped `TICK_STEPS` times and
        `LEAST_POLLED` were taken."""
        seen: list[Sample] = []
        stepped = dict.fromkeys(self._counters, 0)
        while self._clock.now_ns() < end_ns and (
            min(stepped.values()) < TICK_STEPS or len(seen) < LEAST_POLLED
        ):
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
