"""Measurements as rows of one linear model.

    T = [has prefill] * alpha(B*p) + steps * (c0 + c1*B) + B * context_sum * b1

Three kinds of rows share it. A *request* of p prompt and o output tokens (phase `e2e`) has one
prefill, which gives the first token, and o-1 decode steps. The first of them works at context p+1
(the prompt and the current token), the last at p+o-1, so context_sum = (o-1)p + o(o-1)/2.
A *prefill* is a request with o=1. A *decode* stretch has no prefill: n = `output_tokens` steps
begun with K = `context_tokens` tokens in the KV cache. A step's context c counts its own token, as
METHOD 4 does, so the first has c = K+1 and context_sum = n*(K+1) + n(n-1)/2: the decode part of a
request is the stretch K=p, n=o-1.

Prefill work is laid over B*p, the prompt tokens of the whole batch: the matrix products, which are
nearly all of it, do not see how those tokens are divided among sequences.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observatory.errors import InputError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]

PHASES = ("prefill", "decode", "e2e")


@dataclass(frozen=True)
class Point:
    """What to measure or to predict: a phase and its sizes, no time yet.

    `phase` is `prefill` (output_tokens is 1), `e2e` (a whole request) or `decode` (`output_tokens`
    steps that find `context_tokens` tokens in the KV cache; `prompt_tokens` is then ignored).
    Raises InputError for sizes that make no sense.
    """

    phase: str
    prompt_tokens: int
    output_tokens: int
    batch: int = 1
    context_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise InputError(f"phase {self.phase!r}: use one of {', '.join(PHASES)}")
        if self.batch < 1 or self.output_tokens < 1:
            raise InputError(
                f"batch {self.batch}, output tokens {self.output_tokens}: both must be 1 or more"
            )
        if self.phase == "decode":
            if self.context_tokens is None or self.context_tokens < 0:
                raise InputError(
                    f"context_tokens {self.context_tokens!r}: a decode stretch needs 0 or more"
                )
        elif self.prompt_tokens < 1:
            raise InputError(f"prompt tokens {self.prompt_tokens}: must be 1 or more")
        if self.phase == "prefill" and self.output_tokens != 1:
            raise InputError(f"output tokens {self.output_tokens}: a prefill gives exactly 1")

    @property
    def has_prefill(self) -> bool:
        """Whether the stretch contains the prompt's pass."""
        return self.phase != "decode"

    @property
    def steps(self) -> int:
        """Decode steps inside the stretch."""
        return self.output_tokens - 1 if self.has_prefill else self.output_tokens

    @property
    def first_context(self) -> int:
        """Context of the first decode step, the current token counted."""
        if self.has_prefill:
            return self.prompt_tokens + 1
        assert self.context_tokens is not None  # checked on construction
        return self.context_tokens + 1

    @property
    def context_sum(self) -> float:
        """Sum of the contexts of all decode steps (METHOD 2.3, the term S)."""
        return self.steps * self.first_context + self.steps * (self.steps - 1) / 2

    def label(self) -> str:
        """Short text for messages, such as `prefill p=128` or `decode c=512 n=16`."""
        sizes = {
            "prefill": f"p={self.prompt_tokens}",
            "e2e": f"p={self.prompt_tokens} o={self.output_tokens}",
            "decode": f"c={self.context_tokens} n={self.output_tokens}",
        }[self.phase]
        return f"{self.phase} {sizes}" + (f" B={self.batch}" if self.batch != 1 else "")


@dataclass(frozen=True)
class Observation:
    """One measured `Point`; `runtime_s` is one iteration's wall time (or any additive cost of it).

    `std_s` is the spread of the iterations, `process` a label of the process that measured,
    `interval_rel` how far the 95 % interval of its windows reaches above their median, as a share;
    None: not known, as with a single window.
    Raises InputError as `Point` does, and for a time that is not positive and finite.
    """

    prompt_tokens: int
    output_tokens: int
    batch: int
    runtime_s: float
    phase: str
    std_s: float | None = None
    process: str | None = None
    context_tokens: int | None = None
    interval_rel: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.runtime_s) and self.runtime_s > 0):
            raise InputError(f"runtime_s {self.runtime_s!r}: must be a positive, finite number")
        _ = self.point  # its checks are ours

    @property
    def point(self) -> Point:
        """What was measured."""
        return Point(
            self.phase, self.prompt_tokens, self.output_tokens, self.batch, self.context_tokens
        )


def observed(point: Point, runtime_s: float, **details: Any) -> Observation:
    """The observation that `point` took `runtime_s`; `details` are `std_s` and `process`."""
    return Observation(
        point.prompt_tokens, point.output_tokens, point.batch, runtime_s, point.phase,
        context_tokens=point.context_tokens, **details,
    )  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Observations as columns, each of shape (n,), in an order that shuffling cannot change."""

    prompt: FloatArray
    output: FloatArray
    batch: FloatArray
    prefill: BoolArray
    steps: FloatArray
    context_sum: FloatArray
    first_context: FloatArray
    runtime_s: FloatArray
    interval_rel: FloatArray  #: of each row's own windows, NaN where not known

    @property
    def prompt_total(self) -> FloatArray:
        """Prompt tokens of the whole batch, B*p: the coordinate of alpha."""
        return self.prompt * self.batch

    def __len__(self) -> int:
        return len(self.runtime_s)

    def select(self, mask: BoolArray | IndexArray) -> Rows:
        """The rows where `mask` (n,) is true, or those of the given indices."""
        return Rows(**{name: getattr(self, name)[mask] for name in Rows.__dataclass_fields__})


def _order(row: Observation) -> tuple[object, ...]:
    return (
        row.phase, row.batch, row.prompt_tokens, row.output_tokens,
        -1 if row.context_tokens is None else row.context_tokens, row.runtime_s, row.process or "",
    )  # fmt: skip


def rows_of(observations: Sequence[Observation]) -> Rows:
    """Columns of the linear model. Raises InputError when there is nothing."""
    if not observations:
        raise InputError("no observations: a fit needs measured points")
    ordered = sorted(observations, key=_order)
    rows = rows_at([o.point for o in ordered], [o.runtime_s for o in ordered])
    known = [math.nan if o.interval_rel is None else o.interval_rel for o in ordered]
    return replace(rows, interval_rel=np.asarray(known, dtype=np.float64))


def rows_at(points: Sequence[Point], runtime_s: Sequence[float] | None = None) -> Rows:
    """Columns of points in the order given; without times they are NaN, as intervals are."""

    def column(values: list[float]) -> FloatArray:
        return np.asarray(values, dtype=np.float64)

    times = [math.nan] * len(points) if runtime_s is None else list(runtime_s)
    return Rows(
        prompt=column([p.prompt_tokens if p.has_prefill else 0 for p in points]),
        output=column([p.output_tokens for p in points]),
        batch=column([p.batch for p in points]),
        prefill=np.asarray([p.has_prefill for p in points], dtype=np.bool_),
        steps=column([p.steps for p in points]),
        context_sum=column([p.context_sum for p in points]),
        first_context=column([p.first_context for p in points]),
        runtime_s=column(times),
        interval_rel=np.full(len(points), math.nan),
    )


def data_hash(observations: Sequence[Observation]) -> str:
    """SHA-256 of the observations, whatever their order: the identity of a fit's input."""
    digest = hashlib.sha256()
    for row in sorted(observations, key=_order):
        known = () if row.interval_rel is None else (row.interval_rel,)
        digest.update(repr((_order(row), row.std_s, *known)).encode())
    return digest.hexdigest()
