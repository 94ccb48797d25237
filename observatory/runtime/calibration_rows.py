"""Rows that a calibration learns from, and the columns that its recipes need of them.

A row is a plain value: what ran, on how many devices, how long it took. Where it came from (a
store, a peer's file) is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.errors import InputError
from observatory.runtime import roofline

Floats = NDArray[np.float64]
TILE = 128  # prompt tokens a matrix kernel works on at once (METHOD §2.2: the tile staircase)


@dataclass(frozen=True)
class Sample:
    """One measured cell, s and W.

    A *request* has prompt and output tokens and `time_s` of the whole request. A *step* has a
    context (tokens attended, its own included) and `time_s` of one decode step of the whole batch.
    power_w is that of all devices together; None where it was not measured.
    """

    architecture: Architecture
    devices: int
    dtype: str
    batch: float
    time_s: float
    prompt: float | None = None
    output: float | None = None
    context: float | None = None
    power_w: float | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.time_s) and self.time_s > 0):
            raise InputError(f"{self.architecture.name}: time {self.time_s} s must be positive")
        if self.context is None and (self.prompt is None or self.output is None):
            raise InputError(
                f"{self.architecture.name}: a row needs a context, or prompt and output"
            )


def shape_name(arch: Architecture) -> str:
    """Models of equal shape are one model, whatever their names: they are held out together."""
    inner = arch.moe.expert_ff if arch.moe else arch.intermediate
    experts = f"-e{arch.experts}" if arch.moe else ""
    return f"{arch.model_type}-{arch.layers}x{arch.hidden}-f{inner}{experts}-v{arch.vocab}"


@dataclass(frozen=True)
class Columns:
    """Rows as arrays of one length; communication stands apart from the other rooflines."""

    group: NDArray[np.str_]
    layers: Floats
    devices: Floats
    batch: Floats
    steps: Floats  #: decode steps in the row's time: o-1, or 1 for a step
    prefill_s: Floats  #: roofline of the prefill at the tile-rounded prompt; 0 for a step
    prefill_sent_s: Floats
    step_s: Floats  #: mean roofline of a decode step
    step_sent_s: Floats  #: all-reduce time of a step at the catalogue's link bandwidth
    step_compute_s: Floats
    step_memory_s: Floats
    prefill_compute_s: Floats
    prefill_memory_s: Floats
    time_s: Floats
    power_w: Floats  #: per device; NaN where it was not measured

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def multi(self) -> Floats:
        """1 where a row ran on more than one device."""
        return (self.devices > 1).astype(float)

    @property
    def weight(self) -> Floats:
        """Square-root weights that give every model one vote, however many rows it has."""
        _, index, count = np.unique(self.group, return_inverse=True, return_counts=True)
        return np.asarray(1 / np.sqrt(count[index]), dtype=float)

    def take(self, mask: NDArray[np.bool_]) -> Columns:
        """The rows where `mask` holds."""
        return Columns(**{name: getattr(self, name)[mask] for name in self.__dataclass_fields__})


def workload_columns(
    arch: Architecture, hw: Hardware, dtype: str, devices: int, batch: ArrayLike,
    prompt: ArrayLike | None = None, output: ArrayLike | None = None,
    context: ArrayLike | None = None, kv_dtype: str | None = None,
) -> Columns:  # fmt: skip
    """Columns of workloads of one model on one machine; arrays broadcast together.

    With a context: decode steps; else requests of prompt and output tokens. Times and powers are
    NaN: nothing has been measured.
    """
    steps_only = context is not None
    parts = (batch, context if steps_only else prompt, 1 if steps_only else output)
    b, first, o = (
        np.asarray(x, dtype=float).ravel() for x in np.broadcast_arrays(*map(np.asarray, parts))
    )
    options = (b, dtype, devices, kv_dtype)
    zero = np.zeros_like(b)
    # A request's steps attend to p+1 … p+o-1 tokens: rooflines are taken at the middle of them.
    attended = first if steps_only else first + np.maximum(o, 2) / 2
    step = roofline.decode_time(arch, hw, attended, *options)
    read = roofline.prefill_time(arch, hw, np.ceil(first / TILE) * TILE, *options)
    return Columns(
        group=np.full(b.shape, shape_name(arch)),
        layers=zero + arch.layers,
        devices=zero + devices,
        batch=b,
        steps=zero + 1 if steps_only else np.maximum(o - 1, 0),
        prefill_s=zero if steps_only else np.maximum(read.compute_s, read.memory_s),
        prefill_sent_s=zero if steps_only else read.communication_s,
        step_s=np.maximum(step.compute_s, step.memory_s),
        step_sent_s=step.communication_s,
        step_compute_s=step.compute_s,
        step_memory_s=step.memory_s,
        prefill_compute_s=zero if steps_only else read.compute_s,
        prefill_memory_s=zero if steps_only else read.memory_s,
        time_s=np.full(b.shape, np.nan),
        power_w=np.full(b.shape, np.nan),
    )


def columns(samples: Sequence[Sample], hw: Hardware) -> Columns:
    """Columns of measured rows, in their order; one vectorised pass per model, type and count."""
    if not samples:
        raise InputError("no rows to calibrate on")
    kinds: dict[tuple[Architecture, str, int, bool], list[int]] = {}
    for index, row in enumerate(samples):
        key = (row.architecture, row.dtype, row.devices, row.context is not None)
        kinds.setdefault(key, []).append(index)
    blocks, order = [], []
    for (arch, dtype, devices, step), indices in kinds.items():
        rows = [samples[i] for i in indices]
        batch = [row.batch for row in rows]
        if step:
            context = np.array([row.context for row in rows], dtype=float)
            found = workload_columns(arch, hw, dtype, devices, batch, context=context)
        else:
            prompt = np.array([row.prompt for row in rows], dtype=float)
            output = np.array([row.output for row in rows], dtype=float)
            found = workload_columns(arch, hw, dtype, devices, batch, prompt, output)
        watts = [np.nan if r.power_w is None else r.power_w / r.devices for r in rows]
        measured = {"time_s": np.array([r.time_s for r in rows]), "power_w": np.array(watts)}
        blocks.append(replace(found, **measured))
        order += indices
    back = np.argsort(order)
    return Columns(
        **{
            name: np.concatenate([getattr(block, name) for block in blocks])[back]
            for name in Columns.__dataclass_fields__
        }
    )
