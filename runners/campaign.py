"""`make campaign`: a campaign measured in pieces, each ended cleanly and gone on with later.

Which parts are done is read from the database by the hash of their plans, so that nothing else has
to be kept: call again, on this machine or, with the database carried along, on another one.
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
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click

from observatory.cli import run
from observatory.errors import InputError
from observatory.verbs import options

#: A part that is under way is interrupted so long before the limit: a window in it may last 20 s.
RESERVE_S = 20.0
LEAST_LIMIT_S = RESERVE_S + 5.0
DONE, INTERRUPTED, OPEN = "done", "interrupted", "open"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("file", type=click.Path(path_type=Path), metavar="CAMPAIGN.yaml")
@click.option("--dry-run", is_flag=True, help="Show the cells and the expected time, no more.")
@click.option("--on", "device", metavar="DEVICE",
              help="With --dry-run: on an accelerator of the catalogue, such as H200.")  # fmt: skip
@click.option("--part", "parts", type=int, multiple=True, metavar="N",
              help="Only this part. Repeatable.  [default: all that are not done]")  # fmt: skip
@click.option("--time-limit", "limit_s", type=float, default=570.0, show_default=True,
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

    Exit codes as of run-benchmark; 130: parts are left, call again.
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

    def told(self) -> dict[str, Any]:
        """What this call did, as plain values."""
        return {"database": self.database, "parts": self.reports, "left": self.left}

    def conduct(self, parts: list[Any]) -> int:
        """Measure the parts that are open, as many as the limit lets. Returns the exit code."""
        from runners.benchmark import prepare
        from runners.campaign_expect import part_s
        from runners.environment import nvidia_devices

        began, worst, started = time.monotonic(), 0, 0
        accelerators = nvidia_devices()
        for place, part in enumerate(parts):
            plan, models, machine = prepare(part.request, accelerators)
            state = part_state(self.database, plan.hash)
            if state == DONE:
                self._say(f"part {part.label}: done before")
                continue
            left_s = self.limit_s - (time.monotonic() - began)
            expected_s = part_s(plan, models, machine.speed)
            if left_s < RESERVE_S or (started and state == OPEN and expected_s > left_s):
                return self._stop(parts[place:])
            started += 1
            self._say(f"part {part.label}: about {expected_s / 60:.1f} min")
            code = self._measure(part, state == INTERRUPTED, left_s - RESERVE_S)
            if code == 130:
                return self._stop(parts[place:])
            if code not in (0, 1):
                return code
            worst = max(worst, code)
        self._say(
            f"campaign complete: `observatory publish --db {self.database}` writes it to a folder"
        )
        return worst

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


def part_state(database: str, plan_hash: str) -> str:
    """Whether a run of this plan ended, was interrupted (or killed), or is still to begin."""
    from sqlalchemy import select

    from observatory.ingest import RESUMABLE
    from observatory.store import schema
    from observatory.store.database import open_read_only

    if "://" not in database and not Path(database).exists():
        return OPEN
    engine = open_read_only(database)
    try:
        with engine.connect() as connection:
            query = select(schema.run.c.status).where(schema.run.c.plan_hash == plan_hash)
            states = set(connection.execute(query).scalars())
    finally:
        engine.dispose()
    if states - set(RESUMABLE):
        return DONE
    return INTERRUPTED if states else OPEN


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
