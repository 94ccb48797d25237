"""A campaign called again: failed cells are tried again, refused ones named, other machines' runs
left alone."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from observatory.ingest import Recorder, latest_resumable
from observatory.records import Cell, Device, Environment, Run, Workload
from runners.campaign_state import DONE, FAILED, INTERRUPTED, OPEN, part_state
from tests import synthetic

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGN = """
profile: quick
processes: 1
backend: law
device: cpu
sensor: none
models:
  - model: SmolLM2-135M
    dtype: float32
    threads: 1
    cells:
      - {phase: prefill, prompt: 64}
      - {phase: decode, context: 200, steps: 8}
"""


def call(folder: Path, *arguments: str, fail: str = "") -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON that was printed (of a campaign) and what was said."""
    (folder / "small.yaml").write_text(CAMPAIGN)
    given = arguments or ("campaign", "small.yaml", "--db", "o.db", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "runners.cli", *given], cwd=folder, capture_output=True, text=True,
        timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LAW_FAIL": fail,
             "OBSERVATORY_BACKENDS": "law=tests.runners.law_backend:LawBackend"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "o.db") as connection:
        return connection.execute(sql).fetchall()


def test_a_killed_cell_is_named_and_tried_again_until_it_has_a_result(tmp_path: Path) -> None:
    code, told, said = call(tmp_path, fail="prefill 64=kill")
    assert code == 1
    ((cell,),) = told["failed"].values()
    assert cell["status"] == "lost" and "prefill" in cell["cell"] and cell["error"] in said
    assert "1 cell without a result" in said and "campaign complete" not in said
    before = query(tmp_path, "select cell_id, process_index, window_index, duration_s from window")
    code, told, said = call(tmp_path)
    assert (code, told["failed"]) == (0, {}) and "campaign complete" in said
    assert query(tmp_path, "select distinct status, error from cell") == [("ok", None)]
    assert query(tmp_path, "select status from run") == [("done",)]
    ((notes,),) = query(tmp_path, "select notes from run")
    assert [one["status"] for one in json.loads(notes)["tried_again"]] == ["lost"]
    after = query(tmp_path, "select cell_id, process_index, window_index, duration_s from window")
    assert set(before) < set(after), "windows are added, none is changed"
    code, told, said = call(tmp_path)
    assert code == 0 and told["parts"] == {} and "done before" in said


@pytest.mark.slow
def test_a_refused_cell_stays_and_every_call_says_so(tmp_path: Path) -> None:
    code, told, _ = call(tmp_path, fail="prefill 64=refuse")
    assert code == 1 and told["parts"]
    windows = query(tmp_path, "select count(*) from window")
    code, told, said = call(tmp_path)
    assert code == 1 and told["parts"] == {} and "done before" in said
    ((cell,),) = told["failed"].values()
    assert cell["status"] == "refused" and "the law does not apply" in said
    assert query(tmp_path, "select count(*) from window") == windows


@pytest.mark.slow
def test_a_model_that_did_not_load_is_loaded_by_the_next_call(tmp_path: Path) -> None:
    code, told, _ = call(tmp_path, fail="load=crash")
    assert code == 1 and len(told["failed"]["1 SmolLM2-135M quick"]) == 5  # all but the first idle
    code, _, said = call(tmp_path)
    assert code == 0, said
    found = query(tmp_path, "select distinct c.status, k.backend from cell c "
                            "join configuration k on c.configuration_key = k.key")  # fmt: skip
    assert found == [("ok", "law")]
    summaries = query(tmp_path, "select distinct k.backend from summary s "
                                "join configuration k on s.configuration_key = k.key")  # fmt: skip
    assert summaries == [("law",)], "nothing derived is left under what never came up"


@pytest.mark.slow
def test_resume_tries_again_what_failed(tmp_path: Path) -> None:
    code, _, said = call(
        tmp_path, "--plan", "small.yaml", "--db", "o.db", "--json", fail="prefill 64=oom"
    )
    assert code == 1 and "1 cell without a result: `run-benchmark --resume` tries again" in said
    assert call(tmp_path, "--resume", "--db", "o.db", "--json", fail="prefill 64=crash")[0] == 1
    assert query(tmp_path, "select status from cell where status <> 'ok'") == [("crashed",)]
    assert call(tmp_path, "--resume", "--db", "o.db", "--json")[0] == 0
    assert query(tmp_path, "select distinct status from cell") == [("ok",)]
    ((notes,),) = query(tmp_path, "select notes from run")
    assert [one["status"] for one in json.loads(notes)["tried_again"]] == ["oom", "crashed"]
    code, _, said = call(tmp_path, "--resume", "--db", "o.db")
    assert code == 2 and "none with cells to try again" in said


@pytest.mark.slow
def test_a_campaign_measured_elsewhere_is_measured_here(tmp_path: Path) -> None:
    assert call(tmp_path)[0] == 0
    with sqlite3.connect(tmp_path / "o.db") as connection:
        connection.execute("update environment set cpu_model = 'Another', key = 'another'")
        connection.execute("update run set environment_key = 'another', status = 'interrupted'")
        connection.execute("update summary set environment_key = 'another'")
        connection.execute("update fit set environment_key = 'another'")
    code, told, said = call(tmp_path)
    assert code == 0 and told["parts"] and "done before" not in said
    assert query(tmp_path, "select status from run order by started_utc") == [
        ("interrupted",), ("done",)
    ]  # fmt: skip


H100 = Device(0, "cuda", "NVIDIA H100 80GB HBM3", uuid="GPU-1", driver="580")
HERE = replace(synthetic.ENVIRONMENT, devices=(H100,))


def recorded(path: Path, run_id: str, machine: Environment, run: str, cell: str) -> None:
    """A run with one cell, in these states."""
    model = synthetic.model_named()
    configuration = synthetic.configuration_of(model)
    recorder = Recorder.start(
        path, Run(run_id, "x", "plan", {}, "1", machine.key, "quick", 0, run_id), machine
    )
    recorder.add_models([model])
    recorder.add_configurations([configuration])
    recorder.plan([Cell(run_id, "k", configuration.key, "prefill", Workload.prefill(8))])
    recorder.finish("k", cell, None if cell in ("ok", "planned") else "why")
    recorder.update_run(status=run)


@pytest.mark.parametrize(("run", "cell", "here", "newer_driver"), [
    ("done", "ok", DONE, DONE),
    ("done_with_failures", "refused", DONE, DONE),
    ("done_with_failures", "lost", FAILED, OPEN),
    ("done_with_failures", "crashed", FAILED, OPEN),
    ("done_with_failures", "oom", FAILED, OPEN),
    ("done_with_failures", "timeout", FAILED, OPEN),
    ("interrupted", "planned", INTERRUPTED, OPEN),
    ("running", "planned", INTERRUPTED, OPEN),
])  # fmt: skip
def test_a_part_belongs_to_a_kind_of_machine(
    tmp_path: Path, run: str, cell: str, here: str, newer_driver: str
) -> None:
    path = tmp_path / "o.db"
    recorded(path, "1", HERE, run, cell)
    state = part_state(str(path), "plan", HERE)
    assert state.name == here
    assert bool(state.failed) is (cell not in ("ok", "planned"))
    driver = replace(HERE, devices=(replace(H100, driver="590", uuid="GPU-2"),))
    assert part_state(str(path), "plan", driver).name == newer_driver
    for other in (
        replace(HERE, cpu_model="Another"), replace(HERE, cpu_logical_cores=64),
        replace(HERE, devices=()), replace(HERE, devices=(replace(H100, name="NVIDIA H200"),)),
    ):  # fmt: skip
        assert part_state(str(path), "plan", other).name == OPEN
    assert part_state(str(path), "another plan", HERE).name == OPEN


def test_the_newest_run_of_this_environment_decides_unless_one_is_done(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    assert part_state(str(path), "plan", HERE).name == OPEN
    recorded(path, "1", HERE, "interrupted", "planned")
    recorded(path, "2", HERE, "done_with_failures", "lost")
    driver = replace(HERE, devices=(replace(H100, driver="590"),))
    recorded(path, "3", driver, "interrupted", "planned")
    assert part_state(str(path), "plan", HERE).name == FAILED
    assert latest_resumable(path, "plan") == "3"
    assert latest_resumable(path, "plan", {HERE.key}) == "2"
    recorded(path, "0", driver, "done", "ok")
    assert part_state(str(path), "plan", HERE).name == DONE
