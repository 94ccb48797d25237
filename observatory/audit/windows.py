"""Rules on our own windows: the protocol's (METHOD §3) and the physical ones.

Energy parts sum to the whole by construction here: the store keeps the parts and no total.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from observatory.audit.blocks import exact_multiples, labels
from observatory.audit.bounds import IDLE_TOLERANCE, PowerBounds, best_time
from observatory.audit.physics import MEASURED_RULES, PHYSICAL_RULES
from observatory.audit.repeats import LEAST_REPEATS, REPEAT_RULES
from observatory.audit.rule import (
    AVOID,
    EXCLUDE,
    INFO,
    WARN,
    Breach,
    Floats,
    Rule,
    above,
    apply_all,
    below,
    flagged,
    has_flag,
    number,
    where,
)
from observatory.ceilings import Ceiling
from observatory.records import Finding, Phase
from observatory.runtime.plausibility import AGREEMENT

LENGTH_TOLERANCE = 0.98  #: a window may fall this far short of its target by the clock's grain
CPU_SHARE_FLOOR = 0.95  #: METHOD §3.14
TEMPERATURE_DRIFT_C = 10.0  #: METHOD §3.9
EDGE_BOUND = 0.05  #: METHOD §3, the quick profile's
ENERGY_PARTS = ("energy_device_j", "energy_cpu_j", "energy_dram_j", "energy_idle_devices_j")
#: Clock reasons of a device that runs at its power limit, which is where a loaded one belongs.
POWER_CAPS = {"sw_power_cap"}
SIZES = ("prompt_tokens", "context_tokens", "output_tokens", "batch")
POINT = ["phase", *SIZES]
STACK = ["configuration_key", "environment_key"]


class Bounds(Protocol):
    """`observatory.audit.bounds.StoreBounds`, as far as it is used here."""

    def ceiling(self, configuration_key: str, environment_key: str) -> Ceiling | None:
        """What the roofline of a configuration on a machine rests on; None for no roofline."""

    def power(self, configuration_key: str, environment_key: str) -> PowerBounds | None:
        """Watts that the accelerators of a configuration can draw; None where unknown."""


# ---------------------------------------------------------------------- checks
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
        "sensor_disagreement", WARN,
        "Counter and power integral differ by {value:.1%} (bound {bound:.0%}).",
        "Look at both columns; the counter is what is used.",
        "METHOD §3.5, §8: E = mean power × time", ("energy_integral_j",), _disagreement, version=2,
    ),
    Rule(
        "edge_bound", WARN,
        "The sensor's tick leaves {value:.1%} of the energy unsure at the window's edges "
        "(bound {bound:.0%}).",
        "Measure longer windows.",
        "METHOD §3, §3.4", ("energy_edge_bound_rel",),
        lambda t: above(number(t, "energy_edge_bound_rel"), EDGE_BOUND),
    ),
)  # fmt: skip
WINDOW_RULES: tuple[Rule, ...] = WINDOW_ONLY + REPEAT_RULES + PHYSICAL_RULES + MEASURED_RULES


# ---------------------------------------------------------------------- evidence beside a window
def audit_windows(windows: pd.DataFrame, bounds: Bounds | None = None) -> list[Finding]:
    """Findings on windows, a table as `observatory.store.reader.windows` gives it.

    Without `bounds` the rules that need the hardware's are not judged.
    """
    if windows.empty:
        return []
    return apply_all(WINDOW_RULES, evidence(windows, bounds), "window")


def evidence(windows: pd.DataFrame, bounds: Bounds | None = None) -> pd.DataFrame:
    """The windows with the columns that the physical rules read.

    `energy_j` is that of the part the sensor cross-checks: the devices, else the CPU packages.
    """
    duration = number(windows, "duration_s")
    device, cpu = number(windows, "energy_device_j"), number(windows, "energy_cpu_j")
    table = windows.assign(
        energy_j=np.where(np.isfinite(device), device, cpu),
        time_s=duration,
        nearest_s=duration,
        power_w=device / duration,
        power_stated_w=number(windows, "energy_integral_j") / duration,
    )
    table = _beside_repeats(table)
    if bounds is None:
        return table
    return _with_rooflines(_with_power_bounds(table, bounds), bounds)


def _beside_repeats(table: pd.DataFrame) -> pd.DataFrame:
    """`repeats`, `repeats_median` of the energy in a cell; `factor` of a run's times to another's.

    Runs are compared inside one configuration on one machine, so that findings on a configuration
    depend on its own facts alone.
    """
    energy = table["energy_j"].groupby(table["cell_id"])
    repeats = energy.transform("count")
    middle = energy.transform("median").where(repeats >= LEAST_REPEATS)
    factor, multiple_of = np.full(len(table), np.nan), np.full(len(table), "", dtype=object)
    points = [*POINT, "process_index", "window_index"]
    for places in table.groupby(STACK, sort=False).indices.values():
        runs = table["run_id"].to_numpy()[places]
        if (runs != runs[0]).any():
            keys = list(table[points].iloc[places].itertuples(index=False, name=None))
            seconds = table["time_s"].to_numpy(dtype=float)[places]
            found = exact_multiples(seconds, [f"run {run}" for run in runs], keys)
            factor[places], multiple_of[places] = labels(found, len(places))
    return table.assign(
        quantity=np.where(np.isfinite(factor), "duration_s", "energy"), value=table["energy_j"],
        repeats=repeats, repeats_median=middle, factor=factor, multiple_of=multiple_of,
    )  # fmt: skip


def _with_power_bounds(table: pd.DataFrame, bounds: Bounds) -> pd.DataFrame:
    """`most_w`, `least_w`: what the cards allow, and the idle power that the same run measured."""
    pairs = list(table[STACK].itertuples(index=False, name=None))
    known = {pair: bounds.power(*pair) for pair in dict.fromkeys(pairs)}
    found = [known[pair] for pair in pairs]
    idle = table[(table["phase"] == Phase.IDLE) & (table["power_w"] > 0)]
    baseline = idle.groupby(["run_id", "configuration_key"])["power_w"].min()
    place = pd.MultiIndex.from_frame(table[["run_id", "configuration_key"]])
    measured = baseline.reindex(place).to_numpy(dtype=float) * IDLE_TOLERANCE
    least = _watts([b.least_w if b else None for b in found])
    return table.assign(
        most_w=_watts([b.most_w if b else None for b in found]),
        least_w=np.where(np.isfinite(measured), measured, least),
        power_rests_on=[b.rests_on if b else "unknown" for b in found],
    )


def _watts(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _with_rooflines(table: pd.DataFrame, bounds: Bounds) -> pd.DataFrame:
    """`mfu`, `mbu`, `roofline_rel`, `hard_ceiling`; one roofline for each workload of a stack."""
    sizes = pd.DataFrame({name: number(table, name) for name in SIZES})
    keys = [table[name].reset_index(drop=True) for name in (*STACK, "phase")]
    beside = np.full((len(table), 4), np.nan)
    for key, group in sizes.groupby(keys, sort=False):
        configuration, machine, phase = (str(part) for part in key)
        ceiling = bounds.ceiling(configuration, machine)
        if ceiling is None:
            continue
        unique, place = _unique_rows(group)
        best = [best_time(ceiling, phase, *sizes) for sizes in unique.tolist()]
        times = [[np.nan] * 3 if b is None else [b.compute_s, b.memory_s, b.time_s] for b in best]
        rows = group.index.to_numpy()
        beside[rows, :3] = np.array(times)[place]
        beside[rows, 3] = float(ceiling.hardware.verified != "measured")
    seconds = number(table, "duration_s") / number(table, "iterations")
    return table.assign(
        mfu=beside[:, 0] / seconds,
        mbu=beside[:, 1] / seconds,
        roofline_rel=beside[:, 2] / seconds,
        hard_ceiling=beside[:, 3],
    )


def _unique_rows(group: pd.DataFrame) -> tuple[Floats, NDArray[np.intp]]:
    """Different rows, and which of them each row is; a missing cell equals a missing cell."""
    filled = group.fillna(-1.0).to_numpy()
    unique, place = np.unique(filled, axis=0, return_inverse=True)
    sizes: Floats = np.where(unique < 0, np.nan, unique)
    return sizes, place.ravel().astype(np.intp)
