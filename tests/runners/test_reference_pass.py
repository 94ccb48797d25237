"""How fast the machine is, by a fixed pass at the edges of windows (`observatory.quietness`)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field

import pytest

from observatory.quietness import is_slow, usual_pass_s
from observatory.records import Workload
from runners import worker as module
from runners.backends.base import BackendError, BackendRequest
from runners.worker import NO_REFERENCE, ReferencePass, Worker
from tests.runners.law_backend import LawBackend, LawOperation


@dataclass
class Counting(LawBackend):
    """Counts the passes of the anchor's workload, and of everything else."""

    calls: list[str] = field(default_factory=list)
    max_prompt: int = 10_000

    def prepare(self, phase: str, workload: Workload) -> LawOperation:
        calls, anchor = self.calls, workload == Workload.prefill(16)
        if (workload.prompt_tokens or 0) > self.max_prompt:
            raise BackendError("refused", "too long")

        class Counted(LawOperation):
            def run(self) -> None:
                calls.append("reference" if anchor else "work")

        return Counted(0.0, 1)


def load(backend: Counting, device: str = "cpu") -> Worker:
    made = Worker()
    made._backend = backend
    facts = backend.load(BackendRequest("law", {}, dtype="float32", device=device, threads=1))
    made._reference, _ = ReferencePass.of(backend, facts)
    made._operation = backend.prepare("prefill", Workload.prefill(64))
    backend.calls.clear()
    return made


def test_a_pass_is_timed_at_both_edges_and_one_between_two_windows_serves_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STILL_NOW_S", 60.0)
    backend = Counting()
    made = load(backend)
    replies = [made.answer({"op": "window", "iterations": 2}) for _ in range(2)]
    assert backend.calls == ["reference", "work", "work", "work", "work"]
    assert all(reply["ok"] and reply["reference_pass_s"] > 0 for reply in replies)


def test_a_pass_that_ended_long_ago_says_nothing_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STILL_NOW_S", 0.0)
    backend = Counting()
    made = load(backend)
    made.answer({"op": "window", "iterations": 1})
    assert backend.calls == ["reference", "work", "reference"]


@pytest.mark.parametrize(("device", "max_prompt"), [("cuda:0", 10_000), ("cpu", 8)])
def test_no_reference_on_an_accelerator_nor_where_the_model_cannot_run_it(
    device: str, max_prompt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "make_backend", lambda name: Counting(max_prompt=max_prompt))
    made = Worker()
    request = BackendRequest("law", {}, dtype="float32", device=device, threads=1)
    loaded = made.answer({"op": "load", "backend": "law", "request": asdict(request)})
    made._operation = LawOperation(0.0, 1)
    reply = made.answer({"op": "window", "iterations": 1})
    assert reply["ok"] and reply["reference_pass_s"] is None
    why = [note for note in loaded["facts"]["notes"] if "reference pass" in note]
    assert why == ([f"{NO_REFERENCE}: too long"] if device == "cpu" else [])


def test_usual_is_the_lower_quartile_and_slow_is_a_twentieth_more() -> None:
    usual = usual_pass_s([0.05, None, 0.06, math.nan, 0.05, 0.05, 0.07])
    assert usual == pytest.approx(0.05)
    assert not is_slow(0.0524, usual) and is_slow(0.0526, usual)
    assert math.isnan(usual_pass_s([None])) and not is_slow(0.05, math.nan)
    assert not is_slow(None, usual)
