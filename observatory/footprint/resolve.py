"""From a scenario to factors: which number serves what, from which level, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from observatory.errors import InputError
from observatory.footprint.factors import KINDS_OF_CARBON, Factor, FactorTable, given
from observatory.footprint.scenario import Scenario
from observatory.footprint.water import ewif_with_hydro
from observatory.footprint.zones import (
    Zone,
    chain,
    resolve_device,
    resolve_facility,
    zones,
)

_SAY_ZONE = "no zone: say --zone, or state the number with {flag}"


@dataclass(frozen=True)
class Resolved:
    """Factors by role: ci, pue, wue, ewif, tariff, price, capex, embodied, server, life, active."""

    factors: Mapping[str, Factor]
    missing: Mapping[str, str]  #: role -> why there is none and which flag gives it
    notes: tuple[str, ...]
    kind: str | None

    def assumed(self, roles: Iterable[str]) -> tuple[str, ...]:
        """Those of `roles` that rest on an industry average or a judgement."""
        used = set(roles)
        found = (r for r, f in self.factors.items() if f.evidence == "assumed" and r in used)
        return tuple(found)


def resolve(scenario: Scenario, table: FactorTable, device: str | None = None) -> Resolved:
    """Factors of one scenario and device name. Raises InputError for a carbon kind not to be had.

    A cloud region borrows carbon intensity from the grid zone it lies in, and water factors from
    the country; never does a state borrow its carbon intensity from the country, because the kinds
    differ.
    """
    build = _Builder(scenario, table)
    build.carbon()
    build.facility("pue", scenario.pue, "--pue")
    build.facility("wue", scenario.wue_l_per_kwh, "--wue")
    build.water()
    build.money(device)
    build.hardware(device)
    return Resolved(build.factors, build.missing, tuple(build.notes), build.kind)


class _Builder:
    def __init__(self, scenario: Scenario, table: FactorTable) -> None:
        self.scenario, self.table = scenario, table
        self.zone: Zone | None = zones()[scenario.zone] if scenario.zone else None
        self.factors: dict[str, Factor] = {}
        self.missing: dict[str, str] = {}
        self.notes: list[str] = []
        self.kind: str | None = scenario.kind

    def _first(self, kind: str, start: Zone) -> tuple[Factor, Zone] | None:
        for zone in chain(start):
            found = self.table.get(kind, zone.id)
            if found is not None:
                return found, zone
        return None

    def _use(self, role: str, found: tuple[Factor, Zone], asked: Zone) -> None:
        self.factors[role] = found[0]
        if found[1].id != asked.id:
            self.notes.append(f"{role}: value of {found[1].id}, {asked.id} has none of its own")

    def carbon(self) -> None:
        stated = self.scenario.carbon_intensity_g_per_kwh
        if stated is not None:
            kind = self.scenario.kind or "average-lifecycle"
            if self.scenario.kind is None:
                self.kind = "stated"
            self.factors["ci"] = given(f"carbon_intensity.{kind}", stated, "--carbon-intensity")
            return
        if self.zone is None:
            self.missing["ci"] = _SAY_ZONE.format(flag="--carbon-intensity")
            return
        # a cloud region lies in one grid zone, its parent; a state is not its country
        places = [self.zone]
        if self.zone.id.startswith("cloud:") and self.zone.parent:
            places.append(zones()[self.zone.parent])
        wanted = [self.scenario.kind] if self.scenario.kind else list(KINDS_OF_CARBON)
        for place in places:
            for kind in wanted:
                factor = self.table.get(f"carbon_intensity.{kind}", place.id)
                if factor is not None:
                    self.kind = kind
                    self._use("ci", (factor, place), self.zone)
                    return
        self._no_carbon(places)

    def _no_carbon(self, places: list[Zone]) -> None:
        asked = places[0].id
        have = [k.partition(".")[2] for p in places
                for k in self.table.kinds(p.id, "carbon_intensity.")]  # fmt: skip
        if have:
            wider = [z.id for z in chain(places[-1])][1:]
            also = f", or zone {wider[0]}" if wider else ""
            raise InputError(
                f"zone {asked} has carbon intensity of kind {', '.join(have)}, not "
                f"{self.scenario.kind}: say --kind {have[0]}{also}"
            )
        self.missing["ci"] = f"no carbon intensity for {asked}: state it with --carbon-intensity"

    def facility(self, role: str, stated: float | None, flag: str) -> None:
        if stated is not None:
            self.factors[role] = given(role, stated, flag)
            return
        starts: list[Zone] = []
        if self.scenario.facility is not None:
            starts = [resolve_facility(self.scenario.facility)]
        elif self.zone is not None and self.zone.id.startswith("cloud:"):
            starts = [self.zone]
        for start in starts:
            own = self.table.get(role, start.id)
            if own is not None:
                self.factors[role] = own
                return
            place = zones()[start.facility] if start.facility else start
            found = self._first(role, place)
            if found is not None:
                self._use(role, found, start)
                return
        average = self.table.get(role, "industry")
        if average is None:
            self.missing[role] = f"no {role.upper()} known: state it with {flag}"
            return
        self.factors[role] = average
        self.notes.append(
            f"{role}: industry average {average.value:g}, assumed; {flag} or --facility replaces it"
        )

    def water(self) -> None:
        scenario = self.scenario
        if scenario.ewif_l_per_kwh is not None:
            self.factors["ewif"] = given("ewif", scenario.ewif_l_per_kwh, "--ewif")
            return
        if self.zone is None:
            self.missing["ewif"] = _SAY_ZONE.format(flag="--ewif")
            return
        rule = "zero" if scenario.hydro_rule == "custom" else scenario.hydro_rule
        found = self._first(f"ewif.{rule}.{scenario.cooling}", self.zone)
        if found is None:
            self.missing["ewif"] = f"no EWIF for {self.zone.id}: state it with --ewif"
            return
        self._use("ewif", found, self.zone)
        if scenario.hydro_l_per_kwh is not None:
            share = self._first("hydro_share", self.zone)
            if share is None:
                raise InputError(f"no hydropower share for {self.zone.id}: state --ewif")
            base = self.factors["ewif"]
            value = ewif_with_hydro(base.value, share[0].value, scenario.hydro_l_per_kwh)
            self.factors["ewif"] = Factor(
                f"ewif.custom.{scenario.cooling}", base.zone, value, base.unit,
                f"{base.source}; hydropower at {scenario.hydro_l_per_kwh:g} L/kWh (--hydro-wif)",
                base.edition, year=base.year, evidence=base.evidence, verified=True,
            )  # fmt: skip

    def money(self, device: str | None) -> None:
        scenario = self.scenario
        if isinstance(scenario.tariff_usd_per_kwh, float | int):
            stated = scenario.tariff_usd_per_kwh
            self.factors["tariff"] = given("price.electricity", stated, "--tariff")
        elif scenario.tariff_usd_per_kwh == "catalog" and self.zone is not None:
            found = self._first("price.electricity", self.zone)
            if found:
                self._use("tariff", found, self.zone)
        if "tariff" not in self.factors:
            self.missing["tariff"] = "no electricity tariff: --tariff gives it (USD/kWh)"
        if isinstance(scenario.gpu_price_usd_per_h, float | int):
            stated = scenario.gpu_price_usd_per_h
            self.factors["price"] = given("price.accelerator", stated, "--gpu-price")
        elif scenario.gpu_price_usd_per_h == "catalog":
            self._device("price", "price.accelerator", device)
        if "price" not in self.factors:
            self.missing["price"] = "no accelerator price: --gpu-price gives it (USD/h)"

    def hardware(self, device: str | None) -> None:
        scenario = self.scenario
        if scenario.embodied_kg is not None:
            self.factors["embodied"] = given(
                "embodied.device", scenario.embodied_kg, "--embodied-kg"
            )
        else:
            self._device("embodied", "embodied.device", device)
            server = self.table.get("embodied.server_share", "industry")
            if "embodied" in self.factors and scenario.boundary != "device" and server:
                self.factors["server"] = server
        if "embodied" not in self.factors:
            known = f"of {device!r} " if device else ""
            self.missing["embodied"] = (
                f"embodied carbon {known}is not in the registry: --embodied-kg gives it"
            )
        for role, kind, stated, flag in (
            ("life", "lifetime", scenario.lifetime_years, "--lifetime-years"),
            ("active", "active_share", scenario.active_share, "--active-share"),
        ):
            found = self.table.get(kind, "industry") if stated is None else None
            if stated is not None:
                self.factors[role] = given(kind, stated, flag)
            elif found is not None:
                self.factors[role] = found
            else:
                edition = self.table.edition
                self.missing[role] = f"no {kind} in edition {edition}: {flag} gives it"

    def _device(self, role: str, kind: str, device: str | None) -> None:
        zone = resolve_device(device) if device else None
        found = self._first(kind, zone) if zone else None
        if found and zone:
            self._use(role, found, zone)
