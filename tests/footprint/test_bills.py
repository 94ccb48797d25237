"""The bills: algebra that must hold whatever the numbers, and honesty about what is missing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.errors import InputError, UnknownNameError
from observatory.footprint import (
    QUANTITIES,
    EnergyInput,
    Scenario,
    footprint,
    footprint_examples,
    footprints,
    load_factors,
    require_one_kind,
)
from observatory.footprint.cost import break_even_active_share

joules = st.floats(1e-3, 1e7)
FULL = EnergyInput(device_j=140.0, host_j=60.0, idle_j=20.0)


@settings(max_examples=25, deadline=None)
@given(joules, st.sampled_from(["FRA", "IND", "USA", "POL"]))
def test_a_region_swap_changes_carbon_and_water_and_never_energy(j: float, zone: str) -> None:
    energy = EnergyInput(device_j=j, host_j=j / 3, idle_j=0.0)
    home = footprints([energy], Scenario(zone="SWE", draws=200))[0]
    away = footprints([energy], Scenario(zone=zone, draws=200))[0]
    assert home.energy_wh == away.energy_wh
    assert home.co2e_g.value != away.co2e_g.value
    assert home.water_off_site_l.value != away.water_off_site_l.value


@settings(max_examples=25, deadline=None)
@given(st.lists(joules, min_size=2, max_size=5))
def test_phases_add_up(parts: list[float]) -> None:
    """The bill of prefill plus decode is the sum of their bills, for every quantity."""
    scenario = Scenario(zone="DEU", tariff_usd_per_kwh=0.1, draws=100)
    made = footprints([EnergyInput(device_j=p, host_j=0.0, idle_j=0.0) for p in parts], scenario)
    whole = footprints([EnergyInput(device_j=sum(parts), host_j=0.0, idle_j=0.0)], scenario)[0]
    for name in ("energy_wh", "co2e_operational_g", "water_on_site_l", "water_l", "cost_usd"):
        values = [getattr(m, name).value for m in made]
        assert sum(values) == pytest.approx(getattr(whole, name).value, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(joules, st.floats(1.01, 4.0))
def test_bills_scale_with_energy_and_pue(j: float, pue: float) -> None:
    scenario = Scenario(zone="USA", pue=pue, draws=100)
    one = footprints([EnergyInput(wall_j=j)], scenario)[0]
    two = footprints([EnergyInput(wall_j=2 * j)], scenario)[0]
    for name in ("energy_wh", "co2e_operational_g", "water_l"):
        assert getattr(two, name).value == pytest.approx(2 * getattr(one, name).value)
    assert one.energy_wh.value == pytest.approx(j * pue / 3600)


def test_boundaries_nest() -> None:
    values = [
        footprint(FULL, Scenario(zone="USA", boundary=b, pue=1.1)).energy_wh.value
        for b in ("device", "host", "wall", "facility")
    ]
    assert values == pytest.approx([140 / 3600, 200 / 3600, 220 / 3600, 242 / 3600])
    assert Scenario(boundary="host+idle").boundary == "wall"


def test_facility_energy_is_not_multiplied_by_pue_again() -> None:
    made = footprint(EnergyInput(facility_j=3600.0), Scenario(pue=1.25, wue_l_per_kwh=1.0))
    assert made.energy_wh.value == pytest.approx(1.0)
    assert made.water_on_site_l.value == pytest.approx(1.0 / 1.25 / 1e3)  # per kWh of IT energy


def test_missing_energy_is_a_reason_and_never_zero() -> None:
    energy = EnergyInput(reasons={"device": "no sensor on this machine"}, host_j=2.0)
    made = footprint(energy, Scenario(zone="FRA", tariff_usd_per_kwh=0.1))
    for name in ("energy_wh", "co2e_operational_g", "water_l", "cost_usd"):
        bill = getattr(made, name)
        assert bill.value is None and "no sensor on this machine" in (bill.reason or "")
    assert made.factor_ids == ()
    json.dumps(made.to_json(), allow_nan=False)


def test_a_sum_that_leaves_parts_out_says_so() -> None:
    made = footprint(EnergyInput(device_j=10.0), Scenario(zone="FRA"))
    assert not made.complete and made.covers == ("device",)
    assert any(note.startswith("lower bound") and "dram" in note for note in made.notes)
    assert footprint(FULL, Scenario(zone="FRA")).complete


def test_no_price_is_none_and_names_the_flags() -> None:
    made = footprint(FULL, Scenario(zone="FRA"))
    assert made.cost_usd.value is None and made.cost_basis is None
    assert "--tariff" in (made.cost_usd.reason or "")
    assert "--gpu-price" in (made.cost_usd.reason or "")


def test_no_zone_gives_three_named_examples() -> None:
    made = footprint_examples(FULL, Scenario())
    assert [m.zone for m in made] == ["SWE", "USA", "IND"]
    assert all(m.example for m in made)
    alone = footprint(FULL, Scenario())
    assert alone.co2e_g.value is None and "--zone" in (alone.co2e_g.reason or "")


def test_unknown_zone_kind_and_boundary_are_errors() -> None:
    for bad in ({"zone": "Atlantis"}, {"boundary": "moon"}, {"kind": "green"},
                {"hydro_rule": "half"}, {"cost_basis": "free"}):  # fmt: skip
        with pytest.raises(UnknownNameError):
            Scenario(**bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="say --kind average-direct, or zone USA"):
        footprint(FULL, Scenario(zone="US-TX", kind="average-lifecycle"))
    with pytest.raises(InputError, match="not marginal"):
        footprint(FULL, Scenario(zone="FRA", kind="marginal"))


@pytest.mark.parametrize(
    "bad",
    [
        {"pue": 0.99}, {"pue": float("nan")}, {"carbon_intensity_g_per_kwh": -1.0},
        {"wue_l_per_kwh": -0.1}, {"active_share": 0.0}, {"active_share": 1.5},
        {"tariff_usd_per_kwh": -1.0}, {"pue": "1.1"}, {"draws": 5}, {"lifetime_years": 0.0},
    ],
)  # fmt: skip
def test_bad_numbers_of_a_scenario(bad: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        Scenario(**bad)  # type: ignore[arg-type]
    assert next(iter(bad)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        {"device_j": -1.0}, {"device_j": float("nan")}, {"host_j": 1.0, "cpu_j": 1.0},
        {"batch": 0}, {"device_count": 0}, {"provenance": "dreamt"}, {"busy_s": float("inf")},
    ],
)  # fmt: skip
def test_bad_energy(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        EnergyInput(**bad)  # type: ignore[arg-type]


def test_kinds_never_share_a_table() -> None:
    texas, france = (footprint(FULL, Scenario(zone=z)) for z in ("US-TX", "FRA"))
    assert (texas.kind, france.kind) == ("average-direct", "average-lifecycle")
    with pytest.raises(InputError, match="different kinds"):
        require_one_kind([texas, france])
    require_one_kind([france, footprint(FULL, Scenario(zone="USA"))])


def test_a_cloud_region_takes_its_sites_numbers_and_says_so() -> None:
    made = footprint(FULL, Scenario(zone="gcp:us-central1"))
    assert "pue:site:gcp:council-bluffs-ia" in made.factor_ids
    assert "carbon_intensity.average-direct:cloud:gcp:us-central1" in made.factor_ids
    assert made.assumed == ()
    assert any("value of provider:gcp" in note for note in made.notes)
    country = footprint(FULL, Scenario(zone="USA"))
    assert {"pue", "wue"} <= set(country.assumed)  # a country has no PUE of its own


def test_a_facility_lends_its_pue_to_any_zone() -> None:
    made = footprint(FULL, Scenario(zone="FIN", facility="site:gcp:hamina-finland"))
    assert "pue:site:gcp:hamina-finland" in made.factor_ids
    assert made.energy_wh.value == pytest.approx(220 / 3600 * 1.10)
    with pytest.raises(UnknownNameError, match="unknown facility"):
        footprint(FULL, Scenario(zone="FIN", facility="site:gcp:atlantis"))


def test_every_bill_is_qualified_in_every_form() -> None:
    made = footprint(FULL, Scenario(zone="SWE", boundary="wall"))
    for form in (made.row(), made.to_json()):
        assert form["boundary"] == "wall"
        assert form["zone"] == "SWE"
        assert form["edition"] == load_factors().edition
        assert form["kind"] == "average-lifecycle"
        assert form["method"] == "measured"
    json.dumps(made.row(), allow_nan=False)
    json.dumps(made.to_json(), allow_nan=False)
    assert set(made.bills()) == {*QUANTITIES, "cost_usd"}


def test_cost_three_ways() -> None:
    energy = EnergyInput(wall_j=3.6e6, busy_s=3600.0, batch=2, device="NVIDIA H100 80GB HBM3",
                         device_count=4, prompt_tokens=1e6, output_tokens=5e5)  # fmt: skip
    scenario = Scenario(pue=1.5, tariff_usd_per_kwh=0.1, capex_usd=30_000.0, lifetime_years=5.0,
                        active_share=0.5, gpu_price_usd_per_h=3.0, api_input_usd_per_mtok=2.0,
                        api_output_usd_per_mtok=8.0)  # fmt: skip
    made = footprint(energy, scenario)
    device_h = 4 / 2  # four devices for one hour, shared by two requests
    electricity = 1.5 * 0.1
    amortised = 30_000 * device_h / (5 * 8760 * 0.5)
    assert made.costs["electricity"].value == pytest.approx(electricity)
    assert made.costs["own"].value == pytest.approx(electricity + amortised)
    assert made.costs["cloud"].value == pytest.approx(device_h * 3.0)
    assert made.costs["api"].value == pytest.approx(2.0 + 4.0)
    assert made.cost_basis == "own"
    assert made.cost_usd == made.costs["own"]
    other = footprint(energy, Scenario(pue=1.5, gpu_price_usd_per_h=3.0, cost_basis="own"))
    assert other.cost_usd.value is None and "--tariff" in (other.cost_usd.reason or "")


def test_catalog_prices_carry_their_range() -> None:
    energy = EnergyInput(wall_j=3.6e6, busy_s=3600.0, device="NVIDIA H100 80GB HBM3")
    made = footprint(energy, Scenario(gpu_price_usd_per_h="catalog", draws=20_000))
    bill = made.costs["cloud"]
    assert bill.value == pytest.approx(2.95)
    assert bill.low == pytest.approx(1.99, rel=0.01)
    assert bill.high == pytest.approx(5.0, rel=0.01)
    unknown = footprint(
        EnergyInput(wall_j=1.0, busy_s=1.0, device="Abacus"),
        Scenario(gpu_price_usd_per_h="catalog"),
    )
    assert unknown.cost_usd.value is None


def test_break_even_active_share() -> None:
    share = break_even_active_share(30_000, 5, 3.0, 0.1)
    assert share is not None
    assert 30_000 / (5 * 8760 * share) + 0.1 == pytest.approx(3.0)
    assert break_even_active_share(30_000, 5, 0.05, 0.1) is None
    assert break_even_active_share(300_000, 5, 3.0, 0.1) is None


def test_units_of_work() -> None:
    made = footprint(FULL, Scenario(zone="SWE"))
    thousand = made.per(1000)["co2e_operational_g"]
    assert made.co2e_g.value is not None and made.co2e_g.low is not None
    assert thousand.value == pytest.approx(1000 * made.co2e_g.value)
    assert thousand.low == pytest.approx(1000 * made.co2e_g.low)
    assert made.per(1000)["cost_usd"].reason == made.cost_usd.reason


def test_many_at_once_equal_one_by_one_in_any_order() -> None:
    scenario = Scenario(zone="USA", gpu_price_usd_per_h=2.0, draws=500)
    energies = [
        EnergyInput(device_j=50.0, busy_s=1.0, device="NVIDIA H100 80GB HBM3", label="a",
                    repeat_rel_std=0.02),
        EnergyInput(wall_j=80.0, label="b"),
        EnergyInput(facility_j=90.0, busy_s=2.0, label="c"),
        EnergyInput(reasons={"device": "none"}, label="d"),
    ]  # fmt: skip
    together = footprints(energies, scenario)
    for energy, made in zip(energies, together, strict=True):
        assert footprints([energy], scenario)[0] == made
    assert [m.label for m in together] == ["a", "b", "c", "d"]
    assert footprints(energies[::-1], scenario) == together[::-1]
    assert footprints([], scenario) == []


def test_an_edition_without_a_lifetime_bills_no_embodied_carbon() -> None:
    energy = EnergyInput(wall_j=1.0, busy_s=1.0, device="NVIDIA H100 80GB HBM3")
    old = footprint(energy, Scenario(zone="FRA"), load_factors(edition="2025.1"))
    assert old.co2e_embodied_g.value is None
    assert "--lifetime-years" in (old.co2e_embodied_g.reason or "")
    stated = Scenario(zone="FRA", lifetime_years=4.0, active_share=0.5)
    new = footprint(energy, stated, load_factors(edition="2025.1"))
    assert new.co2e_embodied_g.value is not None


def test_choices_of_incomplete_energy() -> None:
    """Another boundary needs all its parts; another hydro rule bills the same parts."""
    made = footprint(EnergyInput(device_j=3600.0), Scenario(zone="SWE", pue=1.0))
    by = {(c.choice, c.option): c.value for c in made.choices}
    assert by["boundary", "device"] == 1.0
    assert ("boundary", "wall") not in by
    assert made.water_l.value is not None
    assert by["hydro rule", "allocated"] > made.water_l.value


def test_reasons_name_what_is_missing() -> None:
    prices = Scenario(zone="FRA", api_input_usd_per_mtok=1.0, api_output_usd_per_mtok=2.0)
    api = footprint(FULL, prices).costs["api"]
    assert "--prompt" in (api.reason or "")
    rented = footprint(FULL, Scenario(zone="FRA", gpu_price_usd_per_h=2.0)).costs["cloud"]
    assert "--busy-s" in (rented.reason or "")
    for bill in footprint(FULL, Scenario()).bills().values():
        assert bill.value is not None or bill.reason
