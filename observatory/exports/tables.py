"""Tables as CSV, JSON, Parquet and LaTeX. Missing is empty (CSV), null (JSON, Parquet), a dash.

A spreadsheet runs a cell that begins like a formula. Imported text is somebody else's: such a cell
gets an apostrophe in front in CSV, as OWASP advises (CSV Injection), and numbers stay numbers.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from observatory.errors import InputError
from observatory.exports.latex import to_latex
from observatory.records import canonical_json

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
CSV, JSON, PARQUET, LATEX = "csv", "json", "parquet", "latex"
FORMATS = (CSV, JSON, PARQUET, LATEX)


def guarded(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula, made harmless; anything else as it is."""
    if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value):
        return "'" + value
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def guard_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every text (and every column name) guarded, nested values as JSON text."""
    made = frame.copy()
    for name in made.columns:
        if made[name].dtype == object or isinstance(made[name].dtype, pd.StringDtype):
            made[name] = [guarded(flat(value)) for value in made[name]]
    made.columns = pd.Index([guarded(str(name)) for name in made.columns])
    return made


def flat(value: Any) -> Any:
    if isinstance(value, Mapping | list | tuple):
        return canonical_json(value)
    return value


def to_csv(frame: pd.DataFrame) -> str:
    """CSV with a header, `\\n` line ends and floats in full precision; missing is empty."""
    return guard_frame(frame).to_csv(index=False, lineterminator="\n")


def to_json(frame: pd.DataFrame) -> str:
    """A JSON list of objects; missing is null. Nested values stay nested."""
    return json.dumps(records(frame), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values: Python numbers, None for missing."""
    return [
        {str(name): plain(value) for name, value in row.items()} for row in frame.to_dict("records")
    ]


def plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if value is pd.NaT or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def to_parquet(frame: pd.DataFrame) -> bytes:
    """Parquet with nested values as JSON text. Raises InputError where pyarrow is missing."""
    made = frame.copy()
    for name in made.columns:
        if made[name].dtype == object:
            made[name] = [flat(value) for value in made[name]]
    buffer = io.BytesIO()
    try:
        made.to_parquet(buffer, index=False, engine="pyarrow")
    except ImportError:
        raise InputError(
            "parquet needs pyarrow: pip install 'inference-observatory[dashboard]'"
        ) from None
    return buffer.getvalue()


def write(frame: pd.DataFrame, kind: str, caption: str = "") -> bytes:
    """The frame in one of FORMATS. Raises InputError for another format."""
    if kind == CSV:
        return to_csv(frame).encode()
    if kind == JSON:
        return to_json(frame).encode()
    if kind == PARQUET:
        return to_parquet(frame)
    if kind == LATEX:
        return to_latex(frame, caption).encode()
    raise InputError(f"format {kind!r}: use one of {', '.join(FORMATS)}")
