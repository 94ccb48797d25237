"""A backend for tests alone: it sleeps by a stated law, and fails where it is told to.

Chosen through `OBSERVATORY_BACKENDS=law=tests.runners.law_backend:LawBackend`; never shipped.
`LAW_FAIL="prefill 64=crash"` makes a point fail: crash, oom, refuse, kill, hang; `load=...` too.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from observatory.records import Workload
from runners.backends.base import BackendError, BackendFacts, BackendRequest

LAUNCH_S, PROMPT_S, STEP_S = 2e-3, 2e-5, 1e-3


def law_s(workload: Workload) -> float:
    """Seconds of one iteration."""
    prompt = workload.prompt_tokens
    steps = (workload.output_tokens or 1) - (1 if prompt is not None else 0)
    return (LAUNCH_S + PROMPT_S * prompt if prompt is not None else 0.0) + STEP_S * steps


@dataclass
class LawOperation:
    """Sleeps."""

    seconds: float
    tokens_per_iteration: int

    def run(self) -> None:
        time.sleep(self.seconds)

    def close(self) -> None:
        pass


class LawBackend:
    """No model at all."""

    def load(self, request: BackendRequest) -> BackendFacts:
        fail("load")
        return BackendFacts(
            backend="law", version="1", parameters=1, weight_bytes=2, weights="random_weights",
            dtype=request.dtype, attention=request.attention, compile_mode=request.compile_mode,
            kv_cache=request.kv_cache, threads=request.threads, device=request.device,
            device_name="law", load_s=0.0,
        )  # fmt: skip

    def prepare(self, phase: str, workload: Workload) -> LawOperation:
        fail(f"{phase} {workload.prompt_tokens or workload.context_tokens}")
        size = workload.prompt_tokens or 0
        if phase != "prefill":
            size += workload.output_tokens or 0
        return LawOperation(law_s(workload), size * workload.batch)

    def synchronize(self) -> None:
        pass

    def device_timer(self) -> None:
        return None

    def peak_memory_bytes(self, reset: bool = False) -> int | None:
        return 1 << 30

    def close(self) -> None:
        pass


def fail(where: str) -> None:
    """Fail as the environment says for this place."""
    for entry in filter(None, os.environ.get("LAW_FAIL", "").split(",")):
        place, _, how = entry.partition("=")
        if place == where:
            _fail(how)


def _fail(how: str) -> None:
    if how == "crash":
        raise RuntimeError("the law is broken")
    if how == "oom":
        raise BackendError("oom", "no memory for the law")
    if how == "refuse":
        raise BackendError("refused", "the law does not apply")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang":
        time.sleep(3600)
