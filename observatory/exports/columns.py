"""What the name of a column says: its quantity, its bounds, the unit in which it reads well, and
whether its values are whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Integer

from observatory.store import schema
from observatory.units import UNITS

#: columns of the store that hold whole numbers; those that may be missing are read as floats
WHOLE = frozenset(
    column.name for table in schema.metadata.tables.values() for column in table.columns
    if isinstance(column.type, Integer)
)  # fmt: skip


def bound_of(name: str, names: Sequence[str]) -> str | None:
    """`runtime_s` for `runtime_low_s`: the column whose bound this is, None for any other."""
    for bound in ("_low", "_high"):
        base = name.replace(bound, "", 1)
        if bound in name and base in names:
            return base
    return None


def bounds_of(name: str, names: Sequence[str]) -> tuple[str, str] | None:
    """Names of the columns that hold the bounds of `name`: `x_low` or, in the store, `x_low_s`."""
    head, _, unit = name.rpartition("_")
    for low, high in (
        (f"{name}_low", f"{name}_high"),
        (f"{head}_low_{unit}", f"{head}_high_{unit}"),
    ):
        if low in names and high in names:
            return low, high
    return None


def quantity_of(name: str) -> str | None:
    """The quantity of `observatory.units` that a column holds, None where it holds none."""
    if name in UNITS:
        return name
    endings = {"_s": "runtime_s", "_j": "energy_j", "_wh": "energy_wh", "_g": "co2e_g",
               "_l": "water_l", "_usd": "cost_usd", "_w": "power_w",
               "_bytes": "memory_bytes"}  # fmt: skip
    if name.endswith("_per_s"):
        return None
    return next((unit for end, unit in endings.items() if name.endswith(end)), None)


def scale_of(values: pd.Series[Any], quantity: str) -> tuple[float, str]:
    """(factor, symbol) in which the median of `values` reads well: divide by the factor."""
    unit = UNITS[quantity]
    known = values.dropna().astype(float).abs()
    known = known[known > 0]
    if known.empty:
        return 1.0, unit.symbol
    middle = float(known.median())
    return next(((f, s) for f, s in unit.scales if middle >= f), unit.scales[-1])


def whole_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the columns of `WHOLE` as integers, missing ones too: 16, not 16.0."""
    floats = [name for name in frame.columns
              if name in WHOLE and pd.api.types.is_float_dtype(frame[name])]  # fmt: skip
    whole = [name for name in floats if (frame[name].dropna() % 1 == 0).all()]
    return frame.astype(dict.fromkeys(whole, "Int64"))
