"""Generous bounds: no public measurement is faster, and what is unknown accuses nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from observatory.catalog import hardware
from observatory.catalog.architecture import lookup
from observatory.runtime import roofline
from observatory.runtime.calibration_rows import Sample
from observatory.runtime.plausibility import Row, least
from tests.runtime.reference_rows import helm, ml_energy_v3

H100 = hardware.lookup("h100")
STEP = Row(lookup("Llama-3.1 8B"), H100, batch=8, step=True, context=1000)


def used(sample: Sample, device: str) -> float:
    """The largest utilisation of a row as an importer knows it: prompts of servers are unknown."""
    row = Row(
        sample.architecture, hardware.lookup(device), sample.devices, sample.dtype, sample.batch,
        sample.context is not None, sample.prompt, sample.output,
    )  # fmt: skip
    found = least(row)
    return max(found.compute_s or 0, found.memory_s) / sample.time_s


@pytest.mark.parametrize("device", ["a100", "v100"])
def test_profiling_logs_are_slower_than_their_bound(reference: Path, device: str) -> None:
    ratios = [used(s, device) for s in helm(reference, device)]
    assert 0.05 < max(ratios) < 1


@pytest.mark.parametrize("device", ["H100", "B200"])
@pytest.mark.parametrize("time", ["throughput", "median"])
def test_servers_are_slower_than_their_bound(reference: Path, device: str, time: str) -> None:
    ratios = [used(s, device) for s in ml_energy_v3(reference, device, time)]
    assert len(ratios) > 190 and 0.2 < max(ratios) < 1


def test_known_contexts_meet_the_roofline() -> None:
    """For a dense model with everything known, the bound is the roofline's."""
    found = least(STEP)
    step = roofline.decode_time(STEP.architecture, H100, 1000, 8)
    assert found.compute_s == pytest.approx(float(step.compute_s))
    assert found.memory_s == pytest.approx(float(step.memory_s), rel=1e-3)


def test_unknown_units_have_no_compute_bound() -> None:
    int4 = replace(STEP, dtype="int4")
    assert least(int4).compute_s is None and least(int4).memory_s < least(STEP).memory_s


def test_an_unknown_context_is_half_of_the_output() -> None:
    unknown = replace(STEP, context=None, output=600)
    assert least(unknown).memory_s == pytest.approx(least(replace(STEP, context=300.5)).memory_s)
    assert least(replace(STEP, context=None)).memory_s < least(STEP).memory_s


def test_a_mixture_reads_no_more_than_one_token_needs() -> None:
    """Routing may send a whole batch to the same experts: the bound must allow it."""
    arch = lookup("Qwen3-30B-A3B")
    one = least(Row(arch, H100, batch=1, step=True, context=1))
    many = least(Row(arch, H100, batch=64, step=True, context=1))
    assert many.memory_s - one.memory_s == pytest.approx(
        63 * arch.kv_cache_bytes(1) / H100.bandwidth_bytes_per_s
    )


def test_windows_never_raise_the_bound() -> None:
    """A window fills up along a request: the bound stays below the sum of its true steps."""
    arch = lookup("gpt-oss-20b")
    found = least(Row(arch, H100, batch=64, prompt=1, output=512))
    steps = sum(float(roofline.decode_time(arch, H100, 1 + i, 64).memory_s) for i in range(1, 512))
    assert found.memory_s < steps


def test_request_bound_counts_every_step() -> None:
    row = Row(lookup("Llama-3.1 8B"), H100, prompt=100, output=50)
    alone = least(replace(row, output=1))
    assert least(row).memory_s > 49 * alone.memory_s
