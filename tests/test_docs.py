"""The documentation says what the programs say."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
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


SERVERS = {"dashboard"}  #: verbs that do not end by themselves


def hours(header: str, row: str) -> str:
    """A CSV of hourly carbon intensity; `row` is one line, with a time and a value to fill in."""
    rows = (
        row.format(time=f"2025-0{month}-{day:02d}T{hour:02d}:00Z", g=40 + 2 * abs(hour - 12))
        for month in (6, 7)
        for day in range(1, 8)
        for hour in range(24)
    )
    return "\n".join([header, *rows]) + "\n"


#: Hourly files by the name that pages give them: plain, Electricity Maps, Great Britain's operator.
HOURLY = {
    "hours.csv": ("datetime,carbon_intensity", "{time},{g}"),
    "FR_2024_hourly.csv": (
        "Datetime (UTC),Zone id,Carbon intensity gCO₂eq/kWh (direct),"
        "Carbon intensity gCO₂eq/kWh (Life cycle)",
        "{time},FR,{g},{g}",
    ),
    "gb.csv": ("Datetime (UTC),Actual Carbon Intensity (gCO2/kWh)", "{time},{g}"),
}


def help_examples() -> list[list[str]]:
    """Command lines that the help of a verb shows, as docs/cli.md has them."""
    text = (ROOT / "docs" / "cli.md").read_text().replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^  (observatory .*)$", text, re.M)]


def typed() -> list[tuple[str, list[str]]]:
    """(page, arguments) of every `observatory` command that ends and needs no browser's engine."""
    shown = [(page.name, line) for page in PAGES for line in commands(page)]
    shown += [("cli.md", line) for line in help_examples()]
    return [
        (page, arguments)
        for page, (program, *arguments) in shown
        if program == "observatory" and arguments[0] not in SERVERS and "x" not in arguments
        and not (arguments[0] == "figure" and not {"json", "--list"} & set(arguments))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def one_machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has measured: the runs of one set."""
    from observatory.datasets.read import load

    path = tmp_path_factory.mktemp("one-machine") / "mine.db"
    load(path, [ROOT / "results" / "published" / "amd-epyc-2026-11-27"])
    return path


@pytest.fixture
def place(
    tmp_path: Path, published: Path, one_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder as a reader has it: a filled database, the published sets, files of their own."""
    for name, form in HOURLY.items():
        (tmp_path / name).write_text(hours(*form))
    (tmp_path / "downloads").mkdir()
    peer = ROOT / "tests" / "data" / "importers" / "optimum_benchmark.json"
    for report in ("downloads/report.json", "report.json"):
        shutil.copy(peer, tmp_path / report)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "sweep.yaml", tmp_path / "docs")
    (tmp_path / "results").mkdir()
    for folder in ("published", "campaigns"):
        shutil.copytree(ROOT / "results" / folder, tmp_path / "results" / folder)
    shutil.copy(published, tmp_path / "here.db")
    for copy in ("results/mine.db", "all.db", "a.db", "b.db"):
        shutil.copy(one_machine, tmp_path / copy)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OBSERVATORY_DB", "here.db")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "arguments"), typed(), ids=[f"{page} {' '.join(a)[:60]}" for page, a in typed()]
)
def test_a_command_that_a_page_shows_succeeds(
    place: Path, capfd: pytest.CaptureFixture[str], page: str, arguments: list[str]
) -> None:
    from observatory.cli import observatory, run

    if arguments[0] == "publish":  # of a machine of which nothing is published
        shutil.rmtree("results/published")
    assert run(observatory, arguments) == 0, capfd.readouterr().err


@pytest.mark.parametrize("page", ["README.md", "docs/run-benchmark.md"])
def test_a_plan_that_a_page_shows_is_there(place: Path, page: str) -> None:
    from observatory.cli import run
    from runners.cli import run_benchmark

    dry = [line[1:] for line in commands(ROOT / page) if "--dry-run" in line]
    assert dry and all(run(run_benchmark, arguments) == 0 for arguments in dry)


def test_the_plan_file_is_the_one_that_its_page_prints() -> None:
    page = (ROOT / "docs" / "run-benchmark.md").read_text()
    assert f"```yaml\n{(ROOT / 'docs' / 'sweep.yaml').read_text()}```" in page


def test_commands_of_every_page_are_typed() -> None:
    assert len(typed()) >= 28
    assert {page for page, _ in typed()} >= {
        "README.md", "cli.md", "decisions.md", "footprint.md", "import.md", "paper.md",
        "run-benchmark.md",
    }  # fmt: skip
