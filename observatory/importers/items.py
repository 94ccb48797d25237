"""Tables of items for the routing lab: who answered what correctly, and what the call cost.

JSON: `{"models": {name: {"cost_j": 1.0, …}}, "items": {id: {name: 0 or 1}}}`, with `router_scores`
`{id: number}` (harder is higher) if there is a router. CSV, one row a call: `item`, `model`,
`correct`, `router_score` (optional) and cost columns. A cost column is any name that ends in a unit
(`cost_j`, `cost_usd`, `co2e_g`, `water_l`, `runtime_s`) or `output_tokens`. A cost that is unknown
of some call is no axis to route by: it stands in `columns` alone, NaN where it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from observatory.decision.items import Floats, Items
from observatory.errors import InputError
from observatory.importers.files import head
from observatory.importers.reading import (
    RowError,
    csv_rows,
    json_value,
    mapping,
    name_of,
    needed,
    number,
    words,
)

COST_ENDINGS = ("_j", "_s", "_usd", "_g", "_l", "_wh", "_tokens")
MAX_CELLS = 20_000_000


@dataclass(frozen=True, slots=True)
class Tables:
    """The same items under each cost that the file holds, and the router's scores if it has one.

    `columns` holds every cost with shape (items, models), also those with gaps (NaN); `by_cost`
    those without.
    """

    by_cost: Mapping[str, Items]
    router: tuple[float, ...] | None
    columns: Mapping[str, Floats]


def read(path: Path) -> Tables:
    """Raises InputError for a file that is no such table, or lacks an answer or a cost."""
    try:
        if head(path).lstrip().startswith("{"):
            return _from_json(json_value(path))
        return _from_csv(path)
    except RowError as error:
        raise InputError(f"{path}: {error}") from None


def _from_json(content: Any) -> Tables:
    models = mapping(mapping(content, "the file").get("models"), "`models`")
    items = mapping(content.get("items"), "`items`")
    names = [name_of({"model": name}, "model") for name in models]
    ids = [name_of({"item": name}, "item") for name in items]
    correct = [[needed(mapping(items[i], f"item {i}"), m) for m in models] for i in items]
    facts = [mapping(models[m], f"model {m}") for m in models]
    costs = list(dict.fromkeys(c for f in facts for c in f if c.endswith(COST_ENDINGS)))
    if not costs:
        raise RowError("no cost such as cost_j beside the models")
    router = content.get("router_scores")
    scores = None
    if router is not None:
        scores = tuple(needed(mapping(router, "`router_scores`"), i) for i in items)
    known = {c: [number(f, c) for f in facts] for c in costs}
    return _tables(ids, names, correct, {c: [row] * len(ids) for c, row in known.items()}, scores)


def _tables(
    items: Sequence[str],
    models: Sequence[str],
    correct: Sequence[Sequence[float]],
    costs: Mapping[str, Sequence[Sequence[float | None]]],
    router: tuple[float, ...] | None,
) -> Tables:
    columns = {c: np.array(rows, dtype=float) for c, rows in costs.items()}
    made = {
        c: Items.of(items, models, correct, rows)
        for c, rows in columns.items()
        if not np.isnan(rows).any()
    }
    if not made:
        raise RowError(f"no cost is known of every call: {', '.join(columns)} have gaps")
    return Tables(made, router, columns)


def _from_csv(path: Path) -> Tables:
    answers: dict[tuple[str, str], tuple[float, dict[str, float | None]]] = {}
    items: dict[str, float | None] = {}
    models: dict[str, None] = {}
    costs: list[str] | None = None
    for line, raw in csv_rows(path, ("item", "model", "correct")):
        if not raw:
            raise RowError(f"line {line} has another number of cells than the header")
        if costs is None:
            costs = [c for c in raw if c.endswith(COST_ENDINGS)]
        item, model = name_of(raw, "item"), name_of(raw, "model")
        if (item, model) in answers:
            raise RowError(f"line {line} repeats item {item} of {model}")
        answers[item, model] = needed(raw, "correct"), {c: number(raw, c) for c in costs}
        score = number(raw, "router_score") if words(raw, "router_score") else None
        items[item] = items.get(item) if score is None else score
        models[model] = None
    if not answers or not costs:
        raise RowError("needs rows, and a cost column such as cost_j")
    if len(items) * len(models) > MAX_CELLS or len(answers) != len(items) * len(models):
        raise RowError(f"{len(answers)} answers for {len(items)} items × {len(models)} models: "
                       "every model must answer every item")  # fmt: skip
    correct = [[answers[i, m][0] for m in models] for i in items]
    found = {c: [[answers[i, m][1][c] for m in models] for i in items] for c in costs}
    known = [s for s in items.values() if s is not None]
    scores = tuple(known) if len(known) == len(items) else None
    return _tables([*items], [*models], correct, found, scores)
