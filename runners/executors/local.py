"""A measured process on this machine: started fresh, spoken to over pipes, waited for asleep.

The parent blocks in `poll` until the worker answers: it takes no CPU time from what is measured.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import runners
from observatory.records import CellStatus, Peak
from runners.backends.base import BackendFacts, BackendRequest
from runners.plan import Point
from runners.profiles import WarmUp
from runners.protocol import Prepared, Timed, WorkerError

#: How long a worker may take to end when it is asked to, before it is killed.
GRACE_S = 5.0

#: How long the machine's peaks may take: `--timeout` is about warm-ups and windows.
PEAKS_TIMEOUT_S = 300.0

_serial = itertools.count()


def worker_environment(
    threads: int | None, base: Mapping[str, str], visible_device: str | None = None
) -> dict[str, str]:
    """The environment of a measured process.

    Thread counts are set for every library before it starts; model hubs are off line (an
    unreachable one hangs 25 s); one accelerator is shown by its UUID, so that no library's own
    numbering can pick a neighbour.
    """
    root = str(Path(runners.__file__).parents[1])
    path = [root, *filter(None, [base.get("PYTHONPATH")])]
    added = {
        "PYTHONPATH": os.pathsep.join(path),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            added[name] = str(threads)
    if visible_device is not None:
        added |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": visible_device}
    return {**base, **added}


def oom_kills(files: tuple[Path, ...] | None = None) -> int | None:
    """Processes that the kernel has killed for memory so far; None where it does not say."""
    candidates = files or (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))
    counts = []
    for file in candidates:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        counts += [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return sum(counts) if counts else None


class LocalProcess:
    """One measured process. Use it as a context manager: it never outlives the block."""

    def __init__(
        self,
        threads: int | None,
        timeout_s: float,
        visible_device: str | None = None,
        tick: Callable[[], None] | None = None,
    ) -> None:
        self.threads = threads
        self.process_id = f"{os.getpid()}-{time.time_ns() // 1000}-{next(_serial)}"
        self._timeout_s, self._tick = timeout_s, tick
        self._ids = itertools.count(1)
        self._buffer = b""
        self._oom_kills = oom_kills()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runners.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=worker_environment(threads, os.environ, visible_device),
            start_new_session=True,  # Ctrl-C at the terminal reaches the parent alone
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._poll = select.poll()
        self._poll.register(self._process.stdout, select.POLLIN | select.POLLHUP)

    def __enter__(self) -> LocalProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and self._process.poll() is None:
            self.kill()  # interrupted: the window under way is lost anyway
        self.close()

    # ------------------------------------------------------------------ what can be asked
    def load(self, backend: str, request: BackendRequest, timeout_s: float) -> BackendFacts:
        """Build the model. Raises WorkerError."""
        reply = self._ask({"op": "load", "backend": backend, "request": asdict(request)}, timeout_s)
        facts = reply["facts"]
        return BackendFacts(**{**facts, "notes": tuple(facts["notes"])})

    def peaks(self, budget_s: float) -> list[Peak]:
        """Ceilings of this machine, measured in about `budget_s`. Raises WorkerError."""
        limit_s = max(self._timeout_s, PEAKS_TIMEOUT_S)
        reply = self._ask({"op": "peaks", "budget_s": budget_s}, limit_s)
        return [Peak(**peak) for peak in reply["peaks"]]

    def prepare(self, point: Point, warm_up: WarmUp) -> Prepared:
        """Make a point ready and warm it up. Raises WorkerError."""
        message = {
            "op": "prepare", "phase": str(point.phase), "workload": asdict(point.workload),
            "warm_up": asdict(warm_up),
        }  # fmt: skip
        reply = self._ask(message, self._timeout_s)
        return Prepared(tuple(reply["pass_s"]), reply["stable"], reply["tokens_per_iteration"])

    def window(self, iterations: int) -> Timed:
        """Run the prepared point `iterations` times. Raises WorkerError.

        Nothing is drawn and nothing else happens here while the window lasts.
        """
        message = {"op": "window", "iterations": iterations}
        reply = self._ask(message, self._timeout_s, quiet=True)
        return Timed(**{name: reply[name] for name in Timed.__dataclass_fields__ if name in reply})

    def close(self) -> None:
        """End the process: ask, wait a little, kill. Safe to call twice."""
        if self._process.poll() is None:
            try:
                self._send({"op": "quit"})
                self._process.wait(GRACE_S)
            except (OSError, subprocess.TimeoutExpired):
                self.kill()
        self._close_pipes()

    def kill(self) -> None:
        """End the process and everything it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    # ------------------------------------------------------------------ how it is asked
    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message, allow_nan=False).encode() + b"\n")
        self._process.stdin.flush()

    def _ask(
        self, message: dict[str, Any], timeout_s: float, quiet: bool = False
    ) -> dict[str, Any]:
        number = next(self._ids)
        try:
            self._send({**message, "id": number})
            reply = self._receive(timeout_s, None if quiet else self._tick)
        except BrokenPipeError:
            raise self._death() from None
        if reply is None:
            self.kill()
            raise WorkerError(
                CellStatus.TIMEOUT, f"{message['op']} took longer than {timeout_s:g} s (--timeout)"
            )
        if reply.get("id") != number:
            self.kill()
            raise WorkerError(CellStatus.CRASHED, "the measured process lost its place")
        if not reply["ok"]:
            raise WorkerError(
                reply["status"], reply["error"], gone=reply["status"] != CellStatus.REFUSED
            )
        return reply

    def _receive(self, timeout_s: float, tick: Callable[[], None] | None) -> dict[str, Any] | None:
        """One line from the worker, asleep until it comes; None when it takes too long."""
        assert self._process.stdout is not None
        end = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left_s = end - time.monotonic()
            if left_s <= 0:
                return None
            if not self._poll.poll(1000 * (min(left_s, 1.0) if tick else left_s)):
                if tick:
                    tick()
                continue
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._death()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _death(self) -> WorkerError:
        """The failure that the worker's end amounts to."""
        code = self._process.wait()
        before, now = self._oom_kills, oom_kills()
        if code == -signal.SIGKILL:
            if before is not None and now is not None and now > before:
                return WorkerError(CellStatus.OOM, "the kernel killed the process for memory")
            return WorkerError(CellStatus.LOST, "the process was killed (SIGKILL) from outside")
        if code < 0:
            return WorkerError(
                CellStatus.CRASHED, f"the process died of {signal.Signals(-code).name}"
            )
        return WorkerError(CellStatus.CRASHED, f"the process ended with code {code}{self._why()}")

    def _why(self) -> str:
        """The last line that the process wrote to its standard error."""
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 4000))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:400]}" if lines else ""

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
