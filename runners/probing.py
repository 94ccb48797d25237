"""`run-benchmark probe`: what this machine can measure, what not, and how to enable it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from observatory.errors import ObservatoryError
from observatory.records import Environment
from observatory.units import show
from runners.environment import available_memory_bytes, default_threads, probe
from runners.registry import backend_names, require_backend
from runners.sensors.choose import SensorStatus, probe_sensors


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing that this machine can or cannot do, and what to do about it."""

    name: str
    available: bool
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """Everything that `probe` says."""

    environment: Environment
    available_bytes: int
    threads: int
    backends: tuple[Ability, ...]
    sensors: tuple[SensorStatus, ...]
    system: tuple[Ability, ...]

    @property
    def measures_energy(self) -> bool:
        """Whether `--require-energy` would go on."""
        return any(s.available and s.provenance == "measured" for s in self.sensors)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the environment with its key."""
        own = asdict(self)
        own["environment"]["key"] = self.environment.key
        own["sensors"] = [{**s, "details": dict(s["details"])} for s in own["sensors"]]
        return {**own, "measures_energy": self.measures_energy}


def probe_machine() -> Probe:
    """Look at everything once; a sensor that cannot be opened is a row, not an error."""
    environment = probe()
    return Probe(
        environment=environment,
        available_bytes=available_memory_bytes(),
        threads=default_threads(),
        backends=tuple(_backend(name) for name in backend_names()),
        sensors=tuple(probe_sensors()),
        system=tuple(_system(environment)),
    )


def _backend(name: str) -> Ability:
    try:
        require_backend(name)
    except ObservatoryError as error:
        sentence, _, remedy = str(error).partition(": ")
        return Ability(name, False, sentence, remedy)
    return Ability(name, True, "can run models")


def _system(environment: Environment) -> list[Ability]:
    pressure = Path("/proc/pressure/cpu")
    stalls = pressure.is_file()
    busy = Ability(
        "cpu pressure", stalls, f"{pressure} shows when a neighbour takes CPU time" if stalls else
        "this kernel has no pressure stall information",
        "" if stalls else "boot with psi=1; the CPU share alone is used until then",
    )  # fmt: skip
    governor = environment.cpu_governor
    clock = Ability(
        "cpu clock", governor in (None, "performance"),
        "the system shows no frequency governor" if governor is None else
        f"the frequency governor is {governor}",
        "" if governor in (None, "performance") else
        "sudo cpupower frequency-set -g performance steadies the times",
    )  # fmt: skip
    return [busy, clock]


def print_probe(found: Probe) -> None:
    """The same for a person."""
    e = found.environment
    memory = show(float(e.memory_bytes), "memory_bytes")
    free = show(float(found.available_bytes), "memory_bytes")
    cores = f"{e.cpu_physical_cores or '?'} cores ({e.cpu_logical_cores} logical)"
    virtual = {True: ", virtual machine", False: "", None: ""}[e.virtualised]
    click.echo(f"machine      {e.cpu_model}, {cores}, {memory} ({free} available){virtual}")
    click.echo(f"system       {e.operating_system}, kernel {e.kernel}, Python {e.python}")
    libraries = ", ".join(f"{name} {version}" for name, version in e.libraries.items())
    click.echo(f"libraries    {libraries or 'none of those that backends use'}")
    click.echo(f"threads      {found.threads} by default (--threads)")
    for device in e.devices:
        limit = show(device.power_limit_w, "power_w")
        size = None if device.memory_bytes is None else float(device.memory_bytes)
        click.echo(
            f"device {device.index}     {device.name}, {show(size, 'memory_bytes')}, "
            f"limit {limit}, driver {device.driver}, {device.uuid}"
        )
    if not e.devices:
        click.echo("devices      no CUDA device: NVML or its driver is not there; the CPU is used")
    for title, rows in (("backend", found.backends), ("energy", found.sensors),
                        ("system", found.system)):  # fmt: skip
        for row in rows:
            _print_row(title, row)
    if not found.measures_energy:
        click.echo("No sensor measures energy here: joules are estimates, or NULL with the reason.")


def _print_row(title: str, row: Ability | SensorStatus) -> None:
    mark = "yes" if row.available else "no"
    estimated = isinstance(row, SensorStatus) and row.available and row.provenance == "estimated"
    word = "estimate" if estimated else mark
    click.echo(f"{title:<12} {row.name}: {word}: {row.sentence}")
    if row.remedy:
        click.echo(f"{'':<12}   to enable it: {row.remedy}")
