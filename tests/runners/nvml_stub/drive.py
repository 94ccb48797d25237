"""Drive the NVML sensor through the real binding in a process of its own; one line of JSON.

Usage: drive.py SECONDS [DEVICE ...], with the stub on LD_LIBRARY_PATH.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

from observatory.errors import MissingSensorError
from runners.environment import nvidia_devices
from runners.sensors.base import DeviceId
from runners.sensors.choose import open_meter


def main(seconds: float, devices: tuple[DeviceId, ...] | None) -> dict[str, object]:
    """What one window gives, or why no meter could be opened."""
    try:
        meter = open_meter("cuda", devices, want="nvml")
    except MissingSensorError as error:
        quiet = open_meter("cuda", devices)
        return {"missing": str(error), "exit_code": error.exit_code, "reason": quiet.reason}
    meter.start()
    meter.mark(opening=True)
    start = time.perf_counter_ns()
    time.sleep(seconds)
    end = time.perf_counter_ns()
    meter.mark()
    reading = meter.reading(start, end)
    meter.mark()
    again = time.perf_counter_ns()
    time.sleep(0.2)
    stop = time.perf_counter_ns()
    meter.mark()
    late = asdict(meter.reading(again, stop))
    foreign = meter.foreign_processes((2**30,))
    begun = time.perf_counter_ns()
    meter.mark()
    late_flags = meter.reading(begun, time.perf_counter_ns()).flags
    result = {
        "facts": {**asdict(meter.facts), "details": dict(meter.facts.details)},
        "reading": asdict(reading),
        "late": late,
        "duration_s": (end - start) * 1e-9,
        "foreign": foreign,
        "late_flags": late_flags,
        "cpu_share": meter.cpu_share(),
    }
    meter.stop()
    result["devices"] = [asdict(d) for d in nvidia_devices()]
    return result


if __name__ == "__main__":
    asked = tuple(int(a) if a.isdigit() else a for a in sys.argv[2:])
    json.dump(main(float(sys.argv[1]), asked or None), sys.stdout, allow_nan=False)
