"""The clock of a meter: the system's, or a script in a test."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The clock of a meter: `time.perf_counter_ns` and `time.sleep`, or a script in a test."""

    def now_ns(self) -> int:
        """Monotonic time."""

    def sleep(self, seconds: float) -> None:
        """Wait without using the CPU."""


class SystemClock:
    """The system-wide monotonic clock."""

    def now_ns(self) -> int:
        """`time.perf_counter_ns`."""
        return time.perf_counter_ns()

    def sleep(self, seconds: float) -> None:
        """`time.sleep`."""
        time.sleep(seconds)
