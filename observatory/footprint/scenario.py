"""A scenario: where, under which boundary and with which prices a request is billed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from observatory.errors import InputError, UnknownNameError
from observatory.footprint.cost import BASES
from observatory.footprint.energy import boundary_name
from observatory.footprint.factors import COOLING, HYDRO_RULES, KINDS_OF_CARBON
from observatory.footprint.uncertainty import DRAWS
from observatory.footprint.zones import resolve_zone
from observatory.records import content_hash

Listed = Literal["catalog"]  #: take the shipped price of this zone or device


@dataclass(frozen=True, slots=True)
class Scenario:
    """Every choice a reader makes. None: not stated, resolved by the registry or left missing.

    A number stated here is exact and wins over the registry. `facility` names the site, fleet or
    cloud region whose PUE and WUE apply; without one the zone's own, else the industry average,
    shown as assumed. `kind` None takes the zone's own kind of carbon intensity. Prices are numbers
    or `catalog`. `active_share` is the share of the lifetime in which hardware serves requests.
    """

    zone: str | None = None
    boundary: str = "facility"
    kind: str | None = None
    facility: str | None = None
    carbon_intensity_g_per_kwh: float | None = None
    pue: float | None = None
    wue_l_per_kwh: float | None = None
    ewif_l_per_kwh: float | None = None
    hydro_rule: str = "zero"
    hydro_l_per_kwh: float | None = None
    cooling: str = "mid"
    cycles: float | None = None
    scarcity_on_site: float | None = None
    scarcity_off_site: float | None = None
    tariff_usd_per_kwh: float | Listed | None = None
    gpu_price_usd_per_h: float | Listed | None = None
    capex_usd: float | None = None
    api_input_usd_per_mtok: float | None = None
    api_output_usd_per_mtok: float | None = None
    cost_basis: str | None = None
    embodied_kg: float | None = None
    lifetime_years: float | None = None
    active_share: float | None = None
    draws: int = DRAWS
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundary", boundary_name(self.boundary))
        _one_of("carbon kind", self.kind, KINDS_OF_CARBON)
        _one_of("hydro rule", self.hydro_rule, HYDRO_RULES)
        _one_of("cooling", self.cooling, COOLING)
        _one_of("cost basis", self.cost_basis, BASES)
        if self.zone is not None:
            object.__setattr__(self, "zone", resolve_zone(self.zone).id)
        if (self.hydro_rule == "custom") != (self.hydro_l_per_kwh is not None):
            raise InputError("hydro rule custom and a value in L/kWh (--hydro-wif) come together")
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and value != "catalog":
                check_number(name, value)
        if self.draws < 100:
            raise InputError(f"draws = {self.draws}: at least 100 are needed for p5 and p95")

    @property
    def key(self) -> str:
        """Content hash of every choice but the name."""
        return content_hash(asdict(replace(self, name="")))

    def label(self) -> str:
        """Short text for tables."""
        return self.name or self.zone or "stated numbers"


_NUMBERS = tuple(
    name
    for name in (f.name for f in fields(Scenario))
    if name.endswith(("_kwh", "_h", "_usd", "_mtok", "_kg", "_years", "_share", "_site"))
    or name in ("pue", "cycles")
)
_RANGES = {"pue": (1.0, 5.0), "active_share": (1e-6, 1.0), "lifetime_years": (1e-6, 100.0)}


def check_number(name: str, value: object) -> None:
    """Raises InputError unless `value` is a finite number in the range of the field `name`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name} = {value!r}: needs a number")
    low, high = _RANGES.get(name, (0.0, math.inf))
    if not low <= value <= high:
        bound = f"between {low:g} and {high:g}" if high < math.inf else f"{low:g} or more"
        raise InputError(f"{name} = {value:g}: must be {bound}")


def _one_of(what: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise UnknownNameError(what, str(value), list(known), f"one of {', '.join(known)}")


def scenario_from(values: Mapping[str, Any], where: str = "scenario") -> Scenario:
    """A Scenario from plain values (YAML, JSON). Raises UnknownNameError for a field not known."""
    known = [f.name for f in fields(Scenario)]
    for name in values:
        if name not in known:
            raise UnknownNameError(f"field in {where}", str(name), known, f"one of {known}")
    try:
        return Scenario(**values)
    except TypeError as error:
        raise InputError(f"{where}: {error}") from error
