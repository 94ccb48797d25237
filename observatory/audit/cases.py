"""Rows of other people's files put together again: the values of one row, and what ran."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from observatory.catalog.weights import weight_format
from observatory.errors import InputError

_ROLES = {"prefill": ("prefill", "ttft"), "decode": ("decode",), "step": ("tpot", "itl")}
_WHOLE_PHASES = ("prefill", "decode", "e2e")
_OTHER_PARTS = ("cpu", "ram", "dram", "idle")
_PLAIN = ("", "none", "plain")
MEMORY = "memory"  #: the kind of a value in bytes
#: What a value is per, where it covers the whole batch.
WHOLE = ("iteration", "batch", "run")


@dataclass(slots=True)
class Value:
    """One reported value, with the columns that are found for it."""

    place: int
    quantity: str
    kind: str | None  #: `energy`, `time`, `power`, `rate`, `memory`, None for what is not judged
    per: str
    phase: str
    value: float
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def role(self) -> str | None:
        """What part of a request it covers: `prefill`, `decode`, `step`, or `e2e`; None unknown."""
        return _role(self.quantity, self.phase)

    @property
    def is_part(self) -> bool:
        """Whether it covers something else than the working accelerators, such as the CPU."""
        return _is_part(self.quantity)


@lru_cache(maxsize=4096)
def _role(quantity: str, phase: str) -> str | None:
    words = quantity.split("_")
    for role, names in _ROLES.items():
        if any(name in words for name in names):
            return role
    return phase if phase in _WHOLE_PHASES else None


@lru_cache(maxsize=4096)
def _is_part(quantity: str) -> bool:
    return any(word in quantity.split("_") for word in _OTHER_PARTS)


@dataclass(slots=True)
class Case:
    """The values of one row of a file, and what ran."""

    values: list[Value]
    work_unit: str
    prompt: float | None
    output: float | None
    batch: float | None
    device: str | None
    devices: int | None
    boundary: str | None
    model: str
    dtype: str | None
    technique: str | None = None
    cached_prompt_tokens: float | None = None
    offloaded: bool = False  #: the row says that weights lie elsewhere than on its devices

    @property
    def plain(self) -> bool:
        """Whether each token is one pass of this model, as far as the row says: no draft model
        proposes tokens and no part of the prompt comes from a cache."""
        technique = (self.technique or "").lower()
        return technique in _PLAIN and not self.cached_prompt_tokens

    def of(self, kind: str, phase: str | None = None) -> list[Value]:
        """Positive values of a kind (and a phase)."""
        return [
            v for v in self.values
            if v.kind == kind and v.value > 0 and (phase is None or v.phase == phase)
        ]  # fmt: skip


#: columns of the table `reported` that a case is made of
NEEDED = (
    "quantity", "value", "unit", "per", "phase", "device_count", "work_unit", "prompt_tokens",
    "output_tokens", "batch", "device_kind", "boundary", "model_name", "quantization", "dtype",
    "backend",
)  # fmt: skip
#: what a file may state beside them, kept in `extra`
STATED = ("technique", "cached_prompt_tokens", "twin_of")


def with_stated(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column for each of STATED, out of `extra` where it has that."""
    made = {}
    for name in STATED:
        if name not in table.columns:
            facts = table["extra"] if "extra" in table.columns else [None] * len(table)
            made[name] = [(fact or {}).get(name) for fact in facts]
    return table.assign(**{name: pd.Series(v, table.index, object) for name, v in made.items()})


@lru_cache(maxsize=4096)
def kind_of(quantity: str, unit: str, per: str) -> str | None:
    """What a value is, from its unit; None for scores, prices and the like."""
    kind = {"J": "energy", "W": "power", "s": "time", "B": MEMORY}.get(unit)
    rate = per == "second" or unit.endswith("/s") or quantity.endswith("_per_s")
    return "rate" if kind is None and rate else kind


def cases(table: pd.DataFrame) -> Iterator[Case]:
    """The rows of the files, each with its values, from columns of the table `reported` and STATED.

    Cells become Python values column by column, equal ones once, and a row's are put together only
    when it is its turn: 100,000 rows as dictionaries would take most of the memory of an import.
    """
    columns = {name: _cells(table[name]) for name in (*NEEDED, *STATED)}
    for members in _rows(table):
        yield _case(members, columns)


def _rows(table: pd.DataFrame) -> Iterator[list[int]]:
    """The places of each row of a file, rows in order of their first value."""
    source, _ = pd.factorize(table["source_key"])
    row, names = pd.factorize(table["row"])
    codes, _ = pd.factorize(source.astype(np.int64) * (len(names) + 1) + row)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        yield order[start:end].tolist()


def _cells(column: pd.Series[Any]) -> list[Any]:
    """The cells of a column as Python values, equal ones the same object; missing is None."""
    codes, unique = pd.factorize(column)
    known = [*pd.Index(unique).tolist(), None]
    return [known[code] for code in codes]


def _case(members: Sequence[int], columns: Mapping[str, list[Any]]) -> Case:
    values = []
    for place in members:
        number = _number(columns["value"][place])
        quantity, per = columns["quantity"][place], columns["per"][place]
        kind = None if number is None else kind_of(quantity, columns["unit"][place], per)
        values.append(
            Value(place, quantity, kind, per, columns["phase"][place],
                  math.nan if number is None else number)
        )  # fmt: skip
    first = members[0]
    count = _number(columns["device_count"][first])
    device = columns["device_kind"][first]
    boundaries = (columns["boundary"][place] for place in members)
    return Case(
        values=values,
        work_unit=columns["work_unit"][first],
        prompt=_number(columns["prompt_tokens"][first]),
        output=_number(columns["output_tokens"][first]),
        batch=_number(columns["batch"][first]),
        device=device if isinstance(device, str) else None,
        devices=None if count is None or count < 1 else int(count),
        boundary=next((b for b in boundaries if isinstance(b, str)), None),
        model=columns["model_name"][first],
        dtype=_format(columns["quantization"][first], columns["dtype"][first]),
        technique=_text(columns["technique"][first]),
        cached_prompt_tokens=_number(columns["cached_prompt_tokens"][first]),
        offloaded=any(
            "offload" in (_text(columns[name][first]) or "").lower()
            for name in ("technique", "quantization", "backend")
        ),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


@cache
def _format(quantization: Any, dtype: Any) -> str | None:
    """The weight format: of the quantization where it names one, else of the type.

    A scheme that is not known leaves the type only where that is a quantized one itself.
    """
    given = [x for x in (quantization, dtype) if isinstance(x, str) and x.lower() not in _PLAIN]
    for name in given:
        try:
            form = weight_format(name)
        except InputError:
            continue
        if len(given) < 2 or name == quantization or form.matrix_bytes < 2:
            return form.name
    return None
