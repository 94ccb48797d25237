"""EWIF of a generation mix that the reader states, such as that of a power contract."""

from __future__ import annotations

import math

from observatory.errors import InputError
from observatory.footprint.factors import FactorTable
from observatory.footprint.scenario import Scenario
from observatory.footprint.water import ewif_of_mix

#: fuel -> its row in the registry (Macknick et al. 2012; oil as in Li et al.)
FUELS = {
    "coal": "macknick2012:coal-default",
    "gas": "macknick2012:gas-default",
    "oil": "li2023-notebook:oil",
    "nuclear": "macknick2012:nuclear-default",
    "biomass": "macknick2012:biopower-default",
    "geothermal": "macknick2012:geothermal-default",
    "solar": "macknick2012:solar-pv",
    "wind": "macknick2012:wind",
    "hydro": "macknick2012:hydro",
}


def parse_mix(text: str) -> dict[str, float]:
    """Shares from `coal=0.3,wind=0.7`. Raises InputError."""
    out: dict[str, float] = {}
    for part in text.split(","):
        fuel, equals, share = part.partition("=")
        fuel = fuel.strip().lower()
        if not equals or fuel not in FUELS:
            raise InputError(f"--mix {part!r}: needs FUEL=SHARE with one of {', '.join(FUELS)}")
        if fuel in out:
            raise InputError(f"--mix: {fuel} occurs twice")
        try:
            out[fuel] = float(share)
        except ValueError as error:
            raise InputError(f"--mix {part!r}: {share!r} is not a number") from error
        if not math.isfinite(out[fuel]):
            raise InputError(f"--mix {part!r}: give a finite share")
    return out


def ewif_of(shares: dict[str, float], scenario: Scenario, table: FactorTable) -> float:
    """L/kWh of the mix under the scenario's hydro rule."""
    fuels = {fuel: table.by_id(f"ewif.fuel:fuel:{row}").value for fuel, row in FUELS.items()}
    hydro = {"zero": 0.0, "allocated": None, "custom": scenario.hydro_l_per_kwh}
    return ewif_of_mix(shares, fuels, hydro[scenario.hydro_rule])
