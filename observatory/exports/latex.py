"""Tables for a paper: `booktabs`, units in the header, an interval beside each value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from observatory.exports.columns import bound_of, bounds_of, quantity_of, scale_of
from observatory.units import significant

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "×": r"$\times$",
    "–": "--", "·": r"$\cdot$", "µ": r"$\mu$",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(SPECIAL.get(character, character) for character in text)


def to_latex(frame: pd.DataFrame, caption: str, label: str = "tab:observatory") -> str:
    """A `booktabs` table. `x`, `x_low`, `x_high` become one cell `x [low, high]`.

    A column named as a unit of `observatory.units` is scaled to one readable unit, which stands in
    the header; a column without any value is left out, and named in a comment.
    """
    columns: list[str] = []
    dropped: list[str] = []
    names = [str(c) for c in frame.columns]
    for name in names:
        if bound_of(name, names) is not None:
            continue
        (dropped if frame[name].isna().all() else columns).append(name)
    cells = [_latex_column(frame, name, names) for name in columns]
    align = "".join("r" if numeric else "l" for _, _, numeric in cells)
    lines = [f"% no value in: {', '.join(dropped)}"] if dropped else []
    lines += [
        r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{{label}}}", rf"\begin{{tabular}}{{{align}}}", r"\toprule",
        " & ".join(head for head, _, _ in cells) + r" \\", r"\midrule",
    ]  # fmt: skip
    for i in range(len(frame)):
        lines.append(" & ".join(body[i] for _, body, _ in cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_column(
    frame: pd.DataFrame, name: str, names: Sequence[str]
) -> tuple[str, list[str], bool]:
    values = frame[name]
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if not numeric:
        body = ["--" if _missing(v) else escape_latex(str(v)) for v in values]
        return escape_latex(name.replace("_", " ")), body, False
    quantity = quantity_of(name)
    factor, symbol = (1.0, "") if quantity is None else scale_of(values, quantity)
    stem = name.rpartition("_")[0] if quantity is not None else name
    head = escape_latex(stem.replace("_", " ") + (f" ({symbol})" if symbol else ""))
    bounds = bounds_of(name, names)
    body = []
    for i, value in enumerate(values):
        if pd.isna(value):
            body.append("--")
            continue
        text = _number(float(value) / factor)
        if bounds is not None:
            low, high = (frame[b].iloc[i] for b in bounds)
            if not pd.isna(low) and not pd.isna(high):
                text += f" [{_number(low / factor)}, {_number(high / factor)}]"
        body.append(text)
    return head, body, True


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    text = significant(value)
    mantissa, _, exponent = text.partition("e")
    return rf"${mantissa}\times 10^{{{int(exponent)}}}$" if exponent else text


def _missing(value: Any) -> bool:
    return value is None or (not isinstance(value, list | dict) and bool(pd.isna(value)))
