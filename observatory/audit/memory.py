"""Rules on memory: no more than the devices have, no less than the weights take (METHOD §8).

| column | what |
|---|---|
| `memory_bytes` | peak memory of the devices used, or of one of them |
| `memory_most_bytes` | what those devices hold |
| `memory_least_bytes` | the weights in their stated format, spread over the devices |

What a row does not say is taken in its favour: a peak may be that of one device of several. Not
judged are memory of the host, of a device or number format that the catalogue does not know, and
the lower bound where the row says that weights are offloaded.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from observatory.audit.rule import EXCLUDE, Breach, Floats, Rule, above, below, number, where

GIB_IN_GB = 2**30 / 1e9  #: the largest of the confusions of decimal and binary units
LEAST_WEIGHTS = 0.98  #: of the weights: a head or an embedding may be kept elsewhere (ours)
#: Memory of these words in a quantity's name is the host's.
HOST = ("cpu", "ram", "dram", "host", "rss", "swap", "disk")


def _above(table: pd.DataFrame) -> Breach:
    return above(number(table, "memory_bytes"), number(table, "memory_most_bytes"))


def _below(table: pd.DataFrame) -> Breach:
    memory, least = number(table, "memory_bytes"), number(table, "memory_least_bytes")
    found = below(memory, least * LEAST_WEIGHTS)
    return where(found.broken & (memory > 0), memory, least)


def _confused(table: pd.DataFrame) -> Breach:
    """Impossible as it stands, possible when a binary unit and a decimal one are exchanged."""
    memory = number(table, "memory_bytes")
    most, least = number(table, "memory_most_bytes"), number(table, "memory_least_bytes")
    larger, smaller = memory * GIB_IN_GB, memory / GIB_IN_GB
    with np.errstate(invalid="ignore"):
        low = _below(table).broken & (larger >= least * LEAST_WEIGHTS) & ~(larger > most)
        high = _above(table).broken & ~(smaller > most) & ~(smaller < least * LEAST_WEIGHTS)
    exchanged: Floats = np.where(low, larger, smaller)
    return where(low | high, memory, exchanged)


MEMORY_RULES: tuple[Rule, ...] = (
    Rule(
        "memory_above_capacity", EXCLUDE,
        "Memory is {value:.4g} B; the devices hold {bound:.4g} B.",
        "Check the unit, the device, how many were used, and whether host memory is in it.",
        "METHOD §8; the catalogue's capacity × devices, in bytes of GiB",
        ("memory_bytes", "memory_most_bytes"), _above,
    ),
    Rule(
        "memory_below_weights", EXCLUDE,
        "Peak memory is {value:.4g} B; the weights alone take {bound:.4g} B of each device.",
        "Check the unit, the number format, and whether weights lie elsewhere: say so if they do.",
        "METHOD §3.13, §8: resident memory >= weight bytes; 2 % for a head kept elsewhere (ours)",
        ("memory_bytes", "memory_least_bytes"), _below,
    ),
    Rule(
        "gib_as_gb", EXCLUDE,
        "The memory, {value:.4g} B, is impossible; {bound:.4g} B, which it is where GB and GiB "
        "were exchanged, is possible.",
        "Look the unit up at the source: 1 GiB is 1.074 GB, 1 MiB is 1.049 MB.",
        "METHOD §8: GB against GiB",
        ("memory_bytes",), _confused,
    ),
)  # fmt: skip
