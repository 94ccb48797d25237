"""A sensor that replays a trace, against the real clock or a scripted one.

A trace is a CSV file with one row per instant and component, in order of time:

    t_s,component,energy_j,power_w,power_average_w,temperature_c,clock_mhz,utilisation,throttle,error

Times are seconds from the start of the recording. An empty cell was not readable. `throttle` holds
reasons separated by `|`, `error` a reason code with a sentence (`gpu_is_lost: …`); a row whose
component is `*` carries an error of the whole sensor, which `read` raises. Lines that start with
`#` are `# key: value` facts: `used` (components, separated by commas), `method`, `provenance`,
`boundary`, `tick_s`, `systematic_rel`, `period_s`; all others are kept as details.
"""

from __future__ import annotations

import csv
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

from observatory.errors import InputError
from observatory.records import Boundary, Provenance
from runners.sensors.base import DeviceId, Parts, Sample, SensorError, SensorFacts
from runners.sensors.draft import SampleDraft, put

COLUMNS = (
    "t_s", "component", "energy_j", "power_w", "power_average_w", "temperature_c", "clock_mhz",
    "utilisation", "throttle", "error",
)  # fmt: skip
REGULAR = 3.0  #: rows farther apart than so many times their usual distance have a gap between
_FACTS = ("used", "method", "provenance", "boundary", "tick_s", "systematic_rel", "period_s")
_NS = 1e-9


@dataclass(frozen=True, slots=True)
class Trace:
    """A recording: samples in order of time (ns from its start) and the facts of its header."""

    samples: tuple[Sample, ...]
    header: Mapping[str, str]
    average_w: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    failures: Mapping[int, SensorError] = field(default_factory=dict)  #: by index of the sample


class RecordedSensor:
    """Replays a trace: a read gives the newest recorded sample that is not in the future.

    Between two rows of a regular trace what was read last still stands, so it is given the present
    time. Before a gap, and after the end, a sample keeps the time at which it was recorded: what
    was not recorded is missing in the replay too.
    """

    def __init__(
        self, trace: Trace | Path, now_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._trace = trace if isinstance(trace, Trace) else read_trace(trace)
        self._now_ns = now_ns
        self._zero_ns = 0
        self._times = [s.t_ns for s in self._trace.samples]
        steps = [b - a for a, b in pairwise(self._times)]
        period_ns = (_optional(self._trace.header.get("period_s")) or 0.0) / _NS
        self._regular_ns = REGULAR * max(median(steps) if steps else 0.0, period_ns)

    def open(self, devices: tuple[DeviceId, ...] | None = None) -> SensorFacts:
        """Start the replay now. `devices` that are integers choose the used `gpu:N`."""
        self._zero_ns = self._now_ns()
        return facts_of(self._trace, devices)

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        """The trace's state now. Raises the trace's SensorError."""
        now = self._now_ns()
        index = max(0, bisect_right(self._times, now - self._zero_ns) - 1)
        following = self._times[index + 1 : index + 2]
        if not following or following[0] - self._times[index] > self._regular_ns:
            now = self._zero_ns + self._times[index]
        if index in self._trace.failures:
            raise self._trace.failures[index]
        sample = self._trace.samples[index]
        energy_j = sample.energy_j if Parts.COUNTERS in parts else {}
        if Parts.STATE not in parts:
            return Sample(now, energy_j=energy_j, errors=sample.errors)
        return Sample(
            now,
            energy_j,
            sample.power_w,
            sample.temperature_c,
            sample.clock_mhz,
            sample.utilisation,
            sample.throttle,
            sample.memory_bytes,
            sample.errors,
        )

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """None recorded."""
        return ()

    def close(self) -> None:
        """Nothing is held open."""


class ScriptedClock:
    """A clock that moves only when told to, and calls back at a fixed period on its way."""

    def __init__(self, start_ns: int = 10**12) -> None:
        self._now_ns = start_ns
        self._period_ns = 0
        self._due_ns = 0
        self._callback: Callable[[], object] | None = None

    def now_ns(self) -> int:
        """The scripted time."""
        return self._now_ns

    def every(self, period_s: float, callback: Callable[[], object]) -> None:
        """Call back now and every `period_s` from now on."""
        self._period_ns, self._callback = int(period_s / _NS), callback
        self._due_ns = self._now_ns

    def sleep(self, seconds: float) -> None:
        """Move on, stopping at every call-back that falls due."""
        end = self._now_ns + round(seconds / _NS)
        while self._callback is not None and self._due_ns <= end:
            self._now_ns = max(self._now_ns, self._due_ns)
            self._due_ns += self._period_ns
            self._callback()
        self._now_ns = max(self._now_ns, end)


def facts_of(trace: Trace, devices: tuple[DeviceId, ...] | None = None) -> SensorFacts:
    """What header and columns say. Raises SensorError where a device is not in the trace."""
    components = tuple(
        dict.fromkeys(c for s in trace.samples for c in (*s.energy_j, *s.power_w, *s.errors))
    )
    counters = tuple(dict.fromkeys(c for s in trace.samples for c in s.energy_j))
    header = trace.header
    used = tuple(u.strip() for u in header.get("used", "").split(",") if u.strip()) or components
    if devices:
        wanted = [f"gpu:{d}" for d in devices if isinstance(d, int)]
        used = tuple(w for w in wanted if w in components) or used
    unknown = [u for u in used if u not in components]
    if unknown or not used:
        raise SensorError("device_absent", f"the trace has no component {', '.join(unknown)}")
    tick_s = _optional(header.get("tick_s"))
    return SensorFacts(
        name="recorded",
        method=header.get("method", "nvml_counter" if counters else "nvml_power_integral"),
        provenance=header.get("provenance", str(Provenance.ESTIMATED)),
        boundary=header.get("boundary", str(Boundary.DEVICE)),
        components=components,
        used=used,
        tick_s=tick_s,
        systematic_rel=_optional(header.get("systematic_rel")),
        details={k: v for k, v in header.items() if k not in _FACTS},
        counters=counters,
        component_tick_s={} if tick_s is None else dict.fromkeys(components, tick_s),
        period_s=_optional(header.get("period_s")) or 0.1,
    )


def read_trace(path: Path) -> Trace:
    """Read a trace file. Raises InputError with the line where it cannot be understood."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"trace {path}: {error}") from error
    return parse_trace(text.splitlines(), str(path))


def parse_trace(lines: Iterable[str], name: str = "trace") -> Trace:
    """Parse the lines of a trace file. Raises InputError with the line's number."""
    header: dict[str, str] = {}
    rows: list[tuple[int, dict[str, str]]] = []
    columns: list[str] | None = None
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            header[key.strip()] = value.strip()
        elif line.strip() and columns is None:
            columns = next(csv.reader([line]))
            missing = [c for c in ("t_s", "component") if c not in columns]
            unknown = [c for c in columns if c not in COLUMNS]
            if missing or unknown:
                raise InputError(
                    f"{name}:{number}: columns must be among {', '.join(COLUMNS)}, with t_s and "
                    f"component; got {line.strip()[:60]!r}"
                )
        elif line.strip() and columns is not None:
            cells = next(csv.reader([line]))
            if len(cells) != len(columns):
                raise InputError(f"{name}:{number}: {len(cells)} cells for {len(columns)} columns")
            rows.append((number, dict(zip(columns, cells, strict=True))))
    if not rows:
        raise InputError(f"{name}: no samples")
    return _assemble(rows, header, name)


def _assemble(rows: list[tuple[int, dict[str, str]]], header: dict[str, str], name: str) -> Trace:
    drafts: list[tuple[int, SampleDraft]] = []
    failures: dict[int, SensorError] = {}
    average: dict[str, list[tuple[float, float]]] = {}
    for number, row in rows:
        t_s = _number(row["t_s"], name, number)
        if t_s is None or (drafts and round(t_s / _NS) < drafts[-1][0]):
            raise InputError(f"{name}:{number}: t_s {row['t_s']!r} is missing or goes backwards")
        t_ns = round(t_s / _NS)
        if not drafts or drafts[-1][0] != t_ns:
            drafts.append((t_ns, SampleDraft()))
        component, error = row["component"].strip(), row.get("error", "").strip()
        if component == "*":
            code, _, sentence = error.partition(":")
            failures[len(drafts) - 1] = SensorError(code.strip(), sentence.strip())
            continue
        _fill(drafts[-1][1], component, row, name, number)
        value = _number(row.get("power_average_w", ""), name, number)
        if value is not None:
            average.setdefault(component, []).append((t_s, value))
    return Trace(
        tuple(draft.freeze(t_ns) for t_ns, draft in drafts),
        header,
        {c: tuple(v) for c, v in average.items()},
        failures,
    )


def _fill(draft: SampleDraft, component: str, row: dict[str, str], name: str, number: int) -> None:
    columns = {
        "energy_j": draft.energy_j,
        "power_w": draft.power_w,
        "temperature_c": draft.temperature_c,
        "clock_mhz": draft.clock_mhz,
        "utilisation": draft.utilisation,
    }
    for column, target in columns.items():
        put(target, component, _number(row.get(column, ""), name, number))
    if row.get("throttle"):
        draft.throttle[component] = tuple(row["throttle"].split("|"))
    if row.get("error"):
        draft.errors[component] = row["error"]


def _number(text: str, name: str, number: int) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{name}:{number}: {text!r} is not a number") from error


def _optional(text: str | None) -> float | None:
    return None if text is None or not text.strip() else float(text)
