"""Fits: what they are, what they cover, and how they stand beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Engine, and_, case, func, select

from observatory.answers.laws import parameter_count
from observatory.answers.names import FACTS, label, labels
from observatory.answers.tables import summary
from observatory.derive import plain_rows
from observatory.fitting import DEFAULT_RECIPE
from observatory.runtime.fit import Fit, is_saturated
from observatory.runtime.fit_names import in_joules
from observatory.runtime.observations import PHASES, Observation, rows_of
from observatory.runtime.plausibility import beats_roofline
from observatory.runtime.predict import CONTEXT_SLACK
from observatory.store import reader, schema

#: Requests (p, o) to ask of a store that is asked for none, in the order of preference: a usual
#: one, smaller ones, then what stores hold whose steps were measured at long contexts alone.
LADDER = (
    (128, 64), (128, 32), (64, 32), (32, 16), (16, 8),
    (512, 64), (512, 32), (1024, 64), (1024, 32), (2048, 64), (2048, 32), (2048, 16), (4096, 64),
    (4096, 32), (8192, 32),
)  # fmt: skip
DEFAULT_REQUEST = LADDER[0]  #: of a store without fits
#: why a fit that passes through its points, whatever they are, has no error to show
SATURATED = "the fit has as many parameters as points, and no point was held out"
RESIDUALS = ("mape", "p95_error", "max_error")


def fits(
    engine: Engine,
    quantity: str | None = "runtime_s",
    keys: Sequence[str] | None = None,
    recipe: str | None = DEFAULT_RECIPE,
    parameters: bool = True,
    first: int | None = None,
) -> pd.DataFrame:
    """Fits with the names of their configurations (only those of `keys`, where given);
    `parameters` as a plain dict, left out where not asked for; only the `first` so many rows. Those
    of an energy are in joules, and their names say so (`alpha_j`).

    Errors on the points of a saturated fit (as many parameters as points) are 0 by construction and
    no evidence: they are missing, `error_reason` says why.

    Of the recipe that everything is answered with; with `recipe` None, also those that were stored
    beside it.
    """
    f, c, m = schema.fit, schema.configuration, schema.model
    facts = [column for column in c.c if column.key not in ("key", "model_key")]
    wanted = [column for column in f.c if parameters or column.key != "parameters"]
    query = (
        select(m.c.name.label("model"), *wanted, *facts, parameter_count().label("n_parameters"))
        .join(c, f.c.configuration_key == c.c.key)
        .join(m, c.c.model_key == m.c.key)
        .order_by(m.c.name, c.c.device_kind, c.c.dtype, c.c.threads, f.c.id)
    )
    if quantity is not None:
        query = query.where(f.c.quantity == quantity)
    if keys is not None:
        query = query.where(f.c.configuration_key.in_(keys))
    if recipe is not None:
        query = query.where(f.c.recipe == recipe)
    rows = reader.frame(engine, query if first is None else query.limit(first))
    rows.insert(1, "configuration", labels({name: rows[name].tolist() for name in FACTS}))
    if parameters:
        named = [
            record if what == "runtime_s" else in_joules(record)
            for what, record in zip(rows["quantity"], rows["parameters"], strict=True)
        ]
        rows["parameters"] = pd.Series(named, index=rows.index, dtype=object)
    return _without_void_errors(rows)


def _without_void_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Residuals of saturated fits taken out; the reason stands beside them."""
    void = is_saturated(rows["n_points"], rows.pop("n_parameters"))
    for name in RESIDUALS:
        rows[name] = rows[name].astype(float).mask(void)
    judged = rows["n_heldout"] > 0
    said = "as many parameters as points: residuals are 0 whatever was measured"
    rows["error_reason"] = [
        None if not v else said if known else SATURATED
        for v, known in zip(void, judged, strict=True)
    ]
    return rows


def fit_count(engine: Engine) -> int:
    """How many fits are stored, of every quantity, with the recipe that everything is answered
    with."""
    f = schema.fit
    query = select(func.count()).select_from(f).where(f.c.recipe == DEFAULT_RECIPE)
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def models(engine: Engine) -> list[str]:
    """Names of the models that have a fit."""
    f, c, m = schema.fit, schema.configuration, schema.model
    query = (
        select(m.c.name)
        .join(c, c.c.model_key == m.c.key)
        .join(f, f.c.configuration_key == c.c.key)
        .where(f.c.quantity == "runtime_s", f.c.recipe == DEFAULT_RECIPE)
        .distinct()
    )
    with engine.connect() as connection:
        return sorted(str(name) for name in connection.execute(query).scalars())


def covered_request(engine: Engine) -> tuple[int, int]:
    """A request that at least half of the fits cover: the first such of `LADDER`.

    Where none is, the one that most cover. Where no fit covers any: 128 prompt tokens, or as near
    as the fits allow, and 64 output tokens or fewer, never fewer than 2: every fit has decode
    steps, and a request of one token shows none of them.
    """
    f = schema.fit
    lowest = f.c.parameters["ranges"]["context"][0].as_integer()
    count = [func.sum(case((_covers(lowest, *rung), 1), else_=0)) for rung in LADDER]
    query = select(
        func.count(), func.max(f.c.prompt_min), func.min(f.c.prompt_max), func.min(f.c.output_max),
        func.min(f.c.context_max), func.max(lowest), *count,
    ).where(f.c.quantity == "runtime_s", f.c.recipe == DEFAULT_RECIPE)  # fmt: skip
    with engine.connect() as connection:
        n, shortest, longest, most, room, low, *covered = connection.execute(query).one()
    prompt, output = DEFAULT_REQUEST
    if not n:
        return prompt, output
    if max(covered):
        enough = min(max(covered), n / 2)
        return next(rung for rung, c in zip(LADDER, covered, strict=True) if c >= enough)
    prompt = max(min(prompt, int(longest)), int(shortest))
    prompt = max(prompt, min(int(longest), int(low) - 1))
    return prompt, max(2, min(output, int(most), int(room) - prompt + 1))


def _covers(lowest: ColumnElement[int], prompt: int, output: int) -> ColumnElement[bool]:
    """Whether a fit covers this request at batch 1, by `predict.outside`."""
    f = schema.fit
    return and_(
        f.c.prompt_min <= prompt, f.c.prompt_max >= prompt, f.c.output_max >= output,
        f.c.batch_min <= 1, f.c.context_max >= prompt + output - 1,
        lowest <= prompt + 1 + CONTEXT_SLACK,
    )  # fmt: skip


def idealized(
    engine: Engine, model: str | None = None, keys: Sequence[str] | None = None
) -> pd.DataFrame:
    """Measured beside idealized beside roofline: `summary` with the fit's time at each point.

    Of one model or of the configurations `keys`, where given.

    Adds `configuration` (in words), `idealized_s` (NaN without a fit), `error_rel`
    (idealized / measured - 1) and `faster_than_roofline`: a fit that is does not hold there.
    """
    rows = summary(engine, model, keys=keys).reset_index(drop=True)
    names = [label(row | {"device_kind": row["device"]}) for row in plain_rows(rows)]
    rows.insert(1, "configuration", names)
    rows["idealized_s"] = float("nan")
    stored = {
        (row["configuration_key"], row["environment_key"]): row["parameters"]
        for row in plain_rows(fits(engine, keys=keys))
    }
    usable = rows[rows["phase"].isin(PHASES)]
    for key, group in usable.groupby(["configuration_key", "environment_key"]):
        if key in stored:
            times = _times(Fit.from_json(stored[key]), list(plain_rows(group)))
            rows.loc[group.index, "idealized_s"] = times
    rows["error_rel"] = rows["idealized_s"] / rows["runtime_s"] - 1
    rows["faster_than_roofline"] = beats_roofline(
        rows["idealized_s"], rows["roofline_s"].astype(float)
    )
    return rows


def _times(fitted: Fit, points: list[dict[str, Any]]) -> list[float]:
    """Idealized seconds of each measured point, in the order given (a fit sorts its rows)."""
    return [
        float(
            fitted.times(
                rows_of([
                    Observation(
                        int(row["prompt_tokens"] or 0), int(row["output_tokens"]),
                        int(row["batch"]), row["runtime_s"], str(row["phase"]),
                        context_tokens=None if row["context_tokens"] is None
                        else int(row["context_tokens"]),
                    )
                ])
            )[0]
        )
        for row in points
    ]  # fmt: skip
