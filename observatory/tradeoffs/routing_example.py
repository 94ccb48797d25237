"""A synthetic table of items, so that the routing lab can be tried without a file.

Nothing in it was measured, and every name in it says so. Items have difficulties spread evenly over
[0, 1]; a model solves an item when the difficulty, moved by a draw of its own, is below its skill.
The router sees the difficulty through noise. Joules follow from tokens by a law of each model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from observatory.decision.items import Items
from observatory.importers.items import Tables

NAME = "synthetic example"
SOURCE = "synthetic: made by observatory.tradeoffs.routing_example, seed 7; nothing was measured"
LICENCE = "that of this project"
ITEMS, SEED = 240, 7


@dataclass(frozen=True, slots=True)
class Model:
    """The law of one synthetic model."""

    name: str
    skill: float
    prompt_j: float  #: J a prompt token
    output_j: float  #: J an output token
    output_tokens: float  #: mean


MODELS = (
    Model("synthetic-small", 0.48, 0.0004, 0.02, 90),
    Model("synthetic-medium", 0.70, 0.003, 0.14, 120),
    Model("synthetic-large", 0.86, 0.02, 0.9, 160),
)


def example() -> Tables:
    """The table: the same numbers each time."""
    random = np.random.Generator(np.random.Philox(key=SEED))
    difficulty = (random.permutation(ITEMS) + 0.5) / ITEMS
    prompt = np.rint(np.exp(random.normal(5.3, 0.5, ITEMS)))
    correct, output, joules = (np.empty((ITEMS, len(MODELS))) for _ in range(3))
    for j, model in enumerate(MODELS):
        correct[:, j] = difficulty + random.normal(0, 0.12, ITEMS) < model.skill
        output[:, j] = np.rint(model.output_tokens * np.exp(random.normal(-0.08, 0.4, ITEMS)))
        joules[:, j] = prompt * model.prompt_j + output[:, j] * model.output_j
    scores = difficulty + random.normal(0, 0.18, ITEMS)
    names = [f"synthetic-{i:03d}" for i in range(ITEMS)]
    columns = {
        "energy_j": np.round(joules, 4),
        "prompt_tokens": np.repeat(prompt[:, None], len(MODELS), axis=1),
        "output_tokens": output,
    }
    tables = {
        cost: Items.of(names, [m.name for m in MODELS], correct, values)
        for cost, values in columns.items()
    }
    return Tables(tables, tuple(float(f"{s:.4f}") for s in scores), columns)


def as_csv(tables: Tables) -> str:
    """A table of items as the CSV that `observatory route` reads."""
    first = next(iter(tables.by_cost.values()))
    lines = [",".join(["item", "model", "correct", "router_score", *tables.columns])]
    for i, item in enumerate(first.items):
        score = "" if tables.router is None else f"{tables.router[i]:.17g}"
        for j, model in enumerate(first.models):
            costs = [f"{values[i, j]:.17g}" for values in tables.columns.values()]
            lines.append(",".join([item, model, f"{first.correct[i, j]:g}", score, *costs]))
    return "\n".join(lines) + "\n"
