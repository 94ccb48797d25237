"""Printing tables and remarks: at most 100 columns wide, or as wide as a terminal that is narrower.

Missing is a dash, and text is never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 100
GAP = 2  #: between two columns
LONGEST_WORD = 40  #: a path or a key: longer than any name, so it may be folded


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table as text. `is_number`: aligned to the right, and never wrapped."""

    name: str
    is_number: bool
    cells: tuple[str, ...]

    @property
    def most(self) -> int:
        """Characters of the longest cell."""
        return max(1, *(_length(text) for text in (self.name, *self.cells)))

    @property
    def least(self) -> int:
        """Characters without which a number or a name would be folded."""
        if self.is_number:
            return self.most
        words = [word for text in (self.name, *self.cells) for word in text.split()]
        return min(max(map(_length, words), default=1), LONGEST_WORD)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], notes: Sequence[str] = ()
) -> None:
    """Print a table. Columns whose name starts with `#` are right-aligned (without the mark).

    Text is wrapped between words. A table that is still too wide is printed in parts, each with the
    names of the rows: the columns of text before the first number, in half the width.
    """
    from rich.console import Console
    from rich.text import Text

    cells = [["–" if cell is None else str(cell) for cell in row] for row in rows]
    made = [
        Column(name.removeprefix("#"), name.startswith("#"), tuple(row[i] for row in cells))
        for i, name in enumerate(columns)
    ]
    terminal = terminal_width()
    width = min(WIDTH, terminal)
    if _width([column.least for column in made]) > width:
        width = terminal
    console = Console(width=width)
    for i, part in enumerate(in_parts(made, width)):
        console.print(_drawn("" if i else title, part, width))
    for note in notes:
        console.print(Text(note, style="dim"))


def terminal_width() -> int:
    """Columns of the terminal, WIDTH where the output goes elsewhere."""
    import shutil
    import sys

    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH


def paragraph(text: str, indent: int = 0) -> str:
    """Prose wrapped at the width of a table; the lines after the first 2 further in than it."""
    import textwrap

    further = indent + 2 if indent else 0
    return textwrap.fill(text, min(WIDTH, terminal_width()) - 2, initial_indent=" " * indent,
                         subsequent_indent=" " * further)  # fmt: skip


def in_parts(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns of each table, so that none is wider than `width` where that can be."""
    numbers = [i for i, column in enumerate(columns) if column.is_number]
    names = list(columns[: numbers[0] if numbers else 1])
    while len(names) > 1 and _width([c.least for c in names]) > width / 2:
        names.pop()
    parts = [names]
    for column in columns[len(names) :]:
        wider = [*parts[-1], column]
        if len(parts[-1]) > len(names) and _width([c.least for c in wider]) > width:
            wider = [*names, column]
            parts.append(wider)
        parts[-1] = wider
    return parts


def widths(columns: Sequence[Column], width: int) -> list[int]:
    """Characters of each column: the widest text gives way first, down to its longest word."""
    found = [column.most for column in columns]
    for floors in ([column.least for column in columns], [1] * len(columns)):
        while _width(found) > width:
            wide = [i for i, column in enumerate(columns)
                    if not column.is_number and found[i] > floors[i]]  # fmt: skip
            if not wide:
                break
            found[max(wide, key=found.__getitem__)] -= 1
    return found


def _width(of_columns: Sequence[int]) -> int:
    """Of a table with a blank at either side."""
    return sum(of_columns) + GAP * max(0, len(of_columns) - 1) + 2


def _length(text: str) -> int:
    """Columns that the longest line of a text takes on a terminal."""
    if text.isascii():
        return max(map(len, text.splitlines()), default=0)
    from rich.cells import cell_len

    return max(map(cell_len, text.splitlines()), default=0)


def _drawn(title: str, columns: Sequence[Column], width: int) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left",
        box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for column, size in zip(columns, widths(columns, width), strict=True):
        table.add_column(Text(column.name), justify="right" if column.is_number else "left",
                         overflow="fold", no_wrap=column.is_number, width=size)  # fmt: skip
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, row))
    return table


def in_one_unit(
    name: str, quantity: str, bounds: Sequence[tuple[float | None, float | None, float | None]],
    at_least: Sequence[bool] = (), like: float | None = None,
) -> tuple[str, list[str]]:  # fmt: skip
    """Heading and cells of a column of (low, middle, high): the unit, that of `like` or else of the
    largest middle, stands in the heading alone. `at_least` marks lower bounds."""
    from observatory.units import largest, show_interval, symbol

    like = largest(middle for _, middle, _ in bounds) if like is None else like
    if like is None:
        return f"#{name}", ["–"] * len(bounds)
    unit = symbol(quantity, like)
    cells = [show_interval(*three, quantity, like=like).removesuffix(f" {unit}")
             for three in bounds]  # fmt: skip
    marks = at_least or [False] * len(cells)
    cells = [f"≥ {c}" if least else c for c, least in zip(cells, marks, strict=True)]
    return f"#{name} ({unit})", cells


def told(where: str, what: str) -> str:
    """`where: what` on one line where that fits, else `what` below and indented; nothing is lost.

    Widths are those of a terminal: a wide character takes two columns.
    """
    line = f"{where}: {what}"
    if len(line) <= WIDTH and line.isascii():
        return line
    from rich.cells import cell_len

    if cell_len(line) <= WIDTH:
        return line
    return "\n".join([*_folded(f"{where}:", 0), *_folded(what, 4)])


def _folded(text: str, indent: int) -> list[str]:
    from rich.console import Console
    from rich.text import Text

    lines = Text(text).wrap(Console(width=WIDTH), WIDTH - indent, overflow="fold")
    return [" " * indent + line.plain.rstrip() for line in lines]


def shortened(text: str, most: int) -> str:
    """`text` of at most `most` characters: an ellipsis stands for the middle of a longer one."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def percent(share: float | None, digits: int = 1) -> str | None:
    """A share as a percentage; None stays None."""
    return None if share is None else f"{100 * share:.{digits}f} %"


def legend(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Short marks (`a`, `b`, …) for long names, and the notes that explain them."""
    unique = list(dict.fromkeys(names))
    marks = {name: _mark(i) for i, name in enumerate(unique)}
    return [marks[n] for n in names], [f"{marks[n]}: {n}" for n in unique]


def _mark(index: int) -> str:
    letter = chr(ord("a") + index % 26)
    return letter if index < 26 else f"{letter}{index // 26}"
