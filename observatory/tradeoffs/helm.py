"""Raw against idealized runtime on a HELM run CSV: do they rank the same models alike?

The question of Narayanan et al. (NeurIPS 2023): raw runtimes of APIs mix the model with load,
batching and hardware, so their order need not be that of the models. Pairs are two models on the
same scenario; a pair is flipped where the two runtimes put them in opposite order. Empty cells are
missing and not 0; runs without `model=` have no model and are passed over.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from observatory.decision.frontier import Option, frontier
from observatory.decision.ranks import RankAgreement, flips, rank_agreement
from observatory.errors import InputError
from observatory.importers.reading import RowError, csv_rows, number

RAW, IDEALIZED, SCORE = "inference_runtime", "inference_idealized_runtime", "exact_match"
_MODEL = re.compile(r",?model=([^,]+)")


@dataclass(frozen=True, slots=True)
class Run:
    """One model on one scenario; runtimes in seconds, score as a share or None."""

    scenario: str
    model: str
    raw_s: float
    idealized_s: float
    score: float | None


@dataclass(frozen=True, slots=True)
class ModelMeans:
    """Means over the scenarios that every model of the file ran with a score."""

    model: str
    raw_s: float
    idealized_s: float
    score: float
    scenarios: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How raw and idealized runtime disagree. `within` counts pairs on the same scenario."""

    runs: int
    within: RankAgreement
    models: tuple[ModelMeans, ...]
    between: RankAgreement
    flipped_models: tuple[tuple[str, str], ...]
    frontier_raw: tuple[str, ...]
    frontier_idealized: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Nested plain values, shares included."""
        made = asdict(self)
        for name, agreed in (("within", self.within), ("between", self.between)):
            made[name]["flipped_share"] = agreed.flipped_share
        return made


def runs(path: Path) -> Iterator[Run]:
    """Runs with both runtimes. Raises InputError for a file that is no such table."""
    for line, row in csv_rows(path, ("scenario", RAW, IDEALIZED, SCORE)):
        found = _MODEL.search(row.get("scenario", ""))
        try:
            raw, idealized, score = (number(row, name) for name in (RAW, IDEALIZED, SCORE))
        except RowError as error:
            raise InputError(f"{path}: line {line}: {error}") from None
        if found is not None and raw is not None and idealized is not None:
            yield Run(_MODEL.sub("", row["scenario"]), found[1], raw, idealized, score)


def disagreement(path: Path) -> Disagreement:
    """Compare both runtimes. Raises InputError where fewer than two models can be compared."""
    found = list(runs(path))
    by_scenario: dict[str, dict[str, Run]] = defaultdict(dict)
    for run in found:
        by_scenario[run.scenario][run.model] = run
    means = _means(by_scenario)
    if len(means) < 2:
        raise InputError(f"{path}: no scenario that two models ran with runtimes and a score")
    raw, idealized = [m.raw_s for m in means], [m.idealized_s for m in means]
    names = [m.model for m in means]
    fronts = [
        tuple(o.name for o in frontier([Option(m.model, cost, m.score)
                                        for m, cost in zip(means, costs, strict=True)]))
        for costs in (raw, idealized)
    ]  # fmt: skip
    return Disagreement(
        len(found), _within(by_scenario), means, rank_agreement(raw, idealized),
        tuple(flips(names, raw, idealized)), fronts[0], fronts[1],
    )  # fmt: skip


def _within(by_scenario: Mapping[str, Mapping[str, Run]]) -> RankAgreement:
    """Pairs inside scenarios, added up. Many rankings have no one tau-b: see `between`."""
    pairs = flipped = tied = 0
    for group in by_scenario.values():
        if len(group) > 1:
            made = rank_agreement(*_times(list(group.values())))
            pairs, flipped, tied = pairs + made.pairs, flipped + made.flipped, tied + made.tied
    return RankAgreement(None, pairs, flipped, tied)


def _times(group: Sequence[Run]) -> tuple[list[float], list[float]]:
    return [r.raw_s for r in group], [r.idealized_s for r in group]


def _means(by_scenario: Mapping[str, Mapping[str, Run]]) -> tuple[ModelMeans, ...]:
    models = sorted({model for group in by_scenario.values() for model in group})
    scored = [
        group for group in by_scenario.values()
        if all(m in group and group[m].score is not None for m in models)
    ]  # fmt: skip
    n = len(scored)
    return tuple(
        ModelMeans(
            model,
            sum(g[model].raw_s for g in scored) / n,
            sum(g[model].idealized_s for g in scored) / n,
            sum(g[model].score or 0.0 for g in scored) / n,
            n,
        )
        for model in (models if n else [])
    )
