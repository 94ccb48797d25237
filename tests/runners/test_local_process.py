"""The measured process, spoken to over its pipes: replies, failures, and an idle parent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from observatory.records import CellStatus, Phase, Workload
from runners.backends.base import BackendRequest
from runners.executors.local import LocalProcess, oom_kills, worker_environment
from runners.plan import Point
from runners.profiles import WarmUp
from runners.protocol import WorkerError
from tests.runners.law_backend import law_s

ROOT = Path(__file__).resolve().parents[2]
POINT = Point(Phase.PREFILL, Workload.prefill(64))
QUICK = WarmUp(cap_s=0.05)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalProcess]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OBSERVATORY_BACKENDS", "law=tests.runners.law_backend:LawBackend")
    with LocalProcess(1, 20.0) as made:
        yield made


def load(process: LocalProcess) -> None:
    facts = process.load("law", BackendRequest("law", {}, dtype="float32", threads=1), 60.0)
    assert facts.backend == "law" and facts.threads == 1


def test_windows_are_timed_on_the_clock_that_the_parent_reads(process: LocalProcess) -> None:
    load(process)
    prepared = process.prepare(POINT, QUICK)
    assert prepared.tokens_per_iteration == 64 and len(prepared.pass_s) >= 1
    before = time.perf_counter_ns()
    timed = process.window(5)
    after = time.perf_counter_ns()
    assert before <= timed.start_ns < timed.end_ns <= after
    assert timed.iterations == 5 and timed.duration_s >= 5 * min(3e-3, min(prepared.pass_s))
    assert timed.peak_memory_bytes == 1 << 30
    assert timed.cpu_time_s is not None and timed.cpu_time_s < timed.duration_s


def test_a_window_on_a_cpu_says_how_fast_the_machine_was_at_its_edges(
    process: LocalProcess,
) -> None:
    """By the anchor's pass, whatever the point: a sleep of the law's seconds here."""
    load(process)
    process.prepare(POINT, QUICK)
    reference_s = process.window(1).reference_pass_s
    assert reference_s is not None
    assert law_s(Workload.prefill(16)) <= reference_s < law_s(Workload.prefill(64)) + 1.0


def test_the_parent_sleeps_while_a_window_lasts(process: LocalProcess) -> None:
    load(process)
    process.prepare(POINT, QUICK)
    begin = time.process_time()
    timed = process.window(400)
    assert time.process_time() - begin < 0.01 * timed.duration_s


def test_a_killed_process_is_lost_and_told_apart_from_a_crash(process: LocalProcess) -> None:
    load(process)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(WorkerError) as caught:
        process.window(1)
    assert caught.value.status == CellStatus.LOST and caught.value.gone


def test_a_process_that_died_of_a_signal_crashed(process: LocalProcess) -> None:
    load(process)
    os.kill(process.pid, signal.SIGSEGV)
    with pytest.raises(WorkerError, match="SIGSEGV") as caught:
        process.window(1)
    assert caught.value.status == CellStatus.CRASHED


def test_a_window_before_its_point_is_a_failure_in_words(process: LocalProcess) -> None:
    load(process)
    with pytest.raises(WorkerError, match="before its point"):
        process.window(1)


def test_an_unknown_backend_is_a_failure_in_words(process: LocalProcess) -> None:
    with pytest.raises(WorkerError, match="unknown backend 'abacus'"):
        process.load("abacus", BackendRequest("x", {}), 60.0)


def test_closing_ends_the_process_and_twice_is_once(process: LocalProcess) -> None:
    load(process)
    process.close()
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_the_environment_of_a_worker() -> None:
    made = worker_environment(3, {"PATH": "p", "PYTHONPATH": "mine"}, "GPU-1")
    assert made["OMP_NUM_THREADS"] == made["MKL_NUM_THREADS"] == "3"
    assert made["HF_HUB_OFFLINE"] == "1" and made["PATH"] == "p"
    assert made["PYTHONPATH"].endswith(os.pathsep + "mine")
    assert made["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment(None, {})


def test_kernel_kills_are_counted_over_the_files_that_exist(tmp_path: Path) -> None:
    events, vmstat = tmp_path / "memory.events", tmp_path / "vmstat"
    assert oom_kills((events, vmstat)) is None
    events.write_text("low 0\noom 4\noom_kill 2\n")
    vmstat.write_text("pgfault 9\noom_kill 3\n")
    assert oom_kills((events, vmstat)) == 5
