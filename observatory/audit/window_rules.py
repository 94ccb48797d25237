"""Rules on our own windows: the protocol's (METHOD §3), and the physical ones.

Energy parts sum to the whole by construction here: the store keeps the parts and no total.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from observatory.audit.diagnoses import MILLIJOULES
from observatory.audit.memory import MEMORY_RULES
from observatory.audit.physics import MEASURED_RULES, PHYSICAL_RULES
from observatory.audit.repeats import REPEAT_RULES
from observatory.audit.rule import (
    AVOID,
    EXCLUDE,
    INFO,
    WARN,
    Breach,
    Floats,
    Rule,
    above,
    below,
    flagged,
    has_flag,
    number,
    where,
)
from observatory.quietness import SLOW_REL
from observatory.records import Phase, Provenance
from observatory.runtime.plausibility import AGREEMENT

LENGTH_TOLERANCE = 0.98  #: a window may fall this far short of its target by the clock's grain
CPU_SHARE_FLOOR = 0.95  #: METHOD §3.14
TEMPERATURE_DRIFT_C = 10.0  #: METHOD §3.9
EDGE_BOUND = 0.05  #: METHOD §3, the quick profile's
#: Their length is not made for joules: an anchor shows drift of time, an idle window watts.
SHORT_BY_DESIGN = (Phase.IDLE, Phase.ANCHOR)
ENERGY_PARTS = ("energy_device_j", "energy_cpu_j", "energy_dram_j", "energy_idle_devices_j")
#: Clock reasons of a device that runs at its power limit, which is where a loaded one belongs.
POWER_CAPS = {"sw_power_cap"}


def _too_short(table: pd.DataFrame) -> Breach:
    duration, target = number(table, "duration_s"), number(table, "window_target_s")
    return where(below(duration, target * LENGTH_TOLERANCE).broken, duration, target)


def _parts(table: pd.DataFrame) -> Floats:
    """Joules of each part, (rows, parts)."""
    return np.stack([number(table, part) for part in ENERGY_PARTS], axis=1)


def _zero(table: pd.DataFrame) -> Breach:
    return where((_parts(table) == 0).any(axis=1), 0.0, 0.0)


def _negative(table: pd.DataFrame) -> Breach:
    lowest = np.fmin.reduce(_parts(table), axis=1)
    return below(lowest, 0.0)


def expected_tokens(table: pd.DataFrame) -> Floats:
    """Work units that a window's iterations must have done, from its workload; NaN if unknown."""
    prompt, output = number(table, "prompt_tokens"), number(table, "output_tokens")
    each = np.select(
        [(table["phase"] == phase).to_numpy() for phase in ("prefill", "decode", "e2e")],
        [prompt, output, prompt + output],
        default=np.nan,
    )
    expected: Floats = each * number(table, "batch") * number(table, "iterations")
    return expected


def _tokens(table: pd.DataFrame) -> Breach:
    counted, expected = number(table, "tokens"), expected_tokens(table)
    known = np.isfinite(counted) & np.isfinite(expected)
    return where(known & (counted != expected), counted, expected)


def _throttled(table: pd.DataFrame) -> Breach:
    if "throttle_reasons" not in table.columns:
        return where(has_flag(table, {"throttled"}), 1.0, 0.0)
    slowed = table["throttle_reasons"].map(lambda reasons: bool(_reasons(reasons) - POWER_CAPS))
    return where(slowed.to_numpy(dtype=bool) | has_flag(table, {"throttled"}), 1.0, 0.0)


def _capped(table: pd.DataFrame) -> Breach:
    capped = table["throttle_reasons"].map(lambda reasons: bool(_reasons(reasons) & POWER_CAPS))
    return where(capped.to_numpy(dtype=bool), 1.0, 0.0)


def _reasons(text: object) -> set[str]:
    return {r.strip() for r in text.split(",") if r.strip()} if isinstance(text, str) else set()


def _drift(table: pd.DataFrame) -> Breach:
    change = number(table, "temperature_end_c") - number(table, "temperature_start_c")
    return above(np.abs(change), TEMPERATURE_DRIFT_C)


def _disagreement(table: pd.DataFrame) -> Breach:
    energy, integral = number(table, "energy_j"), number(table, "energy_integral_j")
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.where(energy > 0, np.abs(energy - integral) / energy, np.nan)
    broken = above(apart, AGREEMENT).broken | has_flag(table, {"sensor_disagreement"})
    return where(broken, apart, AGREEMENT)


def _edges(table: pd.DataFrame) -> Breach:
    measured = table["energy_provenance"] == Provenance.MEASURED
    judged = (measured & ~table["phase"].isin(SHORT_BY_DESIGN)).to_numpy()
    return above(np.where(judged, number(table, "energy_edge_bound_rel"), np.nan), EDGE_BOUND)


WINDOW_ONLY: tuple[Rule, ...] = (
    Rule(
        "window_too_short", EXCLUDE,
        "The window lasted {value:.3g} s; its profile asks for {bound:.3g} s.",
        "Measure again with more iterations a window.",
        "METHOD §3.4; 2 % for the clock's grain", ("duration_s", "window_target_s"), _too_short,
    ),
    Rule(
        "failed_iterations", EXCLUDE,
        "{value:.0f} iterations of the window failed.",
        "Read the cell's error and measure again.",
        "METHOD §3.9", ("failed_iterations",), lambda t: above(number(t, "failed_iterations"), 0.0),
    ),
    Rule(
        "zero_for_missing", EXCLUDE,
        "The window's energy is exactly 0 J: a reading that failed, not work without cost.",
        "Store NULL with the sensor's reason; check the driver and the counter.",
        "METHOD §3.10, §9: zero stored for missing", (), _zero,
    ),
    Rule(
        "energy_negative", EXCLUDE,
        "The window's energy is {value:.3g} J; work cannot give energy back.",
        "The counter wrapped or went backwards, or a baseline was subtracted: report gross energy.",
        "METHOD §3.5, §3.9, §3.10", (), _negative,
    ),
    Rule(
        "counter_not_monotone", WARN,
        "The energy counter went backwards inside the window; its joules are missing.",
        "The time stands; for joules, check the driver and measure again.",
        "METHOD §3.5, §3.9", ("flags",), flagged("counter_non_monotone"),
    ),
    Rule(
        "token_count_mismatch", EXCLUDE,
        "The window counts {value:.0f} tokens; its workload makes {bound:.0f}.",
        "Count tokens from the workload, not from stream chunks.",
        "METHOD §3.9, §8: tokens from the tokenizer", ("tokens", "phase"), _tokens,
    ),
    Rule(
        "foreign_process", EXCLUDE,
        "Another process used the device during the window.",
        "Free the device and measure again.",
        "METHOD §3.2, §3.9", ("flags",), flagged("foreign_process"),
    ),
    Rule(
        "cpu_contended", AVOID,
        "The process got {value:.0%} of its CPU time; a neighbour was busy (floor {bound:.0%}).",
        "Stop other work on this machine and measure again.",
        "METHOD §3.14", ("cpu_share",), lambda t: below(number(t, "cpu_share"), CPU_SHARE_FLOOR),
    ),
    Rule(
        "machine_slow", AVOID,
        "The machine was {value:.0%} slower at the window's edges than in the quiet quarter of its "
        "process (bound {bound:.0%}), though the CPU time was its own.",
        "Measure again when the machine's neighbours are quiet.",
        "METHOD §3.11, §3.14; `observatory.quietness`",
        ("reference_pass_s", "usual_pass_s"),
        lambda t: above(number(t, "reference_pass_s") / number(t, "usual_pass_s") - 1, SLOW_REL),
    ),
    Rule(
        "throttled", WARN,
        "The device slowed itself down during the window ({throttle_reasons}).",
        "Check cooling and the supply; the times are those of a slower device.",
        "METHOD §3.9; power capping is no slowdown and has its own code",
        ("throttle_reasons",), _throttled, words=("throttle_reasons",), version=2,
    ),
    Rule(
        "power_capped", INFO,
        "The device ran at its power limit: its clock followed the limit.",
        "Nothing is wrong; compare only with rows of the same limit.",
        "NVML clocksEventReasonSwPowerCap", ("throttle_reasons",), _capped,
    ),
    Rule(
        "temperature_drift", WARN,
        "The temperature moved by {value:.1f} °C inside the window (bound {bound:.0f} °C).",
        "Warm up longer before measuring.",
        "METHOD §3.9", ("temperature_start_c", "temperature_end_c"), _drift,
    ),
    Rule(
        "warm_up_not_stable", WARN,
        "Passes still differed by 5 % or more when warm-up reached its last one.",
        "Find what varies (clock, neighbours, caches) and measure again.",
        "METHOD §3.3", ("flags",), flagged("warm_up_not_stable"),
    ),
    Rule(
        "temperature_rising", AVOID,
        "The device still warmed up by more than 1 °C in 10 s: the window is warm-up.",
        "Nothing, where later windows of the point are there; else warm up longer.",
        "METHOD §3.3", ("flags",), flagged("temperature_rising"),
    ),
    Rule(
        "device_clock_disagrees", WARN,
        "The device's own stopwatch and the wall clock differ by more than 2 %.",
        "Look for work outside the timed stretch, or for a synchronisation that is missing.",
        "METHOD §3.4: the device is synchronised at both edges",
        ("flags",), flagged("device_clock_disagrees"),
    ),
    Rule(
        "sensor_disagreement", AVOID,
        "Counter and power integral differ by {value:.1%} (bound {bound:.0%}).",
        "Look at both columns; windows of the point whose sensors agree are used before it.",
        "METHOD §3.5, §8: E = mean power × time", ("energy_integral_j",), _disagreement, version=3,
    ),
    Rule(
        "edge_bound", WARN,
        "The sensor's tick leaves {value:.1%} of the energy unsure at the window's edges "
        "(bound {bound:.0%}).",
        "Measure longer windows.",
        "METHOD §3, §3.4; measured energy only: an estimate is not sharper in a longer window; "
        "anchors and idle windows are short by design and are not judged",
        ("energy_edge_bound_rel", "energy_provenance", "phase"), _edges, version=2,
    ),
)  # fmt: skip
WINDOW_RULES: tuple[Rule, ...] = (
    *WINDOW_ONLY,
    *REPEAT_RULES,
    *PHYSICAL_RULES,
    MILLIJOULES,
    *MEMORY_RULES,
    *MEASURED_RULES,
)
