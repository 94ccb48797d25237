"""The measuring protocol: warm-up, window length, repeats, stopping (METHOD §3).

It knows no backend and no sensor by name: it holds a `Measured` process, which runs iterations and
reports times, and a `Meter`, which reports joules between two timestamps. The rules are pure
functions, used alike in the parent and in the measured process.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from observatory.records import Phase, Window
from observatory.statistics import coefficient_of_variation, t_interval
from runners.plan import Point
from runners.profiles import Profile, WarmUp
from runners.sensors.base import Meter, Reading

#: More iterations than this in one window are a clock error, not a workload.
MOST_ITERATIONS = 1_000_000

#: Wall time and the device's own may differ by this much; beyond it a synchronisation is missing,
#: or the host keeps the device waiting outside the timed iterations.
DEVICE_CLOCK_REL = 0.02

#: Temperature that rises faster is not stable yet; after so long a point is measured all the same.
HEATING_C_PER_S = 0.1
MOST_HEATING_S = 60.0

#: Ticks of the energy counter in a window of the anchor, as in the quick profile (METHOD §3).
ANCHOR_TICKS = 20

#: So long a counter's steps are watched, so that its tick is known to 0.2 % and the steps at both
#: edges of a window of 20 s can be foretold.
TICK_WATCH_S = 5.0

#: Below this share of the CPU time that its threads could have had, a neighbour was busy.
LEAST_CPU_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Prepared:
    """A point after its warm-up, in the measured process."""

    pass_s: tuple[float, ...]  #: times of the warm-up passes, in order
    stable: bool  #: the coefficient of variation came below the bound
    tokens_per_iteration: int


@dataclass(frozen=True, slots=True)
class Timed:
    """A window as the measured process saw it; times of `time.perf_counter_ns`."""

    start_ns: int
    end_ns: int
    iterations: int
    failed_iterations: int = 0
    cpu_time_s: float | None = None
    cpu_pressure: float | None = None
    peak_memory_bytes: int | None = None
    device_s: float | None = None  #: between two marks in the device's own queue (CUDA events)
    reference_pass_s: float | None = None  #: the anchor's pass at both edges, mean (on a CPU)

    @property
    def duration_s(self) -> float:
        """Wall time."""
        return (self.end_ns - self.start_ns) / 1e9


def anchor_window_s(profile: Profile, tick_s: float | None) -> float:
    """How long a window of the anchor lasts: it shows drift of time, not joules, so the time-only
    length does, and as many ticks as the quick profile asks for. `tick_s` None: no joules here."""
    return max(profile.time_window_s, ANCHOR_TICKS * (tick_s or 0.0))


class WorkerError(Exception):
    """The measured process could not do what was asked: the cell status and one line of text.

    `gone` says that the process is no longer there (or cannot be trusted): the next cell needs a
    new one.
    """

    def __init__(self, status: str, message: str, gone: bool = True) -> None:
        super().__init__(message)
        self.status, self.message, self.gone = status, message, gone


class Measured(typing.Protocol):
    """A process with a loaded model."""

    process_id: str
    pid: int
    threads: int | None

    def prepare(self, point: Point, warm_up: WarmUp) -> Prepared:
        """Make the point ready and warm it up. Raises WorkerError."""

    def window(self, iterations: int) -> Timed:
        """Run the prepared point `iterations` times. Raises WorkerError."""


class Clock:
    """One UTC anchor for the monotonic clock of a run."""

    def __init__(self, now_utc: datetime, now_ns: int) -> None:
        self._utc, self._ns = now_utc, now_ns

    def utc(self, t_ns: int) -> str:
        """ISO 8601 with microseconds of a monotonic timestamp."""
        moment = self._utc + timedelta(microseconds=(t_ns - self._ns) / 1000)
        return moment.astimezone(UTC).isoformat(timespec="microseconds")


def is_stable(pass_s: Sequence[float], rule: WarmUp) -> bool:
    """Whether the last `stable_passes` passes agree within the rule's bound."""
    tail = pass_s[-rule.stable_passes :]
    if len(tail) < rule.stable_passes:
        return False
    cv = coefficient_of_variation(tail)
    return cv is not None and cv < rule.cv


def warmed_up(pass_s: Sequence[float], elapsed_s: float, rule: WarmUp) -> bool:
    """Whether warm-up ends after these passes (METHOD §3.3)."""
    if rule.cap_s is not None and pass_s and elapsed_s >= rule.cap_s:
        return True
    if len(pass_s) >= rule.max_passes:
        return True
    return len(pass_s) >= rule.min_passes and is_stable(pass_s, rule)


def iterations_for(target_s: float, pass_s: Sequence[float]) -> int:
    """Iterations that fill `target_s`, from the fastest of the last five passes.

    A twentieth is added so that a pass a little faster than in the warm-up still fills it: a window
    shorter than the profile asks is left out of summaries. Raises ValueError without passes.
    """
    each_s = max(min(pass_s[-5:]), 1e-9)
    return max(1, min(MOST_ITERATIONS, math.ceil(1.05 * target_s / each_s)))


def enough(windows: Sequence[Window], profile: Profile, phase: str = Phase.PREFILL) -> bool:
    """Whether a process has measured a point often enough: the profile's least count, then until
    the 95 % interval of runtime (and of measured energy) per iteration is narrow enough. An anchor
    shows drift by its median: the least count is enough."""
    if len(windows) < profile.min_windows:
        return False
    if len(windows) >= profile.max_windows or profile.half_width_rel is None:
        return True
    if phase == Phase.ANCHOR:
        return True
    series = [[w.duration_s / w.iterations for w in windows]]
    energy = [w.energy.total_j for w in windows if w.energy.provenance == "measured"]
    joules = [j / w.iterations for j, w in zip(energy, windows, strict=False) if j is not None]
    if len(joules) == len(windows):
        series.append(joules)
    widths = [t_interval(values).half_width_rel for values in series]
    return all(w is not None and w <= profile.half_width_rel for w in widths)


def share_of_cpu(timed: Timed, threads: int | None) -> float | None:
    """CPU time over wall time and threads; None where CPU threads do not do the work."""
    if timed.cpu_time_s is None or not threads or timed.duration_s <= 0:
        return None
    return timed.cpu_time_s / (timed.duration_s * threads)


def is_heating(window: Window, before: Window | None, profile: Profile) -> bool:
    """Whether the device still warms up: by more than 1 °C in 10 s (METHOD §3.3), and by more than
    the one degree that sensors count in. A profile whose warm-up is cut short never asks.

    Ends are compared, with that of the window `before` (of the same point and process): a die cools
    within a second between two windows, so a window's own start says little. The first has nothing
    else.
    """
    end = window.temperature_end_c
    begin = window.temperature_start_c if before is None else before.temperature_end_c
    if not profile.waits_for_heat or begin is None or end is None:
        return False
    return end - begin > max(1.0, HEATING_C_PER_S * window.duration_s)


def clocks_disagree(timed: Timed) -> bool:
    """Whether the device's own stopwatch and the wall clock tell different times of a window."""
    if timed.device_s is None:
        return False
    return abs(timed.device_s - timed.duration_s) > DEVICE_CLOCK_REL * timed.duration_s


def window_flags(
    prepared: Prepared, share: float | None, reading: Reading, rule: WarmUp, foreign: bool
) -> tuple[str, ...]:
    """What the protocol itself saw wrong with a window, beside the sensor's own flags."""
    flags = list(reading.flags)
    if share is not None and share < LEAST_CPU_SHARE:
        flags.append("cpu_contended")
    if not prepared.stable:
        ended_early = len(prepared.pass_s) < rule.max_passes
        flags.append("warm_up_capped" if ended_early else "warm_up_not_stable")
    if foreign:
        flags.append("foreign_process")
    return tuple(flags)


def assemble(
    timed: Timed,
    reading: Reading,
    share: float | None,
    started_utc: str,
) -> Window:
    """A window from what the process and the sensor saw; its place in the run is left open."""
    return Window(
        process_index=0,
        window_index=0,
        iterations=timed.iterations,
        duration_s=timed.duration_s,
        started_utc=started_utc,
        tokens=None,
        energy=reading.energy,
        failed_iterations=timed.failed_iterations,
        peak_memory_bytes=timed.peak_memory_bytes,
        cpu_time_s=timed.cpu_time_s,
        cpu_share=share,
        cpu_pressure=timed.cpu_pressure,
        clock_mhz=reading.clock_mhz,
        temperature_start_c=reading.temperature_start_c,
        temperature_end_c=reading.temperature_end_c,
        throttle_reasons=reading.throttle_reasons,
        utilisation=reading.utilisation,
        flags=reading.flags,
        reference_pass_s=timed.reference_pass_s,
    )


@dataclass(frozen=True, slots=True)
class Protocol:
    """What stays the same for all cells of a run."""

    profile: Profile
    meter: Meter
    clock: Clock
    shortened: Callable[[], bool] = lambda: False  #: the run is out of time: one window will do
    #: whether there is time for one more window of so many seconds, beyond the profile's least
    spare: Callable[[float], bool] = lambda seconds: True

    def counts_joules(self) -> bool:
        """Whether joules are measured here: an estimate needs no longer windows than the time."""
        return self.meter.facts is not None and self.meter.facts.provenance == "measured"

    def target_s(self, point: Point | None = None) -> float:
        """Window length: by the sensor's tick where joules are measured, else by time alone; of an
        anchor as `anchor_window_s` says."""
        facts = self.meter.facts
        measured = facts is not None and self.counts_joules()
        tick_s = (facts.tick_s or 0.0) if facts and measured else None
        if point is not None and point.phase == Phase.ANCHOR:
            return anchor_window_s(self.profile, tick_s)
        return self.profile.window_target_s(tick_s)

    def measure_tick(self, process: Measured, point: Point, seconds: float = TICK_WATCH_S) -> None:
        """Let the meter measure its tick while the device is busy with `point`."""
        prepared = process.prepare(point, self.profile.warm_up)
        iterations = iterations_for(seconds + 0.5, prepared.pass_s)
        thread = threading.Thread(target=self.meter.measure_tick, args=(seconds,))
        thread.start()
        try:
            process.window(iterations)
        finally:
            thread.join()

    def windows(
        self, process: Measured, point: Point, process_index: int, first: int = 0
    ) -> Iterator[Window]:
        """Measure one point in one process: warm-up, then windows one by one, each given out as
        soon as it is complete, so that a killed run loses one window at most.

        `first` is the index of the first window (resume). Raises WorkerError.
        """
        prepared = process.prepare(point, self.profile.warm_up)
        target_s = self.target_s(point)
        iterations = iterations_for(target_s, prepared.pass_s)
        done: list[Window] = []
        heating_s = 0.0
        before: Window | None = None
        for index in itertools.count(first):
            window = self._window(process, prepared, iterations)
            heating = point.phase != Phase.ANCHOR and is_heating(window, before, self.profile)
            rising = (
                heating and heating_s < MOST_HEATING_S
                and not self.shortened() and self.spare(target_s)
            )  # fmt: skip
            flag = ("temperature_rising" if rising else "temperature_not_settled",)
            window = replace(
                window, process_index=process_index, window_index=index, window_target_s=target_s,
                flags=(*window.flags, *flag) if heating else window.flags,
            )  # fmt: skip
            yield window
            before = window
            if rising:  # still warm-up: it is kept, and another follows
                heating_s += window.duration_s
                continue
            done.append(window)
            full = [w for w in done if w.duration_s >= target_s]
            if (
                self.shortened()
                or enough(full, self.profile, point.phase)
                or len(done) >= self._most()
                or (len(full) >= self.profile.min_windows and not self.spare(target_s))
            ):
                return
            fastest_s = min(w.duration_s / w.iterations for w in done)
            iterations = max(iterations, iterations_for(target_s, [fastest_s]))

    def idle(self, process_index: int, process: Measured | None = None) -> Window:
        """One idle baseline: the parent sleeps, nothing runs, the meter counts. Before any load
        (no `process`) whatever uses the device is somebody else's."""
        own = () if process is None else (process.pid,)
        foreign = self.meter.foreign_processes(own)
        self.meter.mark(opening=True)
        start_ns = time.perf_counter_ns()
        time.sleep(self.profile.idle_s)
        end_ns = time.perf_counter_ns()
        self.meter.mark()
        window = assemble(
            Timed(start_ns, end_ns, 1), self.meter.reading(start_ns, end_ns), None,
            self.clock.utc(start_ns),
        )  # fmt: skip
        foreign = foreign or self.meter.foreign_processes(own)
        return replace(
            window, process_index=process_index, window_target_s=self.profile.idle_s,
            process_id="" if process is None else process.process_id,
            flags=(*window.flags, "foreign_process") if foreign else window.flags,
        )  # fmt: skip

    def _most(self) -> int:
        """Windows after which a point is left, even where some came out too short."""
        return self.profile.max_windows + 2

    def _window(self, process: Measured, prepared: Prepared, iterations: int) -> Window:
        foreign = self.meter.foreign_processes((process.pid,))
        self.meter.mark(opening=True)
        timed = process.window(iterations)
        self.meter.mark()
        reading = self.meter.reading(timed.start_ns, timed.end_ns)
        foreign = foreign or self.meter.foreign_processes((process.pid,))
        share = share_of_cpu(timed, process.threads)
        done = timed.iterations - timed.failed_iterations
        flags = window_flags(prepared, share, reading, self.profile.warm_up, bool(foreign))
        if clocks_disagree(timed):
            flags = (*flags, "device_clock_disagrees")
        return replace(
            assemble(timed, reading, share, self.clock.utc(timed.start_ns)),
            tokens=done * prepared.tokens_per_iteration,
            process_id=process.process_id,
            flags=flags,
        )
