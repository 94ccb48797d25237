"""What a workload should cost before it is measured: time, energy and their 90 % intervals.

With a calibration, its prediction and interval; without one, the roofline as a lower bound, no
upper bound and no energy. Everything here is `modelled`, and says by which calibration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.errors import InputError
from observatory.runtime import roofline
from observatory.runtime.calibration import Calibration
from observatory.runtime.calibration_errors import half_width
from observatory.runtime.calibration_rows import Columns, Floats, workload_columns

PROVENANCE = "modelled"


@dataclass(frozen=True)
class Estimate:
    """Modelled seconds and joules of workloads, arrays of one length.

    time_high_s and the joules are None where no calibration bounds them; `reason` says why.
    flagged: the interval rests on fewer than nine models, or on a calibration of another device.
    """

    time_s: Floats
    time_low_s: Floats
    time_high_s: Floats | None
    energy_j: Floats | None
    energy_low_j: Floats | None
    energy_high_j: Floats | None
    bound: NDArray[np.str_]
    method: str  #: `calibrated` or `roofline`
    calibration_id: str | None
    flagged: bool
    reason: str | None = None
    provenance: str = PROVENANCE


def _bound(rows: Columns) -> NDArray[np.str_]:
    parts = (
        rows.prefill_compute_s + rows.steps * rows.step_compute_s,
        rows.prefill_memory_s + rows.steps * rows.step_memory_s,
        rows.prefill_sent_s + rows.steps * rows.step_sent_s,
    )
    names: NDArray[np.str_] = np.asarray(roofline.BOUNDS)[np.argmax(np.stack(parts), axis=0)]
    return names


def _lower_bound(rows: Columns) -> Floats:
    read = rows.prefill_s + rows.prefill_sent_s
    return np.asarray(read + rows.steps * (rows.step_s + rows.step_sent_s), dtype=float)


def _estimate(rows: Columns, hw: Hardware, calibration: Calibration | None) -> Estimate:
    if calibration is None:
        floor = _lower_bound(rows)
        return Estimate(
            floor, floor, None, None, None, None, _bound(rows), "roofline", None, True,
            f"no calibration of {hw.name}: the time is a lower bound and energy is unknown",
        )  # fmt: skip
    transferred = calibration.device != hw.name
    time = calibration.time_s(rows)
    width, few = half_width(list(calibration.spread.values()))
    low, high = time * np.exp(-width), time * np.exp(width)
    reason = f"constants of {calibration.device} carried over" if transferred else None
    energy = energy_low = energy_high = None
    if calibration.has_power and not transferred:
        energy = calibration.energy_j(rows, hw.tdp_w)
        width, few_j = half_width(list(calibration.energy_spread.values()))
        energy_low, energy_high = energy * np.exp(-width), energy * np.exp(width)
        few = few or few_j
    elif not calibration.has_power:
        reason = reason or f"no power was measured in {calibration.id}: energy is unknown"
    return Estimate(
        time, low, high, energy, energy_low, energy_high, _bound(rows), "calibrated",
        calibration.id, few or transferred, reason,
    )  # fmt: skip


def estimate_steps(
    arch: Architecture, hw: Hardware, context: ArrayLike, batch: ArrayLike = 1, dtype: str = "bf16",
    devices: int = 1, calibration: Calibration | None = None, kv_dtype: str | None = None,
) -> Estimate:  # fmt: skip
    """One decode step of the whole batch, at each context (the token being made included)."""
    rows = workload_columns(arch, hw, dtype, devices, batch, context=context, kv_dtype=kv_dtype)
    return _estimate(rows, hw, calibration)


def estimate_requests(
    arch: Architecture, hw: Hardware, prompt: ArrayLike, output: ArrayLike, batch: ArrayLike = 1,
    dtype: str = "bf16", devices: int = 1, calibration: Calibration | None = None,
    kv_dtype: str | None = None,
) -> Estimate:  # fmt: skip
    """Whole requests. A server calibration knows decode steps alone and is refused (InputError)."""
    if calibration is not None and calibration.recipe == "server":
        raise InputError(
            f"calibration {calibration.id} covers decode steps of a server; ask for steps, or "
            "calibrate whole requests (--recipe single-stream)"
        )
    rows = workload_columns(arch, hw, dtype, devices, batch, prompt, output, kv_dtype=kv_dtype)
    return _estimate(rows, hw, calibration)
