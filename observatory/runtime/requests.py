"""Distributions of requests: what a log or a trace of (p, o) costs, exactly and by its moments.

A fit is linear in (o-1) and in S = (o-1)p + o(o-1)/2, so the mean decode time needs only the
moments E[o-1] and E[S]; alpha is not linear in p and is averaged over the distribution of p.
Plugging in mean p and mean o instead is biased wherever p and o vary together or alpha bends
(METHOD 2.3).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from observatory.errors import InputError
from observatory.runtime.fit import Fit
from observatory.runtime.observations import FloatArray

_PROMPT_COLUMNS = ("p", "prompt_tokens", "prompt", "input_tokens", "num_prefill_tokens")
_OUTPUT_COLUMNS = ("o", "output_tokens", "output", "completion_tokens", "num_decode_tokens")


@dataclass(frozen=True)
class Requests:
    """A distribution: prompt and output tokens (n,) and how often each pair occurs (n,)."""

    prompt: FloatArray
    output: FloatArray
    count: FloatArray

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]]) -> Requests:
        """Distinct (p, o) pairs with their counts. Raises InputError for none or sizes below 1."""
        if not pairs:
            raise InputError("requests: there are none")
        distinct, count = np.unique(np.asarray(pairs, dtype=np.float64), axis=0, return_counts=True)
        if distinct.min() < 1:
            raise InputError(f"requests: {distinct.min():g} tokens: both must be 1 or more")
        return cls(distinct[:, 0], distinct[:, 1], count.astype(np.float64))

    @property
    def weights(self) -> FloatArray:
        """Shares of the pairs, (n,), adding up to 1."""
        return np.asarray(self.count / self.count.sum())

    def mean(self, values: FloatArray) -> float:
        """Mean of `values` (n,) over the requests."""
        return float(self.weights @ values)

    def quantile(self, values: FloatArray, share: float) -> float:
        """The smallest of `values` (n,) that `share` of the requests do not exceed."""
        order = np.argsort(values, kind="stable")
        reached = np.cumsum(self.count[order])
        at = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)))
        return float(values[order][at])


@dataclass(frozen=True)
class Moments:
    """What the decode of a distribution needs: E[o-1], E[(o-1)p] and E[o(o-1)/2]."""

    steps: float
    prompt_steps: float
    own_context: float

    @property
    def context_sum(self) -> float:
        """E[S]."""
        return self.prompt_steps + self.own_context


@dataclass(frozen=True)
class RequestsEstimate:
    """Mean seconds of a request: summed over all, by moments, and with means plugged in.

    `plug_in_bias` is relative to the exact mean; `extrapolated_share` the share of requests outside
    the measured ranges. `p50_s` and `p95_s` are percentiles over requests, each of its own time:
    the smallest time that at least half, or 95 %, of them do not exceed.
    """

    requests: int
    exact_s: float
    by_moments_s: float
    plug_in_s: float
    plug_in_bias: float
    p50_s: float
    p95_s: float
    extrapolated_share: float
    mean_prompt: float
    mean_output: float
    moments: Moments


def moments(requests: Requests) -> Moments:
    """The moments of a distribution."""
    p, o = requests.prompt, requests.output
    return Moments(requests.mean(o - 1), requests.mean((o - 1) * p), requests.mean(o * (o - 1) / 2))


def estimate_requests(fitted: Fit, requests: Requests, batch: int = 1) -> RequestsEstimate:
    """Mean time of a request of the distribution, three ways; see `RequestsEstimate`."""
    told = fitted.predict_many(requests.prompt, requests.output, batch)
    exact = requests.mean(told.runtime_s)
    found = moments(requests)
    one = np.full(1, float(batch))
    decode = fitted.step.total_s(np.full(1, found.steps), np.full(1, found.context_sum), one)
    by_moments = requests.mean(told.ttft_s) + float(decode[0])
    mean_p, mean_o = requests.mean(requests.prompt), requests.mean(requests.output)
    plug_in = float(fitted.predict_many(mean_p, mean_o, batch).runtime_s)
    return RequestsEstimate(
        int(requests.count.sum()), exact, by_moments, plug_in, plug_in / exact - 1,
        requests.quantile(told.runtime_s, 0.5), requests.quantile(told.runtime_s, 0.95),
        requests.mean(told.extrapolated.astype(np.float64)), mean_p, mean_o, found,
    )  # fmt: skip


def read_requests(path: Path) -> Requests:
    """Requests of a CSV with a column of prompt and one of output tokens.

    Raises InputError naming the line of a value that is no whole number of 1 or more.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = [name.strip().lower() for name in reader.fieldnames or []]
            prompt, output = (
                _column(path, names, _PROMPT_COLUMNS),
                _column(path, names, _OUTPUT_COLUMNS),
            )
            pairs = [
                (_whole(path, line, row, reader, prompt), _whole(path, line, row, reader, output))
                for line, row in enumerate(reader, start=2)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    return Requests.of(pairs)


def _column(path: Path, names: list[str], known: tuple[str, ...]) -> int:
    for name in known:
        if name in names:
            return names.index(name)
    raise InputError(f"{path}: no column of tokens; name one of {', '.join(known)}")


def _whole(
    path: Path, line: int, row: dict[str, str], reader: csv.DictReader[str], column: int
) -> int:
    fields = reader.fieldnames or []
    text = (row.get(fields[column]) or "").strip()
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{path}, line {line}: {text!r} is no number of tokens (1 or more)")
    return int(text)
