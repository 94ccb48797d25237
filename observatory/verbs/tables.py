"""Printing tables and remarks: at most 100 columns wide.

Missing is a dash, and text is never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

WIDTH = 100


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], notes: Sequence[str] = ()
) -> None:
    """Print a table. Columns whose name starts with `#` are right-aligned (without the mark)."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=min(WIDTH, Console().width) if Console().is_terminal else WIDTH)
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for name in columns:
        right = name.startswith("#")
        table.add_column(Text(name.removeprefix("#")), justify="right" if right else "left",
                         overflow="fold", no_wrap=right)  # fmt: skip
    for row in rows:
        table.add_row(*(Text("–" if cell is None else str(cell)) for cell in row))
    console.print(table)
    for note in notes:
        console.print(Text(note, style="dim"))


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
