"""How fast a row could be at best, and how much power its devices can draw: bounds beside rows.

A bound is only as hard as what it rests on. Catalogue peaks are what the vendor sells: nothing runs
faster, so a row beyond them is wrong. Ceilings that a short kernel measured on the same machine are
themselves measurements: a row beyond them asks for a look (METHOD §8).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from observatory.catalog import hardware
from observatory.catalog.hardware import Hardware
from observatory.ceilings import Ceiling, Ceilings
from observatory.errors import InputError, UnknownNameError
from observatory.records import Phase
from observatory.runtime.plausibility import POWER_FACTOR, Row, least
from observatory.store import schema

#: Weights that a last-level cache could hold are not read from memory again at every step, so no
#: bandwidth bounds them. The largest cache of a catalogued part is the MI300X's 256 MiB.
CACHE_BYTES = 256 * 2**20
OWN_LIMIT_FACTOR = 1.05  #: METHOD §3.9: over the enforced limit of the card itself
#: A card that the catalogue gives no idle power draws at least this share of its TDP (ours: the
#: lowest published pair is a consumer card's 10 W of 450 W).
IDLE_SHARE_OF_TDP = 0.02
IDLE_TOLERANCE = 0.95  #: of an idle power measured in the same run: a sensor's gain is 5 % sure
IDLE_OF_ANOTHER_CARD = 0.5  #: of an idle power read in a table: cards of one name differ


@dataclass(frozen=True, slots=True)
class Best:
    """Seconds that a workload takes at least: by its operations, by its bytes (NaN: no bound)."""

    compute_s: float
    memory_s: float

    @property
    def time_s(self) -> float:
        """The larger of the two that are known."""
        return float(np.fmax(self.compute_s, self.memory_s))


def best_time(
    ceiling: Ceiling,
    phase: str,
    prompt: float,
    context: float,
    output: float,
    batch: float,
    kv_dtype: str | None = None,
) -> Best | None:
    """The generous roofline of one iteration (`runtime.plausibility.least`); None for none.

    `prefill` and `anchor` take prompt, `decode` takes context (tokens in the cache before the first
    step) and output (steps), `e2e` takes prompt and output.
    """
    arch, hw, dtype, n = ceiling.architecture, ceiling.hardware, ceiling.dtype, ceiling.devices
    row = Row(arch, hw, n, dtype, batch, kv_dtype=kv_dtype)
    repeats = 1.0
    if phase in (Phase.PREFILL, Phase.ANCHOR):
        row = replace(row, prompt=prompt, output=1)
    elif phase == Phase.DECODE:
        # A step's context counts its own token; the middle step stands for all.
        row, repeats = replace(row, step=True, context=context + (output + 1) / 2), output
    elif phase == Phase.E2E:
        row = replace(row, prompt=prompt, output=output)
    else:
        return None
    if any(math.isnan(x) for x in (row.prompt or 0, row.context or 0, row.output or 0, batch)):
        return None
    try:
        found = least(row)
    except InputError:
        return None  # the catalogue has no peak for this number format
    compute = math.nan if found.compute_s is None else float(found.compute_s) * repeats
    memory = float(found.memory_s) * repeats
    # A bandwidth measured here bounds nothing hard anyway, and a CPU's has met its caches.
    if hw.verified != "measured" and arch.weights_read(1, dtype) / n <= CACHE_BYTES:
        memory = math.nan
    return Best(compute, memory)


@cache
def catalogued(device: str) -> Hardware | None:
    """The catalogue's row for a device name; None where it has none."""
    try:
        return hardware.lookup(device)
    except UnknownNameError:
        return None


@dataclass(frozen=True, slots=True)
class PowerBounds:
    """Watts that the devices of a row can draw together; None where nothing is known."""

    most_w: float | None
    least_w: float | None
    rests_on: str


def catalogue_power(device: str, devices: int) -> PowerBounds | None:
    """Power bounds of `devices` accelerators by the catalogue."""
    hw = catalogued(device)
    if hw is None or hw.tdp_w is None:
        return None
    least = IDLE_SHARE_OF_TDP * hw.tdp_w if hw.idle_w is None else IDLE_OF_ANOTHER_CARD * hw.idle_w
    return PowerBounds(
        POWER_FACTOR * hw.tdp_w * devices,
        least * devices,
        f"{POWER_FACTOR:g} × TDP {hw.tdp_w:g} W × {devices} {hw.name}",
    )


class StoreBounds:
    """Bounds of stored (configuration, machine) pairs."""

    def __init__(self, connection: Connection, ceilings: Ceilings) -> None:
        c, e = schema.configuration, schema.environment
        self._ceilings = ceilings
        rows = connection.execute(
            select(
                c.c.key,
                c.c.device_kind,
                c.c.device_count,
                c.c.technique,
                c.c.layer_scale,
                c.c.quantization,
            )
        )
        self._used = {str(row.key): row for row in rows}
        self._probed = {
            str(row.key): list(row.devices)
            for row in connection.execute(select(e.c.key, e.c.devices))
        }

    def ceiling(self, configuration_key: str, environment_key: str) -> Ceiling | None:
        """What the roofline rests on; None where nothing is known.

        Only a plain run of all layers in the number format is judged: a cached prefix, a draft
        model, a part of the layers or quantized weights change the work itself.
        """
        row = self._used[configuration_key]
        plain = row.technique == "plain" and row.quantization == "none"
        if not plain or row.layer_scale != 1:
            return None
        return self._ceilings.of(configuration_key, environment_key)

    def power(self, configuration_key: str, environment_key: str) -> PowerBounds | None:
        """Watts of a configuration's accelerators: by their own limit, else TDP; None for a CPU."""
        row = self._used[configuration_key]
        device, count = str(row.device_kind), int(row.device_count)
        limit = _own_limit(self._probed.get(environment_key, ()), device)
        if limit is None:
            return catalogue_power(device, count)
        return PowerBounds(
            OWN_LIMIT_FACTOR * limit * count,
            None,
            f"{OWN_LIMIT_FACTOR:g} × the card's limit {limit:g} W × {count}",
        )


def _own_limit(probed: Iterable[Mapping[str, Any]], device: str) -> float | None:
    """The highest enforced limit among the machine's cards of that name: which card was used is
    not said, and nobody is to be accused wrongly."""
    limits = [
        float(card["power_limit_w"])
        for card in probed
        if card.get("name") == device and card.get("power_limit_w")
    ]
    return max(limits, default=None)
