"""The gate: silent on public measurements, loud on planted impossibilities."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.catalog import hardware
from observatory.catalog.architecture import lookup
from observatory.runtime.calibration_rows import Sample
from observatory.runtime.plausibility import Row, check, exact_multiples, gate, least
from tests.runtime.reference_rows import helm, ml_energy_v3

H100 = hardware.lookup("h100")
GOOD = Row(lookup("Llama-3.1 8B"), H100, batch=8, time_s=0.02, step=True, context=1000, power_w=500)


def claimed(sample: Sample, device: str) -> Row:
    """A row as an importer knows it: prompts of servers are unknown."""
    step = sample.context is not None
    return Row(
        sample.architecture, hardware.lookup(device), sample.devices, sample.dtype, sample.batch,
        sample.time_s, step, sample.prompt, sample.output,
        power_w=sample.power_w,
        energy_j=None if sample.power_w is None else sample.power_w * sample.time_s,
    )  # fmt: skip


def blocks(samples: list[Sample]) -> dict[Hashable, dict[Hashable, float]]:
    found: dict[Hashable, dict[Hashable, float]] = {}
    for s in samples:
        label = (s.architecture.name, s.devices, s.dtype)
        found.setdefault(label, {})[(s.prompt, s.output, round(s.batch))] = s.time_s
    return found


@pytest.mark.parametrize("device", ["a100", "v100"])
def test_profiling_logs_pass(reference: Path, device: str) -> None:
    samples = helm(reference, device)
    assert gate([claimed(s, device) for s in samples], blocks(samples)) == {}


@pytest.mark.parametrize("device", ["H100", "B200"])
@pytest.mark.parametrize("time", ["throughput", "median"])
def test_servers_pass(reference: Path, device: str, time: str) -> None:
    samples = ml_energy_v3(reference, device, time)
    assert len(samples) > 190
    assert gate([claimed(s, device) for s in samples], blocks(samples)) == {}


def test_planted_in_public_rows(reference: Path) -> None:
    """One impossible row among 198 real ones is found, and it alone."""
    samples = ml_energy_v3(reference, "H100")
    rows = [claimed(s, "H100") for s in samples]
    fast, dense = least(rows[0]), rows[0].dtype == "bf16"
    assert fast.compute_s is not None and dense
    rows[0] = replace(rows[0], time_s=fast.compute_s / 9, energy_j=None)
    rows[60] = replace(rows[60], power_w=0.0, energy_j=None)
    planted = blocks(samples)
    label, values = max(planted.items(), key=lambda pair: len(pair[1]))
    planted["copy"] = {key: 1.3 * value for key, value in values.items()}
    found = gate(rows, planted)
    assert set(found) == {0, 60, -1}
    mfu = next(v for v in found[0] if v.code == "mfu_above_one")
    assert mfu.value == pytest.approx(9)
    assert [v.code for v in found[60]] == ["power_not_positive"]
    assert len(found[-1]) == 1 and found[-1][0].value == pytest.approx(1.3)
    assert str(label) in found[-1][0].sentence and "1.3" in found[-1][0].sentence


def test_a_plausible_row_passes() -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"time_s": 20e-6}, "mbu_above_one"),
        ({"time_s": 0.0}, "time_not_positive"),
        ({"time_s": -1.0}, "time_not_positive"),
        ({"power_w": 0.0}, "power_not_positive"),
        ({"power_w": 900.0}, "power_above_limit"),
        ({"power_w": 20.0}, "power_below_idle"),
        ({"energy_j": 0.0}, "energy_not_positive"),
        ({"energy_j": 0.02}, "energy_time_mismatch"),  # seconds labelled joules
        ({"energy_j": 10_000.0}, "energy_time_mismatch"),  # mJ labelled J
        ({"devices": 8, "power_w": 500.0}, "power_below_idle"),  # one of eight counted
        ({"batch": 4096.0, "context": 1.0, "time_s": 0.0063}, "mfu_above_one"),
    ],
)
def test_planted_faults(change: dict[str, float], code: str) -> None:
    broken = check(replace(GOOD, **change))
    assert code in [v.code for v in broken]
    for violation in broken:
        assert violation.sentence.endswith(".") and violation.remedy.endswith(".")


def test_what_is_unknown_accuses_nobody() -> None:
    assert check(replace(GOOD, power_w=None, time_s=None)) == []
    assert check(replace(GOOD, hardware=replace(H100, tdp_w=None, idle_w=None), power_w=9e9)) == []
    int4 = replace(GOOD, dtype="int4")
    assert least(int4).compute_s is None and least(int4).memory_s < least(GOOD).memory_s


def test_a_mixture_reads_no_more_than_one_token_needs() -> None:
    """Routing may send a whole batch to the same experts: the bound must allow it."""
    arch = lookup("Qwen3-30B-A3B")
    one = least(Row(arch, H100, batch=1, step=True, context=1))
    many = least(Row(arch, H100, batch=64, step=True, context=1))
    assert many.memory_s - one.memory_s == pytest.approx(
        63 * arch.kv_cache_bytes(1) / H100.bandwidth_bytes_per_s
    )


def test_request_bound_counts_every_step() -> None:
    row = Row(lookup("Llama-3.1 8B"), H100, prompt=100, output=50)
    alone = least(replace(row, output=1))
    assert least(row).memory_s > 49 * alone.memory_s


def test_copied_and_flat_blocks() -> None:
    rng = np.random.default_rng(0)
    base: dict[Hashable, float] = {i: float(v) for i, v in enumerate(rng.uniform(1, 9, 8))}
    copies = exact_multiples({"a": base, "b": dict(base)})
    assert copies[0].ratio == 1 and "equals" in copies[0].violation().sentence
    near = {key: value * (1 + 0.001 * float(rng.normal())) for key, value in base.items()}
    assert exact_multiples({"a": base, "b": near}) == []
    flat: dict[Hashable, float] = dict.fromkeys(range(8), 3.0)
    assert exact_multiples({"a": flat, "b": {k: 2 * v for k, v in flat.items()}}) == []
    few = {key: base[key] for key in list(base)[:3]}
    assert exact_multiples({"a": base, "b": few}) == []


@given(st.floats(0.01, 100), st.lists(st.floats(0.01, 1e4), min_size=4, max_size=12))
def test_any_scaled_block_is_found(factor: float, values: list[float]) -> None:
    left: dict[Hashable, float] = dict(enumerate(values))
    right = {key: factor * value for key, value in left.items()}
    found = exact_multiples({"a": left, "b": right})
    if max(values) / min(values) >= 1.01:
        assert len(found) == 1 and found[0].ratio == pytest.approx(factor, rel=1e-4)
