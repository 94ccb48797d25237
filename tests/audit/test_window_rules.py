"""Every rule on windows and cells: one case that breaks it, and a sound window that breaks none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from observatory.audit import CELL_RULES, WINDOW_RULES, audit_cells, audit_windows
from observatory.audit.bounds import PowerBounds
from observatory.audit.marking import mark_excluded
from observatory.catalog import hardware
from observatory.catalog.architecture import lookup
from observatory.catalog.hardware import Hardware
from observatory.ceilings import Ceiling

LLAMA, H100 = lookup("Llama-3.1 8B"), hardware.lookup("NVIDIA H100 80GB HBM3")
LIMIT_W = 735.0  #: 1.05 × the card's 700 W

#: Prefill of 8 × 2048 tokens: 0.27 s at the dense peak, measured 0.5 s at 600 W.
SOUND: dict[str, Any] = {
    "id": 1, "cell_id": 1, "run_id": "r", "configuration_key": "c", "environment_key": "e",
    "phase": "prefill", "prompt_tokens": 2048.0, "output_tokens": 1.0, "context_tokens": np.nan,
    "batch": 8, "process_index": 0, "process_id": "p0", "window_index": 0,
    "started_utc": "2026-01-01T00:00:00", "iterations": 40, "duration_s": 20.0,
    "window_target_s": 10.0, "tokens": 8 * 2048 * 40, "failed_iterations": 0,
    "energy_device_j": 12_000.0, "energy_cpu_j": np.nan, "energy_dram_j": np.nan,
    "energy_idle_devices_j": np.nan, "energy_integral_j": 11_900.0, "energy_provenance": "measured",
    "energy_method": "nvml_counter", "energy_boundary": "device",
    "energy_edge_bound_rel": 0.002, "cpu_share": np.nan, "temperature_start_c": 60.0,
    "temperature_end_c": 64.0, "throttle_reasons": None, "flags": [],
    "peak_memory_bytes": 17e9,
}  # fmt: skip
IDLE = SOUND | {
    "id": 2, "cell_id": 2, "phase": "idle", "prompt_tokens": np.nan, "output_tokens": np.nan,
    "batch": 1, "iterations": 1, "tokens": np.nan, "energy_device_j": 20 * 90.0,
    "peak_memory_bytes": 1e9,
    "energy_integral_j": 20 * 90.0,
}  # fmt: skip


class Bounds:
    """Bounds of one card, or of a machine whose ceilings a short kernel measured."""

    def __init__(self, card: Hardware = H100) -> None:
        self.card = card

    def ceiling(self, configuration_key: str, environment_key: str) -> Ceiling:
        del configuration_key, environment_key
        return Ceiling(LLAMA, self.card, "bfloat16", 1)

    def power(self, configuration_key: str, environment_key: str) -> PowerBounds:
        del configuration_key, environment_key
        return PowerBounds(LIMIT_W, None, "the card's limit")


SLOW_KERNEL = Bounds(Hardware.measured("Box", 100e12, 3e12, 80e9))


def codes(*rows: dict[str, Any], bounds: Bounds | None = None) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for finding in audit_windows(pd.DataFrame(rows), bounds or Bounds()):
        found.setdefault(finding.subject_id, []).append(finding.rule)
    return found


def repeats(*energies: float) -> list[dict[str, Any]]:
    return [SOUND | {"id": 10 + i, "window_index": i, "energy_device_j": e,
                     "energy_integral_j": np.nan} for i, e in enumerate(energies)]  # fmt: skip


DECODE = {"phase": "decode", "prompt_tokens": np.nan, "context_tokens": 2048.0,
          "output_tokens": 64.0, "batch": 1, "tokens": 64 * 40}  # fmt: skip
BREAKS: list[tuple[str, dict[str, Any]]] = [
    ("window_too_short", {"duration_s": 9.5, "iterations": 19, "tokens": 8 * 2048 * 19,
                          "energy_device_j": 5700.0, "energy_integral_j": 5700.0}),
    ("failed_iterations", {"failed_iterations": 2}),
    ("temperature_rising", {"flags": ["temperature_rising"]}),
    ("device_clock_disagrees", {"flags": ["device_clock_disagrees"]}),
    ("zero_for_missing", {"energy_device_j": 0.0}),
    ("zero_for_missing", {"energy_dram_j": 0.0}),
    ("energy_negative", {"energy_device_j": -3.0}),
    ("counter_not_monotone", {"energy_device_j": np.nan, "flags": ["counter_non_monotone"]}),
    ("token_count_mismatch", {"tokens": 8 * 40}),
    ("foreign_process", {"flags": ["foreign_process"]}),
    ("cpu_contended", {"cpu_share": 0.6}),
    ("throttled", {"throttle_reasons": "hw_thermal_slowdown, sw_power_cap"}),
    ("power_capped", {"throttle_reasons": "sw_power_cap"}),
    ("temperature_drift", {"temperature_end_c": 71.0}),
    ("warm_up_not_stable", {"flags": ["warm_up_not_stable"]}),
    ("sensor_disagreement", {"energy_integral_j": 12_000.0 / 1.06}),
    ("edge_bound", {"energy_edge_bound_rel": 0.08}),
    ("mfu_above_one", {"duration_s": 10.0, "iterations": 360, "tokens": 8 * 2048 * 360,
                       "energy_device_j": 6000.0, "energy_integral_j": 6000.0}),
    ("mbu_above_one", DECODE | {"iterations": 300, "tokens": 64 * 300}),
    ("faster_than_roofline", DECODE | {"iterations": 300, "tokens": 64 * 300}),
    ("sparse_peak_as_dense", {"iterations": 110, "tokens": 8 * 2048 * 110}),
    ("power_above_limit", {"energy_device_j": 20 * 740.0, "energy_integral_j": 20 * 740.0}),
    ("power_below_idle", {"energy_device_j": 20 * 80.0, "energy_integral_j": 20 * 80.0}),
    ("seconds_as_joules", {"energy_device_j": 20.0, "energy_integral_j": np.nan}),
    ("millijoules_as_joules", {"energy_device_j": 12_000e3, "energy_integral_j": np.nan}),
    ("millijoules_as_joules", {"energy_device_j": 12_000e3}),
]  # fmt: skip
BREAKS += [
    ("memory_above_capacity", {"peak_memory_bytes": 200e9}),
    ("memory_below_weights", {"peak_memory_bytes": 1e9}),
    ("gib_as_gb", {"peak_memory_bytes": 14.96e9}),
]  # fmt: skip
ELSEWHERE = {
    "machine_slow",
    "above_measured_ceiling",
    "repeat_not_positive",
    "exact_multiple",
    "copied_block",
}


def test_a_sound_window_breaks_nothing() -> None:
    assert codes(SOUND, IDLE) == {}
    assert audit_windows(pd.DataFrame()) == []


@pytest.mark.parametrize(("code", "change"), BREAKS, ids=[code for code, _ in BREAKS])
def test_each_rule_fires_on_what_breaks_it_and_names_it(code: str, change: dict[str, Any]) -> None:
    found = codes(SOUND | change, IDLE)
    assert set(found) == {1}, "the idle window beside it is sound"
    assert code in found[1]


def test_every_rule_has_a_case() -> None:
    assert {rule.code for rule in WINDOW_RULES} == {code for code, _ in BREAKS} | ELSEWHERE


@pytest.mark.parametrize(
    ("change", "never"),
    [
        ({"throttle_reasons": "sw_power_cap"}, "throttled"),
        ({"duration_s": 9.85, "iterations": 20, "tokens": 8 * 2048 * 20}, "window_too_short"),
        ({"iterations": 360, "tokens": 8 * 2048 * 360}, "sparse_peak_as_dense"),  # MFU of 4.8
        ({"temperature_end_c": np.nan}, "temperature_drift"),
        ({"energy_device_j": np.nan}, "power_below_idle"),
        ({"energy_integral_j": 12_000 / 1.04}, "sensor_disagreement"),
        ({"batch": np.nan}, "mfu_above_one"),
        ({"energy_edge_bound_rel": 0.3, "energy_provenance": "estimated"}, "edge_bound"),
        ({"energy_edge_bound_rel": 0.3, "phase": "anchor"}, "edge_bound"),
        ({"energy_edge_bound_rel": 0.3, "phase": "idle"}, "edge_bound"),
    ],
)
def test_rules_do_not_fire_at_their_edge(change: dict[str, Any], never: str) -> None:
    assert never not in codes(SOUND | change, IDLE).get(1, [])


def test_a_machine_that_slowed_is_found_by_its_reference_pass_process_by_process() -> None:
    """Quartile of p: 50 ms; of q: 70 ms, whose windows are as usual there."""
    passes = [("p", 0.050), ("p", 0.050), ("p", 0.0524), ("p", 0.0526), ("p", np.nan),
              ("q", 0.070), ("q", 0.071), ("q", 0.072), ("q", 0.073)]  # fmt: skip
    rows = [
        SOUND | {"id": i, "window_index": i, "process_id": process, "reference_pass_s": pass_s,
                 "configuration_key": "c", "run_id": "r"}
        for i, (process, pass_s) in enumerate(passes)
    ]  # fmt: skip
    found = {f.subject_id: f for f in audit_windows(pd.DataFrame(rows)) if f.rule == "machine_slow"}
    assert set(found) == {3}
    assert found[3].value == pytest.approx(0.052) and found[3].severity == "avoid"
    assert "5% slower" in found[3].sentence


def test_values_and_bounds_are_in_the_finding() -> None:
    row = SOUND | {"energy_device_j": 20 * 800.0, "energy_integral_j": np.nan}
    (finding,) = audit_windows(pd.DataFrame([row]), Bounds())
    assert (finding.rule, finding.value, finding.bound) == ("power_above_limit", 800.0, LIMIT_W)
    assert "800 W" in finding.sentence and "the card's limit" in finding.sentence
    assert finding.severity == "exclude"


def test_a_ceiling_measured_by_a_short_kernel_only_warns() -> None:
    found = audit_windows(pd.DataFrame([SOUND]), SLOW_KERNEL)
    assert [(f.rule, f.severity) for f in found] == [("above_measured_ceiling", "warn")]
    assert audit_windows(pd.DataFrame([SOUND | {"iterations": 5, "tokens": 8 * 2048 * 5}]),
                         SLOW_KERNEL) == []  # fmt: skip


def test_a_negative_and_a_zero_repeat_among_ten_are_each_named() -> None:
    found = codes(*repeats(*[12_000.0] * 4, -2.0, *[12_100.0] * 4, 0.0))
    assert set(found) == {14, 19}
    assert found[14] == ["energy_negative", "repeat_not_positive"]
    assert found[19] == ["zero_for_missing", "repeat_not_positive"]


def run(name: str, factor: float) -> list[dict[str, Any]]:
    rng = np.random.default_rng(5)
    noise = 1 + 0.01 * rng.standard_normal(6)
    return [
        SOUND | {"id": 100 * ord(name) + i, "cell_id": ord(name), "run_id": name,
                 "window_index": i, "duration_s": float(20 * factor * n),
                 "energy_device_j": float(12_000 * factor * m), "energy_integral_j": np.nan}
        for i, (n, m) in enumerate(zip(noise, rng.permutation(noise), strict=True))
    ]  # fmt: skip


def test_a_run_that_is_a_multiple_of_another_run() -> None:
    found = audit_windows(pd.DataFrame(run("a", 1.0) + run("b", 1.3)), Bounds())
    assert {f.rule for f in found} == {"exact_multiple"}
    assert {f.subject_id for f in found} == {9800 + i for i in range(6)}
    assert found[0].value == pytest.approx(1.3) and "1.3 times that of run a" in found[0].sentence
    copied = audit_windows(pd.DataFrame(run("a", 1.0) + run("b", 1.0)), Bounds())
    assert {f.rule for f in copied} == {"copied_block"}


def processes(*factors: float) -> list[dict[str, Any]]:
    """Three windows in each process; the n-th takes so many times as long as in the first."""
    times = (20.000212013, 20.103381127, 20.051170339)
    return [
        SOUND | {"id": 10 * process + index, "process_index": process, "process_id": str(process),
                 "window_index": index, "duration_s": round(seconds * factor, 9)}
        for process, factor in enumerate(factors) for index, seconds in enumerate(times)
    ]  # fmt: skip


def test_a_process_that_was_computed_from_another_of_its_run() -> None:
    found = audit_windows(pd.DataFrame(processes(1.0, 1.0, 1.005)), Bounds())
    said = {(f.subject_id // 10, f.rule) for f in found}
    assert said == {(1, "copied_block"), (2, "exact_multiple")}
    assert "that of run r process 0" in found[0].sentence
    measured = processes(1.0, 1.0)
    measured[-1]["duration_s"] += 1e-6
    assert audit_windows(pd.DataFrame(measured), Bounds()) == []


@pytest.mark.parametrize("same", ["duration_s", "energy_device_j"])
@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_a_process_that_is_a_multiple_of_another_of_its_run(same: str, factor: float) -> None:
    first = run("a", 1.0)
    second = [
        row | {"id": row["id"] + 50, "process_index": 1, "process_id": "p1",
               "duration_s": row["duration_s"] * (1 + 1e-4 * i),
               "energy_device_j": row["energy_device_j"] * (1 - 1e-4 * i)}
        for i, row in enumerate(first, 1)
    ]  # fmt: skip
    assert codes(*first, *second) == {}
    planted = [row | {same: factor * one[same]} for row, one in zip(second, first, strict=True)]
    found = codes(*first, *planted)
    code = "copied_block" if factor == 1 else "exact_multiple"
    assert all(code in rules for rules in found.values()) and len(found) == 6


def test_without_bounds_the_protocol_is_still_judged() -> None:
    fast = SOUND | {"duration_s": 0.5}
    assert [f.rule for f in audit_windows(pd.DataFrame([fast]))] == ["window_too_short"]


# ---------------------------------------------------------------------- cells
def cell_codes(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    frame = pd.DataFrame(rows)
    marked = mark_excluded(frame, audit_windows(frame, Bounds()))
    return [(f.rule, f.subject_id) for f in audit_cells(marked)]


def spread(**columns: list[float]) -> list[dict[str, Any]]:
    rows = zip(*columns.values(), strict=True)
    return [SOUND | dict(zip(columns, values, strict=True)) | {"id": i, "window_index": i}
            for i, values in enumerate(rows)]  # fmt: skip


def anchors(end: float) -> list[dict[str, Any]]:
    start = {"phase": "anchor", "prompt_tokens": 64.0, "tokens": np.nan, "batch": 1}
    return [
        SOUND | start | {"id": 10 * process + place, "cell_id": 7 + place,
                         "process_index": process, "process_id": str(process),
                         "started_utc": f"2026-01-01T0{process}:0{place}:00",
                         "duration_s": 20.0 * (end if place else 1.0)}
        for process in range(2) for place in range(2)
    ]  # fmt: skip


def test_spread_of_a_cell() -> None:
    steady = spread(duration_s=[20.0, 20.5, 21.0], energy_device_j=[12e3, 12.1e3, 12.2e3])
    assert cell_codes(steady) == []
    shaky = spread(duration_s=[20.0, 22.0, 24.0], energy_device_j=[12e3, 12.1e3, 12.2e3])
    assert cell_codes(shaky) == [("runtime_cv", 1)]
    joules = [10e3, 12e3, 14e3]
    hungry = spread(duration_s=[20.0, 20.5, 21.0], energy_device_j=joules, energy_integral_j=joules)
    assert cell_codes(hungry) == [("energy_cv", 1)]
    assert cell_codes(shaky[:2]) == [], "two windows say nothing of a spread"
    left_out = [*steady, SOUND | {"id": 9, "duration_s": 40.0, "failed_iterations": 1}]
    assert cell_codes(left_out) == [], "a window left out does not count"


def test_the_spread_of_an_estimate_is_not_judged() -> None:
    rows = spread(duration_s=[20.0, 20.5, 21.0], energy_device_j=[10e3, 12e3, 14e3])
    assert cell_codes([r | {"energy_provenance": "estimated"} for r in rows]) == []


def test_drift_of_the_anchor_is_found_on_its_last_cell() -> None:
    assert cell_codes(anchors(1.02)) == []
    assert cell_codes(anchors(1.04)) == [("anchor_drift", 8)]
    frame = pd.DataFrame(anchors(0.9)).assign(excluded=False, energy_left_out=False)
    (finding,) = audit_cells(frame)
    assert finding.value == pytest.approx(0.1) and "-10.0%" in finding.sentence


def test_a_process_that_drifted_is_not_hidden_by_those_that_stood() -> None:
    rows = anchors(1.0) + [r | {"process_index": 2, "id": 20 + i, "process_id": "2"}
                           for i, r in enumerate(anchors(0.7)[:2])]  # fmt: skip
    frame = pd.DataFrame(rows).assign(excluded=False, energy_left_out=False)
    (finding,) = (f for f in audit_cells(frame) if f.rule == "anchor_drift")
    assert "-30.0%" in finding.sentence


def test_every_rule_on_cells_has_fired_above() -> None:
    assert {rule.code for rule in CELL_RULES} == {
        "runtime_cv", "energy_cv", "anchor_drift",
        "level_not_met", "mixed_boundary",  # in test_levels
    }  # fmt: skip
