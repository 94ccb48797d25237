"""Tables as CSV, JSON, Parquet and LaTeX. Missing is empty (CSV), null (JSON, Parquet), a dash.

A spreadsheet runs a cell that begins like a formula. Imported text is somebody else's: such a cell
gets an apostrophe in front in CSV, as OWASP advises (CSV Injection), and numbers stay numbers.
`read_csv` takes it off again, so that a table comes back as it was; in CSV alone an empty text
cannot be told from a missing one, and comes back missing.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from observatory.errors import InputError, UnknownNameError
from observatory.exports.columns import whole_numbers
from observatory.exports.latex import to_latex
from observatory.records import canonical_json

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
#: columns whose values can look like numbers and are names: an edition 2026.1, three shots
TEXTS = frozenset({"edition", "shots", "run_id", "year", "backend_version", "code_version",
                   "recipe_version"})  # fmt: skip
CSV, JSON, PARQUET, LATEX = "csv", "json", "parquet", "latex"
FORMATS = (CSV, JSON, PARQUET, LATEX)


def guarded(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula, made harmless; anything else as it is.

    A text that begins with apostrophes before such a sign gets one more, so that `unguarded` can
    tell what was put there.
    """
    if isinstance(value, str) and value.lstrip("'").startswith(FORMULA) and not _is_number(value):
        return "'" + value
    return value


def unguarded(value: Any) -> Any:
    """The text that `guarded` was given."""
    if isinstance(value, str) and value[:1] == "'" and value.lstrip("'").startswith(FORMULA):
        return value[1:]
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
            made[name] = [guarded(flat(value)) for value in made[name].tolist()]
    made.columns = pd.Index([guarded(str(name)) for name in made.columns])
    return made


def flat(value: Any) -> Any:
    if isinstance(value, Mapping | list | tuple):
        return canonical_json(value)
    return value


class _Lines(io.StringIO):
    """Rows of a CSV writer that ends them by `\\r\\n`, so that it quotes both, ended by `\\n`."""

    def write(self, row: str) -> int:
        return super().write(row.removesuffix("\r\n") + "\n")


def to_csv(frame: pd.DataFrame) -> str:
    """CSV with a header, `\\n` line ends, counts as integers and floats in full precision; missing
    is empty."""
    lines = _Lines(newline="")
    guard_frame(whole_numbers(frame)).to_csv(lines, index=False, lineterminator="\r\n")
    return lines.getvalue()


def read_csv(text: str) -> pd.DataFrame:
    """The table that `to_csv` wrote: guards taken off, numbers as they were, nested values as their
    JSON text. A column is numeric where every value reads exactly as a number is written here."""
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    columns = {
        unguarded(name): _typed(name, [row[i] or None for row in rows])
        for i, name in enumerate(header)
    }
    return pd.DataFrame(columns, columns=[unguarded(name) for name in header])


def _typed(name: str, values: list[str | None]) -> pd.Series[Any]:
    known = [v for v in values if v is not None]
    text = name in TEXTS or name.endswith(("_key", "_hash"))
    for kind in () if text else (int, float):
        if known and all(_reads_as(v, kind) for v in known):
            whole = kind is int and len(known) == len(values)
            return pd.Series([None if v is None else kind(v) for v in values],
                             dtype="int64" if whole else "float64")  # fmt: skip
    if known and len(known) == len(values) and set(known) <= {"True", "False"}:
        return pd.Series([v == "True" for v in values], dtype=bool)
    return pd.Series([unguarded(v) for v in values], dtype=object)


def _reads_as(text: str, kind: type[int] | type[float]) -> bool:
    try:
        return repr(kind(text)) == text
    except ValueError:
        return False


def to_json(frame: pd.DataFrame) -> str:
    """A JSON list of objects; missing is null. Nested values stay nested."""
    rows = records(whole_numbers(frame))
    return json.dumps(rows, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


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


def chosen(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The frame with these columns in this order. Raises UnknownNameError for one it has not."""
    names = [str(c) for c in frame.columns]
    for name in columns:
        if name not in names:
            raise UnknownNameError("column", name, names, f"such as {', '.join(names[:8])}")
    return frame[list(columns)]


def write(
    frame: pd.DataFrame,
    kind: str,
    what: str | None = None,
    columns: Sequence[str] | None = None,
    width: str = "page",
) -> bytes:
    """The frame in one of FORMATS; `what`, `columns` and `width` lay out a LaTeX table.

    Raises InputError for another format, and as `to_latex` does.
    """
    if kind == CSV:
        return to_csv(frame).encode()
    if kind == JSON:
        return to_json(frame).encode()
    if kind == PARQUET:
        return to_parquet(frame)
    if kind == LATEX:
        label = f"tab:{what or 'observatory'}"
        return to_latex(frame, label=label, columns=columns, what=what, width=width).encode()
    raise InputError(f"format {kind!r}: use one of {', '.join(FORMATS)}")
