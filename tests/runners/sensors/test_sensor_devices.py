"""Which physical GPUs a run uses: CUDA_VISIBLE_DEVICES, ordinals, UUIDs."""

from __future__ import annotations

import pytest

from runners.sensors.base import SensorError
from runners.sensors.cuda_devices import select_devices, visible_devices

UUIDS = ["GPU-aaaa0000-1", "GPU-aabb0000-2", "GPU-cccc0000-3", "GPU-dddd0000-4"]
SAME = ["H100"] * 4
MIXED = ["H100", "H100", "L4", "L4"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", [0]),
        ("2,0", [2, 0]),
        (" 3 , 1 ", [3, 1]),
        ("1,7,0", [1]),  # nothing after the first invalid entry
        ("1,-1,0", [1]),
        ("GPU-cccc", [2]),
        ("GPU-CCCC0000-3,0", [2, 0]),
        ("GPU-aa", []),  # not unique
        ("GPU-aaa,GPU-aab", [0, 1]),
        ("GPU-", []),
    ],
)
def test_cuda_visible_devices(value, expected):
    assert visible_devices(value, UUIDS) == expected


@pytest.mark.parametrize(
    ("value", "code"),
    [("MIG-1234", "mig"), ("0,MIG-GPU-1/1/0", "mig"), ("1,1", "device_repeated")],
)
def test_what_cannot_be_charged_is_refused(value, code):
    with pytest.raises(SensorError) as caught:
        visible_devices(value, UUIDS)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("devices", "visible", "expected"),
    [
        (None, None, [0, 1, 2, 3]),
        (None, "2,1", [2, 1]),
        ((0,), "2,1", [2]),
        ((1, 0), "2,1", [1, 2]),
        (("1",), "2,1", [1]),
        (("GPU-dddd",), None, [3]),
        ((UUIDS[3],), "GPU-dddd", [3]),
        ((0, UUIDS[2]), "2,1", [2]),  # the same card named twice
    ],
)
def test_selection(devices, visible, expected):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert select_devices(devices, UUIDS, SAME, environment) == expected


@pytest.mark.parametrize(
    ("devices", "visible", "code"),
    [
        ((4,), None, "device_absent"),
        ((1,), "2", "device_absent"),
        (("GPU-eeee",), None, "device_absent"),
        (("GPU-aa",), None, "device_absent"),
        (("MIG-1",), None, "mig"),
        (None, "", "no_visible_device"),
        ((0,), "9", "no_visible_device"),
    ],
)
def test_bad_selection(devices, visible, code):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    with pytest.raises(SensorError) as caught:
        select_devices(devices, UUIDS, SAME, environment)
    assert caught.value.code == code


def test_an_ordinal_on_a_mixed_machine_is_refused_until_the_order_is_said():
    """CUDA counts the fastest first, NVML by PCI bus: the wrong card is worse than no number."""
    with pytest.raises(SensorError) as caught:
        select_devices((0,), UUIDS, MIXED, {})
    assert caught.value.code == "device_order_ambiguous"
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in caught.value.remedy
    assert select_devices((0,), UUIDS, MIXED, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}) == [0]
    assert select_devices((UUIDS[2],), UUIDS, MIXED, {}) == [2]
    assert select_devices((0,), UUIDS, MIXED, {"CUDA_VISIBLE_DEVICES": UUIDS[3]}) == [3]
    assert select_devices(None, UUIDS, MIXED, {}) == [0, 1, 2, 3]  # all of them: no doubt
