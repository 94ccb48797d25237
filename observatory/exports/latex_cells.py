"""Cells of a LaTeX table: numbers in one unit with their intervals, text that may break."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from observatory.exports.columns import bounds_of, quantity_of, scale_of
from observatory.exports.latex_text import breakable, escape_latex, width_em
from observatory.exports.paper_columns import HEADS, SHARES
from observatory.units import significant

WRAPPED_FROM = 24  #: characters from which a text is wrapped


@dataclass(frozen=True, slots=True)
class Column:
    """One column ready to print. `body` holds the cells, `below` their intervals in brackets.

    `em` is the width of the widest cell or header, `stacked_em` with intervals on their own line.
    """

    name: str
    head: str
    unit: str
    body: tuple[str, ...]
    em: float
    numeric: bool
    below: tuple[str | None, ...] = ()
    stacked_em: float = 0.0
    characters: int = 0

    @property
    def wrapped(self) -> bool:
        """Whether its text is broken into lines."""
        return not self.numeric and self.characters >= WRAPPED_FROM


def column_of(frame: pd.DataFrame, name: str, names: Sequence[str]) -> Column:
    """The column `name`, numbers scaled to a readable unit, its bounds among `names` beside it."""
    values = frame[name]
    if pd.api.types.is_bool_dtype(values):
        values = values.map({True: "yes", False: "no"})
    if not pd.api.types.is_numeric_dtype(values):
        return _text(name, values)
    quantity = quantity_of(name)
    factor, symbol = (0.01, "%") if name in SHARES else (1.0, "")
    if quantity is not None:
        factor, symbol = scale_of(values, quantity)
    stem = name.rpartition("_")[0] if quantity is not None and "_" in name else name
    head = HEADS.get(name, stem.replace("_", " "))
    unit = f"({symbol})" if symbol and name != "tokens_per_s" else ""
    body = [_number(value, factor) for value in values]
    below = _intervals(frame, bounds_of(name, names), factor)
    wide = max(width_em(_printed(t)) for t in body)
    brackets = max((width_em(_printed(t)) for t in below if t), default=0.0)
    beside = max(width_em(_printed(f"{t} {b}" if b else t))
                 for t, b in zip(body, below, strict=True))  # fmt: skip
    return Column(
        name, escape_latex(head), escape_latex(unit).replace("CO2e", "CO$_2$e"), tuple(body),
        max(beside, width_em(f"{head} {unit}".strip())), True, below,
        max(wide, brackets, width_em(head), width_em(unit)),
    )  # fmt: skip


def _intervals(
    frame: pd.DataFrame, bounds: tuple[str, str] | None, factor: float
) -> tuple[str | None, ...]:
    """`[low, high]` of each row; None where a bound is missing."""
    if bounds is None:
        return (None,) * len(frame)
    lows, highs = (frame[name] for name in bounds)
    return tuple(
        None if pd.isna(a) or pd.isna(b) else f"[{_number(a, factor)}, {_number(b, factor)}]"
        for a, b in zip(lows, highs, strict=True)
    )


def _printed(text: str) -> str:
    """What a number looks like on paper, for its width: raised digits are small."""
    return re.sub(r"\$([-0-9.]+)\\times 10\^\{(-?\d+)\}\$", r"\1×10\2", text)


def _text(name: str, values: pd.Series[Any]) -> Column:
    said = [_plain(v) for v in values]
    if name.endswith("_utc"):
        said = [t if t is None else t[:16].replace("T", " ") for t in said]
    head = HEADS.get(name, name.replace("_", " "))
    wide = max([len(head), *(len(t) for t in said if t is not None)])
    em = max([width_em(head), *(width_em(t) for t in said if t is not None)])
    if wide < WRAPPED_FROM:
        body = tuple("--" if t is None else escape_latex(t) for t in said)
    else:
        body = tuple("--" if t is None else rf"{{\raggedright {breakable(t)}\par}}" for t in said)
    return Column(name, escape_latex(head), "", body, em, False, (), em, wide)


def _number(value: Any, factor: float) -> str:
    if pd.isna(value):
        return "--"
    scaled = float(value) / factor
    if not math.isfinite(scaled):
        return r"$\infty$" if scaled > 0 else r"$-\infty$"
    if scaled == int(scaled) and abs(scaled) < 1e6:
        return f"{scaled:.0f}"
    text = significant(scaled)
    mantissa, _, exponent = text.partition("e")
    return rf"${mantissa}\times 10^{{{int(exponent)}}}$" if exponent else text


def _plain(value: Any) -> str | None:
    """A text on one line; None for missing and for an empty list."""
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value) or None
    if value is None or (not isinstance(value, dict) and bool(pd.isna(value))):
        return None
    return " ".join(str(value).split()) or None
