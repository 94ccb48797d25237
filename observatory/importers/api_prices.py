"""API list prices per million tokens. A price of 0 upstream is unknown: NULL with a reason.

Columns `model_key` (or `model`), `input_usd_per_mtok` and `output_usd_per_mtok`; others are kept as
notes. A list price is what a provider asks, not what it costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observatory.importers.facts import Common
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    csv_rows,
    each,
    extras,
    header,
    name_of,
    number,
)

TOOL = "API price list"
COLUMNS = ("input_usd_per_mtok", "output_usd_per_mtok")
ZERO = "0 upstream means unknown, not free"
KEPT = ("provider", "mode", "price_source", "snapshot", "deprecation_date", "tiered")
MAX_PRICE = 1e6  #: USD per million tokens; above it a price per token was taken for one per million


def sniff(path: Path) -> bool:
    """A CSV with both price columns and a model."""
    names = set(header(path))
    return set(COLUMNS) <= names and bool({"model_key", "model"} & names)


def read(path: Path) -> Reading:
    """Two prices a model. Raises InputError where the file is unreadable."""
    key = "model_key" if "model_key" in header(path) else "model"
    rows = each(csv_rows(path, (key, *COLUMNS)), lambda k, raw: _row(k, raw, key))
    return Reading(TOOL, rows, None, "facts, cited by row", None)


def _row(key: str, raw: Any, model: str) -> Row:
    common = Common(
        row=key,
        model_name=name_of(raw, model),
        phase="serving",
        extra=extras(raw, KEPT),
    )
    made = []
    for column, side in zip(COLUMNS, ("input", "output"), strict=True):
        price = number(raw, column)
        if price is not None and not 0 <= price <= MAX_PRICE:
            raise RowError(f"{column} is {price:g} USD per million tokens")
        reason = ZERO if price == 0 else "not in the list" if price is None else None
        made.append(
            common.fact(f"price_{side}_usd_per_mtok", price or None, "Mtoken", reason=reason)
        )
    return Row(key, tuple(made))
