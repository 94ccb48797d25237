"""Rows of other people's files put together again: the values of one row, and what ran."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pandas as pd

from observatory.catalog.weights import weight_format
from observatory.errors import InputError


@dataclass
class Value:
    """One reported value, with the columns that are found for it."""

    place: int
    quantity: str
    kind: str | None  #: `energy`, `time`, `power`, `rate`, or None for what is not judged
    per: str
    phase: str
    value: float
    found: dict[str, Any] = field(default_factory=dict)


@dataclass
class Case:
    """The values of one row of a file, and what ran."""

    values: list[Value]
    work_unit: str
    prompt: float | None
    output: float | None
    batch: float | None
    device: str | None
    devices: int
    boundary: str | None
    model: str
    dtype: str | None

    def of(self, kind: str, phase: str | None = None) -> list[Value]:
        """Positive values of a kind (and a phase)."""
        return [
            v for v in self.values
            if v.kind == kind and v.value > 0 and (phase is None or v.phase == phase)
        ]  # fmt: skip


def kind_of(quantity: str, unit: str, per: str) -> str | None:
    """What a value is, from its unit; None for memory, scores and the like."""
    kind = {"J": "energy", "W": "power", "s": "time"}.get(unit)
    rate = per == "second" or unit.endswith("/s") or quantity.endswith("_per_s")
    return "rate" if kind is None and rate else kind


def cases(table: pd.DataFrame) -> Iterator[Case]:
    """The rows of the files, each with its values, from columns of the table `reported`."""
    keys = ["source_key", "row"]
    order = [table.columns.get_loc(name) for name in keys]
    rows: dict[tuple[Any, ...], list[tuple[int, Mapping[Any, Any]]]] = {}
    for place, (cells, record) in enumerate(
        zip(table.itertuples(index=False, name=None), table.to_dict("records"), strict=True)
    ):
        rows.setdefault(tuple(cells[i] for i in order), []).append((place, record))
    for members in rows.values():
        yield _case(members)


def _case(members: Sequence[tuple[int, Mapping[Any, Any]]]) -> Case:
    values = []
    for place, row in members:
        number = _number(row["value"])
        kind = None if number is None else kind_of(row["quantity"], row["unit"], row["per"])
        values.append(
            Value(place, row["quantity"], kind, row["per"], row["phase"],
                  math.nan if number is None else number)
        )  # fmt: skip
    row = members[0][1]
    count = _number(row["device_count"])
    return Case(
        values=values,
        work_unit=row["work_unit"],
        prompt=_number(row["prompt_tokens"]),
        output=_number(row["output_tokens"]),
        batch=_number(row["batch"]),
        device=row["device_kind"] if isinstance(row["device_kind"], str) else None,
        devices=1 if count is None else max(1, int(count)),
        boundary=row["boundary"] if isinstance(row["boundary"], str) else None,
        model=row["model_name"],
        dtype=_format(row["quantization"], row["dtype"]),
    )


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


@cache
def _format_named(name: str) -> str | None:
    try:
        return weight_format(name).name
    except InputError:
        return None


def _format(quantization: Any, dtype: Any) -> str | None:
    """The weight format: the quantization where there is one, else the type; None where unknown."""
    for name in (quantization, dtype):
        if isinstance(name, str) and name.lower() not in ("", "none"):
            return _format_named(name)
    return None
