"""Four bills for every joule: energy, carbon, water and money, with intervals (METHOD §5, §6).

Start with `footprint(EnergyInput(...), Scenario(...))`; `load_factors` gives the registry.
"""

from observatory.footprint.bills import footprints, require_one_kind
from observatory.footprint.detail import footprint, footprint_examples
from observatory.footprint.energy import EnergyInput
from observatory.footprint.factors import EDITIONS, Factor, FactorTable, load_factors
from observatory.footprint.result import QUANTITIES, Bill, Choice, Footprint
from observatory.footprint.scenario import Scenario
from observatory.footprint.zones import EXAMPLE_ZONES, Zone, resolve_zone

__all__ = [
    "EDITIONS",
    "EXAMPLE_ZONES",
    "QUANTITIES",
    "Bill",
    "Choice",
    "EnergyInput",
    "Factor",
    "FactorTable",
    "Footprint",
    "Scenario",
    "Zone",
    "footprint",
    "footprint_examples",
    "footprints",
    "load_factors",
    "require_one_kind",
    "resolve_zone",
]
