"""The scores that a cost may stand beside: stored and shipped ones, by name and number format.

A model finds its own scores; an architecture without any finds those of its variants, each named.
A quantized cost takes the quantized score, or another one marked inherited (METHOD §7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine

from observatory.capability.lanes import axis_of
from observatory.capability.names import architecture, model_name
from observatory.capability.scores import Scored, for_precision, scored, shipped_rows, together
from observatory.store import reader


@dataclass(frozen=True, slots=True)
class Match:
    """A score beside the cost of one model in one number format."""

    scored: Scored
    inherited: bool  #: the score is of the model in another number format
    of_variant: str | None  #: the score is of this other checkpoint of the same architecture

    def words(self) -> str:
        """The score with its lane and what it is not: `mmlu 0.63 fraction (mmlu/acc/…)`."""
        s = self.scored
        marks = [
            *([f"score of {self.of_variant}"] if self.of_variant else []),
            *(["inherited from another number format"] if self.inherited else []),
        ]
        said = f"{s.lane.partition('/')[0]} {s.score:.3g} {s.unit} ({s.lane})"
        return ", ".join([said, *marks])


def capability_rows(engine: Engine) -> list[Mapping[str, Any]]:
    """Scores of the store, and the shipped ones that it does not hold."""
    with engine.connect() as connection:
        return together(reader.capability(connection))


def matches(model: str, precision: str | None, scores: Sequence[Scored]) -> list[Match]:
    """The best score of `model` (a normalised name) on each axis; of each variant by itself."""
    own = [s for s in scores if s.model == model]
    if not own and architecture(model) == model:
        own = [s for s in scores if architecture(s.model) == model]
    by: dict[tuple[str, str], list[Scored]] = {}
    for score in own:
        by.setdefault((score.model, axis_of(score.lane)), []).append(score)
    found = []
    for (name, _), same in by.items():
        best, inherited = for_precision(same, precision)
        found.append(Match(best, inherited, None if name == model else name))
    return found


def beside(
    engine: Engine, costs: Iterable[tuple[str, str | None]]
) -> dict[tuple[str, str | None], Match]:
    """(model as measured, number format) -> the one score to show where there is room for one.

    A score of the very model before a variant's, of its number format before an inherited one; then
    the axis that most models of the store have, so that a table can be read down; then by name.
    """
    wanted = set(costs)
    with engine.connect() as connection:
        measured = reader.model_names(connection)
        names = {model: model_name(model) for model in {*measured, *(model for model, _ in wanted)}}
        scores = _scores_of(connection, {architecture(name) for name in names.values()})

    def found(model: str, precision: str | None) -> list[Match]:
        return matches(names[model], precision, scores.get(architecture(names[model]), []))

    having = {(axis_of(m.scored.lane), model) for model in measured for m in found(model, None)}
    shared = Counter(axis for axis, _ in having)

    def rank(match: Match) -> tuple[Any, ...]:
        best, axis = match.scored, axis_of(match.scored.lane)
        return (match.of_variant is not None, match.inherited, -shared[axis], axis, best.model,
                best.lane, best.source)  # fmt: skip

    known = {cost: found(*cost) for cost in wanted}
    return {cost: min(every, key=rank) for cost, every in known.items() if every}


def _scores_of(connection: Connection, shapes: Collection[str]) -> dict[str, list[Scored]]:
    """Architecture -> its scores, of these architectures only."""
    found: dict[str, list[Scored]] = {}
    for row in _rows_of(connection, shapes):
        found.setdefault(architecture(row["model_name"]), []).append(scored(row))
    return found


def _rows_of(connection: Connection, shapes: Collection[str]) -> list[Mapping[str, Any]]:
    known = reader.scored_models(connection)
    stored = reader.capability(connection, [m for m in known if architecture(m) in shapes])
    shipped = [row for shape in sorted(shapes) for row in _shipped_of().get(shape, ())]
    return together(stored, shipped)


def rows_beside(engine: Engine, model: str) -> list[Mapping[str, Any]]:
    """Every score that a cost of `model` may stand beside, as rows of `capability`: its own, else
    those of the variants of its architecture, by model and lane."""
    name = model_name(model)
    with engine.connect() as connection:
        rows = _rows_of(connection, {architecture(name)})
    own = [row for row in rows if row["model_name"] == name]
    if not own and architecture(name) == name:
        own = rows
    return sorted(own, key=lambda row: (row["model_name"], row["lane"], row["source"]))


@cache
def _shipped_of() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in shipped_rows():
        found.setdefault(architecture(row["model_name"]), []).append(row)
    return found
