"""Zones: where electricity is taken and water is drawn, and which device or fleet is meant.

Countries are ISO 3166-1 alpha-3 (`FRA`), US states ISO 3166-2 (`US-TX`), cloud regions
`cloud:provider:region`; fleets `provider:gcp`, sites `site:gcp:hamina-finland`, devices
`device:nvidia-h100`. A name resolves to exactly one of them or fails with near matches: there is no
default zone.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from observatory.errors import InputError, UnknownNameError
from observatory.footprint.factors import shipped_text

#: contrasting examples shown where no zone is given: low, middle and high carbon intensity
EXAMPLE_ZONES = ("SWE", "USA", "IND")
NOT_GRID = ("device:", "provider:", "site:", "industry")


@dataclass(frozen=True, slots=True)
class Zone:
    """A place, fleet, site or device. `parent` is the wider zone that lends what this one lacks."""

    id: str
    name: str
    parent: str | None = None
    facility: str | None = None  #: zone whose PUE and WUE apply to a cloud region
    aliases: tuple[str, ...] = ()

    @property
    def is_grid(self) -> bool:
        """Whether electricity can be taken here (a country, state or cloud region)."""
        return not self.id.startswith(NOT_GRID)


@cache
def zones() -> dict[str, Zone]:
    """All shipped zones by id."""
    reader = csv.DictReader(shipped_text("zones.csv").splitlines())
    return {
        row["zone"]: Zone(
            row["zone"],
            row["name"],
            row["parent"] or None,
            row["facility"] or None,
            tuple(alias for alias in row["aliases"].split("|") if alias),
        )
        for row in reader
    }


#: How a name that nothing comes near is written.
FORMS = {
    "zone": "use an alpha-3 country, US-TX or cloud:provider:region",
    "facility": "use site:gcp:hamina-finland, provider:aws, cloud:provider:region or industry",
}


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9:]+", " ", name.casefold()).strip()


@cache
def _index() -> dict[str, tuple[str, ...]]:
    out: dict[str, tuple[str, ...]] = {}
    for zone in zones().values():
        # the place name of a cloud region ("Texas") belongs to the state or country
        names = () if zone.id.startswith("cloud:") else (zone.name,)
        for name in (zone.id, *names, *zone.aliases):
            key = _normal(name)
            if zone.id not in out.get(key, ()):
                out[key] = (*out.get(key, ()), zone.id)
    return out


def _find(name: str, kind: str, wanted: list[Zone]) -> Zone:
    ids = {zone.id for zone in wanted}
    if name in ids:
        return zones()[name]
    hits = [found for found in _index().get(_normal(name), ()) if found in ids]
    exact = [found for found in hits if _normal(found) == _normal(name)]
    hits = exact or hits
    if len(hits) > 1:
        raise InputError(f"{kind} {name!r} is ambiguous: say one of {', '.join(sorted(hits))}")
    if not hits:
        own = [zone for zone in wanted if not zone.id.startswith("cloud:")]
        known = [*(zone.id for zone in wanted), *(zone.name for zone in own)]
        raise UnknownNameError(kind, name, known, FORMS[kind])
    return zones()[hits[0]]


def resolve_zone(name: str) -> Zone:
    """The grid zone called `name` (id, name or alias, any case).

    Raises UnknownNameError with near matches, InputError when the name means two zones.
    """
    return _find(name, "zone", [zone for zone in zones().values() if zone.is_grid])


def resolve_facility(name: str) -> Zone:
    """The site, fleet, cloud region or `industry` whose PUE and WUE are meant."""
    wanted = [z for z in zones().values() if not z.id.startswith("device:") and ":" in z.id]
    return _find(name, "facility", [*wanted, zones()["industry"]])


def resolve_device(name: str) -> Zone | None:
    """The device called `name` as a driver or a catalog gives it; None where none is known."""
    hits = [hit for hit in _index().get(_normal(name), ()) if hit.startswith("device:")]
    return zones()[hits[0]] if hits else None


def chain(zone: Zone) -> Iterator[Zone]:
    """The zone itself, then its parents, narrowest first."""
    at: Zone | None = zone
    while at is not None:
        yield at
        at = zones()[at.parent] if at.parent else None
