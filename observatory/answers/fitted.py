"""Fits: what they are, what they cover, and how they stand beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Engine, select

from observatory.answers.names import label
from observatory.answers.tables import summary
from observatory.derive import plain_rows
from observatory.fitting import DEFAULT_RECIPE
from observatory.runtime.fit import Fit
from observatory.runtime.observations import PHASES, Observation, rows_of
from observatory.store import reader, schema

DEFAULT_REQUEST = (128, 64)


def fits(
    engine: Engine,
    quantity: str | None = "runtime_s",
    keys: Sequence[str] | None = None,
    recipe: str | None = DEFAULT_RECIPE,
) -> pd.DataFrame:
    """Fits with the names of their configurations (only those of `keys`, where given);
    `parameters` as a plain dict.

    Of the recipe that everything is answered with; with `recipe` None, also those that were stored
    beside it.
    """
    f, c, m = schema.fit, schema.configuration, schema.model
    facts = [column for column in c.c if column.key not in ("key", "model_key")]
    query = (
        select(m.c.name.label("model"), f, *facts)
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
    rows = reader.frame(engine, query)
    rows.insert(1, "configuration", [label(row) for row in plain_rows(rows)])
    return rows


def models(engine: Engine) -> list[str]:
    """Names of the models that have a fit."""
    return sorted(set(fits(engine)["model"]))


def covered_request(engine: Engine) -> tuple[int, int]:
    """A request that every fit covers: 128 prompt and 64 output tokens, or less if need be."""
    rows = fits(engine)
    prompt, output = DEFAULT_REQUEST
    if rows.empty:
        return prompt, output
    prompt = max(min(prompt, int(rows["prompt_max"].min())), int(rows["prompt_min"].max()))
    room = int(rows["context_max"].min()) - prompt + 1
    return prompt, max(1, min(output, int(rows["output_max"].min()), room))


def idealized(
    engine: Engine, model: str | None = None, keys: Sequence[str] | None = None
) -> pd.DataFrame:
    """Measured beside idealized beside roofline: `summary` with the fit's time at each point.

    Of one model or of the configurations `keys`, where given.

    Adds `configuration` (in words), `idealized_s` (NaN without a fit) and `error_rel`
    (idealized / measured - 1).
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
