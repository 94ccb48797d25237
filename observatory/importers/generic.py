"""This project's own CSV, for results that no reader knows: columns named with their units.

`model` and `phase` are needed, and at least one value column: any name that ends in a unit of
`docs/import.md` (`energy_j`, `runtime_s`, `power_w`, `tokens_per_s`, `memory_bytes`, …). Known
facts beside them are the columns of COLUMNS; `benchmark`, `metric`, `score` add a capability score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observatory.capability.lanes import Lane, Score
from observatory.errors import InputError
from observatory.importers.facts import RATES, UNIT_OF, Common
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    columns,
    csv_rows,
    each,
    header,
    name_of,
    number,
    whole,
    words,
)
from observatory.records import Boundary, Phase

TOOL = "generic CSV"
PHASES = {p.value for p in Phase} - {"anchor"}
BOUNDARIES = {b.value for b in Boundary}
TEXT = ("work_unit", "device", "dtype", "quantization", "backend", "boundary", "method", "per")
NUMBERS = ("prompt_tokens", "output_tokens", "batch", "device_count", "n")
SCORES = ("benchmark", "metric", "score", "stderr", "shots", "harness", "precision", "source",
          "licence")  # fmt: skip
COLUMNS = ("model", "phase", *TEXT, *NUMBERS, *SCORES, "note")


def is_value(name: str) -> bool:
    """Whether a column's name ends in a unit that is known here."""
    return name not in COLUMNS and (name in RATES or name.endswith(tuple(UNIT_OF)))


def sniff(path: Path) -> bool:
    """A CSV with model and phase, and nothing that is not of this form."""
    names = header(path)
    known = all(name in COLUMNS or is_value(name) for name in names)
    return known and {"model", "phase"} <= set(names)


def read(path: Path) -> Reading:
    """One row a measurement. Raises InputError for a column of no known name or unit."""
    names = columns(path)
    for name in names:
        if name not in COLUMNS and not is_value(name):
            raise InputError(f"{path}: column {name[:40]!r} has no known name or unit")
    values = [name for name in names if is_value(name)]
    if not values and "score" not in names:
        raise InputError(f"{path}: no column with a value, such as energy_j or runtime_s")
    rows = each(csv_rows(path, ("model", "phase")), lambda k, raw: _row(k, raw, values))
    return Reading(TOOL, rows, "1", None, None)


def _row(key: str, raw: Any, values: list[str]) -> Row:
    phase, boundary = name_of(raw, "phase"), words(raw, "boundary")
    if phase not in PHASES:
        raise RowError(f"phase {phase[:20]!r} is none of {', '.join(sorted(PHASES))}")
    if boundary is not None and boundary not in BOUNDARIES:
        raise RowError(f"boundary {boundary[:20]!r} is none of {', '.join(sorted(BOUNDARIES))}")
    numbers = {name: number(raw, name) for name in NUMBERS[:3]}
    common = Common(
        row=key,
        model_name=name_of(raw, "model"),
        phase=phase,
        work_unit=words(raw, "work_unit") or "token",
        **numbers,
        device_kind=words(raw, "device"),
        device_count=whole(raw, "device_count"),
        dtype=words(raw, "dtype"),
        quantization=words(raw, "quantization"),
        backend=words(raw, "backend"),
        boundary=boundary,
        method=words(raw, "method"),
        n=whole(raw, "n"),
        extra={"note": note} if (note := words(raw, "note")) else {},
    )
    per = words(raw, "per") or "request"
    scores = _score(raw)
    found = {name: (number(raw, name), per) for name in values}
    if scores and all(value is None for value, _ in found.values()):
        return Row(key, scores=scores)
    return Row(key, common.facts(found), scores)


def _score(raw: Any) -> tuple[Score, ...]:
    value = number(raw, "score")
    if value is None:
        return ()
    lane = Lane(name_of(raw, "benchmark"), name_of(raw, "metric"), words(raw, "shots"),
                words(raw, "harness"), "generic", precision=words(raw, "precision"))  # fmt: skip
    stderr = number(raw, "stderr")
    if stderr is not None and stderr < 0:
        raise RowError("stderr is negative")
    unit = "fraction" if 0 <= value <= 1 else "points"
    return (Score(name_of(raw, "model"), lane, value, unit, name_of(raw, "source"),
                  name_of(raw, "licence"), stderr),)  # fmt: skip
