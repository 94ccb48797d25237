"""Every fit of the store asked at once: the same numbers as `Fit.predict`, without the objects.

A store of 10,000 configurations holds tens of thousands of fits. Reading each as a `Fit` takes
seconds; here the database hands out the few numbers that a prediction needs, fits whose curves have
the same knots are evaluated together, and the formulas are those of `runtime.predict`, element by
element.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine, Text, cast, select

from observatory.answers.names import labels
from observatory.errors import InputError
from observatory.fitting import DEFAULT_RECIPE
from observatory.records import Workload
from observatory.runtime.curves import end_slope, quadratic_shape, roofline_shape
from observatory.runtime.observations import BoolArray, FloatArray
from observatory.runtime.predict import Predictions, range_reason
from observatory.runtime.terms import Experts
from observatory.store import schema

RUNTIME = "runtime_s"
ENERGY_FITS = ("energy_device_j", "energy_cpu_j", "energy_dram_j")
_RANGES = ("prompt", "output", "batch", "context")
_NUMBERS = (
    "heldout_p90_error", "p95_error", "between_process_rel", "n_heldout", "overhead_s", "c0_s",
    "per_sequence_s", "per_context_token_s", "experts_s",
)  # fmt: skip


@dataclass(frozen=True)
class LawTable:
    """Fits of one quantity: `rows` holds their columns, one row each, in the order of all arrays.

    `knots` and `alpha_s` hold tuples of equal length a row; `shape` the curve's own parameters.
    """

    rows: pd.DataFrame
    kinds: list[str]
    knots: list[tuple[float, ...]]
    alpha_s: list[list[float]]
    shape: list[list[float]]
    experts: dict[int, Experts]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> FloatArray:
        """A column of numbers; NaN where it is missing."""
        return np.asarray(self.rows[name].to_numpy(dtype=float))

    @cached_property
    def _groups(self) -> list[tuple[str, tuple[float, ...], FloatArray, FloatArray, Any]]:
        """(kind, knots, alpha (k, n), shape (m, n), places) of fits that are evaluated together."""
        found: dict[tuple[str, tuple[float, ...]], list[int]] = {}
        for i, key in enumerate(zip(self.kinds, self.knots, strict=True)):
            found.setdefault(key, []).append(i)
        return [
            (kind, knots, np.array([self.alpha_s[i] for i in at]).T,
             np.array([self.shape[i] for i in at]).T, np.array(at))
            for (kind, knots), at in found.items()
        ]  # fmt: skip

    def predict(self, prompt: int, output: int, batch: int = 1) -> Predictions:
        """Times (or joules) of one request by every fit, arrays of shape (n,).

        Raises InputError for sizes below 1.
        """
        for name, value in (("prompt tokens", prompt), ("output tokens", output), ("batch", batch)):
            if value < 1:
                raise InputError(f"{name} {value:g}: must be 1 or more")
        p, o, b = float(prompt), float(output), float(batch)
        prefill = np.zeros(len(self))
        for kind, knots, alpha, shape, at in self._groups:
            prefill[at] = np.maximum(_curve(kind, np.asarray(knots), alpha, shape, p * b), 0.0)
        steps = o - 1
        decode = steps * self._step(b) + _or_zero(self.column("per_context_token_s")) * b * (
            steps * p + (o - 1) * o / 2
        )
        ttft = prefill + self.column("overhead_s")
        tpot = decode / (o - 1) if o > 1 else np.full(len(self), np.nan)
        return Predictions(ttft + decode, prefill, decode, ttft, tpot, self._outside(p, o, b))

    def _step(self, b: float) -> FloatArray:
        """Seconds of a decode step without its context: `DecodeStep.total_s` of one."""
        each = self.column("c0_s") + _or_zero(self.column("per_sequence_s")) * b
        for i, experts in self.experts.items():
            each[i] += self.column("experts_s")[i] * experts.touched_share(np.array([b]))[0]
        return np.asarray(each)

    def reasons(self, outside: BoolArray, p: int, o: int, b: int) -> list[str | None]:
        """Why each request is `outside` the measured ranges; None where it is inside."""
        names = (*_RANGES, "knots")
        columns = [self.column(f"{name}_{end}").tolist() for name in names for end in
                   ("from", "to")]  # fmt: skip
        known: dict[tuple[float, ...], str | None] = {}
        out: list[str | None] = [None] * len(self)
        for i in np.flatnonzero(outside):
            at = tuple(column[i] for column in columns)
            if at not in known:
                spans = {name: at[2 * k : 2 * k + 2] for k, name in enumerate(names)}
                known[at] = range_reason(spans, p, o, b)
            out[i] = known[at]
        return out

    def _outside(self, p: float, o: float, b: float) -> BoolArray:
        """As `predict.outside`."""
        span = {name: (self.column(f"{name}_from"), self.column(f"{name}_to"))
                for name in (*_RANGES, "knots")}  # fmt: skip
        low, high = span["knots"]
        return np.asarray(
            (p < span["prompt"][0]) | (p > span["prompt"][1]) | (p * b < low) | (p * b > high)
            | (o > span["output"][1]) | ((o > 1) & (p + o - 1 > span["context"][1]))
            | (b < span["batch"][0]) | (b > span["batch"][1])
        )  # fmt: skip


def _or_zero(values: FloatArray) -> FloatArray:
    return np.where(np.isnan(values), 0.0, values)


def _curve(kind: str, knots: FloatArray, alpha: FloatArray, shape: FloatArray, x: float) -> Any:
    """`PrefillCurve.__call__` at one x for many curves over the same knots; shape (n,)."""
    if kind == "roofline":
        return roofline_shape(np.full(shape.shape[1], x), shape)
    if kind == "quadratic":
        ratios = alpha / quadratic_shape(knots[:, None], shape[:, None, :])
        return quadratic_shape(np.full(shape.shape[1], x), shape) * _between(knots, ratios, x)
    if len(knots) == 1:
        return alpha[0]
    if x > knots[-1]:
        return alpha[-1] + (x - knots[-1]) * end_slope(knots, alpha)
    if kind == "pchip":
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator(knots, alpha, axis=0)(max(x, knots[0]))
    return _between(knots, alpha, x)


def _between(knots: FloatArray, values: FloatArray, x: float) -> Any:
    """`np.interp` at one x, for a table of values (k, n)."""
    if x <= knots[0]:
        return values[0]
    if x >= knots[-1]:
        return values[-1]
    j = int(np.searchsorted(knots, x, side="right")) - 1
    slope = (values[j + 1] - values[j]) / (knots[j + 1] - knots[j])
    return slope * (x - knots[j]) + values[j]


@dataclass(frozen=True)
class Laws:
    """The fits of a store (or of some configurations): of its times, and of joules by component.

    Read once for each state of the derived tables; safe to share, nothing changes in it.
    """

    runtime: LawTable
    energy: dict[str, LawTable]

    def requests(self, workload: Workload) -> pd.DataFrame:
        """One request on every configuration × machine, in the order of models and stacks.

        Columns: names and keys, times with the interval of their held-out error, joules by
        component (NaN: none) with how they were seen, `extrapolated`.
        Raises InputError without prompt and output tokens.
        """
        if workload.prompt_tokens is None or workload.output_tokens is None:
            raise InputError(
                "an estimate needs prompt and output tokens: give --prompt and --output"
            )
        p, o, b = workload.prompt_tokens, workload.output_tokens, workload.batch
        made = self.runtime.predict(p, o, b)
        error = error_rel(self.runtime)
        rows = self.runtime.rows.assign(
            runtime_s=made.runtime_s,
            runtime_low_s=made.runtime_s * np.maximum(0.0, 1 - error),
            runtime_high_s=made.runtime_s * (1 + error),
            ttft_s=made.ttft_s,
            tpot_s=made.tpot_s,
            prefill_s=made.prefill_s,
            decode_s=made.decode_s,
            error_rel=error,
            extrapolated=made.extrapolated,
            extrapolation=np.array(self.runtime.reasons(made.extrapolated, p, o, b), dtype=object),
            accelerator_s=made.runtime_s * self.runtime.column("device_count"),
        )
        return self._with_joules(rows, p, o, b)

    def _with_joules(self, rows: pd.DataFrame, p: int, o: int, b: int) -> pd.DataFrame:
        """Joules of a request: the batch's divided by B."""
        n = len(rows)
        repeat = np.full(n, np.nan)
        facts: dict[str, list[Any]] = {
            name: [None] * n for name in ("energy_boundary", "energy_method", "energy_provenance")
        }
        total, seen = np.zeros(n), np.zeros(n, dtype=bool)
        for quantity in ENERGY_FITS:
            joules = np.full(n, np.nan)
            if quantity in self.energy:
                table, (here, there) = self.energy[quantity], self._beside[quantity]
                joules[here] = table.predict(p, o, b).runtime_s[there] / b
                repeat[here] = repeat_rel_std(table)[there]
                for name, values in facts.items():
                    said = table.rows[name].tolist()
                    for i, j in zip(here, there, strict=True):
                        values[i] = said[j]
            seen |= ~np.isnan(joules)
            total += _or_zero(joules)
            rows[quantity.removeprefix("energy_")] = joules
        rows["energy_j"] = np.where(seen, total, np.nan)
        rows["repeat_rel_std"] = repeat
        for name, values in facts.items():
            rows[name] = values
        return rows

    @cached_property
    def _beside(self) -> dict[str, tuple[Any, Any]]:
        """Quantity -> (rows of times, rows of joules) of the same configuration × machine."""
        mine = _identities(self.runtime)
        found = {}
        for quantity, table in self.energy.items():
            place = {key: i for i, key in enumerate(_identities(table))}
            pairs = [(i, place[key]) for i, key in enumerate(mine) if key in place]
            here, there = np.array(pairs, dtype=int).reshape(-1, 2).T
            found[quantity] = (here, there)
        return found


def _identities(table: LawTable) -> list[tuple[str, str]]:
    keys = (table.rows[name].tolist() for name in ("configuration_key", "environment_key"))
    return list(zip(*keys, strict=True))


def error_rel(table: LawTable) -> FloatArray:
    """90th percentile of the held-out errors; where none was held out the 95th of the fitted."""
    held = table.column("heldout_p90_error")
    return np.where(np.isnan(held), table.column("p95_error"), held)


P90_OF_NORMAL = 1.645  #: 90th percentile of |x| of a standard normal


def repeat_rel_std(table: LawTable) -> FloatArray:
    """Repeatability: the 90th-percentile held-out error read as that of a normal error, or half the
    spread between processes where that is larger (ours); NaN where neither is known, never 0."""
    spread = table.column("between_process_rel") / 2
    return np.fmax(error_rel(table) / P90_OF_NORMAL, spread)


def read_laws(engine: Engine, keys: Sequence[str] | None = None) -> Laws:
    """All fits that a request is predicted with (only of the configurations `keys`, if given)."""
    f, c, m = schema.fit, schema.configuration, schema.model
    law = f.c.parameters
    numbers = {
        "overhead_s": law["overhead_s"].as_float(),
        **{name: law[("step", name)].as_float() for name in
           ("c0_s", "per_sequence_s", "per_context_token_s", "experts_s")},
        "kind": law[("curve", "kind")].as_string(),
        "knots": cast(law[("curve", "tokens")], Text),
        "alpha_s": cast(law[("curve", "alpha_s")], Text),
        "shape": cast(law[("curve", "shape")], Text),
        "experts": cast(law[("step", "experts")], Text),
        "ranges": cast(law["ranges"], Text),
    }  # fmt: skip
    query = (
        select(
            m.c.name.label("model"), f.c.configuration_key, f.c.environment_key, f.c.quantity,
            f.c.recipe, f.c.heldout_p90_error, f.c.p95_error, f.c.n_heldout,
            f.c.between_process_rel, f.c.energy_boundary, f.c.energy_method,
            f.c.energy_provenance, c.c.weights, c.c.device_kind, c.c.device_count, c.c.dtype,
            c.c.quantization, c.c.threads, c.c.attention, c.c.kv_cache, c.c.compile_mode,
            c.c.technique, *(column.label(name) for name, column in numbers.items()),
        )
        .join(c, f.c.configuration_key == c.c.key)
        .join(m, c.c.model_key == m.c.key)
        .where(f.c.quantity.in_([RUNTIME, *ENERGY_FITS]), f.c.recipe == DEFAULT_RECIPE)
        .order_by(m.c.name, c.c.device_kind, c.c.dtype, c.c.threads, f.c.id)
    )  # fmt: skip
    if keys is not None:
        query = query.where(f.c.configuration_key.in_(keys))
    with engine.connect() as connection:
        result = connection.execute(query)
        names = list(result.keys())
        found = result.all()
    by: dict[str, list[Any]] = {RUNTIME: []}
    place = names.index("quantity")
    for row in found:
        by.setdefault(row[place], []).append(row)
    tables = {quantity: _table(names, rows) for quantity, rows in by.items()}
    return Laws(tables.pop(RUNTIME), tables)


def _table(names: list[str], rows: list[Any]) -> LawTable:
    columns: dict[str, Any] = dict(
        zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True)
    )
    kinds = list(columns.pop("kind"))
    knots = _parsed_once(columns.pop("knots"), tuple)
    alpha = json.loads(f"[{','.join(columns.pop('alpha_s'))}]")
    shape = json.loads(f"[{','.join(columns.pop('shape'))}]")
    given = columns.pop("experts")
    experts = {i: Experts(**json.loads(t)) for i, t in enumerate(given) if t not in (None, "null")}
    spans = _parsed_once(columns.pop("ranges"), dict)
    columns["configuration"] = labels(columns)
    columns["precision"] = [
        dtype if quantized in (None, "none") else quantized
        for dtype, quantized in zip(columns["dtype"], columns["quantization"], strict=True)
    ]
    for name in _RANGES:
        columns[f"{name}_from"] = [s[name][0] for s in spans]
        columns[f"{name}_to"] = [s[name][1] for s in spans]
    columns["knots_from"], columns["knots_to"] = [k[0] for k in knots], [k[-1] for k in knots]
    for name in (*_NUMBERS, "threads"):
        columns[name] = np.array([np.nan if v is None else v for v in columns[name]], dtype=float)
    frame = pd.DataFrame({k: v if isinstance(v, np.ndarray) else list(v)
                          for k, v in columns.items()})  # fmt: skip
    return LawTable(frame, kinds, knots, alpha, shape, experts)


def _parsed_once(texts: Sequence[str], make: Any) -> list[Any]:
    """JSON of each text; equal texts share one object."""
    known: dict[str, Any] = {}
    for text in texts:
        if text not in known:
            known[text] = make(json.loads(text))
    return [known[text] for text in texts]
