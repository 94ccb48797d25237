"""Writing what a sensor reads as a trace, in the format that `recorded` plays back."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from runners.sensors.base import Parts, Sample, Sensor, SensorError, SensorFacts
from runners.sensors.recorded import COLUMNS

_S = 1e-9


@dataclass(frozen=True, slots=True)
class Recorded:
    """One sample, and the 1-s average power beside it where the device tells one."""

    sample: Sample
    average_w: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Recording:
    """Samples of one sensor, taken one after the other; `failure` ended it where there is one."""

    sensor: Sensor
    average_w: Callable[[], Mapping[str, float]] = dict
    now_ns: Callable[[], int] = time.perf_counter_ns
    sleep: Callable[[float], None] = time.sleep
    samples: list[Recorded] = field(default_factory=list)
    failure: tuple[int, SensorError] | None = None

    def run(self, seconds: float, period_s: float, parts: Parts = Parts.ALL) -> None:
        """Sample for so long, at a fixed period; stops where the device is lost."""
        start = self.now_ns()
        due = start
        while self.failure is None and self.now_ns() - start < seconds / _S:
            try:
                average = self.average_w() if Parts.STATE in parts else {}
                self.samples.append(Recorded(self.sensor.read(parts), average))
            except SensorError as error:
                self.failure = (self.now_ns(), error)
                return
            due += round(period_s / _S)
            self.sleep(max(0.0, (due - self.now_ns()) * _S))

    def text(self, facts: SensorFacts, notes: Mapping[str, str]) -> str:
        """The trace file: `notes` and the sensor's facts, then a row for each sample and component.

        Raises ValueError where nothing was sampled.
        """
        if not self.samples:
            raise ValueError("a trace needs one sample at least")
        zero = self.samples[0].sample.t_ns
        buffer = io.StringIO()
        for key, value in {**notes, **_header(facts)}.items():
            buffer.write(f"# {key}: {' '.join(value.split())}\n")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(COLUMNS)
        for recorded in self.samples:
            writer.writerows(_rows(recorded, (recorded.sample.t_ns - zero) * _S))
        if self.failure is not None:
            at, error = self.failure
            empty = [""] * (len(COLUMNS) - 3)
            writer.writerow([_number((at - zero) * _S, 7), "*", *empty, error.reason])
        return buffer.getvalue()


def _header(facts: SensorFacts) -> dict[str, str]:
    """What `recorded.facts_of` reads back."""
    known = {
        "used": ", ".join(facts.used), "method": facts.method, "provenance": facts.provenance,
        "boundary": facts.boundary, "tick_s": facts.tick_s, "systematic_rel": facts.systematic_rel,
        "period_s": facts.period_s,
    }  # fmt: skip
    return {**facts.details, **{k: f"{v}" for k, v in known.items() if v is not None}}


def _rows(recorded: Recorded, t_s: float) -> Sequence[Sequence[str]]:
    sample = recorded.sample
    columns: tuple[tuple[Mapping[str, float], int], ...] = (
        (sample.energy_j, 3), (sample.power_w, 3), (recorded.average_w, 3),
        (sample.temperature_c, 1), (sample.clock_mhz, 0), (sample.utilisation, 2),
    )  # fmt: skip
    named = [*(values for values, _ in columns), sample.throttle, sample.errors]
    components = dict.fromkeys(component for values in named for component in values)
    return [
        [
            _number(t_s, 7), component,
            *(_number(values.get(component), digits) for values, digits in columns),
            "|".join(sample.throttle.get(component, ())), sample.errors.get(component, ""),
        ]
        for component in components
    ]  # fmt: skip


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
