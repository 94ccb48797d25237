"""Water: on site (cooling), off site (electricity), withdrawal, scarcity, and the wet-bulb curve.

Sources: Li et al., *Making AI Less Thirsty* (arXiv 2304.03271v5); The Green Grid WUE. WUE is per
kWh of IT energy and is never multiplied by PUE. Off-site water follows facility energy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from observatory.errors import InputError
from observatory.footprint.energy import J_PER_KWH, Value

MAKEUP_FLOOR_L_PER_KWH = 0.05
SHARE_TOLERANCE = 0.01


def on_site_l(it_energy_j: Value, wue_l_per_kwh: Value) -> Value:
    """Litres consumed by cooling: E_IT * WUE."""
    return it_energy_j / J_PER_KWH * wue_l_per_kwh


def off_site_l(energy_j: Value, ewif_l_per_kwh: Value) -> Value:
    """Litres consumed to make the electricity: E at the boundary (facility: PUE inside) * EWIF."""
    return energy_j / J_PER_KWH * ewif_l_per_kwh


def withdrawal_l(consumption_l: Value, cycles: float) -> Value:
    """Litres withdrawn for a tower's consumption: `W * S/(S-1)`, S cycles of concentration."""
    if not cycles > 1:
        raise InputError(f"cycles of concentration must be above 1, got {cycles:g}")
    return consumption_l * (cycles / (cycles - 1))


def ewif_of_mix(
    shares: Mapping[str, float],
    fuels_l_per_kwh: Mapping[str, float],
    hydro_l_per_kwh: float | None = None,
) -> float:
    """EWIF of a generation mix: sum of share times fuel, hydropower at `hydro_l_per_kwh` if given.

    Raises InputError when the shares do not add to 1 within 1 %, one is negative, or a fuel with a
    share has no factor.
    """
    if any(share < 0 for share in shares.values()):
        raise InputError("generation shares: a share is negative")
    total = sum(shares.values())
    if abs(total - 1) > SHARE_TOLERANCE:
        raise InputError(f"generation shares add to {total:.4g}, not to 1: are they percentages?")
    out = 0.0
    for fuel, share in shares.items():
        value = hydro_l_per_kwh if fuel == "hydro" else fuels_l_per_kwh.get(fuel)
        value = fuels_l_per_kwh.get(fuel) if value is None else value
        if value is None and share > 0:
            raise InputError(f"generation shares: no EWIF for fuel {fuel!r}")
        out += share * (value or 0.0)
    return out


def ewif_with_hydro(ewif_zero: float, hydro_share: float, hydro_l_per_kwh: float) -> float:
    """EWIF under a custom hydro rule: the mix with hydropower at zero plus share times rule."""
    return ewif_zero + hydro_share * hydro_l_per_kwh


def wet_bulb_cubic(wet_bulb_f: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The cubic of Li et al. through the measured curve of a cooling tower; T in degrees F."""
    t = np.asarray(wet_bulb_f, dtype=np.float64)
    return 6e-5 * t**3 - 0.01 * t**2 + 0.61 * t - 10.4


def evaporation_l_per_kwh(wet_bulb_f: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Consumption of the curve, L per kWh: max(cubic, 0)."""
    return np.maximum(wet_bulb_cubic(wet_bulb_f), 0.0)


def makeup_l_per_kwh(
    wet_bulb_f: NDArray[np.float64] | float, cycles: float = 3.0
) -> NDArray[np.float64]:
    """Make-up (withdrawal) of the curve, L per kWh: max(S/(S-1) * cubic, 0.05)."""
    scaled = withdrawal_l(wet_bulb_cubic(wet_bulb_f), cycles)
    return np.maximum(scaled, MAKEUP_FLOOR_L_PER_KWH)


def hourly_wue(annual_wue: float, wet_bulb_f: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hourly WUE whose mean is the annual one: annual * shape / mean(shape), shape = evaporation.

    Where the whole series lies below the curve's foot the shape is flat. The mean is over the hours
    given, so pass a whole year.
    """
    shape = evaporation_l_per_kwh(wet_bulb_f)
    mean = float(shape.mean()) if shape.size else 0.0
    return np.full(shape.shape, annual_wue) if mean == 0 else annual_wue * shape / mean
