"""LaTeX: units, intervals, facts in the caption, any text; it compiles and stays on the line."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from observatory.errors import InputError, UnknownNameError
from observatory.exports import latex, questions
from observatory.exports.latex_text import breakable, escape_latex
from observatory.exports.paper_columns import PAPER
from observatory.footprint import Scenario
from observatory.records import Configuration, Model
from observatory.store.database import open_read_only
from tests import synthetic

LANE = "bbh/acc_norm/3-shot/lm-eval/open-llm-leaderboard-v2/chat=no"
TEX = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX at hand")
TOLERATED_PT = 2.0  #: of an overfull line
HOSTILE = (
    "50 % & $x_1$ # {y} ~^\\ <script> *[1] --zone “q” 模型 µ ≤ é \u200b\n"
    "/a/very/long/path/of_some_file-0123456789abcdef0123456789abcdef"
)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Every table of a store with two models, and a few scores and findings."""
    path = tmp_path_factory.mktemp("latex") / "o.db"
    synthetic.record(path, noise=0.02)
    synthetic.record(path, run_id="second", model_name="Pythia-160M", scale=2.0, noise=0.02)
    engine = open_read_only(path)
    ask = questions.Ask(lane=LANE, scenario=Scenario(tariff_usd_per_kwh=0.1))
    made = {what: questions.table(engine, what, ask) for what in questions.TABLES}
    made["capability"] = pd.DataFrame([
        {"model": "SmolLM2-135M", "lane": LANE, "benchmark": "bbh", "metric": "acc_norm",
         "score": 0.31 + i / 100, "stderr": 0.01, "unit": "fraction", "shots": "3",
         "precision": "bfloat16", "harness": "lm-eval", "source": "synthetic", "licence": "none"}
        for i in range(3)
    ])  # fmt: skip
    made["findings"] = pd.DataFrame([
        {"rule": "window_too_short", "severity": "exclude", "subject": "window",
         "sentence": "The window lasted 0.2 s, the profile asks for 1 s. " * 2,
         "remedy": "Run longer windows: --profile default."}
    ])  # fmt: skip
    return made


def compiled(tmp_path: Path, *parts: str, twocolumn: bool = False) -> list[float]:
    """Points by which lines are too wide. Fails where the document does not compile."""
    option = "[twocolumn]" if twocolumn else ""
    text = (rf"\documentclass{option}{{article}}\usepackage{{booktabs,longtable}}\begin{{document}}"
            + "\n".join(parts) + r"\end{document}")  # fmt: skip
    (tmp_path / "t.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, errors="replace", text=True)
    assert done.returncode == 0, done.stdout[-1500:]
    return [float(pt) for pt in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]


@TEX
def test_every_table_compiles_and_stays_on_the_line(
    tmp_path: Path, frames: dict[str, pd.DataFrame]
) -> None:
    made = [latex.to_latex(frame, what=what, label=f"t:{what}") for what, frame in frames.items()
            if not frame.empty]  # fmt: skip
    assert len(made) >= len(questions.TABLES) - 1
    assert [pt for pt in compiled(tmp_path, *made) if pt > TOLERATED_PT] == []


@TEX
def test_tables_of_a_column_fit_a_paper_of_two(
    tmp_path: Path, frames: dict[str, pd.DataFrame]
) -> None:
    made = [latex.to_latex(frames[what].head(12), what=what, label=f"t:{what}", width="column")
            for what in ("summary", "fits", "footprint", "frontier", "capability", "findings")
            ]  # fmt: skip
    page = [latex.to_latex(frames["summary"].head(12), what="summary")]
    assert [pt for pt in compiled(tmp_path, *made, *page, twocolumn=True)
            if pt > TOLERATED_PT] == []  # fmt: skip


@TEX
def test_hostile_text_compiles(tmp_path: Path) -> None:
    frame = pd.DataFrame({HOSTILE[:20]: [HOSTILE, "[x]", "*", None], "n": [1, 2, 3, 4]})
    compiled(tmp_path, latex.to_latex(frame, caption=HOSTILE))


@TEX
def test_every_printable_character_of_latin_and_some_others_compiles(tmp_path: Path) -> None:
    text = "".join(chr(c) for c in range(0x20, 0x250)) + "αβ₂⊂→“”模型\U0001f600\u202e"
    compiled(tmp_path, escape_latex(text), "", breakable(text))


def test_the_caption_says_what_all_rows_share(frames: dict[str, pd.DataFrame]) -> None:
    text = latex.to_latex(frames["footprint"], what="footprint")
    caption = next(line for line in text.splitlines() if line.startswith(r"\caption"))
    for fact in ("boundary facility", "edition 2026.1", "prompt tokens 128", "energy method "
                 "synthetic", "5th to 95th percentile", "Configuration Synthetic CPU"):  # fmt: skip
        assert fact in caption.replace(r"\allowbreak{}", "")
    assert "configuration" not in text.partition(r"\toprule")[2]


def test_values_are_those_of_the_table_in_the_unit_of_the_header(
    frames: dict[str, pd.DataFrame],
) -> None:
    frame = frames["summary"]
    text = latex.to_latex(frame, what="summary", columns=["model", "runtime_s"])
    assert "runtime (ms)" in text
    body = text.partition(r"\midrule")[2].splitlines()[1:]
    first = frame.iloc[0]
    shown = float(body[0].partition("& ")[2].split(" ")[0])
    assert shown == pytest.approx(first["runtime_s"] * 1e3, rel=0.006)
    low, high = (float(v) for v in re.findall(r"\[([\d.]+), ([\d.]+)\]", body[0])[0])
    assert low <= shown <= high


def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A store of one model on two counts of threads, one with a measured idle, and of another."""
    path, real = tmp_path / "several.db", synthetic.configuration_of
    for threads in (1, 2):

        def configuration(of: Model, threads: int = threads) -> Configuration:
            return replace(real(of), threads=threads)

        monkeypatch.setattr(synthetic, "configuration_of", configuration)
        synthetic.record(path, f"run-{threads}", scale=float(threads))
    return open_read_only(path)


@pytest.mark.parametrize("what", ["summary", "idealized", "fits", "footprint"])
@pytest.mark.parametrize("width", list(latex.WIDTHS_PT))
def test_rows_of_two_configurations_of_a_model_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, width: str
) -> None:
    frame = questions.table(several(tmp_path, monkeypatch), what)
    text = latex.to_latex(frame, what=what, width=width)
    first = [line.partition(" & ")[0] for line in text.splitlines() if line.endswith(r" \\")]
    for words in ("1 thread", "2 threads"):
        assert any(rf"SmolLM2-135M $\cdot$ {words}" in cell.replace(r"\par}", "") for cell in first)


def test_rows_that_differ_in_how_their_joules_were_seen_carry_a_letter(
    frames: dict[str, pd.DataFrame],
) -> None:
    frame = frames["footprint"].head(4).assign(
        energy_provenance=["measured", "estimated"] * 2, energy_method=["nvml", "codecarbon"] * 2
    )  # fmt: skip
    text = latex.to_latex(frame, what="footprint")
    said = (
        r"(a) energy method nvml; energy provenance measured; (b) energy method codecarbon; energy"
    )
    assert said in text and "measured / estimated" not in text and "nvml / codecarbon" not in text
    body = text.partition(r"\midrule")[2].splitlines()[1:5]
    assert [row.partition(" & ")[0][-15:] for row in body] == [
        rf"$^{{\mathrm{{{letter}}}}}$"[-15:] for letter in "abab"
    ]


def test_idle_and_anchor_are_no_result_unless_asked_for(frames: dict[str, pd.DataFrame]) -> None:
    frame = frames["summary"].head(3).assign(phase=["idle", "decode", "anchor"])
    text = latex.to_latex(frame, what="summary")
    assert text.startswith("% left out: 2 rows of anchor and idle\n")
    assert "idle" not in text.partition("\n")[2] and text.count(r"\\") == 2
    idle = frame.assign(phase="idle", prompt_tokens=None, output_tokens=None)
    text = latex.to_latex(idle, what="summary", columns=["point", "runtime_s"])
    assert text.count("idle &") == 3 and "?" not in text


def test_carbon_has_its_subscript(frames: dict[str, pd.DataFrame]) -> None:
    head = latex.to_latex(frames["footprint"], what="footprint").partition(r"\toprule")[2]
    assert "CO$_2$e)" in head and "CO2e" not in head.partition(r"\midrule")[0]


def test_chosen_columns_are_the_columns(frames: dict[str, pd.DataFrame]) -> None:
    text = latex.to_latex(frames["summary"], what="summary", columns=["phase", "energy_j", "mfu"])
    head = text.partition(r"\toprule")[2].splitlines()[1]
    assert re.match(r"phase & energy \((m?J)\) & mfu \(\\%\)", head)
    with pytest.raises(UnknownNameError, match="unknown column 'joules'"):
        latex.to_latex(frames["summary"], columns=["joules"])


def test_what_is_too_wide_is_refused_when_asked_for_and_named_when_not(
    frames: dict[str, pd.DataFrame],
) -> None:
    wide = [c for c in frames["summary"].columns if frames["summary"][c].notna().all()]
    with pytest.raises(InputError, match="choose fewer with --columns"):
        latex.to_latex(frames["summary"], columns=wide, width="column")
    text = latex.to_latex(frames["footprint"], what="footprint", width="column")
    assert text.startswith("% left out to fit: ")


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match="findings has none"):
        latex.to_latex(pd.DataFrame({"rule": []}), what="findings")


def test_missing_is_a_dash_and_a_column_of_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    synthetic.record(path, energy=synthetic.no_energy)
    text = latex.to_latex(questions.table(open_read_only(path), "summary"), what="summary")
    assert text.startswith("% no value in: energy_j\n")
    frame = pd.DataFrame({"a": ["x", None], "energy_j": [1.0, None]})
    assert latex.to_latex(frame).count("--") == 2


def test_a_few_rows_of_long_text_become_a_longtable() -> None:
    """Wrapped, they would not fit on a page."""
    frame = pd.DataFrame({"a": ["word " * 200] * 5, "b": ["word " * 100] * 5})
    assert r"\begin{longtable}" in latex.to_latex(frame)
    assert r"\begin{longtable}" not in latex.to_latex(frame.head(1))


def test_many_rows_become_a_longtable() -> None:
    frame = pd.DataFrame({"a": ["x"] * 100, "n": range(100)})
    assert r"\begin{longtable}" in latex.to_latex(frame)
    assert r"\begin{longtable}" not in latex.to_latex(frame.head(10))


def test_paper_columns_are_columns_of_their_table(frames: dict[str, pd.DataFrame]) -> None:
    """A renamed column would leave a table without it, and nobody would see."""
    costs = {"runtime_s", "energy_j", "co2e_g", "co2e_total_g", "water_l", "cost_usd"}
    for what, paper in PAPER.items():
        if frames[what].empty:
            continue
        known = {*frames[what].columns, "point"} | (costs if what == "frontier" else set())
        assert set(paper.columns) <= known, what


def test_escapes() -> None:
    assert escape_latex("a_b & 5 % {x} \\y") == r"a\_b \& 5 \% \{x\} \textbackslash{}y"
    assert escape_latex("--x") == "-{}-x" and escape_latex("[*]") == "{[}{*}{]}"


@given(st.text(max_size=60))
def test_what_is_escaped_holds_no_character_that_pdflatex_lacks(text: str) -> None:
    for made in (escape_latex(text), breakable(text)):
        assert all(" " <= c < "\x7f" or c.isalpha() for c in made)
        assert not re.search(r"(?<!\\)[&%#_]", made.replace(r"\allowbreak", ""))
