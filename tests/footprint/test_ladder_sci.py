"""The boundary ladder and the SCI score."""

from __future__ import annotations

import pytest

from observatory.errors import InputError
from observatory.footprint import EnergyInput, Scenario, footprint
from observatory.footprint.carbon import embodied_g
from observatory.footprint.ladder import comparable, ladder, reference_points
from observatory.footprint.sci import embodied_share_g, sci_of, score_g, years_s

WH = 3600.0


def test_googles_ladder() -> None:
    """0.14 accelerator + 0.06 host + 0.02 idle + 0.02 facility = 0.24 Wh (arXiv 2508.15734)."""
    energy = EnergyInput(device_j=0.14 * WH, host_j=0.06 * WH, idle_j=0.02 * WH)
    rungs = ladder(energy, pue=1.09)
    assert [r.boundary for r in rungs] == ["device", "host", "wall", "facility"]
    assert [round(r.energy_wh or 0, 2) for r in rungs] == [0.14, 0.20, 0.22, 0.24]
    assert [round(r.added_wh or 0, 2) for r in rungs] == [0.14, 0.06, 0.02, 0.02]
    # the published parts themselves
    parts = [p.value for p in reference_points() if p.is_increment]
    assert sum(p for p in parts if p is not None) == pytest.approx(0.24)
    assert any(p.value == 0.24 for p in rungs[3].comparable)
    assert not any(p.value == 0.24 for p in rungs[0].comparable)


def test_a_rung_with_a_missing_part_has_a_reason_and_no_number() -> None:
    energy = EnergyInput(device_j=10.0, cpu_j=2.0, reasons={"dram": "RAPL has no DRAM domain"})
    rungs = {r.boundary: r for r in ladder(energy, 1.1)}
    assert rungs["device"].energy_wh == pytest.approx(10 / WH)
    assert rungs["host"].energy_wh is None
    assert rungs["host"].reason == "dram: RAPL has no DRAM domain"
    assert rungs["facility"].added_wh is None


def test_a_sum_serves_its_own_rung_and_wider_ones() -> None:
    rungs = {r.boundary: r for r in ladder(EnergyInput(wall_j=WH), 1.5)}
    assert rungs["device"].energy_wh is None
    assert rungs["wall"].energy_wh == 1.0
    assert rungs["facility"].energy_wh == 1.5
    whole = {r.boundary: r for r in ladder(EnergyInput(facility_j=WH), 1.5)}
    assert (whole["wall"].energy_wh, whole["facility"].energy_wh) == (None, 1.0)


def test_reference_points_have_boundary_and_source() -> None:
    assert len(reference_points()) > 25
    for point in reference_points():
        assert point.source and "unsourced" not in point.source
        assert point.boundary in ("device", "host", "wall", "facility", "life cycle", "unstated")
        assert point.value is not None or (point.low is not None and point.high is not None)
    assert all(p.boundary == "wall" for p in comparable("wall"))


def test_sci_examples() -> None:
    assert embodied_share_g(1000, 3600, years_s(4)) == pytest.approx(28.5, abs=0.05)
    # 6,500 kg over 50e9 tokens, per million tokens (the text prints 0.13)
    assert score_g(0, 6500e3, 50e9 / 1e6) == pytest.approx(130)


def test_embodied_charges_busy_time_and_active_share() -> None:
    one = embodied_g(273.0, 3600.0, 3.0, 1.0)
    assert embodied_g(273.0, 3600.0, 3.0, 0.5) == pytest.approx(2 * one)
    energy = EnergyInput(device_j=1.0, busy_s=8.0, batch=4, device_count=2)
    scenario = Scenario(zone="SWE", embodied_kg=100.0, lifetime_years=4.0, active_share=0.5)
    value = footprint(energy, scenario).co2e_embodied_g.value
    assert value == pytest.approx(100e3 * 2 * 8 / 4 / (4 * 31_536_000 * 0.5))


def test_sci_of_a_footprint() -> None:
    energy = EnergyInput(wall_j=3.6e6, busy_s=3600.0)
    scenario = Scenario(pue=1.0, carbon_intensity_g_per_kwh=300.0, embodied_kg=1000.0,
                        lifetime_years=4.0, active_share=1.0)  # fmt: skip
    made = footprint(energy, scenario)
    per_request = sci_of(made, "request", 1)
    assert per_request.sci_g == pytest.approx(300 + 28.54, abs=0.01)
    assert sci_of(made, "output token", 250).sci_g == pytest.approx(per_request.sci_g / 250)
    assert per_request.intensity_g_per_kwh == pytest.approx(300)
    assert per_request.row()["functional_unit"] == "request"
    with pytest.raises(InputError, match="R above 0"):
        sci_of(made, "request", 0)
    with pytest.raises(InputError, match="is not one of"):
        sci_of(made, "galaxy", 1)
    with pytest.raises(InputError, match="--embodied-kg"):
        sci_of(footprint(EnergyInput(wall_j=1.0), Scenario(zone="SWE")), "request", 1)
