"""Do two measures rank alike? Kendall's tau-b and the share of pairs that change places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from observatory.errors import InputError


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """How two orderings of the same things agree. `flipped` pairs stand in opposite order;
    pairs tied in either are counted apart and stand in no share."""

    tau_b: float | None
    pairs: int
    flipped: int
    tied: int

    @property
    def flipped_share(self) -> float | None:
        """Flipped over pairs that both order; None where there is none."""
        ordered = self.pairs - self.tied
        return self.flipped / ordered if ordered else None


def rank_agreement(a: ArrayLike, b: ArrayLike) -> RankAgreement:
    """Compare two measures of the same n things, O(n²) pairs.

    tau_b = (C - D) / sqrt((n0 - ties_a)(n0 - ties_b)) (Kendall 1945); None where one measure does
    not tell anything apart. Raises InputError for unequal lengths or values that are not finite.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"rankings of {x.shape} and {y.shape} things cannot be compared")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("rankings need finite numbers")
    i, j = np.triu_indices(x.size, 1)
    sx, sy = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
    product = sx * sy
    pairs, flipped = int(i.size), int((product < 0).sum())
    agree = int((product > 0).sum())
    spread = math.sqrt(float((sx != 0).sum()) * float((sy != 0).sum()))
    tau = (agree - flipped) / spread if spread else None
    return RankAgreement(tau, pairs, flipped, pairs - agree - flipped)


def flips(names: Sequence[str], a: Sequence[float], b: Sequence[float]) -> list[tuple[str, str]]:
    """Pairs in opposite order: (x, y) where `a` puts x before y and `b` puts y before x."""
    found = []
    for i, first in enumerate(names):
        for j, second in enumerate(names):
            if a[i] < a[j] and b[i] > b[j]:
                found.append((first, second))
    return found
