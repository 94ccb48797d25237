"""What a person sees while a run lasts: the cell, done of total, time left.

On a terminal one bar, drawn only between windows and while a model loads, never while a window is
measured; elsewhere one plain line a cell. Everything goes to standard error: standard output holds
the answer alone.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol, TextIO

from runners.ceiling import WORTH_SAYING

#: A plain line at most this often, where there is no terminal.
PLAIN_EVERY_S = 2.0


class Progress(Protocol):
    """How a session reports."""

    def start(self, cells: int, expected_s: float, most_s: float = 0.0) -> None:
        """The run begins: so many cell repeats, so many seconds expected on a quiet machine, and
        at most so many on one that neighbours disturb."""

    def expect(self, more_cells: int) -> None:
        """There are more cell repeats than were announced, or fewer (below 0)."""

    def doing(self, what: str) -> None:
        """What happens now."""

    def advance(self, what: str, remaining_s: float) -> None:
        """One cell repeat is done."""

    def tick(self) -> None:
        """Time passes (called about once a second while nothing is measured)."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def stop(self) -> None:
        """The run is over."""


def clock_text(seconds: float) -> str:
    """`m:ss` of a duration, `h:mm:ss` from an hour on."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def expected_text(expected_s: float, most_s: float) -> str:
    """`about m:ss`, and the ceiling where it is well above."""
    about = f"about {clock_text(expected_s)}"
    if most_s < WORTH_SAYING * expected_s:
        return about
    return f"{about}, up to {clock_text(most_s)} where neighbours disturb the machine"


def left_text(seconds: float) -> str:
    """Time left while work goes on: never 0."""
    return clock_text(seconds) if seconds >= 1 else "under 0:01"


class PlainProgress:
    """Lines on a stream that is not a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._done = self._cells = 0
        self._last = 0.0

    def start(self, cells: int, expected_s: float, most_s: float = 0.0) -> None:
        """First line: how much there is to do."""
        self._cells = cells
        self._write(f"{cells} cell repeats to measure, {expected_text(expected_s, most_s)}")

    def expect(self, more_cells: int) -> None:
        """Another total from the next line on."""
        self._cells += more_cells

    def doing(self, what: str) -> None:
        """Nothing: a log does not need what is about to happen."""

    def advance(self, what: str, remaining_s: float) -> None:
        """A line, unless one was just written; the last one always."""
        self._done += 1
        self._cells = max(self._cells, self._done)
        now = time.monotonic()
        if now - self._last < PLAIN_EVERY_S and self._done < self._cells:
            return
        self._last = now
        open_ = self._done < self._cells
        left = f"left {left_text(remaining_s)}" if open_ else "done"
        self._write(f"[{self._done}/{self._cells}] {what}  {left}")

    def tick(self) -> None:
        """Nothing to draw."""

    def note(self, text: str) -> None:
        """A line."""
        self._write(text)

    def stop(self) -> None:
        """Nothing to take down."""

    def _write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class BarProgress:
    """A bar on a terminal, drawn when told to and by no thread of its own."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True), auto_refresh=False, transient=True,
        )  # fmt: skip
        self._task: Any = None
        self._left_until = 0.0

    def start(self, cells: int, expected_s: float, most_s: float = 0.0) -> None:
        """Say how much there is to do, and draw the empty bar."""
        self._left_until = time.monotonic() + expected_s
        self.note(f"{cells} cell repeats to measure, {expected_text(expected_s, most_s)}")
        self._bar.start()
        self._task = self._bar.add_task("starting", total=cells, left="")
        self.tick()

    def expect(self, more_cells: int) -> None:
        """Another total."""
        if self._task is not None:
            total = self._bar.tasks[self._task].total or 0
            self._bar.update(self._task, total=total + more_cells)

    def doing(self, what: str) -> None:
        """Change the text in front of the bar."""
        if self._task is not None:
            self._bar.update(self._task, description=what[:56].ljust(56))
            self.tick()

    def advance(self, what: str, remaining_s: float) -> None:
        """One further."""
        self._left_until = time.monotonic() + remaining_s
        if self._task is not None:
            task = self._bar.tasks[self._task]
            total = max(task.total or 0, task.completed + 1)
            self._bar.update(self._task, total=total, advance=1)
            self.tick()

    def tick(self) -> None:
        """Draw the time left again."""
        if self._task is not None:
            seconds = self._left_until - time.monotonic()
            left = f"{clock_text(seconds)} left" if seconds >= 1 else "longer than expected"
            self._bar.update(self._task, left=left)
            self._bar.refresh()

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, highlight=False, markup=False)

    def stop(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def make_progress() -> Progress:
    """A bar on a terminal, plain lines elsewhere."""
    return BarProgress() if sys.stderr.isatty() else PlainProgress()
