"""A sensor with its one background sampler: samples at 10 Hz, joules of any window on demand.

The thread sleeps between samples and never spins. Near a window's edge, and only where the counter
ticks slowly enough to matter, `mark` waits for a step of the counter (two ticks at most where its
pace is known, else a few) and reads it before and after (`runners.sensors.watch`). Everything that
sampling costs this process is added up (`cpu_share`). Counters that are dear to read (4.3 ms of CPU
time each on an H100) are read less often between edges, where only their direction is of interest,
and power and state stay at 10 Hz; neighbours are looked at once a second. A failure in the thread
never passes in silence: it is kept with its time and becomes the reason or a flag of every window
that it touches. A driver that does not answer holds up nothing but its own thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from runners.sensors.base import Parts, Reading, Sample, Sensor, SensorError, SensorFacts
from runners.sensors.clock import Clock, SystemClock
from runners.sensors.evaluate import evaluate
from runners.sensors.watch import CounterWatch

#: Between edges counters take this share of a core at most, as long as they are read often enough
#: for the gap rule (METHOD §3.5: 3 s).
COUNTER_CPU_SHARE = 0.002
MOST_COUNTER_PERIOD_S = 2.5
NEIGHBOUR_PERIOD_S = 1.0
SLEPT_S = 0.1  #: so long is slept, which costs less than to wait for the end to be asked for
HUNG_S = 5.0  #: a reading that takes longer never returns (a driver after an Xid)
KEEP_S = 600.0  #: kept before the newest sample while no window is open
MAX_SAMPLES = 40_000  #: over an hour at 10 Hz; a longer window has no energy, and says so
MAX_ERRORS = 1000
_NS = 1e-9


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
        self._keeping = threading.Lock()  # what is stored; never held while the sensor is asked
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._errors: deque[tuple[int, SensorError]] = deque(maxlen=MAX_ERRORS)
        self._marks: list[int] = []
        self._cpu_s = self._loop_cpu_s = 0.0  # of the callers' threads, of the sampler's own
        self._counter_reads, self._counter_cpu_s = 0, 0.0
        self._counted_ns: int | None = None  # when the counters were read last
        self._neighbours_ns = 0  # when neighbours are due
        self._started_ns = self._stopped_ns = 0
        self._watch = CounterWatch(self.sample, lambda: self.counter_s, self._clock, facts)

    def start(self) -> None:
        """Start sampling. Starting twice changes nothing."""
        if self._started_ns:
            return
        self._started_ns = self._clock.now_ns()
        if self._threaded:
            self._thread = threading.Thread(target=self._loop, name="energy-sampler", daemon=True)
            self._thread.start()

    def mark(self, opening: bool = False) -> None:
        """A sample now, and, where the counter ticks slowly, one change of it seen closely.
        `opening` says that a window follows."""
        with self._costing():
            self._marks.append(self._clock.now_ns())
            self._watch.look(opening)

    def sample(self, parts: Parts = Parts.ALL) -> Sample | None:
        """Read the sensor once, now. None where it failed; the failure is kept."""
        if not self._reading.acquire(timeout=0.0 if self.reason else HUNG_S):
            self._hung()
            return None
        try:
            began, began_ns = time.thread_time(), self._clock.now_ns()
            sample = self._sensor.read(parts)
            if parts == Parts.COUNTERS:
                self._counter_reads += 1
                self._counter_cpu_s += time.thread_time() - began
            if Parts.COUNTERS in parts:
                self._counted_ns = sample.t_ns
                ended_ns = self._clock.now_ns()
                stepped = self._watch.stepped(sample, began_ns, ended_ns)
                unsure_ns = (ended_ns - began_ns) // 2
                sample = replace(sample, stepped=stepped, unsure_ns=unsure_ns)
            with self._keeping:
                self._samples.append(sample)
                self._forget(sample.t_ns)
            return sample
        except SensorError as error:
            self._errors.append((self._clock.now_ns(), error))
            return None
        finally:
            self._reading.release()

    def _hung(self) -> None:
        """The sensor is held by a reading that does not return."""
        sentence = f"the sensor has not answered for {HUNG_S:g} s"
        self._errors.append((self._clock.now_ns(), SensorError("sensor_hung", sentence)))
        self.reason = self.reason or f"sensor_hung: {sentence}"

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
        with self._keeping:
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
        """Measure the used counters' ticks, within `seconds`, and keep them.

        Call it once while the device is busy (METHOD §3.1). Returns the slowest, or None, and
        changes nothing, where there is no counter or it moves faster than it can be polled.
        """
        with self._costing():
            ticks = self._watch.measure(seconds)
        if not ticks:
            return None
        ticks = {**self._facts.component_tick_s, **ticks}
        tick_s = max(ticks[c] for c in self._facts.counters if c in self._facts.used and c in ticks)
        details = {**self._facts.details, "tick_measured": "under load"}
        self._facts = replace(self._facts, tick_s=tick_s, component_tick_s=ticks, details=details)
        self.facts = self._facts
        return tick_s

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """Processes on the used devices beside those of ids `own`; empty where none can be seen."""
        if not self._reading.acquire(timeout=0.0 if self.reason else HUNG_S):
            self._hung()
            return ()
        try:
            return self._sensor.foreign_processes(own)
        except SensorError as error:
            self._errors.append((self._clock.now_ns(), error))
            return ()
        finally:
            self._reading.release()

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
        if self._reading.acquire(timeout=1.0):  # else a hung driver holds it: nothing to be done
            try:
                self._sensor.close()
            finally:
                self._reading.release()

    def _loop(self) -> None:
        period_ns = int(self._facts.period_s / _NS)
        due = self._clock.now_ns()
        while not self._stop.is_set():
            try:
                self.sample(self.due_parts())
            except Exception as error:  # noqa: BLE001 - a thread's edge: a bug becomes a reason
                sentence = f"the sampler stopped: {type(error).__name__}: {error}"
                self._errors.append(
                    (self._clock.now_ns(), SensorError("sampler_crashed", sentence))
                )
                self.reason = f"sampler_crashed: {sentence}"
                return
            self._loop_cpu_s = time.thread_time()
            due = max(due + period_ns, self._clock.now_ns())
            wait_s = max(0.0, (due - self._clock.now_ns()) * _NS)
            if wait_s <= SLEPT_S:
                self._clock.sleep(wait_s)
            else:
                self._stop.wait(wait_s)

    def due_parts(self) -> Parts:
        """What the sampler reads now: the state each time, the counters a period after anybody read
        them last, and the neighbours once a second (each less half a sample's time)."""
        now_ns, half_s = self._clock.now_ns(), self._facts.period_s / 2
        parts, counted_ns = Parts.STATE, self._counted_ns
        if counted_ns is None or (now_ns - counted_ns) * _NS >= self.counter_period_s - half_s:
            parts |= Parts.COUNTERS
        if now_ns >= self._neighbours_ns:
            self._neighbours_ns = now_ns + int((NEIGHBOUR_PERIOD_S - half_s) / _NS)
            parts |= Parts.NEIGHBOURS
        return parts

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
