"""Lint of the catalogue tables: the mistakes that published hardware and model tables make.

Each rule returns sentences; an empty list is a clean row. Thresholds are ours, set so that every
row of the shipped table passes and the published mistakes named beside them do not.
"""

from __future__ import annotations

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import GIB, Hardware
from observatory.catalog.hardware import rows as hardware_rows
from observatory.catalog.models import Row
from observatory.catalog.models import rows as model_rows

VERIFIED = {"yes", "partial", "measured"}
# Parts whose fp8 units are not twice as fast as their 16-bit ones, and say so in their sources.
_FP8_EQUAL = {"TPU v6e", "Gaudi3"}


def lint_hardware(hw: Hardware) -> list[str]:
    """What is wrong with one hardware row: sparse as dense, units, directions, missing source."""
    return [*_peaks(hw), *_units(hw), *_provenance(hw.name, hw.source, hw.verified)]


def _peaks(hw: Hardware) -> list[str]:
    found = []
    half = hw.bf16_flops_per_s or hw.fp16_flops_per_s
    if half is None:
        return [f"{hw.name}: no 16-bit peak"]
    # H100's 1979 TFLOP/s is sparse: 2.83 TFLOP/s per watt, 2.5 times what a matmul reaches.
    if hw.tdp_w and half / hw.tdp_w > 2.5e12:
        found.append(f"{hw.name}: {half / 1e12:.0f} TFLOP/s at {hw.tdp_w:.0f} W looks sparse")
    if hw.measured_matmul_flops_per_s and half / hw.measured_matmul_flops_per_s > 2:
        found.append(f"{hw.name}: peak is over twice the best measured matmul: sparse?")
    if half / hw.bandwidth_bytes_per_s > 600:
        found.append(f"{hw.name}: {half / hw.bandwidth_bytes_per_s:.0f} FLOP per byte looks sparse")
    if hw.fp8_flops_per_s:
        ratio = hw.fp8_flops_per_s / half
        expected = 1 if hw.name in _FP8_EQUAL else 2
        if abs(ratio - expected) > 0.1:
            found.append(f"{hw.name}: fp8 is {ratio:.2f} × 16-bit; {expected} expected")
    if hw.fp16_flops_per_s and hw.bf16_flops_per_s and hw.name != "Gaudi3":
        ratio = hw.bf16_flops_per_s / hw.fp16_flops_per_s
        if abs(ratio - 1) > 0.05:
            found.append(f"{hw.name}: bf16 is {ratio:.2f} × fp16")
    return found


def _units(hw: Hardware) -> list[str]:
    found = []
    if not 1e10 <= hw.bandwidth_bytes_per_s <= 2e13:
        found.append(f"{hw.name}: bandwidth {hw.bandwidth_bytes_per_s:.3g} B/s: wrong unit?")
    whole_gb = hw.memory_bytes / 1e9
    if abs(whole_gb - round(whole_gb)) < 1e-6 and (hw.memory_bytes / GIB) % 1 > 1e-6:
        found.append(f"{hw.name}: {whole_gb:.0f} GB is decimal; device memory is sold in GiB")
    # 600 GB/s on an A100 is both directions together.
    if hw.link_bytes_per_s and hw.link_bytes_per_s > 0.2 * hw.bandwidth_bytes_per_s:
        found.append(f"{hw.name}: link {hw.link_bytes_per_s / 1e9:.0f} GB/s: both directions?")
    if hw.idle_w and hw.tdp_w and hw.idle_w > 0.4 * hw.tdp_w:
        found.append(f"{hw.name}: idle {hw.idle_w:.0f} W of {hw.tdp_w:.0f} W TDP")
    return found


def _provenance(name: str, source: str, verified: str) -> list[str]:
    found = []
    if not source.strip() or "unsourced" in source.lower():
        found.append(f"{name}: no source")
    if verified not in VERIFIED:
        found.append(f"{name}: verified is {verified!r}")
    return found


def lint_model(row: Row) -> list[str]:
    """What is wrong with one model row: source, published count, head width, aliases."""
    name = row["name"]
    arch = Architecture.lookup(name)
    found = _provenance(name, row["dims_source"], row["verified"])
    if row["published_parameters"] and not row["published_source"]:
        found.append(f"{name}: a published count without its source")
    if row["published_parameters"] and "leaves out" not in row["note"]:
        ratio = int(row["published_parameters"]) / arch.parameters
        if abs(ratio - 1) > 0.08:
            found.append(f"{name}: published count is {ratio:.2f} × ours")
    if any("unsourced" in cell.lower() for cell in row.values()):
        found.append(f"{name}: an unsourced cell")
    if row["model_type"] not in {"megatron"} and not row["hf_id"]:
        found.append(f"{name}: no hub id")
    return found


def lint_catalogue() -> list[str]:
    """Every finding over the shipped tables; empty when clean."""
    from observatory.catalog.hardware import catalogue

    found = [line for hw in catalogue().values() for line in lint_hardware(hw)]
    found += [line for row in model_rows() for line in lint_model(row)]
    for table in (hardware_rows(), model_rows()):
        names = [row["name"] for row in table]
        found += [f"{name}: listed twice" for name in set(names) if names.count(name) > 1]
    return found
