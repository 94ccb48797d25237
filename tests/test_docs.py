"""The documentation says what the programs say."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
STOPS = {"|", ">", "<", "&", "&&", ";", "2>"}  #: where the shell takes over


def test_reference_pages_are_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, "tools/reference.py", "--check"], cwd=ROOT,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"],
                         ids=lambda p: p.name)  # fmt: skip
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|\$ )make ([a-z-]+)", (ROOT / "README.md").read_text()):
        assert re.search(rf"^{target}:.*##", makefile, re.M), target


def commands(page: Path) -> list[list[str]]:
    """Command lines of the project's two programs in the code blocks of a page."""
    blocks = re.findall(r"^```(?:console|bash|sh)\n(.*?)^```", page.read_text(), re.M | re.S)
    text = "\n".join(blocks).replace("\\\n", " ").replace("…", "x")
    found = re.findall(r"^(?:\$ )?(?:\.venv/bin/)?((?:observatory|run-benchmark)\b.*)$", text, re.M)
    lines = [shlex.split(line, comments=True) for line in found]
    return [list(itertools.takewhile(lambda word: word not in STOPS, line)) for line in lines]


PAGES = [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "results" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_that_are_shown_can_be_typed(page: Path) -> None:
    """Verbs and flags exist; click reads them all before it prints the help asked for."""
    from observatory.cli import observatory
    from runners.cli import run_benchmark

    for program, *arguments in commands(page):
        known = observatory if program == "observatory" else run_benchmark
        done = CliRunner().invoke(known, [*arguments, "--help"])
        assert done.exit_code == 0, f"{program} {' '.join(arguments)}: {done.output}"
        assert "Usage:" in done.output, f"{program} {' '.join(arguments)}"


def test_the_readme_shows_commands() -> None:
    assert len(commands(ROOT / "README.md")) >= 6
