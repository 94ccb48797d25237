"""`run-benchmark` as a process, over a backend that sleeps by a law: everything but a model."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from observatory.records import Workload
from tests import synthetic
from tests.runners.law_backend import law_s

ROOT = Path(__file__).resolve().parents[2]
PLAN = """
profile: quick
processes: 2
backend: law
sensor: none
models:
  - model: SmolLM2-135M
    dtype: float32
    threads: 1
    cells:
      - {phase: prefill, prompt: 16}
      - {phase: prefill, prompt: 64}
      - {phase: prefill, prompt: 256}
      - {phase: decode, context: 16, steps: 8}
      - {phase: decode, context: 200, steps: 8}
      - {phase: e2e, prompt: 32, output: 8}
      - {phase: e2e, prompt: 128, output: 4}
"""
CELLS = 7 + 2 + 2  # and two anchors, and two idle baselines
PROCESSES_OF_CELLS = """
    select count(distinct w.process_index) from window w join cell c on w.cell_id = c.id
    where c.role in ('fit', 'heldout') group by c.id
"""


def environment(**more: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OBSERVATORY_BACKENDS": "law=tests.runners.law_backend:LawBackend",
        **more,
    }


def start(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "runners.cli", *arguments], cwd=folder, env=environment(**more),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # a shell's background jobs ignore Ctrl-C, and would pass that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def call(folder: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    process = start(folder, *arguments, **more)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One whole run, shared by the tests that only look at it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "plan.yaml").write_text(PLAN)
    code, out, err = call(folder, "--plan", "plan.yaml", "--db", "o.db", "--json", "--zone", "FRA")
    assert code == 0, err
    return folder / "o.db", json.loads(out)


def test_every_planned_cell_is_measured_in_every_process(finished: Any) -> None:
    path, _ = finished
    assert query(path, "select status, count(*) from cell group by 1") == [("ok", CELLS)]
    assert query(path, PROCESSES_OF_CELLS) == [(2,)] * 7


def test_times_follow_the_law(finished: Any) -> None:
    path, _ = finished
    rows = query(path, "select phase, prompt_tokens, context_tokens, output_tokens, runtime_s "
                       "from summary where phase in ('prefill', 'decode', 'e2e')")  # fmt: skip
    assert len(rows) == 7
    for _, prompt, context, output, runtime_s in rows:
        expected = law_s(Workload(prompt, output, 1, context))
        assert expected <= runtime_s < 2 * expected + 5e-3, "sleep lasts at least as long as asked"


def test_json_alone_stands_on_standard_output(finished: Any) -> None:
    _, report = finished
    assert report["cells"] == {"ok": CELLS}
    (fitted,) = report["models"]
    assert fitted["n_heldout"] == 2 and fitted["between_process_rel"] is not None
    (estimate,) = report["estimates"]
    assert estimate["energy_j"] is None and "no sensor was asked for" in estimate["energy_reason"]
    assert estimate["footprints"][0]["zone"] == "FRA"
    assert estimate["footprints"][0]["energy_wh"]["value"] is None


def test_no_energy_is_null_with_a_reason_in_every_window(finished: Any) -> None:
    path, _ = finished
    assert query(path, "select count(*) from window where energy_reason is null") == [(0,)]
    assert query(path, "select count(*) from window where energy_cpu_j is not null") == [(0,)]


def test_the_order_is_shuffled_and_anchors_stand_at_both_ends(finished: Any) -> None:
    path, _ = finished
    rows = query(path, "select c.plan_key from window w join cell c on w.cell_id = c.id "
                       "where w.process_index = 0 and c.role <> 'idle' "
                       "group by c.id order by min(w.started_utc)")  # fmt: skip
    keys = [key.split(" / ")[1] for (key,) in rows]
    assert keys[0] == "anchor start" and keys[-1] == "anchor end"
    assert keys[1:-1] != sorted(keys[1:-1])


def test_running_twice_keeps_both_runs(plan: Path) -> None:
    folder = plan.parent
    cells = "    cells:\n      - {phase: e2e, prompt: 16, output: 4}\n"
    plan.write_text(PLAN.partition("    cells:")[0] + cells)
    for _ in range(2):
        assert call(folder, "--plan", "plan.yaml", "--db", "o.db", "--processes", "1")[0] == 0
    assert query(folder / "o.db", "select count(*), count(distinct plan_hash) from run") == [(2, 1)]
    assert query(folder / "o.db", "select distinct n_runs from summary where phase = 'e2e'") == [
        (2,)
    ]


def windows(path: Path) -> int:
    try:
        return int(query(path, "select count(*) from window")[0][0])
    except sqlite3.OperationalError:
        return 0


def kill_midway(folder: Path, how: signal.Signals, after: int = 6) -> subprocess.Popen[str]:
    process = start(folder, "--plan", "plan.yaml", "--db", "o.db")
    deadline = time.monotonic() + 120
    while windows(folder / "o.db") < after:
        assert process.poll() is None and time.monotonic() < deadline, "the run ended too early"
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate(timeout=60)
    return process


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        *(pytest.param(s, marks=pytest.mark.slow) for s in (signal.SIGINT, signal.SIGTERM)),
    ],
)
def test_a_run_ended_midway_is_resumed_with_every_cell_exactly_once(
    plan: Path, how: signal.Signals
) -> None:
    folder, path = plan.parent, plan.parent / "o.db"
    process = kill_midway(folder, how)
    assert process.returncode == (-9 if how == signal.SIGKILL else 130)
    before = query(path, "select cell_id, process_index, window_index, duration_s from window")
    planned = query(path, "select count(*) from cell where status = 'planned'")[0][0]
    assert planned > 0
    spent = "select json_extract(notes, '$.spent_s') from run"  # of a budget, if it has one
    ((spent_s,),) = query(path, spent)
    assert how == signal.SIGKILL or spent_s >= sum(duration for *_, duration in before)
    code, _, err = call(folder, "--resume", "--db", "o.db")
    assert code == 0, err
    assert query(path, spent) == [(None,)]
    assert query(path, "select count(*) from run") == [(1,)]
    assert query(path, "select status, count(*) from cell group by 1") == [("ok", CELLS)]
    after = query(path, "select cell_id, process_index, window_index, duration_s from window")
    assert set(before) <= set(after), "no fact was changed"
    assert query(path, PROCESSES_OF_CELLS) == [(2,)] * 7
    code, _, err = call(folder, "--resume", "--db", "o.db")
    assert code == 2 and "no interrupted run" in err


def test_a_run_of_another_machine_is_not_gone_on_with(plan: Path) -> None:
    """What was imported is newer than what was interrupted here."""
    folder, path = plan.parent, plan.parent / "o.db"
    synthetic.record(path, run_id="imported")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "update run set status = 'interrupted', started_utc = '2999-01-01T00:00:00+00:00'"
        )
    code, _, err = call(folder, "--resume", "--db", "o.db")
    assert code == 2 and err.count("\n") == 1
    assert "of another machine" in err and "imported" in err
    kill_midway(folder, signal.SIGKILL, after=6 + windows(path))
    code, out, err = call(folder, "--resume", "--dry-run", "--json", "--db", "o.db")
    assert code == 0, err
    assert json.loads(out)["device"] == "cpu" and len(json.loads(out)["cells"]) == CELLS


def test_a_run_under_way_is_not_resumed(plan: Path) -> None:
    process = start(plan.parent, "--plan", "plan.yaml", "--db", "o.db")
    try:
        deadline = time.monotonic() + 120
        while windows(plan.parent / "o.db") < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        code, _, err = call(plan.parent, "--resume", "--db", "o.db")
        assert code == 2 and f"still going on (process {process.pid})" in err
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert query(plan.parent / "o.db", "select status from run") == [("running",)]
    rest = ["--resume", "--dry-run", "--json", "--db", "o.db"]
    assert call(plan.parent, *rest)[0] == 0, "what is dead may be gone on with"


def test_a_killed_parent_leaves_no_worker(plan: Path) -> None:
    kill_midway(plan.parent, signal.SIGKILL, after=2)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        listed = subprocess.run(
            ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
        )
        left = [row for row in listed.stdout.splitlines() if "runners.worker" in row
                and _belongs_to(row, plan.parent)]  # fmt: skip
        if not left:
            return
        time.sleep(0.1)
    pytest.fail(f"a worker outlived its parent: {left}")


def workers() -> list[str]:
    """Process ids of every measured process on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"runners.worker" in path.read_bytes():
                found.append(path.parent.name)
        except OSError:  # it ended meanwhile
            continue
    return found


def _belongs_to(pid: str, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()
    except OSError:
        return False


FAILURES = {
    "crash": ("crashed", "the law is broken"),
    "oom": ("oom", "no memory for the law"),
    "refuse": ("refused", "the law does not apply"),
    "kill": ("lost", "killed"),
    "hang": ("timeout", "longer than 15 s"),
}


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(how, marks=pytest.mark.slow) if how in ("hang", "kill") else how
        for how in sorted(FAILURES)
    ],
)
def test_a_failing_cell_becomes_a_typed_row_and_the_others_are_done(plan: Path, how: str) -> None:
    folder = plan.parent
    limit = ["--timeout", "15"] if how == "hang" else []
    code, _, err = call(
        folder, "--plan", "plan.yaml", "--db", "o.db", "--processes", "1", *limit,
        LAW_FAIL=f"prefill 64={how}",
    )  # fmt: skip
    status, text = FAILURES[how]
    assert code == 1, err
    rows = query(folder / "o.db", "select status, error from cell where status <> 'ok'")
    assert [s for s, _ in rows] == [status] and text in rows[0][1]
    assert query(folder / "o.db", "select status from run") == [("done_with_failures",)]
    assert query(folder / "o.db", "select count(*) from cell where status = 'ok'") == [(CELLS - 1,)]


def test_a_model_that_cannot_load_fails_its_cells_alone(plan: Path) -> None:
    code, _, _ = call(
        plan.parent, "--plan", "plan.yaml", "--db", "o.db", "--processes", "1", LAW_FAIL="load=oom"
    )
    assert code == 1
    rows = query(plan.parent / "o.db", "select status, count(*) from cell group by 1")
    assert ("oom", 9) in rows or ("oom", 10) in rows


def test_a_model_too_large_is_refused_with_the_estimate(tmp_path: Path) -> None:
    text = (
        PLAN.replace("processes: 2", "processes: 1")
        + """
  - model: BLOOM-176B
    dtype: float32
    threads: 1
    cells:
      - {phase: prefill, prompt: 16}
"""
    )
    (tmp_path / "plan.yaml").write_text(text)
    code, _, err = call(tmp_path, "--plan", "plan.yaml", "--db", "o.db")
    assert code == 1 and "estimated need" in err
    rows = query(tmp_path / "o.db", "select c.status, m.name, c.error from cell c join "
                 "configuration k on k.key = c.configuration_key join model m on "
                 "m.key = k.model_key where c.status <> 'ok'")  # fmt: skip
    assert {(s, m) for s, m, _ in rows} == {("refused", "BLOOM-176B")}
    assert all("GiB" in error for _, _, error in rows)
    assert query(tmp_path / "o.db", "select count(*) from cell where status = 'ok'")[0][0] >= 7


PLANNED = [
    "--model", "SmolLM2-135M", "--dtype", "float32", "--threads", "1", "--backend", "law",
    "--sensor", "none", "--db", "o.db",
]  # fmt: skip
CHOSEN = "select plan_key from cell where role = 'fit' order by position"


def test_what_the_first_process_chose_is_repeated_by_the_second(tmp_path: Path) -> None:
    code, _, err = call(tmp_path, *PLANNED, "--budget", "5")
    path = tmp_path / "o.db"
    assert code == 0, err
    assert "planner chose" in err and "budget spent" in err
    notes = json.loads(query(path, "select notes from run")[0][0])
    ((told,),) = notes["planner"].values()
    assert told["budget_s"] == 5 and told["chosen"] == len(query(path, CHOSEN)) >= 2
    assert {n for (n,) in query(path, PROCESSES_OF_CELLS)} == {2}
    assert query(path, "select count(*) from fit where quantity = 'runtime_s'") == [(1,)]
    assert query(path, "select status, count(*) from cell group by 1")[0][0] == "ok"


def test_a_budget_of_given_cells_is_one_of_the_whole_run(tmp_path: Path) -> None:
    """Where even the least windows do not fit, one a cell must do."""
    asked = ["--prompt", "8", "--prompt", "64", "--output", "4", "--processes", "1"]
    hurried = [*PLANNED, *asked, "--budget", "8"]
    code, out, _ = call(tmp_path, *hurried, "--dry-run")
    assert code == 0 and "a budget of 8 s" in out
    code, _, err = call(tmp_path, *hurried)
    assert code == 0, err
    assert "one window a cell" in err
    path = tmp_path / "o.db"
    notes = json.loads(query(path, "select notes from run")[0][0])
    assert notes["shortened"]
    counts = "select count(*) from window w join cell c on c.id = w.cell_id where c.role = {} {}"
    each = [n for (n,) in query(path, counts.format("'fit'", "group by c.id"))]
    assert min(each) == 1


@pytest.mark.slow
def test_a_choice_killed_midway_is_taken_up_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    process = start(tmp_path, *PLANNED, "--budget", "6", "--processes", "1")
    deadline = time.monotonic() + 120
    while windows(path) < 9:
        assert process.poll() is None and time.monotonic() < deadline, "the run ended too early"
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    before = query(path, CHOSEN)
    assert before, "something was chosen by then"
    code, _, err = call(tmp_path, "--resume", "--db", "o.db")
    assert code == 0, err
    after = query(path, CHOSEN)
    assert after[: len(before)] == before and len(set(after)) == len(after)
    assert query(path, "select distinct status from cell") == [("ok",)]


def test_dry_run_writes_nothing(plan: Path) -> None:
    code, out, _ = call(plan.parent, "--plan", "plan.yaml", "--dry-run", "--json", "--db", "o.db")
    shown = json.loads(out)
    assert code == 0 and len(shown["cells"]) == CELLS and shown["expected_s"] > 0
    assert not (plan.parent / "o.db").exists()


def _text_database(folder: Path) -> None:
    (folder / "o.db").write_text("a text file, not a database")


def _newer_database(folder: Path) -> None:
    from observatory.store.database import open_database

    open_database(folder / "o.db").dispose()
    connection = sqlite3.connect(folder / "o.db")
    connection.execute("update alembic_version set version_num = '9999'")
    connection.commit()
    connection.close()  # takes the write-ahead log with it: the file stands alone


def _bad_config(folder: Path) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / "config.json").write_text("{ not json")


def _folder_without_config(folder: Path) -> None:
    (folder / "empty").mkdir()


def _bad_yaml(folder: Path) -> None:
    (folder / "bad.yaml").write_text("profile: quick\nmodels:\n  - model: [unclosed\n")


def _bad_cell(folder: Path) -> None:
    (folder / "bad.yaml").write_text(PLAN.replace("prompt: 64}", "prompt: -64}"))


def _nothing(folder: Path) -> None:
    pass


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file's bytes; SQLite's own shared-memory index is not the store's content."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.endswith("-shm"))
    return {p: p.read_bytes() for p in files}


BAD = [
    (_nothing, ["--model", "SmolLM2-135"], "did you mean SmolLM2-135M"),
    (_nothing, ["--model", ""], "give a catalogue name"),
    (_nothing, ["--model", "./absent"], "no such folder"),
    (_bad_config, ["--model", "./broken"], "is not a JSON config"),
    (_folder_without_config, ["--model", "./empty"], "no config.json"),
    (_nothing, ["--prompt", "0"], "--prompt 0"),
    (_nothing, ["--output", "-1"], "--output -1"),
    (_nothing, ["--batch", "0"], "--batch 0"),
    (_nothing, ["--threads", "0"], "--threads 0"),
    (_nothing, ["--timeout", "0"], "--timeout 0"),
    (_nothing, ["--target-error", "5"], "--target-error 5: give a share between 0 and 1"),
    (_nothing, ["--budget", "0"], "--budget 0"),
    (_nothing, ["--target-error", "0.1", "--fixed-grid"], "together with --fixed-grid"),
    (_nothing, ["--target-error", "0.1", "--prompt", "64"], "nothing is left to choose"),
    (_nothing, ["--prompt", "many"], "not a valid integer"),
    (_nothing, ["--dtype", "float7"], "float7"),
    (_nothing, ["--attention", "clairvoyance"], "clairvoyance"),
    (_nothing, ["--profile", "hasty"], "hasty"),
    (_nothing, ["--backend", "abacus"], "abacus"),
    (_nothing, ["--sensor", "thumb"], "thumb"),
    (
        _nothing,
        ["--device", "cpu", "--sensor", "nvml", "--backend", "transformers"],
        "counts the joules of a GPU",
    ),
    (_nothing, ["--device", "tpu"], "tpu"),
    (_nothing, ["--zone", "Atlantis"], "unknown zone 'Atlantis'"),
    (_nothing, ["--plan", "absent.yaml"], "absent.yaml"),
    (_bad_yaml, ["--plan", "bad.yaml"], "line"),
    (_bad_cell, ["--plan", "bad.yaml"], "-64"),
    (_nothing, ["--resume"], "no database"),
    (_text_database, [], "not a SQLite database"),
    (_newer_database, [], "newer than this version"),
    (_nothing, ["--db", "nowhere://x/y"], "not supported"),
    (_nothing, ["--db", "/proc/nowhere/o.db"], "/proc"),
]


@pytest.mark.parametrize(
    ("make", "arguments", "message"), BAD, ids=[f"{m.__name__} {' '.join(a)}" for m, a, _ in BAD]
)
def test_bad_input_is_one_line_exit_2_and_nothing_written(
    tmp_path: Path, make: Any, arguments: list[str], message: str
) -> None:
    make(tmp_path)
    before = contents(tmp_path)
    database = [] if "--db" in arguments else ["--db", "o.db"]
    backend = [] if {"--backend", "--plan", "--resume"} & set(arguments) else ["--backend", "law"]
    code, out, err = call(tmp_path, *arguments, *database, *backend)
    assert code == 2, err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1 and out == ""
    assert {
        p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and "-" not in p.name
    } == before


def test_require_energy_without_a_sensor_is_exit_3_before_anything(plan: Path) -> None:
    code, _, err = call(plan.parent, "--plan", "plan.yaml", "--require-energy", "--db", "o.db")
    assert code == 3 and err.count("\n") == 1
    assert not (plan.parent / "o.db").exists()
