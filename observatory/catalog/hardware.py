"""Accelerators: dense peaks, memory, links and power, from `data/hardware.csv` or measured here."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from observatory.catalog.weights import weight_format
from observatory.errors import InputError, UnknownNameError

GIB = 2**30
# Words in a driver's device name that say nothing a catalogue name does not.
_FILLER = re.compile(r"^(nvidia|tesla|geforce|amd|intel|google|gpu|accelerator|hbm\d?e?|sxm\d?)$")


@dataclass(frozen=True)
class Hardware:
    """One accelerator (or one machine whose peaks were measured). SI units.

    Peaks are dense, FLOP/s or OP/s; None = the type is not supported in hardware. link_* is one
    direction of the interconnect between devices; pcie_* one direction to the host. verified:
    `yes`, `partial` (some figure rests on one source) or `measured` (on this machine).
    """

    name: str
    fp32_flops_per_s: float | None
    fp16_flops_per_s: float | None
    bf16_flops_per_s: float | None
    fp8_flops_per_s: float | None
    int8_ops_per_s: float | None
    bandwidth_bytes_per_s: float
    memory_bytes: float
    link: str = "PCIe"
    link_bytes_per_s: float | None = None
    pcie_bytes_per_s: float | None = None
    tdp_w: float | None = None
    idle_w: float | None = None
    measured_matmul_flops_per_s: float | None = None
    vendor: str = ""
    kind: str = "gpu"
    release_year: int | None = None
    source: str = ""
    verified: str = "partial"
    note: str = ""

    @classmethod
    def measured(
        cls, name: str, peak_flops: float, bandwidth: float, memory: float, kind: str = "cpu"
    ) -> Hardware:
        """A machine from its own measured peaks: FLOP/s, bytes/s, bytes. Labelled `measured`."""
        if min(peak_flops, bandwidth, memory) <= 0:
            raise InputError(f"{name}: measured peak, bandwidth and memory must be positive")
        return cls(
            name=name, fp32_flops_per_s=peak_flops, fp16_flops_per_s=peak_flops,
            bf16_flops_per_s=peak_flops, fp8_flops_per_s=None, int8_ops_per_s=None,
            bandwidth_bytes_per_s=bandwidth, memory_bytes=memory, link="none", kind=kind,
            source="measured on this machine", verified="measured",
        )  # fmt: skip

    def peak(self, dtype: str) -> float:
        """Dense peak FLOP/s at which a weight format multiplies.

        A type without hardware support is converted and runs at the 16-bit peak. Raises InputError
        for fp32 on a device whose table names no fp32 peak.
        """
        compute = weight_format(dtype).compute
        half = self.bf16_flops_per_s or self.fp16_flops_per_s
        peaks = {
            "fp32": self.fp32_flops_per_s,
            "fp16": self.fp16_flops_per_s or half,
            "bf16": half,
            "fp8": self.fp8_flops_per_s or half,
            "int8": self.int8_ops_per_s or half,
        }
        value = peaks[compute]
        if value is None:
            raise InputError(
                f"{self.name} has no {compute} peak in the catalogue: use bf16 or fp16"
            )
        return value

    def interconnect(self) -> float:
        """Bytes/s of one direction between devices: its link, else its PCIe. Raises InputError."""
        value = self.link_bytes_per_s or self.pcie_bytes_per_s
        if value is None:
            raise InputError(f"{self.name} has no link bandwidth in the catalogue: use one device")
        return value


def _scaled(row: dict[str, str], column: str, factor: float) -> float | None:
    return float(row[column]) * factor if row[column] else None


def _from_row(row: dict[str, str]) -> Hardware:
    bandwidth = _scaled(row, "bandwidth_gb_s", 1e9)
    memory = _scaled(row, "memory_gib", GIB)
    if bandwidth is None or memory is None:
        raise InputError(f"hardware row {row['name']!r} lacks a bandwidth or a capacity")
    return Hardware(
        name=row["name"],
        fp32_flops_per_s=None,
        fp16_flops_per_s=_scaled(row, "fp16_tflops", 1e12),
        bf16_flops_per_s=_scaled(row, "bf16_tflops", 1e12),
        fp8_flops_per_s=_scaled(row, "fp8_tflops", 1e12),
        int8_ops_per_s=_scaled(row, "int8_tops", 1e12),
        bandwidth_bytes_per_s=bandwidth,
        memory_bytes=memory,
        link=row["link"],
        link_bytes_per_s=_scaled(row, "link_gb_s", 1e9),
        pcie_bytes_per_s=_scaled(row, "pcie_gb_s", 1e9),
        tdp_w=_scaled(row, "tdp_w", 1),
        idle_w=_scaled(row, "idle_w", 1),
        measured_matmul_flops_per_s=_scaled(row, "measured_matmul_tflops", 1e12),
        vendor=row["vendor"],
        kind=row["kind"],
        release_year=int(row["release_year"]) if row["release_year"] else None,
        source=row["source"],
        verified=row["verified"],
        note=row["note"],
    )


@cache
def rows() -> tuple[dict[str, str], ...]:
    """Every row of the table, cells as text."""
    text = resources.files("observatory.catalog").joinpath("data/hardware.csv").read_text("utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def catalogue() -> dict[str, Hardware]:
    """Name → hardware, in table order."""
    return {row["name"]: _from_row(row) for row in rows()}


def spellings(name: str) -> tuple[str, ...]:
    """A catalogue device's name and its aliases, as drivers and people write them."""
    for row in rows():
        if row["name"] == name:
            return (name, *(alias for alias in row["aliases"].split(";") if alias))
    return (name,)


def _words(name: str) -> frozenset[str]:
    words = re.findall(r"[a-z0-9.]+", name.lower().replace("80 gb", "80gb"))
    return frozenset(word for word in words if not _FILLER.match(word))


@cache
def _index() -> dict[frozenset[str], str]:
    index: dict[frozenset[str], str] = {}
    for row in rows():
        for spelling in (row["name"], *row["aliases"].split(";")):
            if spelling:
                index.setdefault(_words(spelling), row["name"])
    return index


def lookup(name: str) -> Hardware:
    """By catalogue name, alias, or a driver's device name (`NVIDIA H100 80GB HBM3`).

    A name with a word that changes the part (NVL, MIG, PCIe, another capacity) matches only a row
    that has that word. Raises UnknownNameError with near matches.
    """
    words = _words(name)
    known = _index().get(words)
    if known is None:
        capacity = {word for word in words if re.fullmatch(r"\d+gb", word)}
        known = _index().get(words - capacity)
        if known and capacity != {f"{catalogue()[known].memory_bytes / GIB:.0f}gb"}:
            known = None
    if known is None:
        raise UnknownNameError(
            "device", name, list(catalogue()), "`observatory capacity --list-devices` lists them"
        )
    return catalogue()[known]
