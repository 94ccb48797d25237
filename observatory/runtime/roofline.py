"""The roofline: how fast a machine could run a phase at best, and how near a measured row came.

time = max(FLOPs / (n·peak), bytes / (n·bandwidth)) + communication (Williams et al., 2009; METHOD
§4). Everything takes numpy arrays (prompt, context, batch, output broadcast together) and returns
arrays. All results are `modelled`: a bound from the catalogue's peaks, not a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.catalog.weights import weight_format
from observatory.errors import InputError

Floats = NDArray[np.float64]
BOUNDS = ("compute", "memory", "communication")
_KV_BYTES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0}
_STEPS = 16  # strata of the sum over decode steps; exact where one bound holds throughout


def kv_bytes_of(kv_dtype: str | None, dtype: str) -> float:
    """Bytes of one KV-cache element; without a KV type, that of the weights, at least 16 bits."""
    if kv_dtype is None:
        return 4.0 if weight_format(dtype).name == "fp32" else 2.0
    if kv_dtype not in _KV_BYTES:
        raise InputError(f"unknown KV-cache type {kv_dtype!r}: one of {', '.join(_KV_BYTES)}")
    return _KV_BYTES[kv_dtype]


@dataclass(frozen=True)
class Work:
    """What a phase takes: floating-point operations, bytes moved, bytes sent by each device."""

    flops: Floats
    bytes_moved: Floats
    bytes_sent: Floats
    messages: int


@dataclass(frozen=True)
class Roofline:
    """Time of a phase, s, and its three parts; arrays of one shape."""

    time_s: Floats
    compute_s: Floats
    memory_s: Floats
    communication_s: Floats

    @property
    def bound(self) -> NDArray[np.str_]:
        """Which part is the largest: `compute`, `memory` or `communication`."""
        parts = np.stack([self.compute_s, self.memory_s, self.communication_s])
        names: NDArray[np.str_] = np.asarray(BOUNDS)[np.argmax(parts, axis=0)]
        return names

    def __add__(self, other: Roofline) -> Roofline:
        return Roofline(
            self.time_s + other.time_s,
            self.compute_s + other.compute_s,
            self.memory_s + other.memory_s,
            self.communication_s + other.communication_s,
        )


def _arrays(*values: ArrayLike) -> list[Floats]:
    return [np.asarray(v, dtype=float) for v in np.broadcast_arrays(*map(np.asarray, values))]


def _sent(arch: Architecture, tokens: Floats, dtype: str, devices: int) -> Floats:
    """Ring all-reduce bytes of tensor parallelism: two all-reduces a layer."""
    if devices < 1:
        raise InputError(f"devices is {devices}; it must be at least 1")
    width = 4 if weight_format(dtype).name == "fp32" else 2
    share = 2 * (devices - 1) / devices
    return 2 * arch.layers * share * tokens * arch.hidden * width


def prefill_work(
    arch: Architecture, prompt: ArrayLike, batch: ArrayLike = 1, dtype: str = "bf16",
    devices: int = 1, kv_dtype: str | None = None, causal: bool = True,
) -> Work:  # fmt: skip
    """Work of reading `prompt` tokens in each of `batch` sequences."""
    p, b = _arrays(prompt, batch)
    return Work(
        flops=arch.prefill_flops(p, b, causal),
        bytes_moved=arch.prefill_bytes(p, b, dtype, kv_bytes_of(kv_dtype, dtype)),
        bytes_sent=_sent(arch, p * b, dtype, devices),
        messages=2 * arch.layers if devices > 1 else 0,
    )


def decode_work(
    arch: Architecture, context: ArrayLike, batch: ArrayLike = 1, dtype: str = "bf16",
    devices: int = 1, kv_dtype: str | None = None,
) -> Work:  # fmt: skip
    """Work of one decode step: one token in each of `batch` sequences of `context` tokens."""
    c, b = _arrays(context, batch)
    return Work(
        flops=arch.decode_flops(c, b),
        bytes_moved=arch.decode_bytes(c, b, dtype, kv_bytes_of(kv_dtype, dtype)),
        bytes_sent=_sent(arch, b, dtype, devices),
        messages=2 * arch.layers if devices > 1 else 0,
    )


def _time(
    work: Work, hw: Hardware, dtype: str, devices: int, link_latency_s: float, communication: bool
) -> Roofline:
    compute = work.flops / (devices * hw.peak(dtype))
    memory = work.bytes_moved / (devices * hw.bandwidth_bytes_per_s)
    sent = np.zeros_like(compute)
    if communication and devices > 1:
        sent = work.bytes_sent / hw.interconnect() + work.messages * link_latency_s
    return Roofline(np.maximum(compute, memory) + sent, compute, memory, sent)


def prefill_time(
    arch: Architecture, hw: Hardware, prompt: ArrayLike, batch: ArrayLike = 1, dtype: str = "bf16",
    devices: int = 1, kv_dtype: str | None = None, link_latency_s: float = 0.0,
    communication: bool = True,
) -> Roofline:  # fmt: skip
    """Lower bound of the time to first token, s."""
    work = prefill_work(arch, prompt, batch, dtype, devices, kv_dtype)
    return _time(work, hw, dtype, devices, link_latency_s, communication)


def decode_time(
    arch: Architecture, hw: Hardware, context: ArrayLike, batch: ArrayLike = 1, dtype: str = "bf16",
    devices: int = 1, kv_dtype: str | None = None, link_latency_s: float = 0.0,
    communication: bool = True,
) -> Roofline:  # fmt: skip
    """Lower bound of one decode step, s; `context` counts the token being made."""
    work = decode_work(arch, context, batch, dtype, devices, kv_dtype)
    return _time(work, hw, dtype, devices, link_latency_s, communication)


def request_time(
    arch: Architecture, hw: Hardware, prompt: ArrayLike, output: ArrayLike, batch: ArrayLike = 1,
    dtype: str = "bf16", devices: int = 1, kv_dtype: str | None = None,
    link_latency_s: float = 0.0, communication: bool = True,
) -> Roofline:  # fmt: skip
    """Lower bound of a whole request, s: prefill (the first token) and o-1 decode steps.

    The steps' contexts run from p+1 to p+o-1; their sum is taken at 16 stratum midpoints, exact
    wherever the same bound holds along the request.
    """
    p, o, b = _arrays(prompt, output, batch)
    options = (dtype, devices, kv_dtype, link_latency_s, communication)
    total = prefill_time(arch, hw, p, b, *options)
    steps = np.maximum(o - 1, 0)
    middle = (np.arange(_STEPS) + 0.5) / _STEPS
    context = p[..., None] + 0.5 + middle * steps[..., None]
    each = decode_time(arch, hw, context, b[..., None], *options)
    parts = (each.time_s, each.compute_s, each.memory_s, each.communication_s)
    return total + Roofline(*(part.mean(axis=-1) * steps for part in parts))


@dataclass(frozen=True)
class Utilisation:
    """Model FLOPs utilisation and model bandwidth utilisation of measured rows (0 to 1)."""

    mfu: Floats
    mbu: Floats


def utilisation(
    work: Work, hw: Hardware, measured_s: ArrayLike, dtype: str = "bf16", devices: int = 1
) -> Utilisation:
    """MFU and MBU of rows that did `work` in `measured_s` seconds on `devices` devices.

    Source: PaLM (arXiv 2204.02311) appendix B for MFU; the same ratio on bytes for MBU.
    """
    time = np.asarray(measured_s, dtype=float)
    return Utilisation(
        mfu=work.flops / (time * devices * hw.peak(dtype)),
        mbu=work.bytes_moved / (time * devices * hw.bandwidth_bytes_per_s),
    )
