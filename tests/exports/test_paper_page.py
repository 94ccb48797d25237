"""docs/paper.md says what the programs say: every command is run, every output compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from observatory.exports import questions
from observatory.exports.drawings import DRAWINGS
from tests.exports.paper_page import BLOCK, LATEX, PAGE, examples, prepare, printed

TEXT = PAGE.read_text()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("plotly", reason="the extra `figures` is not installed")
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OBSERVATORY_DB", "synthetic.db")
    return tmp_path


def plain(text: str) -> list[str]:
    """Lines without what depends on versions of libraries: sizes of files."""
    return [re.sub(r"[\d,]+ bytes", "N bytes", line.rstrip()) for line in text.strip().splitlines()]


def test_every_command_prints_what_the_page_says(place: Path) -> None:
    asked = [example for block in BLOCK.findall(TEXT) for example in examples(block)]
    assert len(asked) >= 8
    for command, said in asked:
        assert plain(printed(command)) == plain(said), command
    (table,) = LATEX.findall(TEXT)
    assert (place / "decode.tex").read_text() == table
    assert (place / "artifact.zip").stat().st_size > 0 and (place / "decode.json").exists()


def test_the_python_example_runs(place: Path) -> None:
    printed("export --what windows --out windows.csv")
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)
    exec(compile(code, "docs/paper.md", "exec"), {})
    assert (place / "windows.csv").stat().st_size > 1000


def test_every_table_and_figure_is_named() -> None:
    for what in questions.TABLES:
        assert f"`{what}`" in TEXT, what
    for name in DRAWINGS:
        assert f" {name} " in TEXT, name
