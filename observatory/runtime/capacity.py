"""Does it fit, how many users, how fast, how many joules: one deployment, modelled.

TTFT is the time of one prompt read alone; TPOT that of a decode step with every user in the batch.
Each is calibrated where a calibration of the device covers it, else the roofline, which is a lower
bound; queueing and prefill of other users inside a decode step are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.errors import InputError
from observatory.runtime.calibration import Calibration, server_parts
from observatory.runtime.calibration_rows import Columns, workload_columns
from observatory.runtime.estimate import Estimate, estimate_requests, estimate_steps
from observatory.runtime.memory import UTILISATION, MemoryPlan, plan


@dataclass(frozen=True)
class Modelled:
    """A modelled number with its interval; high None = a lower bound without an upper one."""

    mid: float
    low: float
    high: float | None
    method: str
    calibration_id: str | None
    flagged: bool
    reason: str | None
    provenance: str = "modelled"


@dataclass(frozen=True)
class Capacity:
    """The answer. Times in s, energy in J; None where nothing can be said, with the reason.

    users: sequences in the batch that times and joules are for; bottleneck: `memory capacity`,
    or the largest part of a decode step (`memory bandwidth`, `compute`, `communication`, and where
    a server was calibrated `launch` and `scheduling`, its work per layer and per sequence).
    """

    model: str
    device: str
    devices: int
    dtype: str
    prompt: int
    output: int
    memory: MemoryPlan
    asked_users: int | None
    users: int
    fits: bool
    bottleneck: str
    ttft_s: Modelled | None
    tpot_s: Modelled | None
    tokens_per_s: float | None
    energy_per_output_token_j: Modelled | None
    energy_reason: str | None

    @property
    def energy_per_request_j(self) -> float | None:
        """Joules of a request's decode steps; its prefill is in them only as far as the
        calibrated server mixed prefills into its steps."""
        if self.energy_per_output_token_j is None:
            return None
        return self.energy_per_output_token_j.mid * self.output


def _first(estimate: Estimate, what: str) -> Modelled | None:
    names = {"time": ("time_s", "time_low_s", "time_high_s"),
             "energy": ("energy_j", "energy_low_j", "energy_high_j")}[what]  # fmt: skip
    mid, low, high = (getattr(estimate, name) for name in names)
    if mid is None:
        return None
    return Modelled(
        float(mid[0]), float(low[0]), None if high is None else float(high[0]),
        estimate.method, estimate.calibration_id, estimate.flagged, estimate.reason,
    )  # fmt: skip


def _per(value: Modelled, count: float) -> Modelled:
    high = None if value.high is None else value.high / count
    return Modelled(
        value.mid / count, value.low / count, high, value.method, value.calibration_id,
        value.flagged, value.reason,
    )  # fmt: skip


def _bottleneck(rows: Columns, bound: Estimate, calibration: Calibration | None) -> str:
    """The largest part of a step: by the calibration's causes, else by the roofline's."""
    named = str(bound.bound[0])
    named = "memory bandwidth" if named == "memory" else named
    if calibration is None:
        return named
    parts = server_parts(calibration.parameters, rows)
    largest = max(parts, key=lambda name: float(parts[name][0]))
    return named if largest == "roofline" else largest


def capacity(
    arch: Architecture, hw: Hardware, prompt: int, output: int, users: int | None = None,
    devices: int = 1, dtype: str = "bf16", kv_dtype: str | None = None,
    utilisation: float = UTILISATION, calibrations: tuple[Calibration, ...] = (),
) -> Capacity:  # fmt: skip
    """Model a deployment for requests of `prompt` + `output` tokens.

    users: sequences served at once; None = as many as fit. `calibrations` of this device are used,
    others ignored. Raises InputError on numbers below 1 and on a context the model does not have.
    """
    if min(prompt, output) < 1 or (users is not None and users < 1):
        raise InputError(f"prompt {prompt}, output {output}, users {users}: each must be 1 or more")
    context = prompt + output
    if arch.max_context is not None and context > arch.max_context:
        raise InputError(f"{arch.name} takes {arch.max_context} tokens, not {context}")
    memory = plan(arch, hw, context, devices, dtype, kv_dtype, utilisation)
    served = memory.concurrency if users is None else min(users, memory.concurrency)
    fits = memory.fits and (users is None or users <= memory.concurrency)
    own = {c.recipe: c for c in calibrations if c.device == hw.name}
    common = (arch, hw, devices, dtype, prompt, output, users, memory, served, fits)
    if served < 1:
        return _answer(common, "memory capacity", None, None, None, "the model does not fit")
    middle = prompt + max(output / 2, 1)
    server = own.get("server")
    step = estimate_steps(arch, hw, middle, served, dtype, devices, server, kv_dtype=kv_dtype)
    rows = workload_columns(arch, hw, dtype, devices, served, context=middle, kv_dtype=kv_dtype)
    bound = estimate_steps(arch, hw, middle, served, dtype, devices, kv_dtype=kv_dtype)
    alone = own.get("single-stream")
    read = estimate_requests(arch, hw, prompt, 1, 1, dtype, devices, alone, kv_dtype=kv_dtype)
    energy = _first(step, "energy")
    return _answer(
        common,
        _bottleneck(rows, bound, server) if fits else "memory capacity",
        _first(read, "time"),
        _first(step, "time"),
        None if energy is None else _per(energy, served),
        step.reason,
    )


def _answer(
    common: tuple[
        Architecture, Hardware, int, str, int, int, int | None, MemoryPlan, int, bool
    ],
    bottleneck: str, ttft: Modelled | None, tpot: Modelled | None, energy: Modelled | None,
    reason: str | None,
) -> Capacity:  # fmt: skip
    arch, hw, devices, dtype, prompt, output, asked, memory, served, fits = common
    return Capacity(
        model=arch.name, device=hw.name, devices=devices, dtype=dtype, prompt=prompt,
        output=output, memory=memory, asked_users=asked, users=served, fits=fits,
        bottleneck=bottleneck, ttft_s=ttft, tpot_s=tpot,
        tokens_per_s=None if tpot is None else served / tpot.mid,
        energy_per_output_token_j=energy,
        energy_reason=reason if energy is None else None,
    )  # fmt: skip
