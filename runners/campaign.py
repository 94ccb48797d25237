"""`make campaign`: a campaign measured in pieces, each ended cleanly and gone on with later.

Which parts are done is read from the database (`runners.campaign_state`), so that nothing else has
to be kept: call again, on this machine or, with the database carried along, on another of its kind.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click

from observatory.cli import run
from observatory.errors import InputError
from observatory.verbs import numbers, options

#: A part that is under way is interrupted so long before the limit: a window in it may last 20 s.
RESERVE_S = 20.0
LEAST_LIMIT_S = RESERVE_S + 5.0


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("file", type=click.Path(path_type=Path), metavar="CAMPAIGN.yaml")
@click.option("--dry-run", is_flag=True, help="Show the cells and the expected time, no more.")
@click.option("--on", "device", metavar="DEVICE",
              help="With --dry-run: on an accelerator of the catalogue, such as H200.")  # fmt: skip
@click.option("--part", "parts", type=numbers.ANY_WHOLE, multiple=True, metavar="N",
              help="Only this part. Repeatable.  [default: all that are not done]")  # fmt: skip
@click.option("--time-limit", "limit_s", type=numbers.NUMBER, default=570.0, show_default=True,
              metavar="SECONDS", help="Stop before so long; the next call goes on.")  # fmt: skip
@click.option("--require-energy", is_flag=True,
              help="Stop with exit code 3 unless a sensor measures energy here.")  # fmt: skip
@click.option("--db", default=None, metavar="PATH|URL",
              help="Database.  [default: results/<name of the campaign>-campaign.db]")  # fmt: skip
@options.as_json
def campaign(
    file: Path, dry_run: bool, device: str | None, parts: tuple[int, ...], limit_s: float,
    require_energy: bool, db: str | None, json_: bool,
) -> int:  # fmt: skip
    """Measure a campaign, or as much of it as fits the time limit.

    Cells that failed are tried again by the next call, but for those that were refused. Exit codes
    as of run-benchmark: 1 while any cell has no result; 130: parts are left, call again.
    """
    from runners.campaign_file import read_campaign

    found = read_campaign(file)
    unknown = [n for n in parts if not 1 <= n <= len(found)]
    if unknown:
        raise InputError(f"--part {unknown[0]}: {file} has parts 1 to {len(found)}")
    chosen = [part for part in found if not parts or part.number in parts]
    if device is not None and not dry_run:
        raise InputError(
            "--on goes with --dry-run: a measurement is made on the device that is here"
        )
    if limit_s < LEAST_LIMIT_S:
        raise InputError(f"--time-limit {limit_s:g}: give {LEAST_LIMIT_S:g} seconds at least")
    if dry_run:
        from runners.campaign_expect import expectations, print_expectations

        print_expectations(expectations(chosen, device), json_)
        return 0
    database = db or str(Path("results") / f"{file.stem}-campaign.db")
    conductor = Conductor(file, database, limit_s, require_energy, json_)
    code = conductor.conduct(chosen)
    if json_:
        options.print_json(conductor.told())
    return code


@dataclass
class Conductor:
    """Goes through the parts of a campaign."""

    file: Path
    database: str
    limit_s: float
    require_energy: bool
    json_: bool
    reports: dict[str, Any] = field(default_factory=dict)  #: of the parts measured in this call
    left: list[str] = field(default_factory=list)
    failed: dict[str, Any] = field(default_factory=dict)  #: cells without a result, by part

    def told(self) -> dict[str, Any]:
        """What this call did, as plain values."""
        return {
            "database": self.database, "parts": self.reports, "left": self.left,
            "failed": self.failed,
        }  # fmt: skip

    def conduct(self, parts: list[Any]) -> int:
        """Measure the parts that are open, as many as the limit lets. Returns the exit code."""
        from runners.benchmark import prepare
        from runners.campaign_state import DONE, FAILED, INTERRUPTED, OPEN, part_state
        from runners.environment import nvidia_devices
        from runners.foresight import part_span

        began, started = time.monotonic(), False
        accelerators = nvidia_devices()
        todo = []
        for part in parts:
            plan, models, machine = prepare(part.request, accelerators)
            state = part_state(self.database, plan.hash, machine.environment)
            if state.name == DONE:
                self._say(f"part {part.label}: done before")
                self._name_failed(part, state)
            else:
                todo.append((part, plan, models, machine, state.name))
        # what failed before is tried last: it may fail again, and the others need not wait for it
        todo.sort(key=lambda one: one[-1] == FAILED)
        for place, (part, plan, models, machine, name) in enumerate(todo):
            left = [one[0] for one in todo[place:]]
            left_s = self.limit_s - (time.monotonic() - began)
            expected = part_span(plan, models, machine.speed, machine.available_bytes())
            if left_s < RESERVE_S or (started and name == OPEN and expected.middle_s > left_s):
                return self._stop(left)
            started = True
            again = ": cells that failed are tried again" if name == FAILED else ""
            self._say(f"part {part.label}{again or ': ' + expected.sentence}")
            code = self._measure(part, name in (INTERRUPTED, FAILED), left_s - RESERVE_S)
            if code == 130:
                return self._stop(left)
            if code not in (0, 1):
                return code
            self._name_failed(part, part_state(self.database, plan.hash, machine.environment))
        return self._end()

    def _name_failed(self, part: Any, state: Any) -> None:
        """Name the cells of a part that have no result."""
        if state.failed:
            self.failed[part.label] = [asdict(cell) for cell in state.failed]
        for cell in state.failed:
            self._say(f"  {cell.sentence}")

    def _end(self) -> int:
        """Every part was measured: what there is, and what not."""
        publish = f"`observatory publish --db {self.database}` writes it to a folder"
        count = sum(len(cells) for cells in self.failed.values())
        if not count:
            self._say(f"campaign complete: {publish}")
            return 0
        self._say(
            f"campaign measured, {count} cell{'s' if count > 1 else ''} without a result: the next "
            f"call tries all again but refused ones; {publish}"
        )
        return 1

    def _measure(self, part: Any, resume: bool, limit_s: float) -> int:
        from runners.benchmark import Asked, execute

        command = f"run-benchmark campaign {self.file} --part {part.number} --db {self.database}"
        printed = io.StringIO()
        quiet = contextlib.redirect_stdout(printed) if self.json_ else contextlib.nullcontext()
        with part.as_file() as path, time_limit(limit_s), quiet:
            asked = Asked(
                plan_file=str(path), db=self.database, yes=True, resume=resume, json_=self.json_,
                require_energy=self.require_energy, shaped=("plan_file",),
                command=command,
            )  # fmt: skip
            try:
                code = execute(asked)
            except KeyboardInterrupt:
                code = 130
        self.reports[part.label] = json.loads(printed.getvalue() or "null")
        return code

    def _stop(self, left: list[Any]) -> int:
        self.left = [part.label for part in left]
        self._say(f"left for the next call: {', '.join(self.left)}")
        return 130

    @staticmethod
    def _say(line: str) -> None:
        click.echo(line, err=True)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the body as Ctrl-C would when `seconds` are over."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    timer = threading.Timer(max(0.0, seconds), os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, previous)


def main() -> None:
    """Entry point of `python -m runners.campaign`."""
    sys.exit(run(campaign))


if __name__ == "__main__":
    main()
