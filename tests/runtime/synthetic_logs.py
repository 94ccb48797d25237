"""Synthetic profiling logs: curves with drawn knees, tile widths, noise and interference.

They stand beside the public logs so that a planner is not judged on nine machines alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from observatory.runtime.observations import Observation, Point, observed
from observatory.runtime.prior import Prior

DENSE = [1, *range(16, 65, 16), *range(96, 257, 32), *range(320, 1025, 64), *range(1152, 1537, 128)]
SPARSE = [1, 16, 32, 64, 128, 192, 256, 384, 512, 768, 1024]
OUTPUTS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
TILES = (0, 64, 96, 192, 256, 128)
RESOLUTION_S = 1e-3


def synthetic_log(seed: int) -> tuple[list[Observation], Prior]:
    """A grid of whole requests and the roofline-like prior of its machine.

    The seed draws floor, knee (60 to 500 tokens), how sharp it is, the share of a tile that
    rounding costs, a smooth deviation, noise of 0.1 to 1.5 %, and, on three logs of ten, rows that
    interference slows by 5 to 15 %. Tile widths take turns.
    """
    rng = np.random.default_rng(seed)
    tile = TILES[seed % len(TILES)]
    prompts = SPARSE if rng.random() < 0.33 else DENSE
    floor = float(np.exp(rng.uniform(np.log(0.015), np.log(0.12))))
    knee = float(np.exp(rng.uniform(np.log(60), np.log(500))))
    order, rounding = float(rng.choice([1.2, 2, 4, 8])), rng.uniform(0.3, 1)
    attention, noise = rng.uniform(0, 2e-4), float(np.exp(rng.uniform(np.log(1e-3), np.log(0.015))))
    disturbed = bool(rng.random() < 0.3)
    octaves = np.log2(np.arange(1, 2049) + 16.0)
    deviation = np.zeros(len(octaves))
    for _ in range(3):
        phase = octaves * rng.uniform(0.15, 0.6) + rng.random()
        deviation += rng.normal(0, 0.03) * np.sin(2 * np.pi * phase)
    step = floor * rng.uniform(0.85, 1.05)
    growth = rng.choice([0.0, 0.0, 0.05]) * step / 1500

    def alpha(p: int) -> float:
        whole = p + rounding * (tile * -(-p // tile) - p) if tile else p
        bound = floor / knee * whole * (1 + attention * p)
        return float((floor**order + bound**order) ** (1 / order) * (1 + deviation[p - 1]))

    grid = []
    for p in prompts:
        for o in OUTPUTS:
            point = Point("e2e", p, o)
            time = alpha(p) + step * (o - 1) + growth * point.context_sum
            time *= float(np.exp(noise * rng.standard_normal()))
            if disturbed and rng.random() < 0.06:
                time *= 1 + rng.uniform(0.05, 0.15)
            time = max(round(time / RESOLUTION_S), 1) * RESOLUTION_S
            grid.append(observed(point, time, std_s=float(noise * time)))
    slope = floor / knee / float(np.exp(rng.normal(np.log(1.6), 0.25)))
    memory = float(step * rng.uniform(0.3, 0.8) / 1.6)
    prior = Prior(
        lambda p: np.maximum(memory, slope * np.asarray(p)), lambda c: memory + 0 * np.asarray(c),
        1.6, 0.5, "synthetic",
    )  # fmt: skip
    return grid, prior


def of_speed(prior: Prior, factor: float) -> Prior:
    """A prior that expects every time to be `factor` times as long."""
    prefill_s, decode_s = prior.prefill_s, prior.decode_s
    assert decode_s is not None  # both rooflines and synthetic priors have one
    return replace(
        prior, prefill_s=lambda p: factor * prefill_s(p), decode_s=lambda c: factor * decode_s(c)
    )
