"""The capability table beside the ML.ENERGY Leaderboard of 2023: `score.csv`, percent.

The file states no shots, metric or harness version, so the lanes say `?` there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observatory.capability.lanes import Lane, Score
from observatory.importers.ml_energy_legacy import LICENCE, TOOL, URL
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    csv_rows,
    each,
    header,
    name_of,
    number,
)

BENCHMARKS = {"arc": "arc_challenge", "hellaswag": "hellaswag", "truthfulqa": "truthfulqa"}
COLUMNS = ["model", *BENCHMARKS]


def sniff(path: Path) -> bool:
    """A CSV with exactly model, arc, hellaswag, truthfulqa."""
    return header(path) == COLUMNS


def read(path: Path) -> Reading:
    """Three scores a model. Raises InputError where the file is unreadable."""
    return Reading(TOOL, each(csv_rows(path, COLUMNS), _row), "2023", LICENCE, URL)


def _row(key: str, raw: Any) -> Row:
    model, scores = name_of(raw, "model"), []
    for column, benchmark in BENCHMARKS.items():
        percent = number(raw, column)
        if percent is None:
            continue
        if not 0 <= percent <= 100:
            raise RowError(f"{column} {percent:g} is no percentage")
        lane = Lane(benchmark, "accuracy", source="ml-energy-2023")
        scores.append(Score(model, lane, percent / 100, "fraction", f"{URL} score.csv", LICENCE))
    if not scores:
        raise RowError("holds no score")
    return Row(key, scores=tuple(scores))
