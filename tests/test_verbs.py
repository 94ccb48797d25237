"""The verbs of `observatory` on a filled, an absent and an energy-less database."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from observatory.errors import UnknownNameError
from observatory.store import database as store
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
    (["show", "cells", "--run", "NOPE"], "no run 'NOPE'"),
    (["export", "--run", "nope"], "no run 'nope'"),
    (["export", "--what", "windows", "--run", "nope"], "no run 'nope'"),
    (["estimate", "--facility", "nowhere"], "unknown facility 'nowhere': use site:gcp:hamina"),
    (["estimate", "--tariff", "-1"], "--tariff -1: must be 0 or more"),
    (["estimate", "--prompt", "9" * 23], "must be 10000000 or less"),
    (["breakeven", "SmolLM2-135M", "--utilisation", "3"], "--utilisation 3: must be above 0"),
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


def test_a_run_that_is_there_is_shown_and_exported(
    capsys: pytest.CaptureFixture[str], database: str
) -> None:
    for arguments in (["show", "cells"], ["export", "--what", "cells"]):
        code, out, _ = call(capsys, *arguments, "--run", "synthetic-2", "--db", database)
        assert code == 0 and "Pythia-160M" in out and "SmolLM2-135M" not in out


def test_no_verb_is_answered_with_the_help_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys)
    assert (code, out) == (2, "") and "error:" not in err
    assert err.startswith("Usage: ") and err.count("\n") > 30


def test_a_name_is_suggested_once_and_only_if_it_can_be_typed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = call(capsys, "footprint", "--it-energy-wh", "1", "--facility", "singapor")
    said = err.strip().rstrip("?").partition("did you mean ")[2].split(", ")
    assert code == 2 and "Singapore" in said and len(said) == len(set(said))
    for name in said:
        _, _, err = call(capsys, "footprint", "--it-energy-wh", "1", "--facility", name)
        assert err == "" or "is ambiguous: say one of" in err, name
    found = UnknownNameError("x", "Singapor", ["Singapore"] * 3, "")
    assert found.near == ["Singapore"]
    code, _, err = call(capsys, "prices", "gpt-4o", "--provider", "nope")
    assert code == 2 and "unknown provider of gpt-4o 'nope'" in err and "openai" in err


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_locked_database_is_said_after_five_seconds_at_most(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    assert store.OPENING_MS <= 5_000
    monkeypatch.setattr(store, "OPENING_MS", 100)  # a writer that has begun still waits longer
    path = tmp_path / "o.db"
    synthetic.record(tmp_path / "made.db")
    with sqlite3.connect(tmp_path / "made.db") as made, sqlite3.connect(path) as copy:
        made.backup(copy)  # nobody has it open
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute(
            "PRAGMA locking_mode=EXCLUSIVE" if how == "EXCLUSIVE" else "PRAGMA user_version"
        )
        other.execute(f"BEGIN {how}")
        began = time.monotonic()
        code, _, err = call(capsys, "derive", "--db", str(path))
        assert time.monotonic() - began < store.WRITING_MS / 1000 / 2
        assert code == 2 and "locked: another program is using it" in err and err.count("\n") == 1
    finally:
        other.close()
    assert call(capsys, "derive", "--db", str(path))[0] == 0


@pytest.mark.parametrize("verb", [["show"], ["estimate"], ["report"], ["derive"]])
def test_an_absent_database_is_not_created(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: list[str]
) -> None:
    path = tmp_path / "absent.db"
    code, _, err = call(capsys, *verb, "--db", str(path))
    assert code == 2 and "run-benchmark" in err and not path.exists()
