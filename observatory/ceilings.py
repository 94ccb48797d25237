"""The roofline beside every measured row: which hardware figures hold for a stored configuration.

An accelerator that the catalogue knows has its dense peaks from there. Any other device (a CPU
above all) has the ceilings that were measured on it, by a short matmul and a copy, in the same
runs: the best value over them, for the same number format and thread count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from observatory.catalog import hardware
from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.errors import InputError, UnknownNameError
from observatory.runtime import roofline
from observatory.runtime.terms import Experts
from observatory.store import schema

MEASURED_HERE = "measured on this machine"
NO_ROOFLINE: dict[str, Any] = {
    "roofline_s": None, "roofline_bound": None, "roofline_hardware": None, "mfu": None, "mbu": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a roofline needs: the architecture, the hardware, and how many devices."""

    architecture: Architecture
    hardware: Hardware
    dtype: str
    devices: int


class Ceilings:
    """Looks up the ceiling of (configuration, machine) in the store; None where there is none.

    `configurations` limits it to those keys; equal models share one architecture.
    """

    def __init__(
        self, connection: Connection, configurations: Collection[str] | None = None
    ) -> None:
        c, m = schema.configuration, schema.model
        query = select(c.c.key, c.c.model_key, c.c.dtype, c.c.device_kind, c.c.device_count,
                       c.c.threads)  # fmt: skip
        if configurations is not None:
            query = query.where(c.c.key.in_(configurations))
        rows = connection.execute(query).mappings()
        self._configurations = {str(row["key"]): dict(row) for row in rows}
        used = {row["model_key"] for row in self._configurations.values()}
        self._models = {
            str(row.key): (str(row.name), dict(row.config))
            for row in connection.execute(
                select(m.c.key, m.c.name, m.c.config).where(m.c.key.in_(used))
            )
        }
        self._architectures: dict[str, Architecture | None] = {}
        e = schema.environment
        self._memory = {
            str(row["key"]): float(row["memory_bytes"])
            for row in connection.execute(select(e.c.key, e.c.memory_bytes)).mappings()
        }
        self._peaks = _best_peaks(connection)
        self._known: dict[tuple[str, str], Ceiling | None] = {}
        self._catalogued: dict[str, Hardware | None] = {}

    def of(self, configuration_key: str, environment_key: str) -> Ceiling | None:
        """The ceiling of a configuration on a machine."""
        key = (configuration_key, environment_key)
        if key not in self._known:
            self._known[key] = self._find(*key)
        return self._known[key]

    def architecture(self, configuration_key: str) -> Architecture | None:
        """What a configuration runs; None for a family that the catalogue does not know."""
        model = str(self._configurations[configuration_key]["model_key"])
        if model not in self._architectures:
            name, config = self._models[model]
            try:
                self._architectures[model] = Architecture.from_config(config, name=name)
            except InputError:
                self._architectures[model] = None
        return self._architectures[model]

    def mixtures(self) -> dict[str, Experts]:
        """Configurations of mixtures of experts, with how many experts a token meets."""
        known = {key: self.architecture(key) for key in self._configurations}
        return {
            key: Experts(architecture.experts, architecture.moe.top_k)
            for key, architecture in known.items()
            if architecture is not None
            and architecture.moe is not None
            and architecture.moe.top_k < architecture.experts
        }

    def _find(self, configuration_key: str, environment_key: str) -> Ceiling | None:
        row = self._configurations[configuration_key]
        architecture = self.architecture(configuration_key)
        if architecture is None:
            return None
        found = self._hardware(row, environment_key)
        if found is None:
            return None
        return Ceiling(architecture, found, str(row["dtype"]), int(row["device_count"]))

    def _hardware(self, row: Mapping[str, Any], environment_key: str) -> Hardware | None:
        device = str(row["device_kind"])
        known = self.catalogued(device)
        if known is not None:
            return known
        ids = (environment_key, device, str(row["dtype"]), row["threads"])
        flops = self._peaks.get((*ids, "matmul_flops_per_s"))
        bandwidth = self._peaks.get((*ids[:2], None, row["threads"], "bandwidth_bytes_per_s"))
        if flops is None or bandwidth is None:
            return None
        return Hardware.measured(device, flops, bandwidth, self._memory[environment_key])

    def catalogued(self, device: str) -> Hardware | None:
        """The catalogue's figures of a device as the driver names it; None where it has none."""
        if device not in self._catalogued:
            try:
                self._catalogued[device] = hardware.lookup(device)
            except UnknownNameError:
                self._catalogued[device] = None
        return self._catalogued[device]

    def beside(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The summary row with its roofline time, bound, MFU and MBU (None where unknown)."""
        ceiling = self.of(row["configuration_key"], row["environment_key"])
        if ceiling is None:
            return {**row, **NO_ROOFLINE}
        return {**row, **_roofline_columns(row, ceiling)}


def _best_peaks(connection: Connection) -> dict[tuple[Any, ...], float]:
    p, r = schema.peak, schema.run
    rows = connection.execute(
        select(
            r.c.environment_key, p.c.device, p.c.dtype, p.c.threads, p.c.quantity, p.c.value
        ).join(r, p.c.run_id == r.c.id)
    )
    best: dict[tuple[Any, ...], float] = {}
    for machine, device, dtype, threads, quantity, value in rows:
        # Bandwidth does not depend on the number format that the copied array has.
        kept = None if quantity == "bandwidth_bytes_per_s" else dtype
        key = (machine, device, kept, threads, quantity)
        best[key] = max(best.get(key, 0.0), float(value))
    return best


def _roofline_columns(row: Mapping[str, Any], ceiling: Ceiling) -> dict[str, Any]:
    arch, hw, dtype, n = ceiling.architecture, ceiling.hardware, ceiling.dtype, ceiling.devices
    phase, batch, output = row["phase"], row["batch"], row["output_tokens"]
    if phase == "prefill" and row["prompt_tokens"]:
        bound = roofline.prefill_time(arch, hw, row["prompt_tokens"], batch, dtype, n)
        work = roofline.prefill_work(arch, row["prompt_tokens"], batch, dtype, n)
        times = 1
    elif phase == "decode" and row["context_tokens"] is not None and output:
        middle = row["context_tokens"] + (output + 1) / 2  # a step's context counts its own token
        bound = roofline.decode_time(arch, hw, middle, batch, dtype, n)
        work = roofline.decode_work(arch, middle, batch, dtype, n)
        times = output
    elif phase == "e2e" and row["prompt_tokens"] and output:
        bound = roofline.request_time(arch, hw, row["prompt_tokens"], output, batch, dtype, n)
        return {
            **NO_ROOFLINE,
            "roofline_s": float(bound.time_s),
            "roofline_bound": str(bound.bound),
            "roofline_hardware": _named(hw),
        }
    else:
        return dict(NO_ROOFLINE)
    used = roofline.utilisation(work, hw, row["runtime_s"] / times, dtype, n)
    return {
        "roofline_s": float(bound.time_s) * times,
        "roofline_bound": str(bound.bound),
        "roofline_hardware": _named(hw),
        "mfu": float(used.mfu),
        "mbu": float(used.mbu),
    }


def _named(hw: Hardware) -> str:
    return f"{hw.name} ({MEASURED_HERE})" if hw.verified == "measured" else hw.name
