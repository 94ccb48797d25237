"""Scores: the shipped table, the store's, and what stands on one axis.

`data/scores.csv` holds scores from openly licensed collections, harness result files and model
cards, each row with its source and licence. For small models (below 3.5 billion parameters), and
for catalogue models that none of those scores, single facts are cited from a leaderboard. What a
source gives twice with different values in one lane is left out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from observatory.capability.lanes import (
    Lane,
    Score,
    axis_of,
    higher_is_better,
    matches,
)
from observatory.errors import InputError, UnknownNameError

Z90, Z95 = 1.6448536269514722, 1.959963984540054
FULL_PRECISION = {"bfloat16", "bf16", "float16", "fp16", "float32", "fp32"}


@dataclass(frozen=True, slots=True)
class Scored:
    """One score as a frontier needs it; `low` and `high` are its 90 % bounds where known.

    `quality` counts up: for a metric of which less is better it is the negative score.
    """

    model: str
    lane: str
    score: float
    quality: float
    low: float | None
    high: float | None
    precision: str | None
    source: str
    licence: str
    unit: str


@cache
def shipped() -> tuple[Score, ...]:
    """Every score of the shipped table. Its rows are as checked as the code."""
    file = resources.files("observatory.capability").joinpath("data/scores.csv")
    rows = csv.DictReader(file.read_text("utf-8").splitlines())
    return tuple(_score(row) for row in rows)


def _score(row: Mapping[str, str]) -> Score:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    lane = Lane(
        row["benchmark"], row["metric"], row["shots"] or None, row["harness"] or None,
        row["family"], effort=row["effort"] or None,
        chat_template={"yes": True, "no": False}.get(row["chat_template"]),
        precision=row["precision"] or None,
    )  # fmt: skip
    return Score(
        row["model"], lane, float(row["score"]), row["unit"], row["source"], row["licence"],
        number("stderr"), number("ci_low"), number("ci_high"), row["date"] or None,
        {"reported_name": row["reported_name"], "shipped": True},
    )  # fmt: skip


@cache
def shipped_rows() -> tuple[Mapping[str, Any], ...]:
    """The shipped table as rows of `capability`; shared, not to be changed."""
    return tuple(score.row(score.model) for score in shipped())


def together(
    stored: Iterable[Mapping[str, Any]], shipped: Iterable[Mapping[str, Any]] | None = None
) -> list[Mapping[str, Any]]:
    """Rows of the store with the `shipped` ones (all, where not given) that it lacks."""
    rows = list(stored)
    known = {(row["model_name"], row["lane"], row["source"]) for row in rows}
    return rows + [row for row in (shipped_rows() if shipped is None else shipped)
                   if (row["model_name"], row["lane"], row["source"]) not in known]  # fmt: skip


def on_lane(
    rows: Sequence[Mapping[str, Any]], pattern: str, mix: bool = False
) -> tuple[list[Scored], list[str]]:
    """(scores whose lane fits, their axes). A lane with `?` compares only what it states; an axis
    named in full is that one, though others begin with it.

    Raises UnknownNameError where no lane fits, and InputError where several axes do and `mix` does
    not allow it: numbers of two protocols on one axis differ by more than models do.
    """
    fitting = [row for row in rows if matches(pattern, row["lane"])]
    if not fitting:
        known = sorted({axis_of(row["lane"]) for row in rows})
        raise UnknownNameError("lane", pattern, known, "see `observatory frontier --lanes`")
    axes = sorted({axis_of(row["lane"]) for row in fitting})
    if pattern in axes and not mix:
        axes, fitting = [pattern], [r for r in fitting if axis_of(r["lane"]) == pattern]
    if len(axes) > 1 and not mix:
        models = {axis: set[str]() for axis in axes}
        for row in fitting:
            models[axis_of(row["lane"])].add(row["model_name"])
        axes.sort(key=lambda axis: (-len(models[axis]), axis))
        some = "; ".join(axes[:3]) + ("; …" if len(axes) > 3 else "")
        raise InputError(
            f"{pattern!r} names {len(axes)} lanes, which do not share an axis, most models "
            f"first: {some}. "
            "Name one in full, or say --mix-lanes and see them marked"
        )
    return [scored(row) for row in fitting], axes


def scored(row: Mapping[str, Any]) -> Scored:
    """A row of `capability` as it stands on an axis: 90 % bounds from its own bounds or stderr.

    Which way a metric counts is what its file says, else what its name says.
    """
    said = (row.get("extra") or {}).get("higher_is_better")
    up = higher_is_better(row["metric"]) if said is None else bool(said)
    low, high = row.get("ci_low"), row.get("ci_high")
    if (low is None or high is None) and row.get("stderr"):
        low, high = (row["score"] + sign * Z90 * row["stderr"] for sign in (-1, 1))
    elif low is not None and high is not None:  # sources give 95 % bounds
        middle, half = row["score"], (high - low) / 2 * Z90 / Z95
        low, high = middle - half, middle + half
    if not up and low is not None and high is not None:
        low, high = -high, -low
    score = float(row["score"])
    return Scored(row["model_name"], row["lane"], score, score if up else -score, low, high,
                  row.get("precision"), row["source"], row["licence"], row["unit"])  # fmt: skip


def for_precision(scores: Sequence[Scored], dtype: str | None) -> tuple[Scored, bool]:
    """(score, inherited) for a cost measured in `dtype`, of one model and axis.

    A quantized cost joins the score of the quantized model; where there is none it takes the one
    of the full-precision model, marked inherited. A full-precision cost takes no quantized score
    unless there is nothing else, marked too. Of several scores the one with the smallest bounds,
    then the first by source, so that the answer does not depend on the order of rows.
    """

    def rank(s: Scored) -> tuple[float, str]:
        return (float("inf") if s.low is None or s.high is None else s.high - s.low, s.source)

    wanted = _kind(dtype)
    same = [s for s in scores if _kind(s.precision) == wanted]
    if same:
        return min(same, key=rank), False
    return min(scores, key=rank), True


def _kind(dtype: str | None) -> str:
    """`full` for unquantized or unstated formats, else the format's own name."""
    name = (dtype or "").lower().removeprefix("torch.")
    return "full" if not name or name in FULL_PRECISION else name
