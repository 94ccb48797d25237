"""The verbs of `observatory` on a filled, an absent and an energy-less database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from tests import synthetic


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(observatory, list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("filled") / "o.db"
    synthetic.record(path)
    synthetic.record(path, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    return str(path)


@pytest.fixture(scope="module")
def without_energy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("no-energy") / "o.db"
    synthetic.record(path, energy=synthetic.no_energy)
    return str(path)


@pytest.mark.parametrize("what", ["summary", "runs", "cells", "fits", "findings"])
def test_show(capsys: pytest.CaptureFixture[str], database: str, what: str) -> None:
    code, out, _ = call(capsys, "show", what, "--db", database)
    assert code == 0
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 100
    code, out, _ = call(capsys, "show", what, "--db", database, "--json")
    rows = json.loads(out)
    assert code == 0 and (len(rows) > 0) == (what != "findings")


def test_report_answers_first(capsys: pytest.CaptureFixture[str], database: str) -> None:
    code, out, _ = call(capsys, "report", "synthetic-2", "--db", database, "--zone", "FRA")
    assert code == 0
    assert out.startswith("A request of 128 prompt and 64 output tokens takes Pythia-160M")
    assert "weights are random" in out.replace("\n", " ") and "FRA" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 100
    code, out, _ = call(capsys, "report", "--db", database, "--json")
    assert json.loads(out)["run"]["id"] == "synthetic-2"


def test_estimate_gives_the_same_numbers_as_json(
    capsys: pytest.CaptureFixture[str], database: str
) -> None:
    code, out, _ = call(capsys, "estimate", "--db", database, "--prompt", "100", "--output", "20",
                        "--zone", "US-TX", "--tariff", "0.1", "--json")  # fmt: skip
    assert code == 0
    first, second = json.loads(out)
    assert (first["model"], second["model"]) == ("SmolLM2-135M", "Pythia-160M")
    assert second["runtime_s"] == pytest.approx(2 * first["runtime_s"], rel=1e-6)
    bills = first["footprints"][0]
    assert bills["zone"] == "US-TX"
    assert bills["cost_usd"]["value"] == pytest.approx(bills["energy_wh"]["value"] / 1e3 * 0.1)


def test_missing_energy_is_null_with_its_reason(
    capsys: pytest.CaptureFixture[str], without_energy: str
) -> None:
    _, out, _ = call(capsys, "estimate", "--db", without_energy, "--json")
    (found,) = json.loads(out)
    assert found["energy_j"] is None and "no sensor" in found["energy_reason"]
    for made in found["footprints"]:
        assert made["energy_wh"]["value"] is None and made["energy_wh"]["reason"]
    _, out, _ = call(capsys, "report", "--db", without_energy)
    assert "energy is unknown: no sensor on this synthetic machine" in out.replace("\n", " ")
    assert " 0 J" not in out and " 0 Wh" not in out


BAD = [
    (["estimate", "--zone", "Atlantis"], "unknown zone 'Atlantis'"),
    (["estimate", "--prompt", "0"], "--prompt 0: must be 1 or more"),
    (["estimate", "--output", "-3"], "--output -3: must be 1 or more"),
    (["estimate", "--batch", "0"], "--batch 0: must be 1 or more"),
    (["estimate", "--model", "SmolLM2-135"], "did you mean SmolLM2-135M"),
    (["estimate", "--pue", "0.9"], "--pue 0.9: must be between 1 and 5"),
    (["estimate", "--boundary", "galaxy"], "unknown boundary 'galaxy'"),
    (["estimate", "--prompt", "many"], "Invalid value for '--prompt'"),
    (["report", "no-such-run"], "no run 'no-such-run'"),
    (["show", "everything"], "Invalid value"),
    (["merge", "absent.db"], "no database at absent.db"),
    (["nonsense"], "No such command"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], database: str, arguments: list[str], message: str
) -> None:
    before = Path(database).read_bytes()
    more = [] if arguments == ["nonsense"] else ["--db", database]
    code, out, err = call(capsys, *arguments, *more)
    assert code == 2 and out == ""
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert Path(database).read_bytes() == before


@pytest.mark.parametrize("verb", [["show"], ["estimate"], ["report"], ["derive"]])
def test_an_absent_database_is_not_created(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: list[str]
) -> None:
    path = tmp_path / "absent.db"
    code, _, err = call(capsys, *verb, "--db", str(path))
    assert code == 2 and "run-benchmark" in err and not path.exists()
