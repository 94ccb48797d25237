"""Calibration on public measurements: errors on models held out, intervals, shipped constants."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from observatory.catalog import hardware
from observatory.catalog.architecture import Architecture, lookup
from observatory.errors import InputError, UnknownNameError
from observatory.runtime import calibration as cal
from observatory.runtime import calibration_shipped, roofline
from observatory.runtime.calibration_errors import calibrate, covered, half_width, leave_one_out
from observatory.runtime.calibration_rows import Sample, columns, workload_columns
from observatory.runtime.estimate import estimate_requests, estimate_steps
from tests.runtime.reference_rows import helm, ml_energy_v3, shipped

A100, V100, H100 = (hardware.lookup(name) for name in ("a100", "v100", "h100"))


def mean(errors: dict[str, float]) -> float:
    return float(np.mean(list(errors.values())))


def test_plain_roofline_is_64_percent_off(reference: Path) -> None:
    rows = helm(reference, "a100")
    by_model: dict[str, list[float]] = {}
    for row in rows:
        bound = roofline.request_time(
            row.architecture, A100, row.prompt or 0, row.output or 0, 1, "fp16", row.devices
        )
        error = abs(float(bound.time_s) / row.time_s - 1)
        by_model.setdefault(row.architecture.name, []).append(error)
    assert len(rows) == 1620
    assert np.mean([np.mean(v) for v in by_model.values()]) == pytest.approx(0.64, abs=0.01)


def test_a100_models_held_out(reference: Path) -> None:
    found = calibrate(helm(reference, "a100"), A100, "single-stream", "logs")
    assert len(found.error) == 6
    assert found.mean_error <= 0.05
    assert max(found.error.values()) <= 0.10
    assert found.unidentified == ("decode_efficiency",), "launch floors hide it in these logs"


def test_v100_by_own_rows_and_by_constants_of_a100(reference: Path) -> None:
    samples = helm(reference, "v100")
    assert calibrate(samples, V100, "single-stream", "logs").mean_error <= 0.13
    rows = columns(samples, V100)
    carried = calibrate(helm(reference, "a100"), A100, "single-stream", "logs").time_s(rows)
    error = np.abs(carried / rows.time_s - 1)
    assert np.mean([error[rows.group == g].mean() for g in np.unique(rows.group)]) <= 0.18


@pytest.mark.parametrize("time", ["throughput", "median"])
def test_h100_servers_held_out(reference: Path, time: str) -> None:
    samples = ml_energy_v3(reference, "H100", time)
    assert len(samples) == 198
    rows = columns(samples, H100)
    held = leave_one_out(rows, "server", H100.tdp_w)
    assert len(held.error()) == 12, "Llama-3.1 and 3.3 70B have one shape: one fold"
    assert mean(held.error()) <= 0.14
    assert mean(held.error("energy")) <= 0.18
    per_token = held.energy_j / rows.batch, held.measured_j / rows.batch
    assert spearmanr(*per_token)[0] >= 0.97


def test_intervals_cover_held_out_cells(reference: Path) -> None:
    """Nested: the interval of a model is made without it, from fits that have not seen it."""
    a100 = columns(helm(reference, "a100"), A100)
    h100 = columns(ml_energy_v3(reference, "H100"), H100)
    parts = [
        covered(a100, "single-stream"),
        covered(h100, "server", limit_w=H100.tdp_w),
        covered(h100, "server", "energy", H100.tdp_w),
    ]
    assert not any(np.isnan(part).any() for part in parts)
    assert np.mean(np.concatenate(parts)) >= 0.85
    for part in parts:
        assert np.mean(part) >= 0.85


def test_shipped_constants_come_from_the_reference_data(reference: Path) -> None:
    for fresh, kept in zip(shipped(reference), calibration_shipped.shipped(), strict=True):
        assert (fresh.device, fresh.recipe, fresh.rows) == (kept.device, kept.recipe, kept.rows)
        assert fresh.parameters == pytest.approx(kept.parameters, rel=1e-3, abs=1e-9)
        assert fresh.spread == pytest.approx(kept.spread, rel=1e-2)
        assert fresh.error == pytest.approx(kept.error, rel=1e-2)


def test_shipped_records_are_whole() -> None:
    records = calibration_shipped.shipped()
    assert {c.device for c in records} >= {A100.name, V100.name, H100.name}
    for record in records:
        assert record.source
        assert record.id == cal.Calibration.from_dict(record.as_dict()).id
        assert replace(record, rows=record.rows + 1).id != record.id
    assert calibration_shipped.find("RTX 3090") is None
    broken = records[0].as_dict()
    broken.pop("spread")
    with pytest.raises(InputError, match="spread"):
        cal.Calibration.from_dict(broken)


def test_page_is_what_the_records_say() -> None:
    done = subprocess.run([sys.executable, "tools/calibration.py", "--check"],
                          cwd=Path(__file__).parents[2], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


# --------------------------------------------------------------- synthetic truth, no reference data
NAMES = ("Llama-3.1 8B", "Llama-2 13B", "Qwen2.5-14B", "Llama-3.1 70B")
SERVER = {
    "step_s": 5e-4, "layer_s": 1e-4, "layer_parallel_s": 2e-5, "sequence_s": 4e-5,
    "roofline": 1.3, "link": 2.0, "power_base_w": 200.0, "power_compute_w": 600.0,
    "power_memory_w": 300.0,
}  # fmt: skip
SINGLE = {
    "prefill_floor_s": 6e-4, "prefill_floor_parallel_s": 2e-4, "prefill_efficiency": 0.6,
    "parallel_loss": 0.2, "decode_floor_s": 3e-4, "decode_floor_parallel_s": 1e-4,
    "decode_efficiency": 0.7,
}  # fmt: skip


def synthetic(recipe: str, truth: dict[str, float]) -> list[Sample]:
    """Rows that obey a recipe exactly."""
    samples = []
    for name in NAMES:
        arch = lookup(name)
        for devices in (1, 4):
            for batch in (1.0, 16.0, 128.0) if recipe == "server" else (1.0,):
                for tokens in (1.0, 300.0, 900.0, 3000.0):
                    base = Sample(arch, devices, "bf16", batch, 1.0, context=tokens)
                    if recipe == "single-stream":
                        base = replace(
                            base, context=None, prompt=tokens, output=1 + tokens % 7 * 40
                        )
                    rows = columns([base], H100)
                    time = cal.RECIPES[recipe].time(truth, rows)
                    watts = None
                    if recipe == "server":
                        watts = float(cal.power_w(truth, rows, time, None)[0]) * devices
                    samples.append(replace(base, time_s=float(time[0]), power_w=watts))
    return samples


def test_server_recipe_recovers_its_truth() -> None:
    found = calibrate(synthetic("server", SERVER), H100, "server", "synthetic")
    assert found.parameters == pytest.approx(SERVER, rel=1e-3)
    assert found.mean_error < 1e-6
    assert max(found.energy_error.values()) < 1e-6


def test_single_stream_recipe_recovers_its_truth() -> None:
    found = calibrate(synthetic("single-stream", SINGLE), H100, "single-stream", "synthetic")
    for name, value in SINGLE.items():
        if name not in found.unidentified:
            assert found.parameters[name] == pytest.approx(value, rel=0.05), name
    assert found.mean_error < 0.02
    assert not found.has_power


def test_no_step_beats_its_roofline() -> None:
    """Rows faster than the roofline cannot teach an efficiency above one."""
    fast = [replace(s, time_s=s.time_s * 0.2) for s in synthetic("server", SERVER)]
    assert calibrate(fast, H100, "server", "synthetic").parameters["roofline"] >= 1


@pytest.mark.parametrize(
    ("samples", "recipe", "message"),
    [
        ([], "server", "no rows"),
        (synthetic("server", SERVER)[:3], "server", "one model alone"),
        (synthetic("single-stream", SINGLE), "server", "decode steps"),
        (synthetic("server", SERVER), "oracle", "calibration recipe"),
    ],
)
def test_rows_that_cannot_calibrate(samples: list[Sample], recipe: str, message: str) -> None:
    with pytest.raises((InputError, UnknownNameError), match=message):
        calibrate(samples, H100, recipe, "synthetic")


@pytest.mark.parametrize(
    "wrong", [{"time_s": 0.0}, {"time_s": math.nan}, {"context": None}, {"time_s": -1.0}]
)
def test_rows_that_are_no_measurement(wrong: dict[str, float | None]) -> None:
    good = {"time_s": 1.0, "context": 10.0}
    with pytest.raises(InputError):
        Sample(lookup("gpt2"), 1, "fp16", 1, **{**good, **wrong})  # type: ignore[arg-type]


def test_half_width_rule() -> None:
    """ceil(0.9(m+1)): the ninth of nine, the tenth of ten, the 18th of 19; below nine flagged."""
    spreads = [i / 100 for i in range(1, 20)]
    assert half_width(spreads) == (0.18, False)
    assert half_width(spreads[:9]) == (0.09, False)
    assert half_width(spreads[:8]) == (0.08, True)
    assert half_width([]) == (math.inf, True)


@given(st.lists(st.floats(0.001, 2), min_size=1, max_size=30))
def test_half_width_is_one_of_the_spreads(spreads: list[float]) -> None:
    width, flagged = half_width(spreads)
    assert width in spreads
    assert flagged == (len(spreads) < 9)
    assert sum(s <= width for s in spreads) >= min(0.9 * (len(spreads) + 1), len(spreads))


# --------------------------------------------------------------- estimates
def test_estimate_without_calibration_is_a_bound() -> None:
    rtx = hardware.lookup("RTX 3090")
    found = estimate_requests(lookup("Llama-3.2 1B"), rtx, [128, 1024], 64)
    bound = roofline.request_time(lookup("Llama-3.2 1B"), rtx, [128, 1024], 64)
    # The bound is taken at the middle context and the tile-rounded prompt.
    assert found.time_s == pytest.approx(bound.time_s, rel=1e-3)
    assert found.time_high_s is None and found.energy_j is None
    assert found.method == "roofline" and found.flagged and "lower bound" in str(found.reason)
    assert found.provenance == "modelled"


def test_estimate_with_calibration() -> None:
    kept = calibration_shipped.find(H100.name, "server")
    assert kept is not None
    found = estimate_steps(lookup("Llama-3.1 8B"), H100, 1000, [1, 64], calibration=kept)
    assert found.calibration_id == kept.id and not found.flagged
    assert found.energy_j is not None and found.time_high_s is not None
    assert (found.time_low_s < found.time_s).all() and (found.time_s < found.time_high_s).all()
    per_token = found.energy_j / np.array([1, 64])
    assert per_token[1] < per_token[0] / 10, "a batch shares the weights it reads"
    with pytest.raises(InputError, match="decode steps"):
        estimate_requests(lookup("Llama-3.1 8B"), H100, 10, 10, calibration=kept)
    carried = estimate_steps(
        lookup("Llama-3.1 8B"), hardware.lookup("H200"), 1000, 1, calibration=kept
    )
    assert carried.flagged and carried.energy_j is None and "carried over" in str(carried.reason)


def test_columns_keep_the_order_of_rows() -> None:
    rows = synthetic("server", SERVER)
    mixed = [rows[i] for i in (40, 3, 17, 60, 2)]
    together = columns(mixed, H100)
    for index, row in enumerate(mixed):
        alone = columns([row], H100)
        for name in ("layers", "devices", "batch", "step_s", "step_sent_s", "time_s", "power_w"):
            assert getattr(together, name)[index] == pytest.approx(getattr(alone, name)[0])


def test_equal_shapes_are_one_model() -> None:
    a, b = lookup("Llama-3.1 70B"), lookup("Llama-3.3 70B")
    groups = workload_columns(a, H100, "bf16", 4, 1, context=1).group
    assert groups == workload_columns(b, H100, "bf16", 4, 1, context=1).group
    assert isinstance(a, Architecture) and a.name != b.name
