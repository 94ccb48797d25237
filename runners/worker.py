"""The measured process: it loads one model and serves requests, one JSON object a line.

    {"id": 1, "op": "load", "backend": "transformers", "request": {...}}
    {"id": 2, "op": "prepare", "phase": "prefill", "workload": {...}, "warm_up": {...}}
    {"id": 3, "op": "window", "iterations": 12}
    {"id": 4, "op": "peaks", "budget_s": 1.5}

A reply carries the same `id` and `ok`; a failure also `status` (the cell status it becomes) and
`error`. Replies go to the standard output that the process was started with; whatever a library
prints goes to standard error. The process ends when its input ends or its parent dies.
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from observatory.records import CellStatus, Phase, Workload
from runners.backends.base import Backend, BackendError, BackendFacts, BackendRequest, Operation
from runners.plan import ANCHORS
from runners.profiles import WarmUp
from runners.protocol import is_stable, warmed_up
from runners.registry import make_backend

#: A reference pass that ended so long ago still tells how fast the machine is: one pass between two
#: windows of a point serves both.
STILL_NOW_S = 0.1
NO_REFERENCE = "no reference pass beside the windows"


def end_with_parent(parent: int) -> None:
    """Ask the kernel for a SIGKILL when the parent dies (Linux); elsewhere the pipe's end does it.

    A parent that died before this call is noticed too: the process exits.
    """
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def cpu_pressure_s(path: Path = Path("/proc/pressure/cpu")) -> float | None:
    """Seconds since boot in which some task waited for a CPU; None where the kernel has no PSI."""
    try:
        first = path.read_text(encoding="ascii").splitlines()[0]
        return int(first.rpartition("total=")[2]) / 1e6
    except (OSError, IndexError, ValueError):
        return None


class ReferencePass:
    """The anchor's workload on a CPU, ready to be timed at the edges of windows: it tells how fast
    the machine is just then (`observatory.quietness`)."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._last_s = 0.0
        self._ended_ns: int | None = None
        operation.run()  # the first pass is warm-up

    @classmethod
    def of(cls, backend: Backend, facts: BackendFacts) -> tuple[ReferencePass | None, str | None]:
        """Of a loaded model, and why there is none: None on an accelerator, which tells its own
        clocks, and, with the reason, for a model that cannot run the workload."""
        if facts.device != "cpu":
            return None, None
        try:
            return cls(backend.prepare(Phase.PREFILL, Workload.prefill(*ANCHORS["cpu"]))), None
        except (BackendError, MemoryError) as error:
            return None, f"{NO_REFERENCE}: {error or 'out of memory'}"

    def time_s(self) -> float:
        """Seconds of one pass now, or of the last one where that has only just ended."""
        start = time.perf_counter_ns()
        if self._ended_ns is None or start - self._ended_ns > STILL_NOW_S * 1e9:
            self._operation.run()
            self._ended_ns = time.perf_counter_ns()
            self._last_s = (self._ended_ns - start) / 1e9
        return self._last_s

    def close(self) -> None:
        """Free the operation."""
        self._operation.close()


def mean_of(before_s: float | None, after_s: float | None) -> float | None:
    """Mean of the two edges; None where there is no reference."""
    return None if before_s is None or after_s is None else (before_s + after_s) / 2


class Worker:
    """One loaded model and at most one prepared operation."""

    def __init__(self) -> None:
        self._backend: Backend | None = None
        self._facts: BackendFacts | None = None
        self._operation: Operation | None = None
        self._reference: ReferencePass | None = None
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "load": self._load,
            "prepare": self._prepare,
            "window": self._window,
            "peaks": self._peaks,
            "release": self._release,
        }

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request. A failure becomes a status, never a traceback."""
        try:
            return {"ok": True, **self._operations[message["op"]](message)}
        except BackendError as error:
            return _failure(error.status, error)
        except MemoryError as error:
            return _failure(CellStatus.OOM, error)
        except Exception as error:  # noqa: BLE001  # the process boundary: it becomes a row
            return _failure(CellStatus.CRASHED, error)

    def _load(self, message: dict[str, Any]) -> dict[str, Any]:
        self._backend = make_backend(message["backend"])
        facts = self._backend.load(BackendRequest(**message["request"]))
        self._reference, missing = ReferencePass.of(self._backend, facts)
        self._facts = replace(facts, notes=(*facts.notes, missing)) if missing else facts
        gc.collect()
        gc.freeze()  # a collection before each window then looks at what was made since, not at all
        return {"facts": asdict(self._facts)}

    def _prepare(self, message: dict[str, Any]) -> dict[str, Any]:
        backend = self._loaded()
        self._release(message)
        phase = Phase.PREFILL if message["phase"] == Phase.ANCHOR else message["phase"]
        backend.peak_memory_bytes(reset=True)
        operation = backend.prepare(phase, Workload(**message["workload"]))
        self._operation = operation
        rule = WarmUp(**message["warm_up"])
        passes: list[float] = []
        began = time.perf_counter()
        while not warmed_up(passes, time.perf_counter() - began, rule):
            start = time.perf_counter_ns()
            operation.run()
            backend.synchronize()
            passes.append((time.perf_counter_ns() - start) / 1e9)
        return {
            "pass_s": passes[-rule.max_passes :],
            "stable": is_stable(passes, rule),
            "tokens_per_iteration": operation.tokens_per_iteration,
        }

    def _window(self, message: dict[str, Any]) -> dict[str, Any]:
        backend, operation = self._loaded(), self._operation
        if operation is None:
            raise BackendError(CellStatus.CRASHED, "a window was asked for before its point")
        iterations = int(message["iterations"])
        run, synchronize = operation.run, backend.synchronize
        gc.collect()
        before_s = self._reference.time_s() if self._reference else None
        synchronize()
        timer = backend.device_timer()
        pressure = cpu_pressure_s()
        cpu_s = time.process_time()
        start_ns = time.perf_counter_ns()
        if timer is not None:
            timer.start()
        for _ in range(iterations):
            run()
        if timer is not None:
            timer.stop()
        synchronize()
        end_ns = time.perf_counter_ns()
        cpu_s = time.process_time() - cpu_s
        waited = cpu_pressure_s()
        after_s = self._reference.time_s() if self._reference else None
        share = None
        if pressure is not None and waited is not None:
            share = (waited - pressure) / ((end_ns - start_ns) / 1e9)
        return {
            "start_ns": start_ns,
            "end_ns": end_ns,
            "device_s": None if timer is None else timer.seconds(),
            "iterations": iterations,
            "cpu_time_s": cpu_s,
            "cpu_pressure": share,
            "peak_memory_bytes": backend.peak_memory_bytes(),
            "reference_pass_s": mean_of(before_s, after_s),
        }

    def _release(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._operation is not None:
            self._operation.close()
            self._operation = None
        return {}

    def _peaks(self, message: dict[str, Any]) -> dict[str, Any]:
        from runners.peaks import measure_peaks

        self._loaded()
        self._release(message)
        facts = self._facts
        assert facts is not None  # set together with the backend
        peaks = measure_peaks(
            facts.device, facts.device_name, facts.dtype, facts.threads, message["budget_s"]
        )
        return {"peaks": [asdict(peak) for peak in peaks]}

    def _loaded(self) -> Backend:
        if self._backend is None:
            raise BackendError(CellStatus.CRASHED, "the worker has no model loaded")
        return self._backend

    def close(self) -> None:
        """Free the operation and the model."""
        self._release({})
        if self._reference is not None:
            self._reference.close()
        if self._backend is not None:
            self._backend.close()


def _failure(status: str, error: BaseException) -> dict[str, Any]:
    text = " ".join(str(error).split()) or type(error).__name__
    named = text if isinstance(error, BackendError) else f"{type(error).__name__}: {text}"
    return {"ok": False, "status": str(status), "error": named[:1000]}


def private_output() -> io.TextIOWrapper:
    """The pipe to the parent, taken away from everything that prints: from here on the process's
    standard output is its standard error."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return pipe


def main() -> int:
    """Serve until the input ends."""
    replies = private_output()
    end_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    worker = Worker()
    for line in sys.stdin:
        message = json.loads(line)
        if message["op"] == "quit":
            break
        reply = {"id": message["id"], **worker.answer(message)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
    worker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
