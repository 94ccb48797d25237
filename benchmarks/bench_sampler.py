"""What does the sampler cost, and does it keep its pace?

Every sensor that this machine offers, and NVML on the stub of the tests where a C compiler is at
hand, runs for some seconds in a process of its own, with windows as the protocol makes them. The
figures are the sampler's CPU seconds per wall second (the promise is below 1 % of one core) and its
pace. On the stub a reading costs no driver call, so there they are those of this project's own code
alone; on a GPU they are the whole. Two cases burn the CPU time that a reading of the counter took
on an H100 (driver 580), 4.3 ms: with the windows of the standard profile, and with those of the
quick one, which end five times as often. The promise is made for the first.

`python -m benchmarks sampler`
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS, WINDOW_S, PROMISE = 42.0, 10.0, 0.01
LONG_S, QUICK_WINDOW_S = 120.0, 2.0  #: of the cases with an H100's cost
H100_COUNTER_US = "4300"


def measure(
    sensor_name: str, device_kind: str, seconds: float, window_s: float
) -> dict[str, object]:
    """Sample for so long with windows in between; runs in a process of its own."""
    from observatory.errors import MissingSensorError
    from runners.sensors.choose import open_meter

    try:
        meter = open_meter(device_kind, None, want=sensor_name)
    except MissingSensorError as error:
        return {"missing": str(error)}
    meter.start()
    meter.measure_tick(5.0)  # as each run does, once
    end = time.perf_counter() + seconds
    windows, errors = [], []
    while time.perf_counter() < end:
        meter.mark(opening=True)
        start_ns = time.perf_counter_ns()
        time.sleep(window_s)
        end_ns = time.perf_counter_ns()
        meter.mark()
        reading = meter.reading(start_ns, end_ns)
        windows.append(reading.samples)
        if reading.energy.reason:
            errors.append(reading.energy.reason)
    share = meter.cpu_share()
    meter.stop()
    facts = meter.facts
    assert facts is not None
    return {
        "share": share,
        "samples_per_s": statistics.median(windows) / window_s,
        "expected_per_s": 1 / facts.period_s,
        "tick_s": facts.tick_s,
        "errors": errors,
    }


def run(
    sensor_name: str,
    device_kind: str,
    environment: dict[str, str] | None,
    seconds: float,
    window_s: float,
) -> dict[str, object]:
    """`measure` in a fresh process."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_sampler", sensor_name, device_kind,
         str(seconds), str(window_s)],
        capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1], check=False,
    )  # fmt: skip
    if process.returncode:
        return {"missing": process.stderr.strip().splitlines()[-1]}
    return dict(json.loads(process.stdout))


Case = tuple[str, str, str, dict[str, str] | None, float, float]


def cases(folder: Path) -> list[Case]:
    """(label, sensor, device kind, environment, seconds, seconds of a window)."""
    from tests.runners.nvml_stub import stub

    found: list[Case] = [
        ("NVML of this machine", "nvml", "cuda", None, SECONDS, WINDOW_S),
        ("RAPL of this machine", "rapl", "cpu", None, SECONDS, WINDOW_S),
        ("CodeCarbon's estimate", "codecarbon", "cpu", None, SECONDS, WINDOW_S),
    ]
    if stub.compiler() is not None:
        library = stub.build(folder)
        for tick in ("20", "100"):
            variables = stub.environment(library, "healthy", NVML_STUB_TICK_MS=tick)
            label = f"NVML on the stub, tick {tick} ms"
            found.append((label, "nvml", "cuda", variables, SECONDS, WINDOW_S))
        variables = stub.environment(
            library, "healthy", NVML_STUB_TICK_MS="100", NVML_STUB_COUNTER_US=H100_COUNTER_US,
            CUDA_VISIBLE_DEVICES="0",
        )  # fmt: skip
        label = "NVML on the stub, one GPU, as dear as an H100"
        for window_s in (WINDOW_S, QUICK_WINDOW_S):
            named = f"{label}, windows of {window_s:g} s"
            found.append((named, "nvml", "cuda", variables, LONG_S, window_s))
    return found


def main() -> int:
    """Print one line a sensor; 1 where a promise is broken."""
    broken = 0
    with tempfile.TemporaryDirectory() as folder:
        for label, sensor, kind, environment, seconds, window_s in cases(Path(folder)):
            result = run(sensor, kind, environment, seconds, window_s)
            if "missing" in result:
                print(f"{label}: not here ({str(result['missing'])[:70]})")
                continue
            share = result["share"]
            assert isinstance(share, float)
            verdict = "" if share < PROMISE else f"  above the promised {PROMISE:.0%}"
            broken += share >= PROMISE and window_s >= WINDOW_S
            print(
                f"{label}: {share:.2%} of one core at {result['samples_per_s']:.1f} samples/s "
                f"(asked {result['expected_per_s']:.0f}), tick {result['tick_s']}{verdict}"
            )
            for error in result["errors"] if isinstance(result["errors"], list) else ():
                print(f"  {error}")
    return 1 if broken else 0


if __name__ == "__main__":
    if len(sys.argv) == 5:
        seconds, window_s = float(sys.argv[3]), float(sys.argv[4])
        json.dump(measure(sys.argv[1], sys.argv[2], seconds, window_s), sys.stdout)
    else:
        sys.exit(main())
