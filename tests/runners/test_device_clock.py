"""The device's own stopwatch beside the wall clock (CUDA events; no GPU is needed to compare)."""

from __future__ import annotations

import pytest

from observatory.records import Workload
from runners.protocol import Timed, clocks_disagree
from runners.worker import Worker
from tests.runners.law_backend import LawBackend


@pytest.mark.parametrize(
    ("device_s", "disagree"),
    [(None, False), (1.0, False), (0.985, False), (0.9, True), (1.1, True)],
)
def test_two_clocks(device_s: float | None, disagree: bool) -> None:
    assert clocks_disagree(Timed(0, 1_000_000_000, 1, device_s=device_s)) is disagree


class Stopwatch:
    """Records the order in which it was used."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def seconds(self) -> float:
        self.calls.append("seconds")
        return 0.5


def test_the_stopwatch_frames_the_iterations_inside_the_synchronised_window() -> None:
    calls: list[str] = []

    class Device(LawBackend):
        def synchronize(self) -> None:
            calls.append("synchronize")

        def device_timer(self) -> Stopwatch:  # type: ignore[override]
            return Stopwatch(calls)

    worker = Worker()
    worker._backend = Device()
    worker._operation = Device().prepare("prefill", Workload.prefill(16))
    reply = worker.answer({"op": "window", "iterations": 2})
    assert reply["ok"] and reply["device_s"] == 0.5
    assert calls == ["synchronize", "start", "stop", "synchronize", "seconds"]
