"""Units: the one place that turns SI numbers into text and axis labels.

A quantity is named as its column is (`energy_j`, `co2e_g`, `water_l`, `cost_usd`, `runtime_s`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

J_PER_WH = 3600.0


@dataclass(frozen=True, slots=True)
class Unit:
    """How a quantity is shown: its symbol, axis label, scaled prefixes and which way is better."""

    symbol: str
    label: str
    scales: tuple[tuple[float, str], ...]  #: (factor, symbol), largest first
    lower_is_better: bool = True


def _metric(symbol: str) -> tuple[tuple[float, str], ...]:
    return (
        (1e9, f"G{symbol}"), (1e6, f"M{symbol}"), (1e3, f"k{symbol}"), (1.0, symbol),
        (1e-3, f"m{symbol}"), (1e-6, f"µ{symbol}"), (1e-9, f"n{symbol}"),
    )  # fmt: skip


_BINARY = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_MASS = ((1e6, "t"), (1e3, "kg"), (1.0, "g"), (1e-3, "mg"), (1e-6, "µg"), (1e-9, "ng"))
_WATER = ((1e6, "ML"), (1e3, "m³"), (1.0, "L"), (1e-3, "mL"), (1e-6, "µL"), (1e-9, "nL"))
_MONEY = ((1.0, "$"), (1e-3, "m$"), (1e-6, "µ$"), (1e-9, "n$"))

UNITS: dict[str, Unit] = {
    "runtime_s": Unit("s", "Runtime (s)", _TIME),
    "ttft_s": Unit("s", "Time to first token (s)", _TIME),
    "tpot_s": Unit("s", "Time per output token (s)", _TIME),
    "accelerator_s": Unit("s", "Accelerator time (s)", _TIME),
    "energy_j": Unit("J", "Energy (J)", _metric("J")),
    "energy_wh": Unit("Wh", "Energy (Wh)", _metric("Wh")),
    "power_w": Unit("W", "Power (W)", _metric("W")),
    "co2e_g": Unit("gCO2e", "Carbon (gCO2e)", tuple((f, f"{s}CO2e") for f, s in _MASS)),
    "water_l": Unit("L", "Water (L)", _WATER),
    "cost_usd": Unit("$", "Cost ($)", _MONEY),
    "memory_bytes": Unit("B", "Memory (B)", _BINARY),
    "flops_per_s": Unit("FLOP/s", "Compute (FLOP/s)", ((1e12, "TFLOP/s"), (1e9, "GFLOP/s"))),
    "bandwidth_bytes_per_s": Unit("B/s", "Bandwidth (B/s)", ((1e12, "TB/s"), (1e9, "GB/s"))),
    "tokens_per_s": Unit(
        "token/s", "Throughput (token/s)", ((1.0, "token/s"),), lower_is_better=False
    ),
}

MISSING = "–"


def show(value: float | None, quantity: str, digits: int = 3, like: float | None = None) -> str:
    """`value` of `quantity` with a readable prefix, such as `12.3 ms`; a dash where it is missing.

    `like` is another value whose prefix to use, so that a column has one unit. Raises KeyError for
    a quantity that is not registered.
    """
    if value is None or math.isnan(value):
        return MISSING
    factor, symbol = _scale(UNITS[quantity], value if like is None else like)
    return f"{significant(value / factor, digits)} {symbol}"


def symbol(quantity: str, like: float) -> str:
    """The symbol with the prefix in which `like` is shown."""
    return _scale(UNITS[quantity], like)[1]


def _scale(unit: Unit, value: float) -> tuple[float, str]:
    if value == 0:
        return 1.0, unit.symbol
    return next(((f, s) for f, s in unit.scales if abs(value) >= f * 0.9995), unit.scales[-1])


def significant(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits and no exponent between 1e-4 and 1e6."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    magnitude = math.floor(math.log10(abs(value)))
    if not -5 < magnitude < 6:
        return f"{value:.{digits - 1}e}"
    rounded = round(value, digits - 1 - magnitude)
    return f"{rounded:.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"


def show_interval(
    low: float | None,
    mid: float | None,
    high: float | None,
    quantity: str,
    digits: int = 3,
    like: float | None = None,
) -> str:
    """`mid [low–high]` in one unit (that of `like`, or of the middle); the middle alone without
    bounds; a dash where it is missing."""
    text = show(mid, quantity, digits, like)
    if mid is None or math.isnan(mid) or low is None or high is None:
        return text
    factor, symbol = _scale(UNITS[quantity], mid if like is None else like)
    number = text.removesuffix(f" {symbol}")
    bounds = f"{significant(low / factor, digits)}–{significant(high / factor, digits)}"
    return f"{number} [{bounds}] {symbol}"


def largest(values: Iterable[float | None]) -> float | None:
    """The largest value that is there, whose prefix a column can share; None for none."""
    known = [abs(v) for v in values if v is not None and not math.isnan(v)]
    return max(known, default=None)
