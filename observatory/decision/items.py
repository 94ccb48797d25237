"""The items × models table of the routing lab, and what a policy makes of it.

The table says, for each item (a question) and model, whether the answer was correct (a share in
[0, 1]) and what the call cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observatory.decision.frontier import Option
from observatory.errors import InputError, UnknownNameError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Items:
    """A routing table: `correct` and `cost` have shape (items, models)."""

    items: tuple[str, ...]
    models: tuple[str, ...]
    correct: Floats
    cost: Floats

    @classmethod
    def of(
        cls, items: Sequence[str], models: Sequence[str], correct: ArrayLike, cost: ArrayLike
    ) -> Items:
        """Checked table; `cost` may be one value a model. Raises InputError for wrong shapes,
        values that are not finite, shares outside [0, 1] and negative costs."""
        c = np.asarray(correct, dtype=float)
        shape = (len(items), len(models))
        price = np.asarray(cost, dtype=float)
        if c.shape != shape or price.shape not in (shape, shape[1:]) or 0 in shape:
            raise InputError(
                f"routing needs correct and cost for {shape[0]} items × {shape[1]} models"
            )
        price = np.broadcast_to(price, shape)
        if not np.isfinite(c).all() or (c < 0).any() or (c > 1).any():
            raise InputError("`correct` must be 0, 1 or a share between, for every item and model")
        if not np.isfinite(price).all() or (price < 0).any():
            raise InputError("costs must be finite and not negative, for every item and model")
        return cls(tuple(items), tuple(models), c, price)

    def column(self, model: str) -> int:
        """Column of a model. Raises UnknownNameError."""
        if model not in self.models:
            raise UnknownNameError("model", model, list(self.models), ", ".join(self.models))
        return self.models.index(model)

    def options(self) -> list[Option]:
        """Every model alone: mean cost and mean quality."""
        cost, quality = self.cost.mean(axis=0), self.correct.mean(axis=0)
        return [Option(m, float(c), float(q))
                for m, c, q in zip(self.models, cost, quality, strict=True)]  # fmt: skip

    def ends(self) -> tuple[str, str]:
        """The cheapest model and the best one: the usual weak and strong ends of a router."""
        options = self.options()
        weak = min(options, key=lambda o: (o.cost, -o.quality))
        strong = max(options, key=lambda o: (o.quality, -o.cost))
        return weak.name, strong.name


@dataclass(frozen=True, slots=True)
class Routed:
    """What a policy spends and gets for each item; `calls` is the share of items per model.

    A cascade calls more than one model for an item, so its shares add to more than 1.
    """

    policy: str
    cost: float
    quality: float
    calls: dict[str, float]

    @property
    def cost_per_correct(self) -> float | None:
        """Cost for each correct answer; None where nothing is correct."""
        return self.cost / self.quality if self.quality > 0 else None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A router that sends the `strong_fraction` of items it thinks hardest to `strong`."""

    strong_fraction: float
    cost: float
    quality: float
    pgr: float | None  #: performance gap recovered; None where weak and strong are equally good
