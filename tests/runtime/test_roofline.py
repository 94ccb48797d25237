"""The roofline: hand-made numbers, bounds, communication, and utilisation of measured rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.catalog import hardware
from observatory.catalog.architecture import lookup
from observatory.catalog.hardware import Hardware
from observatory.errors import InputError
from observatory.runtime import roofline

LLAMA = lookup("Llama-2 70B")
A100 = hardware.lookup("a100")


def test_decode_is_bandwidth_and_prefill_is_compute() -> None:
    step = roofline.decode_time(LLAMA, A100, 2048, 1, devices=8)
    assert step.bound == "memory"
    read = LLAMA.weights_read(1) + LLAMA.kv_cache_bytes(2048)
    assert step.memory_s == pytest.approx(read / (8 * 2039e9))
    read = roofline.prefill_time(LLAMA, A100, 2048, 1, devices=8, communication=False)
    assert read.bound == "compute"
    assert read.time_s == pytest.approx(LLAMA.prefill_flops(2048) / (8 * 312e12))
    assert read.communication_s == 0


def test_tensor_parallel_communication_is_a_ring() -> None:
    """Two all-reduces a layer, each device sending 2(n-1)/n of the activations."""
    sent = roofline.prefill_work(LLAMA, 2048, 1, devices=8).bytes_sent
    assert sent == pytest.approx(2 * 80 * (2 * 7 / 8) * 2048 * 8192 * 2)
    at_peak = roofline.prefill_time(LLAMA, A100, 2048, devices=8)
    assert at_peak.communication_s == pytest.approx(float(sent) / 300e9)
    late = roofline.prefill_time(LLAMA, A100, 2048, devices=8, link_latency_s=1e-5)
    assert late.time_s - at_peak.time_s == pytest.approx(2 * 80 * 1e-5)


def test_request_sums_its_steps() -> None:
    request = roofline.request_time(LLAMA, A100, 100, 20, 4, devices=8)
    steps = [roofline.decode_time(LLAMA, A100, 100 + i, 4, devices=8).time_s for i in range(1, 20)]
    prefill = roofline.prefill_time(LLAMA, A100, 100, 4, devices=8).time_s
    assert request.time_s == pytest.approx(float(prefill + np.sum(steps)))
    one = roofline.request_time(LLAMA, A100, 100, 1, 4, devices=8)
    assert one.time_s == pytest.approx(float(prefill))


def test_arrays_broadcast() -> None:
    times = roofline.request_time(LLAMA, A100, [[128], [4096]], [1, 10, 100], 1, devices=8)
    assert times.time_s.shape == times.bound.shape == (2, 3)
    assert (np.diff(times.time_s, axis=0) > 0).all()
    assert (np.diff(times.time_s, axis=1) > 0).all()


def test_utilisation_of_the_bound_is_one() -> None:
    work = roofline.decode_work(LLAMA, 1000, 1, devices=8)
    bound = roofline.decode_time(LLAMA, A100, 1000, 1, devices=8, communication=False)
    used = roofline.utilisation(work, A100, bound.time_s, devices=8)
    assert used.mbu == pytest.approx(1)
    assert used.mfu < 0.02
    half = roofline.utilisation(work, A100, 2 * bound.time_s, devices=8)
    assert half.mbu == pytest.approx(0.5)


def test_number_types() -> None:
    bf16 = roofline.decode_time(LLAMA, A100, 1, devices=8)
    fp32 = Hardware.measured("host", 1e12, 2039e9, 80e9)
    assert roofline.decode_time(LLAMA, fp32, 1, dtype="float32", devices=1).memory_s == (
        pytest.approx(2 * 8 * float(bf16.memory_s), rel=1e-3)
    )
    int4 = roofline.decode_time(LLAMA, A100, 1, dtype="gptq", devices=8)
    assert 0.25 < int4.memory_s / bf16.memory_s < 0.28
    small = roofline.decode_work(LLAMA, 100_000, 8, kv_dtype="fp8").bytes_moved
    large = roofline.decode_work(LLAMA, 100_000, 8).bytes_moved
    assert large - small == pytest.approx(8 * LLAMA.kv_cache_bytes(100_000, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 0}, "devices is 0"),
        ({"kv_dtype": "fp3"}, "KV-cache type"),
        ({"dtype": "int5"}, "weight format"),
        ({"dtype": "fp32"}, "no fp32 peak"),
    ],
)
def test_bad_input(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        roofline.decode_time(LLAMA, A100, 10, **options)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    prompt=st.integers(1, 100_000), output=st.integers(1, 5000), batch=st.integers(1, 256),
    devices=st.sampled_from([1, 2, 4, 8]),
    name=st.sampled_from(["Llama-3.1 8B", "Mixtral-8x7B", "DeepSeek-V3", "Gemma-3-27B (text)"]),
)  # fmt: skip
def test_a_bound_never_shrinks_with_work(
    prompt: int, output: int, batch: int, devices: int, name: str
) -> None:
    arch = lookup(name)
    base = roofline.request_time(arch, A100, prompt, output, batch, devices=devices)
    for more in (
        (prompt + 1, output, batch),
        (prompt, output + 1, batch),
        (prompt, output, batch + 1),
    ):
        grown = roofline.request_time(arch, A100, *more, devices=devices)
        assert grown.time_s >= base.time_s * (1 - 1e-9)
    assert base.time_s >= max(base.compute_s, base.memory_s)
