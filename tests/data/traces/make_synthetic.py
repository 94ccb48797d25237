"""Writes the synthetic traces of this folder; nothing in them was measured.

`python tests/data/traces/make_synthetic.py` writes them again, byte for byte.
"""

from __future__ import annotations

import math
from pathlib import Path

HERE = Path(__file__).parent
COLUMNS = "t_s,component,energy_j,power_w,power_average_w,temperature_c,clock_mhz,utilisation,throttle,error"  # noqa: E501
IDLE_W, BUSY_W, BEGIN_S, END_S, UNTIL_S = 60.0, 300.0, 3.0, 13.0, 17.0
JITTER_S = (0.0, 0.0007, -0.0005, 0.0011, -0.0009)  #: of the sampling, in turn


def watts(t: float) -> float:
    """True power of the busy device."""
    return BUSY_W if BEGIN_S <= t < END_S else IDLE_W


def joules(t: float) -> float:
    """Its integral."""
    busy = min(max(t - BEGIN_S, 0.0), END_S - BEGIN_S)
    return IDLE_W * t + (BUSY_W - IDLE_W) * busy


def counter(t: float, tick: float, phase: float) -> float:
    """The truth as of the newest tick, in steps of a mJ."""
    newest = math.floor((t - phase) / tick) * tick + phase
    return round(1000.0 + joules(max(newest, 0.0)), 3)


def average(t: float) -> float:
    """Mean of the last second."""
    return joules(t) - joules(t - 1.0) if t >= 1.0 else joules(t) / t if t > 0 else IDLE_W


def device_rows(tick: float, phase: float) -> list[str]:
    """A busy device 0 and an idle neighbour 1, sampled at 10 Hz."""
    rows = []
    for i in range(round(UNTIL_S * 10) + 1):
        t = round(i / 10 + JITTER_S[i % len(JITTER_S)], 4) if i else 0.0
        busy = watts(t) == BUSY_W
        heat = 45 + 15 * min(max(t - BEGIN_S, 0.0), 10.0) / 10
        rows.append(
            f"{t},gpu:0,{counter(t, tick, phase)},{watts(t)},{average(t):.3f},{heat:.0f},"
            f"{1755 if busy else 345},{0.98 if busy else 0.0},"
            f"{'sw_power_cap' if 9 <= t < END_S else '' if busy else 'gpu_idle'},"
        )
        rows.append(f"{t},gpu:1,{round(500 + 60 * t, 3)},60.0,60.000,38,,,,")
    return rows


def write(name: str, facts: list[str], rows: list[str]) -> None:
    """One trace file."""
    text = "\n".join([f"# {fact}" for fact in facts] + [COLUMNS, *rows]) + "\n"
    (HERE / name).write_text(text)


def main() -> None:
    """All of them."""
    common = [
        "synthetic: computed by make_synthetic.py, not measured",
        f"truth: {BUSY_W:g} W from {BEGIN_S:g} to {END_S:g} s, {IDLE_W:g} W before and after",
        "used: gpu:0",
    ]
    for name, tick, phase in (("50ms", 0.05, 0.013), ("100ms", 0.1, 0.037)):
        facts = [*common, "method: nvml_counter", f"tick_s: {tick}", "systematic_rel: 0.055"]
        write(f"synthetic_step_{name}.csv", facts, device_rows(tick, phase))
    lost = [r for r in device_rows(0.05, 0.013) if float(r.split(",")[0]) < 8]
    lost.append("8.0,*,,,,,,,,nvml_gpu_is_lost: nvmlDeviceGetTotalEnergyConsumption: GPU is lost")
    write("synthetic_lost.csv", [*common, "method: nvml_counter", "tick_s: 0.05"], lost)


if __name__ == "__main__":
    main()
