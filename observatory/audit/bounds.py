"""How fast a row could be at best, and how much power its devices can draw: bounds beside rows.

A bound is only as hard as what it rests on. Catalogue peaks are what the vendor sells: nothing runs
faster, so a row beyond them is wrong. Ceilings that a short kernel measured on the same machine are
themselves measurements: a row beyond them asks for a look (METHOD §8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from observatory.catalog import hardware
from observatory.catalog.hardware import Hardware
from observatory.catalog.weights import weight_format
from observatory.ceilings import Ceiling, Ceilings
from observatory.errors import InputError, UnknownNameError
from observatory.runtime import roofline
from observatory.store import schema

Floats = NDArray[np.float64]

#: Weights that a last-level cache could hold are not read from memory again at every step, so no
#: bandwidth bounds them. The largest cache of a catalogued part is the MI300X's 256 MiB.
CACHE_BYTES = 256 * 2**20
OWN_LIMIT_FACTOR = 1.05  #: METHOD §3.9: over the enforced limit of the card itself
TDP_FACTOR = 1.15  #: METHOD §8: over the catalogue's TDP, for cards whose limit is unknown
#: A card that the catalogue gives no idle power draws at least this share of its TDP (ours: the
#: lowest published pair is a consumer card's 10 W of 450 W).
IDLE_SHARE_OF_TDP = 0.02
IDLE_TOLERANCE = 0.95  #: of an idle power measured in the same run: a sensor's gain is 5 % sure
IDLE_OF_ANOTHER_CARD = 0.5  #: of an idle power read in a table: cards of one name differ


@dataclass(frozen=True)
class Best:
    """Seconds that a workload takes at least, by what bounds it; arrays of one shape."""

    compute_s: Floats
    memory_s: Floats
    time_s: Floats


def best_times(
    ceiling: Ceiling,
    phase: str,
    prompt: Floats,
    context: Floats,
    output: Floats,
    batch: Floats,
    kv_dtype: str | None = None,
) -> Best | None:
    """The roofline without communication, which can hide behind work; None where there is none.

    `prefill` and `anchor` take prompt, `decode` takes context (tokens in the cache before the first
    step) and output (steps), `e2e` takes prompt and output. Missing sizes give NaN.
    """
    arch, hw, dtype, n = ceiling.architecture, ceiling.hardware, ceiling.dtype, ceiling.devices
    repeats: Floats | float = 1.0
    try:
        if phase in ("prefill", "anchor"):
            found = roofline.prefill_time(
                arch, hw, prompt, batch, dtype, n, kv_dtype, communication=False
            )
        elif phase == "decode":
            middle = context + (output + 1) / 2  # a step's context counts its own token
            found = roofline.decode_time(
                arch, hw, middle, batch, dtype, n, kv_dtype, communication=False
            )
            repeats = output
        elif phase == "e2e":
            found = roofline.request_time(
                arch, hw, prompt, output, batch, dtype, n, kv_dtype, communication=False
            )
        else:
            return None
        unit_known = hw.verified == "measured" or weight_format(dtype).matrix_bytes >= 1
    except InputError:
        return None  # the catalogue has no peak for this number format
    compute, memory, time = (
        part * repeats for part in (found.compute_s, found.memory_s, found.time_s)
    )
    # Under four-bit weights the multiplication may run in 16, 8 or 4 bits: a row does not say.
    if not unit_known:
        compute, time = np.full_like(compute, np.nan), memory
    if hw.verified != "measured" and arch.weights_read(1, dtype) / n <= CACHE_BYTES:
        memory, time = np.full_like(memory, np.nan), compute
    return Best(compute, memory, time)


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
        TDP_FACTOR * hw.tdp_w * devices,
        least * devices,
        f"{TDP_FACTOR:g} × TDP {hw.tdp_w:g} W × {devices} {hw.name}",
    )


class StoreBounds:
    """Bounds of stored (configuration, machine) pairs."""

    def __init__(self, connection: Connection, ceilings: Ceilings) -> None:
        c, e = schema.configuration, schema.environment
        self._ceilings = ceilings
        rows = connection.execute(
            select(c.c.key, c.c.device_kind, c.c.device_count, c.c.technique, c.c.layer_scale)
        )
        self._used = {str(row.key): row for row in rows}
        self._probed = {
            str(row.key): list(row.devices)
            for row in connection.execute(select(e.c.key, e.c.devices))
        }

    def ceiling(self, configuration_key: str, environment_key: str) -> Ceiling | None:
        """What the roofline rests on; None where nothing is known.

        Only a plain run of all layers is judged: a cached prefix, a draft model or a part of the
        layers changes the work itself.
        """
        row = self._used[configuration_key]
        if row.technique != "plain" or row.layer_scale != 1:
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
