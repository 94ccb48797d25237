"""Record a GPU's energy counter and power as traces for the tests, on a host that has a GPU.

    python tools/nvml_traces.py --out tests/data/traces

Four experiments of METHOD §3: how often the counter ticks under load (`tick`), what counter,
instant and average power do when the load steps on and off (`step`), whether counter and integral
agree while it lasts (`steady`), and what an idle device draws (`idle`). The load is a product of
two large matrices in a process of its own. Serial numbers are replaced by a hash.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click

from observatory.datasets.scrub import scrub_text
from runners.sensors.base import Parts, SensorError
from runners.sensors.nvml import NvmlSensor
from runners.sensors.recording import Recording

LOAD = """
import sys, time, torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
b = a @ a
torch.cuda.synchronize()
print("ready", flush=True)
for line in sys.stdin:
    end = time.perf_counter() + float(line)
    while time.perf_counter() < end:
        for _ in range(8):
            b = a @ a
        torch.cuda.synchronize()
"""


@dataclass(frozen=True, slots=True)
class Experiment:
    """(idle, load, idle) in seconds, sampled at a period; the counter alone where it is short."""

    name: str
    before_s: float
    load_s: float
    after_s: float
    period_s: float = 0.1

    @property
    def seconds(self) -> float:
        """The whole of it."""
        return self.before_s + self.load_s + self.after_s


EXPERIMENTS = (
    Experiment("tick", 0.0, 3.0, 0.0, period_s=0.002),
    Experiment("step", 3.0, 10.0, 4.0),
    Experiment("steady", 0.0, 30.0, 0.0),
    Experiment("idle", 10.0, 0.0, 0.0),
)


@contextmanager
def load(kind: str) -> Iterator[IO[str] | None]:
    """Where seconds of load can be ordered, a line each; None without a load."""
    if kind == "none":
        yield None
        return
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None  # asked for above
    try:
        if process.stdout.readline().strip() != "ready":
            raise click.ClickException(
                "the load did not start: it needs a CUDA build of torch (--load none: idle alone)"
            )
        yield process.stdin
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def record(
    sensor: NvmlSensor, experiment: Experiment, order: IO[str] | None, scale: float
) -> Recording:
    """One experiment; `scale` shortens it for a trial."""
    recording = Recording(sensor, sensor.average_power_w)
    parts = Parts.COUNTERS if experiment.period_s < 0.01 else Parts.ALL
    for seconds, busy in (
        (experiment.before_s, False), (experiment.load_s, True), (experiment.after_s, False),
    ):  # fmt: skip
        if busy and seconds and order is not None:
            order.write(f"{seconds * scale}\n")
            order.flush()
        recording.run(seconds * scale, experiment.period_s, parts)
    return recording


def reading_s(sensor: NvmlSensor, parts: Parts, times: int = 30) -> float:
    """CPU seconds of one reading of these parts, mean of so many."""
    began = time.thread_time()
    for _ in range(times):
        sensor.read(parts)
    return (time.thread_time() - began) / times


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(path_type=Path), default=Path("tests/data/traces"),
              show_default=True, help="Folder to write.")  # fmt: skip
@click.option("--load", "kind", type=click.Choice(["matmul", "none"]), default="matmul",
              show_default=True, help="What keeps the device busy.")  # fmt: skip
@click.option("--scale", type=click.FloatRange(0.01, 10.0), default=1.0, show_default=True,
              help="Shorten or lengthen every experiment.")  # fmt: skip
def main(out: Path, kind: str, scale: float) -> None:
    """Record the experiments on the GPU that CUDA_VISIBLE_DEVICES shows first."""
    sensor = NvmlSensor()
    try:
        facts = sensor.open((0,))
    except SensorError as error:
        click.echo(f"error: {error.reason}; {error.remedy}", err=True)
        sys.exit(3)
    device = sensor.device_names()[facts.used[0]]
    slug = re.sub(r"[^a-z0-9]+", "_", device.casefold()).strip("_")
    out.mkdir(parents=True, exist_ok=True)
    counter_s, state_s = reading_s(sensor, Parts.COUNTERS), reading_s(sensor, Parts.STATE)
    click.echo(f"CPU time of a reading: counter {counter_s * 1e3:.2f} ms, power and state "
               f"{state_s * 1e3:.2f} ms")  # fmt: skip
    with load(kind) as order:
        for experiment in EXPERIMENTS:
            recording = record(sensor, experiment, order, scale)
            notes = {
                "recorded": f"{device}, experiment {experiment.name}, by tools/nvml_traces.py",
                "load": kind if experiment.load_s else "none",
                "seconds": f"{experiment.before_s * scale:g} idle, {experiment.load_s * scale:g} "
                f"load, {experiment.after_s * scale:g} idle",
            }  # fmt: skip
            path = out / f"{slug}_{experiment.name}.csv"
            path.write_text(scrub_text(recording.text(facts, notes), ()), encoding="utf-8")
            click.echo(f"{path}: {len(recording.samples)} samples")
            if recording.failure is not None:
                click.echo(f"error: {recording.failure[1].reason}", err=True)
                sys.exit(1)
    sensor.close()


if __name__ == "__main__":
    main()
