"""What is believed about a model on a machine before anything is measured.

A prior gives shapes, not truth: the planner learns the launch floor and the efficiency itself, so a
plain roofline is enough. Any two callables will do; `roofline_prior` makes them from an
architecture and a hardware row (METHOD 4), and `calibrated_prior` draws its scale and shape to what
fits of other models on the same device reached (`observatory.priors` finds those in a store).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.runtime import roofline
from observatory.runtime.fit import Fit
from observatory.runtime.observations import FloatArray

TimeOf = Callable[[FloatArray], FloatArray]
_BETWEEN_SD = 0.15  # of log scale between models on one stack, before two are seen (ours)
_BETWEEN_WEIGHT = 2.0  # models that this guess counts for (ours)
_DEVICES_SD = 0.1  # more for each doubling of devices: on V100, 16 for 1 moved it by 0.39 (ours)
_SIZE_SD = 0.05  # more for each doubling of parameters (ours)
_PROBES = 16
_SCALE_FLOORS = 3.0  # prefills of fewer floors say little of the compute bound
_SHAPE_FLOORS = 1.5  # but where the knee is they still say how it bends
_ORDER = 4  # of the norm that joins floor and bound


@dataclass(frozen=True)
class Prior:
    """Seconds of a prefill over prompt tokens, and of a decode step over its context.

    `scale` is what `prefill_s` is expected to be multiplied with (1/efficiency of a roofline),
    `scale_sd` how unsure that is, as a standard deviation of its logarithm. `tilt_sd` is how much
    the compute-bound part may grow, by the longest prompt, beyond or below what `prefill_s` says:
    attention's p² where it is not known. `overlaps` says whether launching runs ahead of the
    device, so that the larger of the two counts; where one processor does both, they add up.
    """

    prefill_s: TimeOf
    decode_s: TimeOf | None
    scale: float
    scale_sd: float
    source: str
    tilt_sd: float = 0.05
    overlaps: bool = True


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
    return Prior(prefill, decode, 1.6, 0.5, source, tilt_sd, overlaps=hw.kind != "cpu")


def ignorant_prior(knee_s: float) -> Prior:
    """No architecture at hand: prefill grows with the prompt, from somewhere near 200 tokens on.

    `knee_s` is the time of the shortest prefill, measured.
    """

    def prefill(prompt: FloatArray) -> FloatArray:
        return np.asarray(prompt, dtype=np.float64) * (knee_s / 200)

    return Prior(prefill, None, 1.0, 1.2, "none", tilt_sd=0.5)


@dataclass(frozen=True)
class SeenScale:
    """What one fit reached: prefill time over roofline where compute binds, and on what.

    `deviation` (k,) is how the logarithm of that ratio departs from `scale` at `prompts` (k,):
    the staircase of tiles, efficiency that grows with the prompt, attention beyond its roofline.
    """

    scale: float
    devices: int
    parameters: float
    prompts: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()


def seen_scale(
    fitted: Fit, arch: Architecture, hw: Hardware, dtype: str, devices: int
) -> SeenScale | None:
    """(alpha^4 - floor^4)^(1/4) / roofline where alpha is above the floor; None if it nowhere is.

    The floor is the shorter of the shortest prefill and a decode step. The scale is the median over
    prompts spread evenly in their logarithm, the deviation is taken at the fit's own.
    """
    batch = fitted.ranges.batch[0]
    low, high = fitted.ranges.prompt
    floor = max(0.0, min(float(fitted.curve(low * batch)), fitted.b0_s))

    def ratios(prompts: FloatArray, floors: float) -> tuple[FloatArray, FloatArray]:
        alpha = fitted.curve(prompts * batch)
        told = (alpha >= floors * floor) & (alpha > 0)
        bound = roofline.prefill_time(arch, hw, prompts[told], batch, dtype, devices).time_s
        return prompts[told], (alpha[told] ** _ORDER - floor**_ORDER) ** (1 / _ORDER) / bound

    _, spread = ratios(np.geomspace(low, high, _PROBES), _SCALE_FLOORS)
    if not len(spread):
        return None
    scale = float(np.median(spread))
    own = np.asarray(fitted.curve.tokens) / batch
    prompts, values = ratios(own[(own >= low) & (own <= high)], _SHAPE_FLOORS)
    return SeenScale(
        scale, devices, float(arch.active_matmul_parameters), tuple(map(float, prompts)),
        tuple(map(float, np.log(values / scale))),
    )  # fmt: skip


def calibrated_prior(
    prior: Prior, seen: Sequence[SeenScale], devices: int, parameters: float
) -> Prior:
    """The prior drawn to what other fits reached, in scale and shape; unchanged without any.

    log scale is normal with an unknown mean; each fit tells of it with the spread between models,
    more where devices or size differ. The spread is learned from the fits too, starting from a
    guess that counts as two of them. Ten fits that agree still leave the spread between models.
    The shape is the mean deviation of the fits from their scale, with one more that deviates
    nowhere, so that the noise of a lone fit is halved.
    """
    if not seen:
        return prior
    logs = np.log([s.scale for s in seen])
    deviations = float(np.sum((logs - logs.mean()) ** 2))
    between = (_BETWEEN_WEIGHT * _BETWEEN_SD**2 + deviations) / (_BETWEEN_WEIGHT + len(logs) - 1)
    weights = np.array([1 / (between + _unlike(s, devices, parameters)) for s in seen])
    before = 1 / (prior.scale_sd**2 - _BETWEEN_SD**2)
    known = before + float(weights.sum())
    centre = (before * math.log(prior.scale) + float(weights @ logs)) / known
    fits = f"{len(seen)} fit{'s' if len(seen) > 1 else ''} of the store"
    return replace(
        prior, prefill_s=_shaped(prior.prefill_s, seen), scale=math.exp(centre),
        scale_sd=math.sqrt(1 / known + between), source=f"{prior.source}, scaled by {fits}",
    )  # fmt: skip


def _shaped(prefill_s: TimeOf, seen: Sequence[SeenScale]) -> TimeOf:
    """`prefill_s` times the mean deviation of the fits; beyond a fit's prompts its last one."""
    told = [s for s in seen if s.prompts]
    if not told:
        return prefill_s
    knots = np.unique(np.concatenate([s.prompts for s in told]))
    total = np.sum([np.interp(knots, s.prompts, s.deviation) for s in told], axis=0)
    mean = total / (len(told) + 1)

    def shaped(prompt: FloatArray) -> FloatArray:
        return np.asarray(prefill_s(prompt) * np.exp(np.interp(prompt, knots, mean)))

    return shaped


def _unlike(seen: SeenScale, devices: int, parameters: float) -> float:
    """Variance of log scale that other device counts and sizes add."""
    doublings = math.log2(seen.devices / devices), math.log2(seen.parameters / parameters)
    return (_DEVICES_SD * doublings[0]) ** 2 + (_SIZE_SD * doublings[1]) ** 2
