"""Moving from A to B: sentences, verdicts, break-even; what must not be compared."""

from __future__ import annotations

import pytest

from observatory.errors import InputError
from observatory.footprint import EnergyInput, Scenario
from observatory.footprint.comparison import Case, Change, compare
from observatory.footprint.matrix import stated_energy

FOUR = stated_energy(4.0)


def _move(a: Scenario, b: Scenario, energy: EnergyInput = FOUR) -> Change:
    return compare(Case("A", energy, a), Case("B", energy, b))


def test_a_region_swap_in_one_sentence() -> None:
    change = _move(Scenario(zone="USA", tariff_usd_per_kwh=0.1), Scenario(zone="SWE"))
    by = {s.quantity: s for s in change.statements}
    assert by["energy_wh"].verdict == "equal"
    carbon = by["co2e_operational_g"]
    assert carbon.change == pytest.approx(35.26 / 384.4 - 1)
    assert carbon.verdict == "B is lower"
    assert "saves 90.8 % carbon (P(better) > 0.99)" in change.sentence
    assert "leaves energy unchanged" in change.sentence
    assert by["water_l"].verdict == "undecided" and "may save" in by["water_l"].phrase()
    assert "cost_usd" in change.missing  # B has no tariff


def test_the_other_way_round_is_worse() -> None:
    change = _move(Scenario(zone="SWE"), Scenario(zone="USA"))
    carbon = next(s for s in change.statements if s.quantity == "co2e_operational_g")
    assert carbon.verdict == "A is lower"
    assert carbon.phrase() == "costs 10.9 times the carbon (P(better) < 0.01)"


def test_break_even_intensity_really_breaks_even() -> None:
    a, b = Scenario(zone="USA", pue=1.2), Scenario(zone="SWE", pue=1.6)
    found = _move(a, b).break_even
    level = Scenario(zone="SWE", pue=1.6, kind="average-lifecycle",
                     carbon_intensity_g_per_kwh=found["carbon_intensity_g_per_kwh"],
                     ewif_l_per_kwh=found["ewif_l_per_kwh"])  # fmt: skip
    again = _move(a, level)
    for statement in again.statements:
        if statement.quantity in ("co2e_operational_g", "water_l"):
            assert statement.change == pytest.approx(0, abs=1e-12)


def test_choices_are_never_mixed() -> None:
    usa = Scenario(zone="USA")
    with pytest.raises(InputError, match="different kinds"):
        _move(usa, Scenario(zone="US-TX"))
    with pytest.raises(InputError, match="boundaries differ"):
        _move(usa, Scenario(zone="USA", boundary="device"))
    with pytest.raises(InputError, match="same seed"):
        _move(usa, Scenario(zone="USA", seed=3))
    mixed = _move(Scenario(zone="USA", tariff_usd_per_kwh=0.1, cost_basis="electricity"),
                  Scenario(zone="USA", cost_basis="api"))  # fmt: skip
    assert "--cost-basis" in mixed.missing["cost_usd"]


def test_unequal_cover_is_said() -> None:
    scenario = Scenario(zone="USA")
    part, whole = EnergyInput(device_j=5.0), EnergyInput(device_j=5.0, host_j=1.0, idle_j=1.0)
    change = compare(Case("part", part, scenario), Case("whole", whole, scenario))
    assert any("A covers device, that of B device+host+idle" in note for note in change.notes)
    assert _move(scenario, scenario).notes == ()


def test_unknown_energy_compares_nothing() -> None:
    energy = EnergyInput(reasons={"device": "no sensor"})
    change = _move(Scenario(zone="USA"), Scenario(zone="SWE"), energy)
    assert change.statements == ()
    assert "no bill in common" in change.sentence
    assert "no sensor" in change.missing["energy_wh"]
