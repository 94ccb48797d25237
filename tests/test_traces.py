"""`observatory estimate --requests`: a log of requests exactly, by moments, and plugged in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from observatory.cli import observatory, run
from tests import synthetic

REQUESTS = [(20, 5), (20, 5), (500, 100), (900, 90), (64, 16)]
HOST_W = synthetic.CPU_W + synthetic.DRAM_W


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A synthetic model, and one that was measured where no sensor is."""
    path = tmp_path_factory.mktemp("traces") / "store.db"
    synthetic.record(path, "synthetic-1")
    synthetic.record(path, "synthetic-2", synthetic.no_energy, model_name="SmolLM2-360M", scale=1.5)
    return str(path)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text("p,o\n" + "".join(f"{p},{o}\n" for p, o in REQUESTS))
    return path


def answer(
    capsys: pytest.CaptureFixture[str], db: str, trace: Path, *more: str
) -> list[dict[str, Any]]:
    arguments = ["estimate", "--db", db, "--requests", str(trace), "--zone", "FRA", "--json"]
    assert run(observatory, [*arguments, *more]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


def test_the_mean_is_that_of_the_law_and_its_moments(
    filled: str, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = answer(capsys, filled, trace)
    exact = sum(synthetic.runtime_s(p, o) for p, o in REQUESTS) / len(REQUESTS)
    assert first["time"]["exact_s"] == pytest.approx(exact, rel=0.01)
    assert first["time"]["by_moments_s"] == pytest.approx(first["time"]["exact_s"], rel=1e-9)
    assert first["total_s"] == pytest.approx(first["time"]["exact_s"] * len(REQUESTS))
    assert second["time"]["exact_s"] == pytest.approx(1.5 * exact, rel=0.01)
    times = sorted(synthetic.runtime_s(p, o) for p, o in REQUESTS)
    assert first["time"]["p50_s"] == pytest.approx(times[2], rel=0.01)
    assert first["time"]["p95_s"] == pytest.approx(times[4], rel=0.01)
    assert first["time"]["plug_in_bias"] < -0.005  # long prompts come with long answers here
    assert first["time"]["extrapolated_share"] == 0


def test_joules_follow_and_what_is_unknown_is_null(
    filled: str, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = answer(capsys, filled, trace)
    assert first["energy_j"] == pytest.approx(HOST_W * first["time"]["exact_s"], rel=1e-6)
    assert first["energy_plug_in_bias"] == pytest.approx(first["time"]["plug_in_bias"], rel=1e-6)
    (bill,) = first["footprints"]
    assert bill["energy_wh"]["value"] > first["energy_j"] / 3600  # PUE is on top
    assert second["energy_j"] is None and "no sensor" in second["energy_reason"]
    assert second["footprints"][0]["energy_wh"]["value"] is None


def test_the_mean_of_one_request_is_that_request(
    filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.csv"
    path.write_text("prompt_tokens,output_tokens\n128,64\n128,64\n")
    row = answer(capsys, filled, path, "--model", "SmolLM2-135M")[0]
    arguments = ["--prompt", "128", "--output", "64", "--zone", "FRA", "--model", "SmolLM2-135M"]
    assert run(observatory, ["estimate", "--db", filled, "--json", *arguments]) == 0
    (alone,) = json.loads(capsys.readouterr().out)
    assert row["time"]["exact_s"] == pytest.approx(alone["runtime_s"])
    assert row["energy_j"] == pytest.approx(alone["energy_j"])
    assert row["time"]["plug_in_bias"] == pytest.approx(0.0, abs=1e-12)
    told, single = row["footprints"][0]["co2e_operational_g"], alone["footprints"][0]
    assert told["value"] == pytest.approx(single["co2e_operational_g"]["value"])


def test_what_lies_outside_is_counted(
    filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "far.csv"
    path.write_text("p,o\n64,16\n64,16\n64,16\n4000,16\n")
    row = answer(capsys, filled, path)[0]
    assert row["time"]["extrapolated_share"] == pytest.approx(0.25)
    arguments = ["estimate", "--db", filled, "--requests", str(path), "--zone", "FRA"]
    assert run(observatory, arguments) == 0
    shown = capsys.readouterr().out
    assert "25.0 %" in shown and "4 requests" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 100


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        ("p,o\n5,2\n", ["--prompt", "5"], "not both"),
        ("p,o\n5,x\n", [], "line 2"),
        ("a,b\n5,2\n", [], "no column"),
        ("p,o\n5,2\n", ["--model", "SmolLM3"], "SmolLM3"),
        ("p,o\n5,2\n", ["--batch", "0"], "--batch 0"),
    ],
)
def test_bad_input_is_one_line(
    filled: str, tmp_path: Path, content: str, more: list[str], words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "trace.csv"
    path.write_text(content)
    arguments = ["estimate", "--db", filled, "--requests", str(path), *more]
    assert run(observatory, arguments) == 2
    told = capsys.readouterr()
    assert words in told.err and not told.out
