"""The campaign's machinery through the real `pynvml` on the stub: pieces, resume, merge, publish.

Two small parts, measured by a backend that sleeps by a law, into two databases at a time; one of
them is interrupted by its time limit and gone on with.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from observatory.cli import observatory, run
from tests.runners.nvml_stub import stub

CAMPAIGN = """
profile: quick
processes: 1
backend: law
device: cpu
sensor: nvml
models:
  - model: SmolLM2-135M
    dtype: float32
    threads: 1
    cells:
      - {phase: prefill, prompt: 64}
      - {phase: decode, context: 200, steps: 8}
---
# a second machine's piece
profile: quick
processes: 1
backend: law
device: cpu
sensor: nvml
models:
  - model: Pythia-160M
    dtype: float32
    threads: 1
    cells:
      - {phase: prefill, prompt: 64}
      - {phase: decode, context: 200, steps: 8}
"""
LEFT, DONE = 130, 0


def call(folder: Path, library: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = stub.environment(
        library, "healthy", CUDA_VISIBLE_DEVICES="0",
        OBSERVATORY_BACKENDS="law=tests.runners.law_backend:LawBackend",
    )  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "runners.cli", "campaign", "small.yaml", "--json", *arguments],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what was said; what was printed is one JSON document that says the same."""
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in err, err
    told = json.loads(out)
    assert bool(told["left"]) is (process.returncode == LEFT)
    assert all(report is None or report["cells"] for report in told["parts"].values())
    return process.returncode, err


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[int, str]]]:
    """The folder with `a.db` (part 1, interrupted and resumed) and `b.db` (part 2), and what each
    call said."""
    if stub.compiler() is None:
        pytest.skip("no C compiler on the path: the NVML stub cannot be built")
    folder = tmp_path_factory.mktemp("campaign")
    library = stub.build(folder)
    (folder / "small.yaml").write_text(CAMPAIGN)
    both = {
        # the reserve of 20 s leaves six to the run: it is interrupted while it measures
        "interrupted": call(folder, library, "--db", "a.db", "--part", "1", "--time-limit", "26"),
        "second": call(folder, library, "--db", "b.db", "--part", "2"),
    }
    told = {name: finish(process) for name, process in both.items()}
    told["resumed"] = finish(call(folder, library, "--db", "a.db", "--part", "1"))
    told["again"] = finish(call(folder, library, "--db", "a.db", "--part", "1"))
    return folder, told


def rows(path: Path, sql: str) -> list[Any]:
    with sqlite3.connect(path) as connection:
        return connection.execute(sql).fetchall()


def test_a_piece_ends_before_its_limit_and_the_next_call_goes_on(pieces: Any) -> None:
    folder, told = pieces
    assert told["interrupted"][0] == LEFT
    assert "left for the next call: 1 SmolLM2-135M quick" in told["interrupted"][1]
    assert told["resumed"][0] == DONE and told["second"][0] == DONE
    assert "campaign complete" in told["resumed"][1]
    assert rows(folder / "a.db", "select status from run") == [("done",)]
    assert {status for (status,) in rows(folder / "a.db", "select status from cell")} == {"ok"}


def test_a_part_that_is_done_is_not_measured_again(pieces: Any) -> None:
    folder, told = pieces
    assert told["again"][0] == DONE and "done before" in told["again"][1]
    assert len(rows(folder / "a.db", "select id from run")) == 1


def test_no_window_is_lost_or_doubled_and_all_have_joules_of_the_used_device(pieces: Any) -> None:
    folder, _ = pieces
    for name in ("a.db", "b.db"):
        found = rows(
            folder / name,
            "select c.plan_key, w.energy_device_j, w.duration_s, w.energy_method from window w "
            "join cell c on c.id = w.cell_id",
        )
        counts = Counter(key for key, *_ in found)
        assert len(counts) == 2 + 2 + 2  # idle baselines, anchors, cells
        assert all(n >= (1 if "idle" in key else 2) for key, n in counts.items())
        for _, joules, seconds, method in found:
            assert joules == pytest.approx(300 * seconds, rel=0.2)
            assert method == "nvml_counter"


def test_pieces_merge_into_one_published_set(
    pieces: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = pieces
    whole, made = str(folder / "whole.db"), folder / "set"
    assert run(observatory, ["merge", "--db", whole, f"{folder}/a.db", f"{folder}/b.db"]) == 0
    assert run(observatory, ["publish", "--db", whole, "--out", str(made)]) == 0
    runs = json.loads((made / "runs.json").read_text())
    assert [r["status"] for r in runs] == ["done", "done"]
    assert {r["command"].partition(" --db")[0] for r in runs} == {
        "run-benchmark campaign small.yaml --part 1", "run-benchmark campaign small.yaml --part 2",
    }  # fmt: skip
    (machine,) = json.loads((made / "environment.json").read_text())
    assert [d["uuid"][:4] for d in machine["devices"]] == ["GPU-", "GPU-"]
    assert "0000000000a0" not in (made / "environment.json").read_text()
    page = (made / "README.md").read_text()
    assert "**measured** by `nvml_counter`, boundary `device`" in page
    capsys.readouterr()
    fresh = str(folder / "fresh.db")
    windows = rows(Path(whole), "select count(*) from window")[0][0]
    for said in (f"new: 2 runs, {windows} windows", "nothing new"):
        assert run(observatory, ["import", "published", str(made), "--db", fresh]) == 0
        assert said in capsys.readouterr().out
