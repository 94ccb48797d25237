"""What a reported value claims, in columns that rules can judge: one row for each value.

Values of one row of a file belong together: joules, seconds, watts and rates of the same work. What
a source does not say is taken in its favour (METHOD §4): no prompt, half of the output as context,
no communication, an 8-bit KV cache, one sequence where no batch is known, no batch where a time may
already be shared among its requests.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pandas as pd

from observatory.audit.bounds import IDLE_TOLERANCE, Best, best_time, catalogue_power, catalogued
from observatory.audit.cases import MEMORY, WHOLE, Case, Value, cases, with_stated
from observatory.audit.memory import HOST
from observatory.catalog.architecture import Architecture
from observatory.ceilings import Ceiling
from observatory.errors import InputError
from observatory.records import Boundary, Phase
from observatory.runtime.plausibility import AGREEMENT

KV_IN_FAVOUR = "fp8"
#: A median gap and the batch over the rate differ by less: prefill and queues lie between them,
#: and tokens that are streamed several at a time (ours; 0.24 to 1.4 in ML.ENERGY v3).
BAND = 10.0
COLUMNS = (
    "kind", "energy_j", "time_s", "nearest_s", "power_w", "power_stated_w", "most_w", "least_w",
    "power_rests_on", "mfu", "mbu", "roofline_rel", "hard_ceiling", "tokens_counted",
    "tokens_stated", "parts_sum", "parts_whole", "parts_complete", "memory_bytes",
    "memory_most_bytes", "memory_least_bytes", "requests", "time_shared", "time_rel",
    "time_trusted", "power_implied_w", "gap_s", "gap_of_rate_s", "higher_percentile",
)  # fmt: skip
#: Words in the name of an energy that is one part of a whole.
PARTS = (("device", ("gpu", "device")), ("cpu", ("cpu",)), ("dram", ("dram", "ram")))
#: Words in the name of a rate that counts something else than output tokens.
_PERCENTILE = re.compile(r"_p(\d{1,2}(?:_\d+)?)(?=_)")
_TAIL = re.compile(r"_(p\d+|max|min|std)(?=_)")
OTHER_RATES = ("prefill", "prompt", "input", "total")


def claims(table: pd.DataFrame) -> pd.DataFrame:
    """The reported values (columns of the table `reported`) with those of `COLUMNS` that they
    give anything for."""
    columns: dict[str, list[Any]] = {"kind": [None] * len(table)}
    table = with_stated(table)
    for case in cases(table):
        _judge(case)
        for value in case.values:
            columns["kind"][value.place] = value.kind
            for name, found in value.found.items():
                if name not in columns:  # most files give no value of most of COLUMNS
                    columns[name] = [None] * len(table)
                columns[name][value.place] = found
    return table.assign(
        **{name: pd.Series(columns.pop(name), table.index) for name in COLUMNS if name in columns}
    )


@cache
def _architecture(name: str) -> Architecture | None:
    try:
        return Architecture.lookup(name)
    except InputError:
        return None


# ---------------------------------------------------------------------- what is found
def _judge(case: Case) -> None:
    for value in case.values:
        if value.kind == "energy":
            value.found |= _energy(case, value)
        elif value.kind == "power" and value.value > 0:
            value.found["power_w"] = value.value
    _powers(case)
    for value in case.values:
        if value.value > 0 and value.kind in ("time", "rate"):
            value.found |= _speed(case, value)
        elif value.kind == MEMORY and value.value > 0:
            value.found |= _memory(case, value)
    _latency(case)
    _trust(case)
    _tokens(case)
    _parts(case)


def _rate(case: Case, phase: str) -> Value | None:
    """Output tokens (or images …) a second over all requests."""
    rates = [
        v for v in case.of("rate", phase)
        if not any(word in v.quantity for word in OTHER_RATES) and "request" not in v.quantity
    ]  # fmt: skip
    return rates[0] if rates else None


def _time(case: Case, phase: str, per: str, *names: str) -> Value | None:
    found = [
        v for v in case.of("time", phase)
        if v.per == per and any(v.quantity.startswith(name) for name in names)
    ]  # fmt: skip
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class _Wall:
    """Seconds of all devices that a value's joules belong to, and where they come from."""

    seconds: float
    sure: bool  #: the batch is accounted for
    of: Value
    shared: bool = False  #: a request's time over the requests of its batch


def _wall(case: Case, value: Value) -> _Wall | None:
    """The seconds that a value's joules belong to.

    Without a known batch the seconds of one request may be shared with others: power is then only
    known to be at least energy over time.
    """
    rate, o, b = _rate(case, value.phase), case.output, case.batch
    shared = b is not None or value.phase == Phase.SERVING
    if rate and value.per == case.work_unit:
        return _Wall(1 / rate.value, shared, rate)
    if rate and value.per == "request" and o and case.work_unit == "token":
        return _Wall(o / rate.value, shared, rate)
    runtime = _time(case, value.phase, value.per, "runtime")
    if runtime and value.per in WHOLE:
        return _Wall(runtime.value, True, runtime)
    if runtime is None and value.per == "token":
        runtime = _time(case, value.phase, "token", "tpot", "itl")
    if runtime is None:
        return None
    if b is None:
        return _Wall(runtime.value, False, runtime)
    return _Wall(runtime.value / b, True, runtime, shared=True)


def _energy(case: Case, value: Value) -> dict[str, Any]:
    if len(case.values) == 1:  # nothing beside it says how long it took
        return {"energy_j": value.value}
    wall = _wall(case, value)
    power = next((v.value for v in case.of("power") if not v.is_part), None)
    times = [v.value for v in case.of("time")]
    if case.output:
        times += [t * case.output for t in times]
    if wall is not None:
        times += [wall.seconds, wall.seconds * (case.batch or 1)]
    found: dict[str, Any] = {"energy_j": value.value, "time_s": wall and wall.seconds}
    found["nearest_s"] = min(times, key=lambda t: abs(t - value.value), default=None)
    if wall and wall.seconds and value.value > 0:
        found["power_w"] = value.value / wall.seconds
        found["power_stated_w"] = power if wall.sure else None
        found["at_least"] = not wall.sure
        found["time_of"] = wall.of
        if wall.sure and case.batch and value.per not in WHOLE:
            found["requests"], found["time_shared"] = case.batch, float(wall.shared)
    return found


def _trust(case: Case) -> None:
    """What speaks for the time and the power beside joules: the roofline, and other values.

    Another energy that agrees with both, or a gap between tokens that agrees with the rate.
    """
    timed = [v for v in case.values if "time_of" in v.found]
    sound = [
        v for v in timed
        if v.found["power_stated_w"] and abs(v.found["power_w"] / v.found["power_stated_w"] - 1)
        <= AGREEMENT
    ]  # fmt: skip
    for value in timed:
        source = value.found.pop("time_of")
        value.found["time_rel"] = source.found.get("roofline_rel")
        gaps = _gaps(case, source) if source.kind == "rate" else ()
        if any(other is not value for other in sound) or any(1 / BAND <= g <= BAND for g in gaps):
            value.found["time_trusted"] = 1.0
    stated = next((v for v in case.of("power") if not v.is_part), None)
    implied = [v.found["power_w"] for v in timed if v.found["power_stated_w"] and not v.is_part]
    if stated is not None and implied:
        stated.found["power_implied_w"] = implied[0]


def _gaps(case: Case, rate: Value) -> list[float]:
    """Each mean or median gap between tokens over the one that a rate makes of its batch."""
    steps = [v for v in case.of("time", rate.phase) if v.role == "step" and _is_middle(v.quantity)]
    made = (case.batch or math.nan) / rate.value
    return [v.value / made for v in steps]


def _powers(case: Case) -> None:
    """Bounds of the devices' power. Joules that cover more than the devices have no upper one."""
    if not any("power_w" in value.found for value in case.values):
        return
    bounds = catalogue_power(case.device, case.devices or 1) if case.device else None
    idle = next((v.value for v in case.of("power") if "idle" in v.quantity), None)
    for value in case.values:
        at_least = value.found.pop("at_least", False)
        if "power_w" not in value.found or value.is_part:
            continue
        least = idle and idle * IDLE_TOLERANCE
        if bounds is not None:
            known = case.boundary == Boundary.DEVICE and case.devices is not None
            value.found["most_w"] = bounds.most_w if known else None
            value.found["power_rests_on"] = bounds.rests_on
            least = least or bounds.least_w
        value.found["least_w"] = None if at_least else least


def _speed(case: Case, value: Value) -> dict[str, Any]:
    """The value's seconds beside the roofline's."""
    ceiling = _ceiling(case)
    if ceiling is None or case.work_unit != "token":
        return {}
    seconds, best = (_of_rate if value.kind == "rate" else _of_time)(case, value, ceiling)
    if seconds is None or best is None:
        return {"time_s": seconds}
    return {
        "time_s": seconds,
        "mfu": best.compute_s / seconds,
        "mbu": best.memory_s / seconds,
        "roofline_rel": best.time_s / seconds,
        "hard_ceiling": 1.0,
    }


def _ceiling(case: Case) -> Ceiling | None:
    """What bounds the row's time; None where a technique or a cached prompt changes the work."""
    return _known(case) if case.plain else None


def _known(case: Case) -> Ceiling | None:
    """The row's architecture on its devices, where the catalogue knows all of it."""
    if case.device is None or case.devices is None or case.dtype is None:
        return None
    hw, architecture = catalogued(case.device), _architecture(case.model)
    if hw is None or architecture is None:
        return None
    return Ceiling(architecture, hw, case.dtype, case.devices)


def _memory(case: Case, value: Value) -> dict[str, Any]:
    """A value in bytes beside what its devices hold and what the weights take of each."""
    device = catalogued(case.device) if case.device else None
    if device is None or device.kind == "soc" or any(w in value.quantity.split("_") for w in HOST):
        return {}
    devices = 1 if value.per == "device" else case.devices
    found = {
        "memory_bytes": value.value,
        "memory_most_bytes": devices and devices * device.memory_bytes,
    }
    ceiling = _known(case)
    if ceiling is not None and not case.offloaded:
        weights = ceiling.architecture.weight_bytes(ceiling.dtype)
        found["memory_least_bytes"] = weights / ceiling.devices
    return found


@cache
def _best(ceiling: Ceiling, phase: str, p: float, c: float, o: float, b: float) -> Best | None:
    return best_time(ceiling, phase, p, c, o, b, KV_IN_FAVOUR)


def _of_rate(case: Case, value: Value, ceiling: Ceiling) -> tuple[float | None, Best | None]:
    """A decode step at the reported rate: a batch of tokens. Without a batch, only operations."""
    serving = value.phase in (Phase.DECODE, Phase.SERVING)
    if not serving or any(word in value.quantity for word in (*OTHER_RATES, "request")):
        return None, None
    context = (case.prompt or 0.0) + max((case.output or 0.0) / 2 - 1, 0.0)
    batch = case.batch or 1.0
    best = _best(ceiling, Phase.DECODE, 0.0, context, 1.0, batch)
    if best is not None and case.batch is None:
        best = replace(best, memory_s=math.nan)
    return batch / value.value, best


def _of_time(case: Case, value: Value, ceiling: Ceiling) -> tuple[float | None, Best | None]:
    p, o, b = max(case.prompt or 0.0, 1.0), case.output, case.batch or 1.0
    if value.role == "step" or value.quantity.startswith("ttft"):
        # Percentiles and means of gaps belong to no one batch: a sequence alone is sure.
        phase = Phase.PREFILL if value.role == "prefill" else Phase.DECODE
        return value.value, _best(ceiling, phase, p, case.prompt or 0.0, 1.0, 1.0)
    if value.per not in ("request", *WHOLE) or value.per == "run":
        return None, None
    seconds = value.value * (b if value.per == "request" else 1.0)
    if value.role == "prefill":
        return seconds, _best(ceiling, Phase.PREFILL, p, 0.0, 1.0, b)
    if o is None or value.role not in ("decode", "e2e"):
        return None, None
    if value.role == "decode":
        return seconds, _best(ceiling, Phase.DECODE, 0.0, case.prompt or 0.0, max(o - 1, 1.0), b)
    return seconds, _best(ceiling, Phase.E2E, p, 0.0, o, b)


def _is_middle(quantity: str) -> bool:
    """Whether a quantity is a median or a mean, not another percentile or an extreme."""
    return _quantile(quantity) == 50.0 or not _TAIL.search(quantity)


@cache
def _quantile(quantity: str) -> float | None:
    """50 for `itl_median_s` or `ttft_p50_s`, 99 for `itl_p99_s`; None for no percentile."""
    if "median" in quantity.split("_"):
        return 50.0
    found = _PERCENTILE.search(quantity)
    return None if found is None else float(found[1].replace("_", "."))


def _latency(case: Case) -> None:
    """Percentiles of one quantity in order, and gaps between tokens beside the rate."""
    rate = _rate(case, Phase.SERVING) or _rate(case, Phase.DECODE)
    series: dict[tuple[str, ...], list[tuple[float, Value]]] = {}
    for value in case.of("time"):
        step = value.role == "step" and _is_middle(value.quantity)
        if step and rate and case.batch and value.phase == rate.phase:
            value.found |= {"gap_s": value.value, "gap_of_rate_s": case.batch / rate.value}
        quantile = _quantile(value.quantity)
        if quantile is not None:
            name = _PERCENTILE.sub("_", value.quantity.replace("_median", "_p50"))
            series.setdefault((name, value.phase, value.per), []).append((quantile, value))
    for points in series.values():
        for quantile, value in points:
            higher = [other.value for q, other in points if q > quantile]
            value.found["higher_percentile"] = min(higher, default=None)


def _tokens(case: Case) -> None:
    """Tokens that joules per request and per token imply, beside those stated."""
    if len(case.values) < 2 or not case.output or case.work_unit != "token":
        return
    for phase in {v.phase for v in case.values}:
        energies = [v for v in case.of("energy", phase) if not v.is_part]
        requests = [v for v in energies if v.per == "request"]
        tokens = [v for v in energies if v.per == "token"]
        if len(requests) == 1 and len(tokens) == 1:
            counted = requests[0].value / tokens[0].value
            stated = (case.output, case.output - 1, case.output + (case.prompt or 0))
            requests[0].found["tokens_counted"] = counted
            requests[0].found["tokens_stated"] = min(stated, key=lambda n: abs(n - counted))


def _parts(case: Case) -> None:
    """Sum of the parts beside the whole: of components, and of prefill and decode."""
    if len(case.values) < 3:  # a whole and two parts
        return
    for kind in ("energy", "time"):
        values = case.of(kind)
        for whole in values:
            same = [v for v in values if v.per == whole.per and v is not whole]
            if whole.quantity not in ("energy_j", "runtime_s"):
                continue
            parts = _components([v for v in same if v.phase == whole.phase])
            complete = len(parts) == len(PARTS)
            if len(parts) < 2 and whole.role == Phase.E2E:
                parts = {
                    str(v.role): v.value for v in same
                    if v.role in ("prefill", "decode") and not v.quantity.startswith("ttft")
                }  # fmt: skip
                complete = len(parts) == 2
            if len(parts) >= 2:
                whole.found |= {
                    "parts_sum": sum(parts.values()), "parts_whole": whole.value,
                    "parts_complete": float(complete),
                }  # fmt: skip


def _components(values: Sequence[Value]) -> dict[str, float]:
    """Joules of device, CPU and DRAM, by the words in their names."""
    parts: dict[str, float] = {}
    for value in values:
        words = value.quantity.split("_")
        for part, names in PARTS:
            if any(name in words for name in names):
                parts.setdefault(part, value.value)
    return parts
