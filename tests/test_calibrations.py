"""Calibrations out of a store and back into it, and the verb that does it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from observatory import calibrations
from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.importers import registry
from observatory.records import Source
from observatory.runtime.calibration_shipped import find, from_file
from observatory.store import writer
from observatory.store.database import open_database
from tests import synthetic
from tests.runtime.reference_rows import ml_energy_v3


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two synthetic models on one synthetic machine."""
    path = tmp_path_factory.mktemp("store") / "o.db"
    synthetic.record(path, "one", noise=0.002)
    synthetic.record(path, "two", noise=0.002, model_name="SmolLM2-360M", scale=2.0)
    return path


def published(path: Path, reference: Path) -> None:
    """The ML.ENERGY v3 rows through their reader: prompts unknown."""
    with open_database(path).begin() as connection:
        for file in ("gpqa.json", "lm-arena-chat.json"):
            name, reading = registry.read(reference / "peers/ml_energy_v3/tasks" / file)
            writer.add_source(
                connection, Source(file, file, name, "3", None, None, "2026-01-01", "2026-01-01")
            )
            rows = [reported for row in reading.rows for reported in row.reported]
            writer.add_reported(connection, file, rows)


def test_own_rows_of_a_measured_machine(measured: Path) -> None:
    with open_database(measured).connect() as connection:
        found = calibrations.own_rows(connection, "Synthetic CPU")
        assert found.hardware.verified == "measured"
        assert found.hardware.bandwidth_bytes_per_s == 1e11
        kinds = {(s.architecture.name, s.context is None) for s in found.samples}
        assert len(kinds) == 4, "requests and decode steps of two models"
        assert {s.power_w for s in found.samples} == {None}, "a CPU host has no device joules"
        made = calibrations.make(found, "single-stream")
    assert set(made.error) == set(made.spread) and len(made.error) == 2
    assert not made.has_power


def test_steps_are_timed_one_by_one(measured: Path) -> None:
    with open_database(measured).connect() as connection:
        steps = [s for s in calibrations.own_rows(connection, "Synthetic CPU").samples
                 if s.context is not None and s.architecture.name == "SmolLM2-135M"]  # fmt: skip
    by_context = {s.context: s.time_s for s in steps}
    for cached in synthetic.CONTEXTS:
        middle = cached + (synthetic.STEPS + 1) / 2
        whole = synthetic.decode_s(cached, synthetic.STEPS)
        assert by_context[middle] == pytest.approx(whole / synthetic.STEPS, rel=0.02)


def test_reported_servers_give_the_shipped_calibration(tmp_path: Path, reference: Path) -> None:
    path = tmp_path / "o.db"
    published(path, reference)
    with open_database(path).connect() as connection:
        found = calibrations.reported_rows(connection, "NVIDIA H100 80GB HBM3")
    direct = ml_energy_v3(reference, "H100")
    assert len(found.samples) == len(direct) == 198
    assert "another device" in found.skipped and "unknown model" in found.skipped
    assert len(found.assumptions) == 2 and "unpublished" in found.assumptions[0]
    made, kept = calibrations.make(found, "server"), find("H100-SXM5", "server")
    assert kept is not None
    assert made.parameters == pytest.approx(kept.parameters, rel=1e-3, abs=1e-9)


def test_stored_once_and_read_back(measured: Path) -> None:
    engine = open_database(measured)
    with engine.begin() as connection:
        made = calibrations.make(
            calibrations.own_rows(connection, "Synthetic CPU"), "single-stream"
        )
        assert calibrations.store(connection, made)
        assert not calibrations.store(connection, made), "the same rows give the same id"
        assert [c.id for c in calibrations.stored(connection)] == [made.id]


def test_a_store_without_rows(tmp_path: Path) -> None:
    with open_database(tmp_path / "o.db").connect() as connection:
        with pytest.raises(InputError, match="no measured rows"):
            calibrations.own_rows(connection, "H100")
        with pytest.raises(InputError, match="none imported"):
            calibrations.reported_rows(connection, "H100")


def test_verb(measured: Path, tmp_path: Path) -> None:
    file = tmp_path / "cal.json"
    arguments = ["calibrate", "--device", "Synthetic CPU", "--db", str(measured)]
    result = CliRunner().invoke(observatory, [*arguments, "--output", str(file), "--json"])
    found = json.loads(result.output)
    assert result.exit_code == 0 and found["id"].startswith("cal-")
    assert from_file(file)[0].id == found["id"]
    text = CliRunner().invoke(observatory, [*arguments, "--dry-run"]).output
    assert found["id"] in text and max(map(len, text.splitlines())) <= 100
    asked = ["capacity", "--model", "gpt2", "--device", "h100", "--context", "500", "--json"]
    used = CliRunner().invoke(observatory, [*asked, "--db", str(measured)])
    assert used.exit_code == 0 and json.loads(used.output)["tpot_s"]["method"] == "calibrated"
    listed = CliRunner().invoke(observatory, ["calibrate", "--list", "--db", str(measured)]).output
    assert found["id"] in listed and "shipped" in listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--device is needed"),
        (["--device", "h100", "--db", "/none/o.db"], "no database at"),
        (["--device", "h100", "--recipe", "oracle"], "oracle"),
    ],
)
def test_verb_refuses(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(observatory, ["calibrate", *arguments]) == 2
    assert message in capsys.readouterr().err
