"""The examples of docs/paper.md: their database, their commands, what these print.

`python -m tests.exports.paper_page` runs every command of the page and writes below it what it
prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from pathlib import Path

from observatory.cli import observatory, run
from tests.test_pairs import record

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "paper.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
LATEX = re.compile(r"^```latex\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^\$ observatory (.*)$", re.M)


def prepare(folder: Path) -> None:
    """The database and the files that the page's commands read."""
    record(folder / "synthetic.db", drift=0.05)
    rows = "".join(f"2025-06-{day:02d}T{hour:02d}:00Z,{40 + 2 * abs(hour - 12)}\n"
                   for day in range(1, 8) for hour in range(24))  # fmt: skip
    (folder / "hours.csv").write_text("datetime,carbon_intensity\n" + rows)


def printed(command: str) -> str:
    """What `observatory COMMAND` prints to the terminal. Raises AssertionError where it fails."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        code = run(observatory, shlex.split(command))
    screen.seek(0)
    lines = [line.rstrip() for line in screen.read().rstrip("\n").splitlines()]
    assert code == 0, f"{command}: {lines}"
    return "".join(f"{line}\n" for line in lines)


def examples(block: str) -> list[tuple[str, str]]:
    """(command, what the page says that it prints) of a console block."""
    parts = COMMAND.split(block)[1:]
    return [(parts[i], parts[i + 1].lstrip("\n")) for i in range(0, len(parts), 2)]


def refreshed(page: str) -> str:
    """The page with what its commands print now."""

    def block(match: re.Match[str]) -> str:
        made = "".join(f"$ observatory {c}\n{printed(c)}" for c, _ in examples(match.group(1)))
        return f"```console\n{made}```"

    made = BLOCK.sub(block, page)
    return LATEX.sub(lambda _: f"```latex\n{Path('decode.tex').read_text()}```", made)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place))
        os.chdir(place)
        os.environ["OBSERVATORY_DB"] = "synthetic.db"
        PAGE.write_text(refreshed(PAGE.read_text()))
