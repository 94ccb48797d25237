"""The hardware table: names that drivers print, peaks by type, and a lint that can fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from observatory.catalog import lint
from observatory.catalog.hardware import GIB, Hardware, catalogue, lookup
from observatory.errors import InputError, UnknownNameError


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100-SXM5"),
        ("H100 80GB HBM3", "H100-SXM5"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA H200", "H200-SXM"),
        ("NVIDIA B200", "B200-SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100-PCIe-80GB"),
        ("Tesla V100-SXM2-32GB", "V100-SXM2-32GB"),
        ("Tesla T4", "T4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("AMD Instinct MI300X", "MI300X"),
        ("h100", "H100-SXM5"),
    ],
)
def test_names_that_drivers_print(printed: str, name: str) -> None:
    assert lookup(printed).name == name


@pytest.mark.parametrize(
    "printed",
    [
        "NVIDIA H100 NVL",  # 94 GB, another part
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "Tesla V100-SXM2-16GB",
        "NVIDIA A10G",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "",
    ],
)
def test_other_parts_are_not_mistaken(printed: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown device"):
        lookup(printed)


def test_peaks_by_weight_format() -> None:
    h100, v100 = lookup("h100"), lookup("v100")
    assert h100.peak("fp8") == 1979e12
    assert h100.peak("int4") == h100.peak("bf16") == 989e12
    assert v100.peak("bf16") == v100.peak("fp16") == 125e12
    assert v100.memory_bytes == 32 * GIB
    with pytest.raises(InputError, match="fp32"):
        h100.peak("fp32")


def test_measured_machine() -> None:
    cpu = Hardware.measured("this host", 1e11, 2e10, 16e9)
    assert cpu.verified == "measured"
    assert cpu.peak("fp32") == cpu.peak("bf16") == cpu.peak("int4") == 1e11
    with pytest.raises(InputError, match="link"):
        cpu.interconnect()
    with pytest.raises(InputError, match="positive"):
        Hardware.measured("this host", 0, 2e10, 16e9)


def test_catalogue_is_clean() -> None:
    assert lint.lint_catalogue() == []
    assert len(catalogue()) >= 25


H100 = lookup("h100")


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (replace(H100, bf16_flops_per_s=1979e12, fp8_flops_per_s=3958e12), "sparse"),
        (replace(lookup("a100"), bf16_flops_per_s=624e12, fp16_flops_per_s=624e12), "sparse"),
        (replace(lookup("l4"), bf16_flops_per_s=242e12, fp8_flops_per_s=484e12), "sparse"),
        (replace(H100, fp8_flops_per_s=3958e12), "fp8"),
        (replace(H100, memory_bytes=80e9), "decimal"),
        (replace(H100, link_bytes_per_s=900e9), "directions"),
        (replace(H100, bandwidth_bytes_per_s=3350e6), "unit"),
        (replace(H100, source=""), "source"),
        (replace(H100, source="unsourced"), "source"),
        (replace(H100, verified="maybe"), "verified"),
        (replace(H100, idle_w=400.0), "idle"),
    ],
)
def test_lint_catches_published_mistakes(row: Hardware, word: str) -> None:
    assert any(word in line for line in lint.lint_hardware(row))
    assert lint.lint_hardware(H100) == []
