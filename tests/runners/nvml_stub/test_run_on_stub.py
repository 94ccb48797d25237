"""The whole of `run-benchmark` through the real `pynvml` on the stub: one run per failure mode.

The model is a backend that sleeps by a law, so that what is tested is everything around it.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runners.nvml_stub import stub

PLAN = """
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
"""
#: mode -> (exit code, reason code of windows without joules)
MODES: dict[str, tuple[int, str | None]] = {
    "healthy": (0, None),
    "no_counter": (0, None),
    "counter_backwards": (0, "counter_non_monotone"),
    "lost_mid_run": (0, "nvml_gpu_is_lost"),
    "not_supported": (3, "no_energy_source"),
    "mig": (3, "mig"),
    "zero_power": (0, "zero_power"),
}


def begin(
    library: Path, folder: Path, mode: str, *flags: str, **extra: str
) -> subprocess.Popen[str]:
    folder.mkdir()
    (folder / "plan.yaml").write_text(PLAN)
    environment = stub.environment(
        library, mode,
        CUDA_VISIBLE_DEVICES="0",
        NVML_STUB_LOST_AFTER_S="8",
        OBSERVATORY_BACKENDS="law=tests.runners.law_backend:LawBackend", **extra,
    )  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "runners.cli", "--plan", "plan.yaml", "--db", "o.db", "--json",
         *flags],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str, Path]]:
    """Every mode, all at a time, for they mostly sleep: (exit code, stdout, stderr, database)."""
    if stub.compiler() is None:
        pytest.skip("no C compiler on the path: the NVML stub cannot be built")
    folder = tmp_path_factory.mktemp("runs")
    library = stub.build(folder)
    going = {name: begin(library, folder / name, name) for name in MODES}
    done: dict[str, tuple[int, str, str, Path]] = {}
    for name, process in going.items():
        out, err = process.communicate(timeout=240)
        done[name] = (process.returncode, out, err, folder / name / "o.db")
    return done


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, Path]]:
    """A device that somebody else uses, without and with --share-device; one that is lost while
    its joules are required; one whose counter is as dear to read as an H100's."""
    if stub.compiler() is None:
        pytest.skip("no C compiler on the path: the NVML stub cannot be built")
    folder = tmp_path_factory.mktemp("shared")
    library = stub.build(folder)
    flags = {"refused": (), "shared": ("--share-device",)}
    going = {n: begin(library, folder / n, "foreign", *f) for n, f in flags.items()}
    going["required"] = begin(library, folder / "required", "lost_mid_run", "--require-energy")
    going["dear"] = begin(
        library, folder / "dear", "healthy",
        NVML_STUB_TICK_MS="100", NVML_STUB_COUNTER_US="4300",
    )  # fmt: skip
    done = {}
    for name, process in going.items():
        _, err = process.communicate(timeout=240)
        done[name] = (process.returncode, err, folder / name / "o.db")
    return done


def rows(path: Path, sql: str) -> list[sqlite3.Row]:
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(sql).fetchall()


def windows(path: Path) -> list[sqlite3.Row]:
    return rows(path, "select w.*, c.role from window w join cell c on w.cell_id = c.id")


@pytest.mark.parametrize("mode", MODES)
def test_exit_code_and_cells(runs: Any, mode: str) -> None:
    code, out, err, path = runs[mode]
    expected, _ = MODES[mode]
    assert code == expected, err
    if expected == 3:
        assert "Traceback" not in err and err.strip().count("\n") == 0
        assert "sensor 'nvml' is not available" in err
        assert not path.exists() or not rows(path, "select * from window")
        return
    assert json.loads(out)["cells"] == {"ok": 2 + 2 + 2}
    assert [r["status"] for r in rows(path, "select distinct status from cell")] == ["ok"]


@pytest.mark.parametrize("mode", [m for m, (code, _) in MODES.items() if code == 0])
def test_no_path_stores_zero_joules_and_every_missing_one_has_its_reason(
    runs: Any, mode: str
) -> None:
    found = windows(runs[mode][3])
    assert found
    for window in found:
        for column in window.keys():  # noqa: SIM118 - a Row is not a dict
            if column.startswith("energy_") and column.endswith("_j"):
                assert window[column] != 0, (mode, column)
        assert (window["energy_device_j"] is None) is (window["energy_reason"] is not None)


def test_healthy_joules_of_the_used_device_alone(runs: Any) -> None:
    for window in windows(runs["healthy"][3]):
        truth = 300 * window["duration_s"]
        error = abs(window["energy_device_j"] - truth) / truth
        assert error <= max(0.01, window["energy_edge_bound_rel"])
        assert window["energy_idle_devices_j"] == pytest.approx(truth / 5, rel=0.2)
        assert window["energy_method"] == "nvml_counter"
        assert window["energy_boundary"] == "device"
        assert window["energy_integral_j"] == pytest.approx(truth, rel=1e-3)
    (run,) = rows(runs["healthy"][3], "select * from run")
    sensor = json.loads(run["notes"])["sensor"]
    assert run["sensor"] == "nvml" and 0 < run["sampler_cpu_share"] < 0.05
    assert sensor["tick_measured"] == "under load" and sensor["driver"] == "550.00.stub"
    assert sensor["used"] == ["gpu:0"]


def test_no_counter_is_the_integral_and_says_so(runs: Any) -> None:
    for window in windows(runs["no_counter"][3]):
        assert window["energy_method"] == "nvml_power_integral"
        assert window["energy_device_j"] == pytest.approx(300 * window["duration_s"], rel=1e-3)


@pytest.mark.parametrize("mode", ["lost_mid_run", "counter_backwards"])
def test_each_failure_ends_in_its_own_reason(runs: Any, mode: str) -> None:
    reasons = [w["energy_reason"] for w in windows(runs[mode][3]) if w["energy_reason"]]
    assert reasons
    assert all(r.startswith(f"{MODES[mode][1]}: ") for r in reasons)


@pytest.mark.parametrize("mode", ["healthy", "lost_mid_run", "counter_backwards"])
def test_what_survives_a_failure_is_the_truth(runs: Any, mode: str) -> None:
    """A number beside a failure is right, or none, or it is said that the sensors disagree."""
    for window in windows(runs[mode][3]):
        flagged = mode == "counter_backwards" and "sensor_disagreement" in window["flags"]
        if window["energy_device_j"] is not None and not flagged:
            truth = 300 * window["duration_s"]
            slack = max(0.01, window["energy_edge_bound_rel"])
            assert abs(window["energy_device_j"] - truth) / truth <= slack


def test_required_joules_that_end_in_mid_run_are_an_error_and_the_rows_stay(shared: Any) -> None:
    code, err, path = shared["required"]
    assert code == 3
    last = err.strip().splitlines()[-1]
    assert "--require-energy: " in last and "nvml_gpu_is_lost" in last
    assert any(w["energy_device_j"] for w in windows(path))
    assert [r["status"] for r in rows(path, "select status from run")] == ["done"]


def test_a_counter_that_is_dear_to_read_costs_little(shared: Any) -> None:
    """Ten readings a second, and polling at every edge, would take 6 to 14 % of a core. Windows of
    two seconds are the worst case; the figure itself is measured by `python -m benchmarks sampler`.
    """
    code, err, path = shared["dear"]
    assert code == 0, err
    (run,) = rows(path, "select * from run")
    assert json.loads(run["notes"])["sensor"]["tick_s"] == pytest.approx(0.1, abs=0.01)
    assert 0 < run["sampler_cpu_share"] < 0.05
    for window in windows(path):
        truth = 300 * window["duration_s"]
        error = abs(window["energy_device_j"] - truth) / truth
        assert error <= window["energy_edge_bound_rel"] < 0.2


def test_before_the_device_was_lost_joules_were_counted(runs: Any) -> None:
    found = windows(runs["lost_mid_run"][3])
    assert any(w["energy_device_j"] for w in found)
    assert any(w["energy_device_j"] is None for w in found)


@pytest.mark.parametrize("mode", ["not_supported", "mig"])
def test_what_cannot_be_measured_is_named(runs: Any, mode: str) -> None:
    said = {"not_supported": "neither an energy counter nor its power", "mig": "MIG"}
    assert said[mode] in runs[mode][2]


def test_a_device_in_use_is_refused_before_anything_is_stored(shared: Any) -> None:
    code, err, path = shared["refused"]
    assert code == 2 and err.strip().count("\n") == 0
    assert "the device is in use (gpu:0 pid 1)" in err and "--share-device" in err
    assert not path.exists()


def test_beside_another_process_windows_are_kept_flagged_and_left_out(shared: Any) -> None:
    code, err, path = shared["shared"]
    assert code == 0, err
    found = windows(path)
    assert found and all("foreign_process" in w["flags"] for w in found if w["role"] != "idle")
    assert not rows(path, "select * from summary where phase in ('prefill', 'decode')")
    (count,) = rows(path, "select count(*) n from finding where rule = 'foreign_process'")
    assert count["n"] >= len([w for w in found if w["role"] != "idle"])
