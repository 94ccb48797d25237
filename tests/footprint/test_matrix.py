"""Scenario files: the matrix, hours of the day, and every way in which a file can be bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from observatory.errors import ObservatoryError
from observatory.footprint.matrix import load_scenario_file, run, stated_energy

GOOD = """
request: {it_energy_wh: 4}
base: {tariff_usd_per_kwh: 0.1}
matrix:
  zone: [SWE, USA]
  pue: [1.1, 1.5]
  utilisation: [0.3, 0.6, 0.9]
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "s.yaml"
    path.write_text(text)
    return path


def test_every_combination_in_file_order(tmp_path: Path) -> None:
    points = run(load_scenario_file(_write(tmp_path, GOOD)))
    assert len(points) == 12
    assert [p.label for p in points[:2]] == [
        "zone=SWE pue=1.1 active_share=0.3", "zone=SWE pue=1.1 active_share=0.6",
    ]  # fmt: skip
    for p in points:
        assert p.bills.zone == p.coordinates["zone"]
        assert p.bills.energy_wh.value == pytest.approx(4 * p.coordinates["pue"])


def test_hours_take_their_own_intensity_and_wue(tmp_path: Path) -> None:
    days = range(1, 4)
    ci = "".join(f"2025-01-0{d}T{h:02d}:00Z,{100 + h}\n" for d in days for h in range(24))
    wet = "".join(f"2025-01-0{d}T{h:02d}:00Z,{40 + h}\n" for d in days for h in range(24))
    (tmp_path / "ci.csv").write_text("datetime,carbon_intensity\n" + ci)
    (tmp_path / "w.csv").write_text("datetime,wet_bulb_f\n" + wet)
    text = """
request: {it_energy_wh: 1}
base: {pue: 1.0, kind: average-lifecycle}
matrix: {zone: [SWE], hour: [3, 15]}
hourly:
  carbon_intensity: {SWE: ci.csv}
  weather: {SWE: w.csv}
"""
    night, day = run(load_scenario_file(_write(tmp_path, text)))
    assert night.bills.co2e_g.value == pytest.approx(0.103)
    assert day.bills.co2e_g.value == pytest.approx(0.115)
    assert night.bills.kind == "average-lifecycle"
    assert (night.bills.water_on_site_l.value or 0) < (day.bills.water_on_site_l.value or 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("request: {it_energy_wh: 4\nmatrix: [", "s.yaml:2: not YAML"),
        ("- a\n- b\n", "needs the sections request and matrix"),
        ("matrix: {zone: [SWE]}\n", "no request"),
        ("request: {it_energy_wh: 4}\nmatriks: {}\n", "unknown section"),
        ("request: {it_energy_wh: 4}\nmatrix: {zones: [SWE]}\n", "did you mean zone"),
        ("request: {it_energy_wh: 4}\nmatrix: {zone: SWE}\n", "must be a list"),
        ("request: {it_energy_wh: 4}\nmatrix: {zone: []}\n", "at least one value"),
        ("request: {it_energy_wh: 4}\nmatrix: {zone: [Narnia]}\n", "unknown zone 'Narnia'"),
        ("request: {it_energy_wh: 4}\nmatrix: {pue: [0.5]}\n", "pue = 0.5"),
        ("request: {it_energy_wh: -4}\n", "zero or more"),
        ("request: {it_energy_wh: four}\n", "four"),
        ("request: {joules: 4}\n", "unknown field"),
        ("request: {it_energy_wh: 4}\nbase: {colour: red}\n", "unknown field"),
        ("request: {it_energy_wh: 4}\nmatrix: {hour: [25]}\n", "from 0 to 23"),
        ("request: {it_energy_wh: 4}\nmatrix: {zone: [SWE], hour: [3]}\n", "no hourly series"),
        ("request: {it_energy_wh: 4}\nmatrix: {zone: [USA, US-TX]}\n", "different kinds"),
        ("request: {it_energy_wh: 4}\nedition: '1999'\n", "unknown factor edition"),
        ("request: {it_energy_wh: 4}\nfactors: [none.csv]\n", "cannot read"),
        ("request: 4\n", "must be a mapping"),
    ],
)
def test_bad_files_get_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ObservatoryError) as caught:
        run(load_scenario_file(_write(tmp_path, text)))
    assert message in str(caught.value)


def test_stated_energy_is_exact_and_complete() -> None:
    energy = stated_energy(2.0)
    assert energy.wall_j == 7200 and energy.systematic_rel == 0 and energy.method == "stated"
