"""`observatory fit`: what a person and what a script read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from observatory.cli import observatory, run

MINI = Path(__file__).resolve().parent.parent / "data" / "helm" / "mini.log"


def test_json_holds_the_fit_and_flags_extrapolation(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(observatory, ["fit", str(MINI), "--prompt", "4096", "--output", "8", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["fit"]["step"]["c0_s"] == pytest.approx(0.0155, rel=1e-3)
    assert row["prediction"]["extrapolated"] is True
    assert "prompt 4096" in row["prediction"]["reason"]


def test_table_marks_what_lies_outside(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(observatory, ["fit", str(MINI), "--prompt", "4096", "--output", "8"]) == 0
    shown = capsys.readouterr().out
    assert "outside the measured range" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 100


def test_lookup_is_another_number(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for extra in ([], ["--lookup"]):
        arguments = ["fit", str(MINI), "--prompt", "200", "--output", "1", "--json", *extra]
        assert run(observatory, arguments) == 0
        told.append(json.loads(capsys.readouterr().out)[0]["prediction"]["prefill_s"])
    assert told[1] == pytest.approx(0.0436 * 200 / 512, rel=0.02)
    assert told[0] == pytest.approx(0.018 + 5e-5 * 200, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.log"], "absent.log"),
        ([str(MINI), "--recipe", "relativ"], "relative"),
        ([str(MINI), "--prompt", "5"], "together"),
        ([str(MINI), "--prompt", "0", "--output", "1"], "--prompt 0"),
        ([str(MINI), "--layer-scale", "0"], "--layer-scale 0: must be above 0"),
        ([str(Path(__file__))], "no line"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(observatory, ["fit", *arguments]) == 2
    told = capsys.readouterr()
    assert words in told.err and told.err.count("\n") == 1 and not told.out


def test_broken_lines_are_named_and_the_rest_is_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.log"
    path.write_text(MINI.read_text() + "Runtime for {'num_input_tok")
    assert run(observatory, ["fit", str(path)]) == 1
    assert "line 31" in capsys.readouterr().err


def test_a_saturated_fit_shows_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = [
        line
        for line in MINI.read_text().splitlines()
        if not line.startswith("Runtime for")
        or "'num_output_tokens': 1}" in line
        or ("'num_input_tokens': 1," in line and "'num_output_tokens': 32" in line)
    ]
    path = tmp_path / "few.log"
    path.write_text("\n".join(kept) + "\n")
    assert run(observatory, ["fit", str(path)]) == 0
    assert "error unknown" in capsys.readouterr().out
    assert run(observatory, ["fit", str(path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["degrees_of_freedom"] == 0
    assert "passes through" in row["error_unknown"]
