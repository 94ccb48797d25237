"""Which sensor this machine offers, and what it would take to have a better one.

On a CUDA device: NVML, with RAPL beside it where it can be read. On a CPU: RAPL, else CodeCarbon's
estimate. Otherwise no joules, and the reason. A GPU run is never given the CPU's joules alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from observatory.errors import InputError, MissingSensorError
from observatory.records import Provenance
from runners.sensors.absent import AbsentMeter
from runners.sensors.base import DeviceId, Meter, Sensor, SensorError, SensorFacts
from runners.sensors.meter import SampledMeter

#: What `want` may name: a sensor of the table, `auto`, `none`, `nvml+rapl`, `recorded:TRACE.csv`.
CHOICES = ("auto", "nvml", "nvml+rapl", "rapl", "codecarbon", "none", "recorded:TRACE.csv")


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """One sensor on this machine, for `run-benchmark probe`."""

    name: str
    available: bool
    provenance: str  #: what its numbers are called: `measured` or `estimated`
    boundary: str | None
    sentence: str  #: what it would measure, or why it cannot
    remedy: str = ""  #: how to enable it, where it is not available
    tick_s: float | None = None
    details: tuple[tuple[str, str], ...] = ()


def make_sensor(name: str) -> Sensor:
    """A new sensor, not yet open. Raises UnknownNameError, or InputError for a bad trace name."""
    head, _, argument = name.partition(":")
    if name == "nvml+rapl":
        from runners.sensors.combined import CombinedSensor

        return CombinedSensor(make_sensor("nvml"), make_sensor("rapl"))
    if head == "recorded" and argument:
        from pathlib import Path

        from runners.sensors.recorded import RecordedSensor

        return RecordedSensor(Path(argument))
    if head == "recorded":
        raise InputError(f"sensor {name!r}: name the trace, as in recorded:TRACE.csv")
    from runners.registry import make_sensor as from_table

    return from_table(name)


def open_meter(
    device_kind: str,
    devices: tuple[DeviceId, ...] | None,
    want: str | None = None,
    require_measured: bool = False,
) -> Meter:
    """The meter for a run on `devices` (CUDA ordinals or UUIDs; None for all visible ones).

    `device_kind` is `cuda` or `cpu`. `want` names one of `CHOICES` and is then binding. Opening may
    take seconds (CodeCarbon, the tick of NVML), so do it outside any window. Raises
    MissingSensorError where `want`, or any measured sensor under `require_measured`, is not there;
    UnknownNameError for an unknown name.
    """
    candidates = _candidates(device_kind, want)
    reasons: list[SensorError] = []
    for name in candidates:
        sensor = make_sensor(name)
        try:
            facts = sensor.open(devices)
        except SensorError as error:
            reasons.append(error)
            continue
        replayed = name.startswith("recorded")
        if require_measured and (replayed or facts.provenance != Provenance.MEASURED):
            sensor.close()
            reasons.append(SensorError("estimated_only", f"{name} only estimates"))
            continue
        return SampledMeter(sensor, _as_replayed(facts) if replayed else facts)
    if require_measured or (want not in (None, "auto", "none")):
        raise MissingSensorError(_sentence(reasons, want))
    return AbsentMeter(_absence(reasons))


def _as_replayed(facts: SensorFacts) -> SensorFacts:
    """A trace was recorded of another run: beside this one its joules are no measurement."""
    method, provenance = f"recorded:{facts.method}", str(Provenance.ESTIMATED)
    return replace(facts, method=method, provenance=provenance)


def probe_sensors(devices: tuple[DeviceId, ...] | None = None) -> list[SensorStatus]:
    """Every sensor on this machine: what it would measure, or why it cannot and what to do."""
    return [_status(name, make_sensor(name), devices) for name in ("nvml", "rapl", "codecarbon")]


def _candidates(device_kind: str, want: str | None) -> tuple[str, ...]:
    if want == "none":
        return ()
    if want not in (None, "auto"):
        assert want is not None
        return (want,)
    return ("nvml+rapl",) if device_kind.startswith("cuda") else ("rapl", "codecarbon")


def _status(name: str, sensor: Sensor, devices: tuple[DeviceId, ...] | None) -> SensorStatus:
    provenance = Provenance.ESTIMATED if name == "codecarbon" else Provenance.MEASURED
    try:
        facts = sensor.open(devices)
    except SensorError as error:
        return SensorStatus(name, False, str(provenance), None, error.reason, error.remedy)
    sensor.close()
    return SensorStatus(
        name,
        True,
        facts.provenance,
        facts.boundary,
        _describe(facts),
        tick_s=facts.tick_s,
        details=tuple(sorted(facts.details.items())),
    )


def _describe(facts: SensorFacts) -> str:
    neighbours = [c for c in facts.components if c not in facts.used]
    text = f"{facts.method} of {', '.join(facts.used)}"
    return text + (f"; neighbours shown apart: {', '.join(neighbours)}" if neighbours else "")


def _absence(reasons: list[SensorError]) -> str:
    return "; ".join(e.reason for e in reasons) or "not_asked: no sensor was asked for"


def _sentence(reasons: list[SensorError], want: str | None) -> str:
    what = (
        f"sensor {want!r} is not available"
        if want not in (None, "auto")
        else ("no sensor measures energy on this machine")
    )
    remedies = [e.remedy for e in reasons if e.remedy]
    text = f"{what}: " + "; ".join(e.sentence for e in reasons)
    return text + (f" ({'; '.join(remedies)})" if remedies else "")
