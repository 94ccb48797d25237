"""What is believed about a model on a machine before anything is measured.

A prior gives shapes, not truth: the planner learns the launch floor and the efficiency itself, so a
plain roofline is enough. Any two callables will do; `roofline_prior` makes them from an
architecture and a hardware row (METHOD 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.runtime import roofline
from observatory.runtime.observations import FloatArray

TimeOf = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Prior:
    """Seconds of a prefill over prompt tokens, and of a decode step over its context.

    `scale` is what `prefill_s` is expected to be multiplied with (1/efficiency of a roofline),
    `scale_sd` how unsure that is, as a standard deviation of its logarithm. `tilt_sd` is how much
    the compute-bound part may grow, by the longest prompt, beyond or below what `prefill_s` says:
    attention's p² where it is not known.
    """

    prefill_s: TimeOf
    decode_s: TimeOf | None
    scale: float
    scale_sd: float
    source: str
    tilt_sd: float = 0.05


def roofline_prior(
    arch: Architecture, hw: Hardware, dtype: str, devices: int = 1, batch: int = 1
) -> Prior:
    """The plain roofline; kernels are expected to reach about 60 % of it *(ours)*."""

    def prefill(prompt: FloatArray) -> FloatArray:
        return roofline.prefill_time(arch, hw, prompt, batch, dtype, devices).time_s

    def decode(context: FloatArray) -> FloatArray:
        return roofline.decode_time(arch, hw, context, batch, dtype, devices).time_s

    tilt_sd = 0.5 if hw.kind == "cpu" else 0.05  # attention on a CPU is far from its roofline
    source = f"roofline of {arch.name} on {hw.name}"
    return Prior(prefill, decode, 1.6, 0.5, source, tilt_sd)


def ignorant_prior(knee_s: float) -> Prior:
    """No architecture at hand: prefill grows with the prompt, from somewhere near 200 tokens on.

    `knee_s` is the time of the shortest prefill, measured.
    """

    def prefill(prompt: FloatArray) -> FloatArray:
        return np.asarray(prompt, dtype=np.float64) * (knee_s / 200)

    return Prior(prefill, None, 1.0, 1.2, "none", tilt_sd=0.5)
