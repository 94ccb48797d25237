"""A sensor with its one background sampler: samples at 10 Hz, joules of any window on demand.

The thread sleeps between samples and never spins. Near a window's edge, and only where the counter
ticks slowly enough to matter, `mark` polls the counter a little faster until it has seen one
change, two ticks at most. Everything that sampling costs this process is added up (`cpu_share`).
Counters that are dear to read (4.3 ms of CPU time each on an H100) are read less often between
edges, where only their direction is of interest, and power and state stay at 10 Hz. A
failure in the thread never passes in silence: it is kept with its time and becomes the reason or a
flag of every window that it touches.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from observatory.records import Energy
from runners.sensors.base import Parts, Reading, Sample, Sensor, SensorError, SensorFacts
from runners.sensors.evaluate import evaluate
from runners.sensors.staircase import median_tick

BURST_FROM_TICK_S = 0.01  #: faster counters need no burst: a sample is never staler than this
TICK_POLL_S = 0.002  #: between two looks at the counter in a burst, at the least
#: Between edges counters take this share of a core at most, as long as they are read often enough
#: for the gap rule (METHOD §3.5: 3 s).
COUNTER_CPU_SHARE = 0.002
MOST_COUNTER_PERIOD_S = 2.0
TICK_ERROR_REL = 5e-4  #: of a measured tick, so that a step can be foretold over seconds
KEEP_S = 600.0  #: kept before the newest sample while no window is open
MAX_SAMPLES = 40_000  #: over an hour at 10 Hz; a longer window has no energy, and says so
MAX_ERRORS = 1000
_NS = 1e-9


class Clock(Protocol):
    """The clock of a meter: `time.perf_counter_ns` and `time.sleep`, or a script in a test."""

    def now_ns(self) -> int:
        """Monotonic time."""

    def sleep(self, seconds: float) -> None:
        """Wait without using the CPU."""


class SystemClock:
    """The system-wide monotonic clock."""

    def now_ns(self) -> int:
        """`time.perf_counter_ns`."""
        return time.perf_counter_ns()

    def sleep(self, seconds: float) -> None:
        """`time.sleep`."""
        time.sleep(seconds)


class SampledMeter:
    """A `Meter` over an opened sensor. With `thread=False` the owner calls `sample` itself."""

    def __init__(
        self,
        sensor: Sensor,
        facts: SensorFacts,
        *,
        clock: Clock | None = None,
        thread: bool = True,
    ) -> None:
        self.facts: SensorFacts | None = facts
        self.reason: str | None = None
        self._sensor, self._facts = sensor, facts
        self._clock: Clock = clock or SystemClock()
        self._threaded = thread
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._reading = threading.Lock()  # one read of the sensor at a time, stored in order
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._errors: deque[tuple[int, SensorError]] = deque(maxlen=MAX_ERRORS)
        self._marks: list[int] = []
        self._cpu_s = self._loop_cpu_s = 0.0  # of the callers' threads, of the sampler's own
        self._counter_reads, self._counter_cpu_s = 0, 0.0
        self._step_ns: int | None = None  # when the one used counter stepped last, seen closely
        self._started_ns = self._stopped_ns = 0

    def start(self) -> None:
        """Start sampling. Starting twice changes nothing."""
        if self._started_ns:
            return
        self._started_ns = self._clock.now_ns()
        if self._threaded:
            self._thread = threading.Thread(target=self._loop, name="energy-sampler", daemon=True)
            self._thread.start()

    def mark(self) -> None:
        """A sample now, and, where the counter ticks slowly, one change of it seen closely."""
        with self._costing():
            self._mark()

    def _mark(self) -> None:
        self._marks.append(self._clock.now_ns())
        first = self.sample()
        tick_s = self._facts.tick_s
        if first is None or tick_s is None or tick_s < BURST_FROM_TICK_S:
            return
        counters = [c for c in self._facts.counters if c in self._facts.used]
        deadline = self._clock.now_ns() + int(2 * tick_s / _NS)
        poll_s = min(tick_s / 10, max(TICK_POLL_S, tick_s / 20, 2 * self.counter_s))
        before, wait_s = first, self._until_step_s(tick_s, poll_s)
        while self._clock.now_ns() < deadline:
            self._clock.sleep(max(poll_s, wait_s))
            seen = self.sample(Parts.COUNTERS)
            if seen is None or any(c not in seen.energy_j for c in counters):
                return
            stepped = all(seen.energy_j.get(c) != first.energy_j.get(c) for c in counters)
            if stepped and (seen.t_ns - before.t_ns) * _NS <= 3 * poll_s:
                self._step_ns = (before.t_ns + seen.t_ns) // 2 if len(counters) == 1 else None
                return
            if stepped:  # it came earlier than foretold: the next one is seen closely
                first = seen
            before, wait_s = seen, 0.0

    def _until_step_s(self, tick_s: float, poll_s: float) -> float:
        """Seconds until shortly before the counter's next step, foretold from the last one that was
        seen. 0 where none was seen, or too long ago."""
        if self._step_ns is None:
            return 0.0
        since_s = (self._clock.now_ns() - self._step_ns) * _NS
        unsure_s = poll_s / 2 + TICK_ERROR_REL * since_s
        if unsure_s > tick_s / 4:
            return 0.0
        return math.ceil(since_s / tick_s) * tick_s - since_s - unsure_s - poll_s / 2

    def sample(self, parts: Parts = Parts.ALL) -> Sample | None:
        """Read the sensor once, now. None where it failed; the failure is kept."""
        with self._reading:
            began = time.thread_time()
            try:
                sample = self._sensor.read(parts)
            except SensorError as error:
                self._errors.append((self._clock.now_ns(), error))
                return None
            if parts == Parts.COUNTERS:
                self._counter_reads += 1
                self._counter_cpu_s += time.thread_time() - began
            self._samples.append(sample)
            self._forget(sample.t_ns)
            return sample

    @property
    def counter_s(self) -> float:
        """CPU seconds that one reading of the counters takes, mean so far; 0 before the first."""
        return self._counter_cpu_s / self._counter_reads if self._counter_reads else 0.0

    @property
    def counter_period_s(self) -> float:
        """Time between two readings of the counters away from edges."""
        dear_s = self.counter_s / COUNTER_CPU_SHARE
        return max(self._facts.period_s, min(dear_s, MOST_COUNTER_PERIOD_S))

    def reading(self, start_ns: int, end_ns: int) -> Reading:
        """Joules and telemetry of a window that has ended.

        Waits, three ticks or periods at most, until a sample lies beyond its end. Afterwards the
        samples before it may be forgotten.
        """
        self._await(end_ns)
        margin = int(max(1.0, 4 * (self._facts.tick_s or 0.0)) / _NS)
        with self._reading:
            window = [s for s in self._samples if start_ns - margin <= s.t_ns <= end_ns + margin]
            # The nearest samples beyond the margin keep the edges covered where sampling is sparse.
            early = (s for s in reversed(self._samples) if s.t_ns < start_ns - margin)
            late = (s for s in self._samples if s.t_ns > end_ns + margin)
            counted = bool(self._facts.counters)
            before, after = _nearest(early, counted)[::-1], _nearest(late, counted)
            errors = list(self._errors)
            lost = len(self._samples) == MAX_SAMPLES and self._samples[0].t_ns > start_ns
        result = evaluate([*before, *window, *after], self._facts, start_ns, end_ns, errors)
        if lost and result.energy.total_j is None:
            reason = "samples_dropped: the window is longer than the sampler's memory"
            result = replace(result, energy=replace(result.energy, reason=reason))
        self._settle(end_ns)
        return result

    def measure_tick(self, seconds: float = 2.0) -> float | None:
        """Poll the used counters for `seconds` and keep the median time between changes.

        Call it once while the device is busy (METHOD §3.1). Returns None, and changes nothing,
        where there is no counter or it moves faster than it can be polled.
        """
        counters = [c for c in self._facts.counters if c in self._facts.used]
        if not counters or self._facts.tick_s is None:
            return None
        with self._costing():
            seen = self._poll(seconds)
        ticks: dict[str, float] = dict(self._facts.component_tick_s)
        for name in counters:
            series = [(s.t_ns * _NS, s.energy_j[name]) for s in seen if name in s.energy_j]
            tick = median_tick([t for t, _ in series], [e for _, e in series])
            if tick is not None:
                ticks[name] = tick
        if ticks == dict(self._facts.component_tick_s):
            return None
        tick_s = max(ticks[c] for c in counters if c in ticks)
        details = {**self._facts.details, "tick_measured": "under load"}
        self._facts = replace(self._facts, tick_s=tick_s, component_tick_s=ticks, details=details)
        self.facts = self._facts
        return tick_s

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """Processes on the used devices beside those of ids `own`; empty where none can be seen."""
        with self._reading:
            try:
                return self._sensor.foreign_processes(own)
            except SensorError as error:
                self._errors.append((self._clock.now_ns(), error))
                return ()

    def cpu_share(self) -> float | None:
        """CPU seconds that sampling took in this process per second of wall time."""
        if not self._started_ns:
            return None
        wall_s = ((self._stopped_ns or self._clock.now_ns()) - self._started_ns) * _NS
        return (self._cpu_s + self._loop_cpu_s) / wall_s if wall_s > 0 else None

    def stop(self) -> None:
        """Stop sampling and close the sensor. Stopping twice changes nothing."""
        if self._stopped_ns:
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        self._stopped_ns = self._clock.now_ns()
        with self._reading:
            self._sensor.close()

    def _poll(self, seconds: float) -> list[Sample]:
        seen: list[Sample] = []
        end = self._clock.now_ns() + int(seconds / _NS)
        while self._clock.now_ns() < end:
            sample = self.sample(Parts.COUNTERS)
            if sample is not None:
                seen.append(sample)
            self._clock.sleep(TICK_POLL_S)
        return seen

    def _loop(self) -> None:
        period_ns = int(self._facts.period_s / _NS)
        due = counted = self._clock.now_ns()
        while not self._stop.is_set():
            wanted = self._clock.now_ns() >= counted
            parts = Parts.ALL if wanted else Parts.STATE
            try:
                self.sample(parts)
            except Exception as error:  # noqa: BLE001 - a thread's edge: a bug becomes a reason
                sentence = f"the sampler stopped: {type(error).__name__}: {error}"
                self._errors.append(
                    (self._clock.now_ns(), SensorError("sampler_crashed", sentence))
                )
                self.reason = f"sampler_crashed: {sentence}"
                return
            self._loop_cpu_s = time.thread_time()
            if wanted:  # half a period early counts as due
                counted = due + int((self.counter_period_s - self._facts.period_s / 2) / _NS)
            due = max(due + period_ns, self._clock.now_ns())
            self._stop.wait((due - self._clock.now_ns()) * _NS)

    def _await(self, end_ns: int) -> None:
        wait_s = 3 * max(self._facts.tick_s or 0.0, self._facts.period_s)
        deadline = max(end_ns, self._clock.now_ns()) + int(wait_s / _NS)
        alive = self._thread is not None and self._thread.is_alive()
        while alive and self._clock.now_ns() < deadline:
            newest = self._samples[-1].t_ns if self._samples else 0
            if newest >= end_ns:
                return
            self._clock.sleep(0.01)
            alive = self._thread is not None and self._thread.is_alive()

    def _settle(self, end_ns: int) -> None:
        """Forget the marks of a window that was read: those up to its end, and the one after it."""
        later = sorted(m for m in self._marks if m > end_ns)
        self._marks = later[1:]

    def _forget(self, now_ns: int) -> None:
        """Drop what no open window can need: all before the oldest mark that was not read."""
        oldest = min(self._marks, default=now_ns) - int(KEEP_S / _NS)
        while self._samples and self._samples[0].t_ns < oldest:
            self._samples.popleft()

    @contextmanager
    def _costing(self) -> Iterator[None]:
        begin = time.thread_time()
        try:
            yield
        finally:
            self._cpu_s += time.thread_time() - begin


def _nearest(samples: Iterable[Sample], counted: bool) -> list[Sample]:
    """From the first sample on until two hold a counter; two samples where nothing is `counted`."""
    taken: list[Sample] = []
    missing = 2
    for sample in samples:
        taken.append(sample)
        missing -= 1 if sample.energy_j or not counted else 0
        if not missing:
            break
    return taken


class AbsentMeter:
    """A `Meter` without a sensor: every window's energy is missing, with the reason."""

    def __init__(self, reason: str) -> None:
        self.facts: SensorFacts | None = None
        self.reason: str | None = reason

    def start(self) -> None:
        """Nothing to start."""

    def mark(self) -> None:
        """Nothing to sample."""

    def reading(self, start_ns: int, end_ns: int) -> Reading:
        """No joules, and why."""
        return Reading(energy=Energy(reason=self.reason))

    def measure_tick(self, seconds: float = 2.0) -> float | None:
        """No counter."""
        return None

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """Nothing can be seen."""
        return ()

    def cpu_share(self) -> float | None:
        """No sampler, no cost."""
        return None

    def stop(self) -> None:
        """Nothing to stop."""
