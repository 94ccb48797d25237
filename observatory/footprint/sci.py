"""Software Carbon Intensity (ISO/IEC 21031:2024): `SCI = (E * I + M) / R`, with R stated."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from observatory.errors import InputError
from observatory.footprint.carbon import S_PER_YEAR
from observatory.footprint.result import Footprint

FUNCTIONAL_UNITS = ("request", "output token", "token", "million tokens", "correct answer")


@dataclass(frozen=True, slots=True)
class Sci:
    """The score with every term, in gCO2e per functional unit R."""

    sci_g: float
    functional_unit: str
    units_per_request: float  #: how many R one request is
    energy_kwh: float  #: E, of one request at the boundary
    operational_g: float  #: E * I
    embodied_g: float  #: M
    intensity_g_per_kwh: float | None  #: I
    boundary: str
    kind: str | None
    zone: str | None
    edition: str

    def row(self) -> dict[str, object]:
        """Plain values for an export."""
        return asdict(self)


def embodied_share_g(
    total_kg: float, reserved_s: float, lifetime_s: float, resources_share: float = 1.0
) -> float:
    """`M = TE * TS * RS` in g: total embodied, share of the lifetime, share of the resources."""
    if not lifetime_s > 0:
        raise InputError(f"lifetime of {lifetime_s:g} s: must be above 0")
    return total_kg * 1e3 * reserved_s / lifetime_s * resources_share


def years_s(years: float) -> float:
    """Seconds of calendar years of 365 days."""
    return years * S_PER_YEAR


def score_g(operational_g: float, embodied_g: float, units: float) -> float:
    """`(E * I + M) / R` in g. Raises InputError unless R is above 0."""
    if not units > 0:
        raise InputError(f"SCI needs R above 0, got {units:g}")
    return (operational_g + embodied_g) / units


def sci_of(made: Footprint, functional_unit: str, units_per_request: float) -> Sci:
    """The score of a footprint. R is stated by name and by how many of it one request makes.

    Raises InputError where carbon or embodied carbon is unknown: the standard requires both.
    """
    if functional_unit not in FUNCTIONAL_UNITS:
        raise InputError(f"SCI: R {functional_unit!r} is not one of {', '.join(FUNCTIONAL_UNITS)}")
    operational, embodied = made.co2e_operational_g, made.co2e_embodied_g
    for bill in (operational, embodied):
        if bill.value is None:
            raise InputError(f"SCI needs operational and embodied carbon: {bill.reason}")
    assert operational.value is not None
    assert embodied.value is not None
    assert made.energy_wh.value is not None
    energy_kwh = made.energy_wh.value / 1e3
    return Sci(
        score_g(operational.value, embodied.value, units_per_request),
        functional_unit,
        units_per_request,
        energy_kwh,
        operational.value,
        embodied.value,
        operational.value / energy_kwh if energy_kwh > 0 else None,
        made.boundary,
        made.kind,
        made.zone,
        made.edition,
    )
