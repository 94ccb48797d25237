"""From samples to a `Reading`: the joules and the telemetry of one window.

Pure: the same function evaluates a live sensor and a recorded trace. A part of the machine (the
used accelerators, the CPU packages, DRAM, idle neighbours) is the sum of its components or nothing:
a total never silently leaves a component out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from observatory.records import Boundary, Energy
from runners.sensors.base import Reading, Sample, SensorError, SensorFacts
from runners.sensors.crosscheck import shortfall_j
from runners.sensors.integrate import Joules, invalid, trapezoid
from runners.sensors.staircase import counter_difference

DISAGREEMENT = 0.05  #: METHOD §3.5: counter against integral
_NS = 1e-9
#: Clock reasons that mean a device ran slower than its limits allow.
THROTTLING = ("hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake")
POWER_CAPPED = ("sw_power_cap",)
_NOT_A_REASON = ("gpu_idle",)
_SAMPLES_MISSING = (
    "edge_not_covered", "sample_gap", "fewer_than_two_samples", "sparse_samples",
)  # fmt: skip
#: Failures after which the sampler does not come back: they touch every later window.
LASTING = ("sampler_crashed", "sensor_hung")


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of the machine: joules, or a reason."""

    energy_j: float | None
    reason: str | None = None
    bound_j: float | None = None
    integral_j: float | None = None
    flags: tuple[str, ...] = ()


def kind_of(component: str) -> str:
    """The part of the machine that a component belongs to: `gpu`, `cpu`, `dram`."""
    return component.partition(":")[0]


def evaluate(
    samples: Sequence[Sample],
    facts: SensorFacts,
    start_ns: int,
    end_ns: int,
    errors: Sequence[tuple[int, SensorError]] = (),
) -> Reading:
    """Joules and telemetry between two timestamps.

    `samples` are in order of time and reach beyond both edges; `errors` are the failures of the
    sensor with their times. A failure inside the window is a flag where the samples still bear a
    number, and the reason where they do not.
    """
    trouble = [
        e for t, e in errors if t <= end_ns + 10**9 and (t >= start_ns - 10**9 or e.code in LASTING)
    ]
    flags = [f"sensor_error:{e.code}" for e in trouble]
    gpu = _part(samples, facts, "gpu", True, start_ns, end_ns)
    cpu = _part(samples, facts, "cpu", True, start_ns, end_ns)
    dram = _part(samples, facts, "dram", True, start_ns, end_ns)
    idle = _part(samples, facts, "gpu", False, start_ns, end_ns)
    parts = [p for p in (gpu, cpu, dram) if p is not None]
    for part in parts:
        flags.extend(part.flags)
    energy = _energy(facts, gpu, cpu, dram, idle)
    if energy.total_j is None:
        reason = energy.reason or "no_component: the sensor has no used component"
        telling = [e for e in trouble if e.code != "processes_hidden"]
        if telling and reason.partition(":")[0] in _SAMPLES_MISSING:
            reason = telling[-1].reason  # why they are missing says more than that they are
        energy = replace(energy, reason=reason)
    for name, other in (("cpu", cpu), ("dram", dram), ("idle_devices", idle)):
        if other is not None and other.energy_j is None and energy.total_j is not None:
            flags.append(f"{name}_energy_missing:{(other.reason or '').partition(':')[0]}")
    if energy.cpu_j is not None and dram is None:
        flags.append("dram_not_counted")
    inside = _inside(samples, start_ns, end_ns)
    energy = replace(energy, power_max_w=_power_max(inside, facts.used), flags=_unique(flags))
    return _with_telemetry(energy, facts, samples, inside, start_ns, end_ns)


def component_joules(
    samples: Sequence[Sample], facts: SensorFacts, component: str, start_ns: int, end_ns: int
) -> tuple[Joules, Joules | None]:
    """(what counts, the power integral as a cross-check where power was sampled)."""
    tick_s = facts.tick_of(component)
    powered = [(s.t_ns, s.power_w[component]) for s in samples if component in s.power_w]
    times, watts = [t for t, _ in powered], [w for _, w in powered]
    period_s = facts.period_s if component in facts.used else None  # neighbours have their own
    integral = None
    if powered:
        integral = trapezoid(times, watts, start_ns, end_ns, tick_s=tick_s, period_s=period_s)
    if component in facts.counters:
        held = [s for s in samples if component in s.energy_j]
        counted = [(s.t_ns, s.energy_j[component]) for s in held]
        times, values = [t for t, _ in counted], [e for _, e in counted]
        unsure_ns = [s.unsure_ns for s in held]
        found = counter_difference(
            times, values, start_ns, end_ns, tick_s=tick_s,
            stepped=[s.stepped.get(component) for s in held],
            unsure_ns=unsure_ns, powered=powered,
        )  # fmt: skip
        short_j = shortfall_j(counted, powered, start_ns, end_ns, tick_s, unsure_ns)
        if found.energy_j is not None and short_j is not None:
            sentence = f"the energy counter rose {short_j:.3g} J less than power between 2 readings"
            found = invalid("counter_non_monotone", sentence, found.samples)
        return found, integral
    if integral is None:
        return Joules(None, "edge_not_covered", f"no sample of {component}"), None
    return integral, None


def _part(
    samples: Sequence[Sample],
    facts: SensorFacts,
    kind: str,
    used: bool,
    start_ns: int,
    end_ns: int,
) -> _Part | None:
    """A part's sum over its components; None where the machine has no such part."""
    names = [c for c in facts.components if kind_of(c) == kind and (c in facts.used) == used]
    if not names:
        return None
    found = {n: component_joules(samples, facts, n, start_ns, end_ns) for n in names}
    checks = [c.energy_j for _, c in found.values() if c is not None and c.energy_j is not None]
    integral = sum(checks) if len(checks) == len(names) else None
    missing = [(n, j) for n, (j, _) in found.items() if j.energy_j is None]
    if missing:
        reason = _reason_of(samples, *missing[0], start_ns, end_ns)
        return _Part(None, reason, None, integral, (reason.partition(":")[0],))
    energy = sum(j.energy_j or 0.0 for j, _ in found.values())
    bound = sum(j.edge_bound_j or 0.0 for j, _ in found.values())
    flags = [f"sensor_error:{code}" for code in _short_errors(samples, names, start_ns, end_ns)]
    if integral is not None and abs(energy - integral) > DISAGREEMENT * energy:
        flags.append("sensor_disagreement")
    if integral is None and all(n in facts.powers for n in names):
        flags.append("no_cross_check")
    return _Part(energy, None, bound, integral, tuple(flags))


def _short_errors(
    samples: Sequence[Sample], names: Sequence[str], start_ns: int, end_ns: int
) -> list[str]:
    """Codes of the errors that components had in the window, too short to cost the number."""
    inside = [s for s in samples if s.errors and start_ns <= s.t_ns <= end_ns]
    codes = [s.errors[n].partition(":")[0] for s in inside for n in names if n in s.errors]
    return list(dict.fromkeys(codes))


def _reason_of(
    samples: Sequence[Sample], name: str, joules: Joules, start_ns: int, end_ns: int
) -> str:
    """The component's own error where it had one in the window, or has nothing else to tell; else
    what the integrator found."""
    silent = not any(name in s.energy_j or name in s.power_w for s in samples)
    for sample in samples:
        if name in sample.errors and (silent or start_ns <= sample.t_ns <= end_ns):
            return sample.errors[name]
    return f"{joules.reason}: {name}: {joules.sentence}"


def _energy(
    facts: SensorFacts,
    gpu: _Part | None,
    cpu: _Part | None,
    dram: _Part | None,
    idle: _Part | None,
) -> Energy:
    """The parts as a record. Without the part that does the work, the accelerator or else the CPU,
    there is no total at all: what is left would be read as the run's joules."""
    head = gpu or cpu or dram
    if head is not None and head.energy_j is None:
        return Energy(
            idle_devices_j=idle.energy_j if idle else None,
            integral_j=head.integral_j,
            method=facts.method,
            provenance=facts.provenance,
            boundary=facts.boundary,
            reason=head.reason,
        )
    host = cpu is not None and cpu.energy_j is not None
    if not host and gpu is not None:  # DRAM beside a device, without the CPU, is no boundary
        dram = None
    counted = [p for p in (gpu, cpu, dram) if p is not None and p.energy_j is not None]
    total = sum(p.energy_j or 0.0 for p in counted)
    return Energy(
        device_j=gpu.energy_j if gpu else None,
        cpu_j=cpu.energy_j if cpu else None,
        dram_j=dram.energy_j if dram else None,
        idle_devices_j=idle.energy_j if idle else None,
        method=facts.method,
        provenance=facts.provenance,
        boundary=facts.boundary if host else str(Boundary.DEVICE),
        integral_j=head.integral_j if head else None,
        edge_bound_rel=sum(p.bound_j or 0.0 for p in counted) / total if total > 0 else None,
        systematic_rel=facts.systematic_rel,
    )


def _with_telemetry(
    energy: Energy,
    facts: SensorFacts,
    samples: Sequence[Sample],
    inside: Sequence[Sample],
    start_ns: int,
    end_ns: int,
) -> Reading:
    used = facts.used
    throttle = sorted(
        {r for s in inside for c in used for r in s.throttle.get(c, ()) if r not in _NOT_A_REASON}
    )
    flags = list(energy.flags)
    flags += ["throttled"] if any(r in THROTTLING for r in throttle) else []
    flags += ["power_capped"] if any(r in POWER_CAPPED for r in throttle) else []
    joules = energy.device_j if energy.device_j is not None else energy.total_j
    duration = (end_ns - start_ns) * _NS
    around = [s for s in samples if s.temperature_c]
    return Reading(
        energy=replace(energy, flags=_unique(flags)),
        power_mean_w=joules / duration if joules is not None and duration > 0 else None,
        clock_mhz=_mean(inside, used, lambda s: s.clock_mhz),
        temperature_start_c=_temperature(around, used, start_ns),
        temperature_end_c=_temperature(around, used, end_ns),
        throttle_reasons=", ".join(throttle) or None,
        utilisation=_mean(inside, used, lambda s: s.utilisation),
        flags=_unique(flags),
        memory_bytes=max(
            (sum(s.memory_bytes.get(c, 0) for c in used) for s in inside if s.memory_bytes),
            default=None,
        ),
        samples=len(inside),
    )


def _inside(samples: Sequence[Sample], start_ns: int, end_ns: int) -> list[Sample]:
    return [s for s in samples if start_ns <= s.t_ns <= end_ns]


def _power_max(inside: Sequence[Sample], used: Sequence[str]) -> float | None:
    """Largest sum of power over the used components of which power was sampled."""
    powered = [c for c in used if any(c in s.power_w for s in inside)]
    sums = [
        sum(s.power_w[c] for c in powered) for s in inside if all(c in s.power_w for c in powered)
    ]
    return max(sums, default=None) if powered else None


def _mean(
    inside: Sequence[Sample], used: Sequence[str], column: Callable[[Sample], Mapping[str, float]]
) -> float | None:
    values = [column(s)[c] for s in inside for c in used if c in column(s)]
    return fmean(values) if values else None


def _temperature(samples: Sequence[Sample], used: Sequence[str], at_ns: int) -> float | None:
    """Hottest used component in the sample nearest to a time."""
    near = min(samples, key=lambda s: abs(s.t_ns - at_ns), default=None)
    if near is None:
        return None
    return max((near.temperature_c[c] for c in used if c in near.temperature_c), default=None)


def _unique(flags: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(flags))
