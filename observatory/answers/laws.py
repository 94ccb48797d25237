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
from sqlalchemy import ColumnElement, Connection, Engine, Text, cast, func, select

from observatory.answers.names import labels
from observatory.errors import InputError
from observatory.fitting import DEFAULT_RECIPE
from observatory.records import Workload
from observatory.runtime.curves import end_slope, quadratic_shape, roofline_shape
from observatory.runtime.fit import is_saturated
from observatory.runtime.observations import BoolArray, FloatArray
from observatory.runtime.predict import Predictions, context_below, range_reason
from observatory.runtime.terms import Experts
from observatory.store import schema

RUNTIME = "runtime_s"
ENERGY_FITS = ("energy_device_j", "energy_cpu_j", "energy_dram_j")
_RANGES = ("prompt", "output", "batch", "context")
_STEP = ("c0_s", "per_sequence_s", "per_context_token_s", "experts_s")
_CHECKS = ("left_out_prefill", "left_out_step", "alone_step")
_NUMBERS = (
    "heldout_p90_error", "p95_error", "between_process_rel", "n_heldout", "overhead_s", *_STEP,
    "n_points", "n_parameters", *_CHECKS,
)  # fmt: skip
_LEAD = ("overhead_s", *_STEP, *_CHECKS)  # of the numbers of a fit of its own


@dataclass(frozen=True)
class LawTable:
    """Fits of one quantity: `rows` holds their columns, one row each, in the order of all arrays.

    `knots`, `alpha_s` and `alone` hold as many numbers a row, `alone` being `alone_prefill` of
    `quality.FitErrors` (NaN: not known); `shape` the curve's own parameters.
    """

    rows: pd.DataFrame
    kinds: list[str]
    knots: list[tuple[float, ...]]
    alpha_s: list[FloatArray]
    alone: list[FloatArray]
    shape: list[list[float]]
    experts: dict[int, Experts]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> FloatArray:
        """A column of numbers; NaN where it is missing."""
        return np.asarray(self.rows[name].to_numpy(dtype=float))

    @cached_property
    def _groups(
        self,
    ) -> list[tuple[str, tuple[float, ...], FloatArray, FloatArray, FloatArray, Any]]:
        """(kind, knots, alpha (k, n), alone (k, n), shape (m, n), places) of fits that are
        evaluated together."""
        found: dict[tuple[str, tuple[float, ...]], list[int]] = {}
        for i, key in enumerate(zip(self.kinds, self.knots, strict=True)):
            found.setdefault(key, []).append(i)
        return [
            (kind, knots, np.array([self.alpha_s[i] for i in at]).T,
             np.array([self.alone[i] for i in at]).T, np.array([self.shape[i] for i in at]).T,
             np.array(at))
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
        for kind, knots, alpha, _, shape, at in self._groups:
            prefill[at] = np.maximum(_curve(kind, np.asarray(knots), alpha, shape, p * b), 0.0)
        steps = o - 1
        decode = steps * self._step(b) + _or_zero(self.column("per_context_token_s")) * b * (
            steps * p + (o - 1) * o / 2
        )
        ttft = prefill + self.column("overhead_s")
        tpot = decode / (o - 1) if o > 1 else np.full(len(self), np.nan)
        return Predictions(ttft + decode, prefill, decode, ttft, tpot, self._outside(p, o, b))

    def error_rel(self, made: Predictions, tokens: float) -> FloatArray:
        """Relative error of each of `made`, a request of `tokens` prompt tokens in its batch.

        The 90th percentile of held-out errors. Where no point was held out, that of prefill and of
        steps by their shares: of fitted points each predicted without itself, or the own interval
        of those that stand alone. NaN where neither says anything: a saturated fit, a lone point
        of a single window. Where a fit tells neither, the 95th percentile of its residuals.
        """
        held = self.column("heldout_p90_error")
        prefill, step, lone_step = (self.column(name).copy() for name in _CHECKS)
        told = ~np.isnan(prefill)
        for _, knots, _, alone, _, at in self._groups:
            prefill[at] = np.maximum(prefill[at], _around(np.asarray(knots), alone, tokens))
        step = np.where(made.decode_s > 0, np.maximum(step, lone_step), 0.0)
        total = np.maximum(made.prefill_s + made.decode_s, np.finfo(float).tiny)
        known = (prefill * made.prefill_s + step * made.decode_s) / total
        fitted = np.where(told, known, self.column("p95_error"))
        return np.where(np.isnan(held), np.where(saturated(self), np.nan, fitted), held)

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
        slopes = (~np.isnan(self.column("per_context_token_s"))).tolist()
        known: dict[tuple[float, ...], str | None] = {}
        out: list[str | None] = [None] * len(self)
        for i in np.flatnonzero(outside):
            at = (*(column[i] for column in columns), slopes[i])
            if at not in known:
                spans = {name: at[2 * k : 2 * k + 2] for k, name in enumerate(names)}
                known[at] = range_reason(spans, p, o, b, slopes[i])
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
            | context_below(p, o, b, span["context"][0])
            | (b < span["batch"][0]) | (b > span["batch"][1])
        )  # fmt: skip


def _around(knots: FloatArray, values: FloatArray, x: float) -> Any:
    """The larger of the values (k, n) at the knots on both sides of x; NaN where one is."""
    right = min(int(np.searchsorted(knots, x)), len(knots) - 1)
    left = right if knots[right] <= x else max(right - 1, 0)
    return np.maximum(values[left], values[right])


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
        error = self.runtime.error_rel(made, p * b)
        rows = self.runtime.rows.assign(
            runtime_s=made.runtime_s,
            runtime_low_s=made.runtime_s / (1 + error),
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
                told = table.predict(p, o, b)
                joules[here] = told.runtime_s[there] / b
                repeat[here] = repeat_rel_std(table, table.error_rel(told, p * b))[there]
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


def saturated(table: LawTable) -> BoolArray:
    """`is_saturated` of every fit."""
    return np.asarray(is_saturated(table.column("n_points"), table.column("n_parameters")))


P90_OF_NORMAL = 1.645  #: 90th percentile of |x| of a standard normal


def repeat_rel_std(table: LawTable, error: FloatArray) -> FloatArray:
    """Repeatability: `error` (`LawTable.error_rel`) read as the 90th percentile of a normal one, or
    half the spread between processes where that is larger (ours); NaN for neither, never 0."""
    spread = table.column("between_process_rel") / 2
    return np.fmax(error / P90_OF_NORMAL, spread)


def parameter_count() -> ColumnElement[int]:
    """How many parameters a stored fit has; SQLite and PostgreSQL name the function alike."""
    return func.json_array_length(schema.fit.c.parameters["parameter_names"])


#: in the JSON of a fit: what differs from fit to fit, and what many fits share
_OWN = (
    ("overhead_s",), *(("step", name) for name in _STEP), *(("errors", name) for name in _CHECKS),
    ("curve", "alpha_s"), ("errors", "alone_prefill"),
)  # fmt: skip
_SHARED = (
    ("curve", "kind"), ("curve", "tokens"), ("curve", "shape"), ("ranges",), ("step", "experts"),
    ("parameter_names",),
)  # fmt: skip


def _parts(dialect: str, paths: Sequence[tuple[str, ...]]) -> ColumnElement[str]:
    """These parts of a fit's JSON as the text of one JSON array: one call for all of them, as each
    call reads the whole document again."""
    law = schema.fit.c.parameters
    if dialect == "sqlite":
        return func.json_extract(law, *("$." + ".".join(path) for path in paths), type_=Text)
    return cast(func.json_build_array(*(law[path] for path in paths)), Text)


def read_laws(engine: Engine, keys: Sequence[str] | None = None) -> Laws:
    """All fits that a request is predicted with (only of the configurations `keys`, if given)."""
    f = schema.fit
    own, shared = (_parts(engine.dialect.name, paths) for paths in (_OWN, _SHARED))
    query = (
        select(
            f.c.configuration_key, f.c.environment_key, f.c.quantity, f.c.recipe,
            f.c.heldout_p90_error, f.c.p95_error, f.c.n_heldout, f.c.n_points,
            f.c.between_process_rel, f.c.energy_boundary, f.c.energy_method,
            f.c.energy_provenance, own.label("own"), shared.label("shared"),
        )
        .where(f.c.quantity.in_([RUNTIME, *ENERGY_FITS]), f.c.recipe == DEFAULT_RECIPE)
        .order_by(f.c.id)
    )  # fmt: skip
    if keys is not None:
        query = query.where(f.c.configuration_key.in_(keys))
    with engine.connect() as connection:
        stacks, place = _stacks(connection, keys)
        result = connection.execute(query)
        names, found = list(result.keys()), result.all()
    values = list(zip(*found, strict=True)) if found else [()] * len(names)
    columns = {name: _objects(column) for name, column in zip(names, values, strict=True)}
    at = np.array([place[key] for key in columns["configuration_key"]], dtype=int)
    tables = {}
    for quantity in (RUNTIME, *ENERGY_FITS):
        mine = np.flatnonzero(columns["quantity"] == quantity)
        mine = mine[np.argsort(at[mine], kind="stable")]  # then as they were stored
        if len(mine) or quantity == RUNTIME:
            # fits of joules are found by their keys, beside those of time, which name the stack
            facts = {c: v[at[mine]] for c, v in stacks.items()} if quantity == RUNTIME else {}
            tables[quantity] = _table({n: v[mine] for n, v in columns.items()} | facts)
    return Laws(tables.pop(RUNTIME), tables)


def _stacks(
    connection: Connection, keys: Sequence[str] | None
) -> tuple[dict[str, Any], dict[str, int]]:
    """What the configurations are, by model, device, format and threads; key -> place in it.

    Read apart from the fits: joined, each would be sorted and sent once for every fit.
    """
    c, m = schema.configuration, schema.model
    query = select(
        c.c.key, m.c.name.label("model"), c.c.weights, c.c.device_kind, c.c.device_count, c.c.dtype,
        c.c.quantization, c.c.threads, c.c.attention, c.c.kv_cache, c.c.compile_mode,
        c.c.technique,
    ).join(m, c.c.model_key == m.c.key)  # fmt: skip
    if keys is not None:
        query = query.where(c.c.key.in_(keys))
    found = connection.execute(query).all()
    rows = sorted(
        found, key=lambda r: (r.model, r.device_kind, r.dtype, r.threads or 0, r.key)
    )  # fmt: skip
    names = query.selected_columns.keys()
    values = zip(*rows, strict=True) if rows else [()] * len(names)
    columns: dict[str, Any] = dict(zip(names, values, strict=True))
    place = {key: i for i, key in enumerate(columns.pop("key"))}
    columns["configuration"] = labels(columns)
    columns["precision"] = [
        dtype if quantized in (None, "none") else quantized
        for dtype, quantized in zip(columns["dtype"], columns["quantization"], strict=True)
    ]
    return {name: _objects(values) for name, values in columns.items()}, place


def _objects(values: Sequence[Any]) -> Any:
    """A column that can be taken from by places, of whatever type."""
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def _table(columns: dict[str, Any]) -> LawTable:
    shared = _parsed_once(columns.pop("shared"), _Shared.of)
    kinds, spans = [one.kind for one in shared], [one.ranges for one in shared]
    knots, shape = [one.knots for one in shared], [one.shape for one in shared]
    texts = columns.pop("own")
    sizes = np.array([text.count(",") + 1 for text in texts], dtype=int)
    own, starts = _flat(texts), np.cumsum(sizes) - sizes
    columns |= {name: own[starts + i] for i, name in enumerate(_LEAD)}
    first = (starts + len(_LEAD)).tolist()
    last = [i + len(k) for i, k in zip(first, knots, strict=True)]
    alpha = [own[i:j] for i, j in zip(first, last, strict=True)]
    alone = [
        own[j:end] if end - j == len(k) else np.full(len(k), np.nan)  # of a fit that tells none
        for j, end, k in zip(last, (starts + sizes).tolist(), knots, strict=True)
    ]
    columns["n_parameters"] = [one.parameters for one in shared]
    experts = {i: one.experts for i, one in enumerate(shared) if one.experts is not None}
    for name in _RANGES:
        columns[f"{name}_from"] = [s[name][0] for s in spans]
        columns[f"{name}_to"] = [s[name][1] for s in spans]
    columns["knots_from"], columns["knots_to"] = [k[0] for k in knots], [k[-1] for k in knots]
    for name in (*_NUMBERS, *({"threads"} & columns.keys())):
        columns[name] = np.array([np.nan if v is None else v for v in columns[name]], dtype=float)
    if "device_count" in columns:
        columns["device_count"] = np.asarray(columns["device_count"], dtype=int)
    frame = pd.DataFrame({k: v if isinstance(v, np.ndarray) else list(v)
                          for k, v in columns.items()})  # fmt: skip
    return LawTable(frame, kinds, knots, alpha, alone, shape, experts)


def _flat(texts: Sequence[str]) -> FloatArray:
    """The numbers of JSON arrays one after the other, nested or not, null as NaN: exact, and
    several times as fast as `json.loads`."""
    joined = ",".join(texts).translate({ord("["): None, ord("]"): None}).replace("null", "nan")
    return np.fromstring(joined, sep=",") if joined else np.empty(0)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What fits of one plan have in common: the form of the curve, and where it was measured."""

    kind: str
    knots: tuple[float, ...]
    shape: list[float]
    ranges: dict[str, list[int]]
    experts: Experts | None
    parameters: int

    @classmethod
    def of(cls, parts: list[Any]) -> _Shared:
        kind, knots, shape, ranges, experts, names = parts
        return cls(kind, tuple(knots), shape, ranges, experts and Experts(**experts), len(names))


def _parsed_once(texts: Sequence[str], make: Any) -> list[Any]:
    """JSON of each text; equal texts share one object."""
    known: dict[str, Any] = {}
    for text in texts:
        if text not in known:
            known[text] = make(json.loads(text))
    return [known[text] for text in texts]
