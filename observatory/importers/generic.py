"""This project's own CSV, for results that no reader knows: columns named with their units.

`model` and `phase` are needed, and at least one value column: any name that ends in a unit of
`docs/import.md` (`energy_j`, `runtime_s`, `power_w`, `tokens_per_s`, `memory_bytes`, …). Known
facts beside them are the columns of COLUMNS; `benchmark`, `metric`, `score` add a capability score.
An empty cell and the words of `reading.MISSING_WORDS`, `nan` among them, are missing values.
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
#: column -> field of `Common`
TEXT = {
    "work_unit": "work_unit", "device": "device_kind", "dtype": "dtype",
    "quantization": "quantization", "backend": "backend", "boundary": "boundary",
    "method": "method", "per": "per",
}  # fmt: skip
#: kept beside the values, for the audit: they change the work that a prompt or a token makes
STATED = ("technique", "cached_prompt_tokens")
REAL, WHOLE = ("prompt_tokens", "output_tokens", "batch"), ("device_count", "n")
SCORES = ("benchmark", "metric", "score", "stderr", "shots", "harness", "precision", "source",
          "licence")  # fmt: skip
COLUMNS = ("model", "phase", *TEXT, *REAL, *WHOLE, *STATED, *SCORES, "note")


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
    make = _Rows(names, values).row
    return Reading(TOOL, each(csv_rows(path, ("model", "phase")), make), "1", None, None)


class _Rows:
    """Makes rows of one file. Columns that the file lacks are not looked for in every row."""

    def __init__(self, names: list[str], values: list[str]) -> None:
        known = set(names)
        self._values = values
        self._text = [(field, column) for column, field in TEXT.items() if column in known]
        self._real = [name for name in REAL if name in known]
        self._whole = [name for name in WHOLE if name in known]
        self._stated = [name for name in (*STATED, "note") if name in known]
        self._scored = "score" in known

    def row(self, key: str, raw: Any) -> Row:
        """One row of the file. Raises RowError."""
        phase = name_of(raw, "phase")
        if phase not in PHASES:
            raise RowError(f"phase {phase[:20]!r} is none of {', '.join(sorted(PHASES))}")
        facts: dict[str, Any] = {field: words(raw, column) for field, column in self._text}
        facts["work_unit"] = facts.get("work_unit") or "token"
        per = facts.pop("per", None) or "request"
        boundary = facts.get("boundary")
        if boundary is not None and boundary not in BOUNDARIES:
            raise RowError(f"boundary {boundary[:20]!r} is none of {', '.join(sorted(BOUNDARIES))}")
        for name in self._real:
            facts[name] = number(raw, name)
        for name in self._whole:
            facts[name] = whole(raw, name)
        facts["extra"] = self._extra(raw)
        common = Common(key, name_of(raw, "model"), phase, **facts)
        scores = _score(raw) if self._scored else ()
        found = {name: (number(raw, name), per) for name in self._values}
        if scores and all(value is None for value, _ in found.values()):
            return Row(key, scores=scores)
        return Row(key, common.facts(found), scores)

    def _extra(self, raw: Any) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: number(raw, name) if name.endswith("_tokens") else words(raw, name)
            for name in self._stated
        }
        return {name: value for name, value in found.items() if value is not None}


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
