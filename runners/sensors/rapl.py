"""RAPL: the energy counters of CPU packages and DRAM, through Linux powercap.

Sum of the top-level package domains and their dram sub-domains only: core and uncore are parts of a
package, psys contains the packages, and `intel-rapl-mmio` shows the same package a second time. AMD
processors appear under the same names. The counters are in µJ, move about every millisecond (Intel
SDM vol. 3B, §15.10), and wrap at `max_energy_range_uj`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from observatory.records import Boundary, Provenance
from runners.sensors.base import DeviceId, Parts, Sample, SensorError, SensorFacts
from runners.sensors.staircase import unwrap

POWERCAP = Path("/sys/class/powercap")
TICK_S = 0.001
#: No package or its DRAM draws more (the largest server processors are below 1 kW): a fall of the
#: counter that would mean more since the last reading is a reset, not a wrap.
MOST_W = 2000.0
_J = 1e-6
#: Readable for root alone since Linux 5.10 (CVE-2020-8694: power as a side channel).
PERMISSION_REMEDY = (
    "until the next boot: sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj ; "
    "for good: a file in /etc/tmpfiles.d with the line "
    "'z /sys/class/powercap/intel-rapl*/energy_uj 0444 root root'"
)


@dataclass(slots=True)
class Domain:
    """One powercap domain: what it is, where its counter lies, and how far it has counted."""

    component: str  #: `cpu:0`, `dram:0`
    label: str  #: powercap's own name, such as `package-0`
    path: Path
    wrap_uj: int
    last_raw: int | None = None
    last_ns: int = 0
    total_uj: int = 0

    def count(self, raw: int, now_ns: int) -> None:
        """Take in a reading of the counter, in µJ."""
        if self.last_raw is not None:
            most_uj = MOST_W * (1.0 + (now_ns - self.last_ns) * 1e-9) / _J
            self.total_uj += unwrap(self.last_raw, raw, self.wrap_uj, most_uj)
        self.last_raw, self.last_ns = raw, now_ns


def find_domains(root: Path = POWERCAP) -> list[Domain]:
    """Packages and their DRAM, in order. Empty where the machine shows none. Raises SensorError
    for a domain whose name or range cannot be read."""
    domains: list[Domain] = []
    for zone in sorted(root.glob("intel-rapl:*")):
        parts = zone.name.split(":")
        if len(parts) != 2 or not parts[1].isdigit():
            continue
        label = _text(zone / "name")
        if not label.startswith("package"):
            continue
        index = sum(d.component.startswith("cpu") for d in domains)
        domains.append(_domain(zone, f"cpu:{index}", label))
        for sub in _subzones(root, zone):
            if _text(sub / "name") == "dram":
                domains.append(_domain(sub, f"dram:{index}", f"{label}/dram"))
    return domains


class RaplSensor:
    """CPU packages and DRAM of this machine, whoever uses them."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self._root = root
        self._domains: list[Domain] = []

    def open(self, devices: tuple[DeviceId, ...] | None = None) -> SensorFacts:
        """Find and read every domain once. `devices` means accelerators and is not used.

        Raises SensorError `rapl_absent`, `rapl_permission`, `rapl_unreadable`.
        """
        self._domains = find_domains(self._root)
        if not any(d.component.startswith("cpu") for d in self._domains):
            raise SensorError(
                "rapl_absent",
                f"no RAPL package domain under {self._root}",
                "a virtual machine or a container usually hides RAPL: run on the host itself, or "
                "load the module with `sudo modprobe intel_rapl_msr`",
            )
        self.read()
        names = tuple(d.component for d in self._domains)
        return SensorFacts(
            name="rapl",
            method="rapl",
            provenance=str(Provenance.MEASURED),
            boundary=str(Boundary.HOST),
            components=names,
            used=names,
            tick_s=TICK_S,
            details={
                "domains": ", ".join(d.label for d in self._domains),
                "tick": "documented, not measured",
                **({} if any(n.startswith("dram") for n in names) else {"dram": "no such domain"}),
            },
            counters=names,
            component_tick_s=dict.fromkeys(names, TICK_S),
        )

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        """All counters now, in J since `open`; there is no other state. Raises SensorError where
        one cannot be read."""
        if Parts.COUNTERS not in parts:
            return Sample(time.perf_counter_ns())
        before = time.perf_counter_ns()
        raw = [_counter(d) for d in self._domains]
        after = time.perf_counter_ns()
        for domain, value in zip(self._domains, raw, strict=True):
            domain.count(value, after)
        energy = {d.component: d.total_uj * _J for d in self._domains}
        return Sample((before + after) // 2, energy_j=energy)

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """None: a package's counter cannot tell processes apart (see the window's CPU share)."""
        return ()

    def close(self) -> None:
        """Nothing is held open."""
        self._domains = []


def _subzones(root: Path, zone: Path) -> Sequence[Path]:
    """Sub-domains stand beside their zone, inside it, or both, depending on the kernel."""
    found = {p.name: p for p in (*zone.glob(f"{zone.name}:*"), *root.glob(f"{zone.name}:*"))}
    return [found[name] for name in sorted(found)]


def _domain(zone: Path, component: str, label: str) -> Domain:
    text = _text(zone / "max_energy_range_uj")
    return Domain(component, label, zone / "energy_uj", _integer(text, zone))


def _counter(domain: Domain) -> int:
    try:
        text = domain.path.read_text()
    except PermissionError as error:
        raise SensorError(
            "rapl_permission",
            f"RAPL counters are there but not readable ({domain.path}): only root may read them",
            PERMISSION_REMEDY,
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(domain.path, error) from error
    return _integer(text, domain.path)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _integer(text: str, path: Path) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise _unreadable(path, f"{text.strip()[:40]!r} is not a number") from error


def _unreadable(path: Path, why: object) -> SensorError:
    said = why.strerror if isinstance(why, OSError) and why.strerror else why
    remedy = "look at the file, and load the module again: sudo modprobe -r intel_rapl_msr && "
    return SensorError(
        "rapl_unreadable", f"{path}: {said}", f"{remedy}sudo modprobe intel_rapl_msr"
    )
