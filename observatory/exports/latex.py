"""Tables for a paper: `booktabs`, units in the header, an interval beside each value.

A table is laid out for a column of two (229 pt) or a page (345 pt), the narrowest of `article`:
short columns as they are, long text wrapped, the type as small as it must be and no smaller than
7 points. More than a page of rows become a `longtable`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from observatory.errors import InputError, UnknownNameError
from observatory.exports.columns import bound_of
from observatory.exports.latex_cells import Column, column_of
from observatory.exports.latex_text import breakable
from observatory.exports.paper_columns import PAPER, PaperTable, caption_facts, marks, prepared

WIDTHS_PT = {"column": 229.0, "page": 345.0}
#: name and points of an em, with what small fonts of Computer Modern are wider than by their size
SIZES = (("small", 9.0 * 1.03), ("footnotesize", 8.0 * 1.06), ("scriptsize", 7.0 * 1.14))
SEPARATION_PT = 3.0  #: \\tabcolsep; twice between columns
MARK_EM = 0.5  #: of a raised letter
NARROWEST_EM = 7.0  #: of a wrapped column
LINES_A_PAGE = 40


@dataclass(frozen=True, slots=True)
class Layout:
    """A size of type, whether intervals stand below their values, and the points that unwrapped
    columns and separations take of the line."""

    size: str
    stacked: bool
    fixed_pt: float


def to_latex(
    frame: pd.DataFrame,
    caption: str = "",
    label: str = "tab:observatory",
    columns: Sequence[str] | None = None,
    what: str | None = None,
    width: str = "page",
) -> str:
    """A `booktabs` table. `x`, `x_low`, `x_high` become one cell `x [low, high]`.

    `columns` chooses columns by name; else those that a paper wants of `what`, else all. A column
    named as a unit of `observatory.units` is scaled to one readable unit, which stands in the
    header; a column without any value is left out, and named in a comment; a text that all rows
    share moves to the caption, and facts in which they differ get a letter that the caption
    explains. Raises UnknownNameError for a column, InputError for no rows and
    where `columns` are too wide.
    """
    if frame.empty:
        raise InputError(f"a table needs rows, {what or 'this'} has none")
    paper = PAPER.get(what or "", PaperTable("", tuple(str(c) for c in frame.columns)))
    frame, aside = _without_aside(frame, paper)
    letters, letter_of, told = marks(frame, paper.said)
    frame = prepared(frame)
    names = [str(c) for c in frame.columns]
    for name in columns or ():
        if name not in names:
            raise UnknownNameError("column", name, names, f"such as {', '.join(names[:8])}")
    wanted = list(columns) if columns else [n for n in paper.columns if n in names]
    kept = [n for n in wanted if bound_of(n, names) is None or (columns and n in columns)]
    empty = [n for n in kept if frame[n].isna().all()]
    shared = [] if columns else [n for n in kept[1:] if n not in empty and _shared(frame[n])]
    made = [column_of(frame, n, names) for n in kept if n not in (*empty, *shared)]
    if not made:
        raise InputError(f"a table needs values, the columns {', '.join(kept)} have none")
    if made[0].numeric:
        letters, told = {}, ()
    elif letters:
        made[0] = _marked(made[0], letter_of)
    layout, made, dropped = _fitting(made, WIDTHS_PT[width], bool(columns))
    facts = _facts(frame, (*shared, *paper.said), [*told, *(c.name for c in made)])
    differing = "; ".join(f"({letter}) {facts}" for letter, facts in letters.items())
    said = [s for s in (caption or paper.title, facts, differing and f"{differing}.",
                        _brackets(made, paper)) if s]  # fmt: skip
    lines = [f"% left out: {aside} rows of {' and '.join(paper.aside)}"] if aside else []
    lines += [f"% no value in: {', '.join(empty)}"] if empty else []
    lines += [f"% left out to fit: {', '.join(dropped)}"] if dropped else []
    lines_of_text = len(frame) * _lines_a_row(made, layout, WIDTHS_PT[width])
    body = _long if lines_of_text > LINES_A_PAGE else _floating
    return "\n".join([*lines, *body(made, layout, " ".join(said), label, width)]) + "\n"


def _without_aside(frame: pd.DataFrame, paper: PaperTable) -> tuple[pd.DataFrame, int]:
    """The frame without phases that are no result, unless it has no other; how many rows went."""
    if not paper.aside or "phase" not in frame:
        return frame, 0
    kept = frame[~frame["phase"].isin(paper.aside)]
    return (frame, 0) if kept.empty else (kept, len(frame) - len(kept))


def _marked(column: Column, letters: Sequence[str]) -> Column:
    """The column with a raised letter after each of its texts."""
    body = []
    for text, letter in zip(column.body, letters, strict=True):
        mark, end = rf"$^{{\mathrm{{{letter}}}}}$", r"\par}"
        wrapped = text.endswith(end)
        body.append(f"{text.removesuffix(end)}{mark}{end}" if wrapped else f"{text}{mark}")
    wider = column.em + MARK_EM
    return replace(column, body=tuple(body), em=wider, stacked_em=wider)


def _shared(values: pd.Series[Any]) -> bool:
    """Whether all of several rows hold the same text."""
    if len(values) < 2 or pd.api.types.is_numeric_dtype(values):
        return False
    return len({str(v) for v in values}) == 1


def _facts(frame: pd.DataFrame, said: Sequence[str], shown: Sequence[str]) -> str:
    facts = caption_facts(frame, [n for n in dict.fromkeys(said) if n not in shown])
    return f"{facts[0].upper()}{facts[1:]}." if facts else ""


def _brackets(made: Sequence[Column], paper: PaperTable) -> str:
    return paper.brackets if any(below for c in made for below in c.below) else ""


def _fitting(
    made: list[Column], line_pt: float, asked: bool
) -> tuple[Layout, list[Column], list[str]]:
    """The largest type in which the columns fit, intervals beside their values where they can be;
    where nothing fits, columns go from the right."""
    kept = list(made)
    while True:
        for stacked in (False, True):
            for size, em in SIZES:
                widths = [c.stacked_em if stacked else c.em for c in kept if not c.wrapped]
                fixed = sum(widths) * em + 2 * SEPARATION_PT * len(kept)
                need = fixed + sum(c.wrapped for c in kept) * NARROWEST_EM * em
                if need <= line_pt:
                    layout = Layout(size, stacked, fixed)
                    return layout, kept, [c.name for c in made if c not in kept]
        if asked or len(kept) == 1:
            raise InputError(
                f"these {len(kept)} columns need about {need:.0f} pt, the line has {line_pt:.0f}: "
                "choose fewer with --columns"
            )
        kept.pop()


def _lines_a_row(made: Sequence[Column], layout: Layout, line_pt: float) -> int:
    """Lines of the tallest row: wrapped text has about two characters an em."""
    em = dict(SIZES)[layout.size]
    lines = [2 if layout.stacked else 1]
    for column, share in _shares(made):
        lines.append(math.ceil(column.characters * em / 2 / (share * (line_pt - layout.fixed_pt))))
    return max(lines)


def _shares(made: Sequence[Column]) -> list[tuple[Column, float]]:
    """Wrapped columns with the share of the free line that each gets, by the length of its text."""
    wrapped = [c for c in made if c.wrapped]
    weight = sum(min(c.characters, 80) for c in wrapped)
    return [(c, int(1000 * min(c.characters, 80) / weight) / 1000) for c in wrapped]


def _alignment(made: Sequence[Column], layout: Layout) -> str:
    shares = {column.name: share for column, share in _shares(made)}
    out = []
    for c in made:
        if c.name in shares:
            rest = rf"\dimexpr\linewidth-{layout.fixed_pt:.0f}pt\relax"
            out.append(f"p{{{shares[c.name]:g}{rest}}}")
        else:
            out.append("r" if c.numeric else "l")
    return "@{}" + "".join(out) + "@{}"


def _rows(made: Sequence[Column], stacked: bool) -> list[str]:
    columns = [_cells(column, stacked) for column in made]
    return [" & ".join(cells) + r" \\" for cells in zip(*columns, strict=True)]


def _cells(column: Column, stacked: bool) -> list[str]:
    if not column.numeric:
        return list(column.body)
    out = []
    for value, below in zip(column.body, column.below, strict=True):
        if below is None:
            out.append(value)
        elif stacked:
            out.append(rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{value}\\{{{below}}}\end{{tabular}}")
        else:
            out.append(f"{value} {below}")
    return out


def _head(made: Sequence[Column], stacked: bool) -> str:
    return " & ".join(_title(c, stacked) for c in made) + r" \\"


def _title(column: Column, stacked: bool) -> str:
    if not column.unit or not stacked:
        return f"{column.head} {column.unit}".strip()
    return rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{column.head}\\{column.unit}\end{{tabular}}"


def _floating(
    made: Sequence[Column], layout: Layout, caption: str, label: str, width: str
) -> list[str]:
    kind = "table" if width == "column" else "table*"
    return [
        r"% needs \usepackage{booktabs}", rf"\begin{{{kind}}}", r"\centering",
        rf"\caption{{{breakable(caption)}}}", rf"\label{{{label}}}",
        rf"\{layout.size}\setlength{{\tabcolsep}}{{{SEPARATION_PT:g}pt}}",
        rf"\begin{{tabular}}{{{_alignment(made, layout)}}}", r"\toprule",
        _head(made, layout.stacked), r"\midrule", *_rows(made, layout.stacked), r"\bottomrule",
        r"\end{tabular}", rf"\end{{{kind}}}",
    ]  # fmt: skip


def _long(
    made: Sequence[Column], layout: Layout, caption: str, label: str, width: str
) -> list[str]:
    del width  # a longtable takes the line it stands in
    return [
        r"% needs \usepackage{booktabs,longtable}, and a page of one column",
        rf"{{\{layout.size}\setlength{{\tabcolsep}}{{{SEPARATION_PT:g}pt}}%",
        rf"\begin{{longtable}}{{{_alignment(made, layout)}}}",
        rf"\caption{{{breakable(caption)}}}\label{{{label}}}\\", r"\toprule",
        _head(made, layout.stacked), r"\midrule\endfirsthead", r"\toprule",
        _head(made, layout.stacked), r"\midrule\endhead",
        r"\bottomrule\endfoot", *_rows(made, layout.stacked), r"\end{longtable}}",
    ]  # fmt: skip
