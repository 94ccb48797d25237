"""Optional terms of a decode step, each switched on only by evidence (METHOD 2.3).

step(B) = c0 + c1*B + ce*(1 - (1-k/E)^B), and b1 seconds for each token of context of each sequence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from observatory.errors import InputError
from observatory.runtime.observations import FloatArray, Rows

DELTA_BIC_BAR = -10.0  # Kass & Raftery (1995): "very strong"
GROWTH_BAR = 0.02
PERFECT = 1e-9  # root mean square relative residual below which nothing is left to explain


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: `total` experts a layer, `active` chosen for each token."""

    total: int
    active: int

    def __post_init__(self) -> None:
        if not 0 < self.active < self.total:
            raise InputError(
                f"experts: {self.active} active of {self.total}: need 0 < active < total"
            )

    def touched_share(self, batch: FloatArray) -> FloatArray:
        """Share of the experts met by `batch` tokens that choose at random."""
        return np.asarray(1 - (1 - self.active / self.total) ** batch)


@dataclass(frozen=True)
class Terms:
    """Which optional terms a design has."""

    batch: bool = False
    context: bool = False
    experts: Experts | None = None


@dataclass(frozen=True)
class Evidence:
    """Why a term is on or off. `delta_bic` < -10 is asked for; None where it could not be tried."""

    name: str
    accepted: bool
    delta_bic: float | None
    growth: float | None
    reason: str


def delta_bic(rss_without: float, rss_with: float, n: int) -> float:
    """n ln(ratio of the relative residual sums) + ln n, for one more parameter."""
    floor = n * PERFECT**2
    return n * math.log(max(rss_with, floor) / max(rss_without, floor)) + math.log(n)


def slope_contexts(rows: Rows) -> int:
    """At how many different contexts a decode slope was measured.

    A decode stretch is one; requests give one where a prompt was met with two output lengths.
    """
    starts = set(rows.first_context[~rows.prefill].tolist())
    pairs: dict[float, set[float]] = {}
    for start, steps in zip(
        rows.first_context[rows.prefill], rows.steps[rows.prefill], strict=True
    ):
        pairs.setdefault(float(start), set()).add(float(steps))
    return len(starts | {start for start, seen in pairs.items() if len(seen) > 1})


def largest_context(rows: Rows) -> float:
    """The longest context of any decode step, 0 where there is none."""
    last = rows.first_context + rows.steps - 1
    return float(np.max(np.where(rows.steps > 0, last, 0.0)))


def batch_sizes(rows: Rows) -> int:
    """How many batch sizes have decode steps."""
    return len(np.unique(rows.batch[rows.steps > 0]))


def tokens_per_step(acceptance: float, draft: int) -> float:
    """Expected tokens of one speculative step: (1 - a^(g+1)) / (1 - a), g = `draft` tokens.

    Source: Leviathan, Kalman & Matias, *Fast Inference from Transformers via Speculative Decoding*
    (ICML 2023), equation 1. Raises InputError outside 0 <= a <= 1 or for a negative draft.
    """
    if not 0 <= acceptance <= 1 or draft < 0:
        raise InputError(
            f"speculation: acceptance {acceptance} (0 to 1), draft {draft} (0 or more)"
        )
    if acceptance == 1:
        return draft + 1.0
    return (1 - acceptance ** (draft + 1)) / (1 - acceptance)
