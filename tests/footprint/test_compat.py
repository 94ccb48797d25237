"""Other people's numbers come out of their own arithmetic."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from observatory.errors import InputError, UnknownNameError
from observatory.footprint import compat


def test_ecologits_rows(reference: Path) -> None:
    rows = list(csv.DictReader((reference / "expected/ecologits_0_11_3.csv").open()))
    assert len(rows) == 10
    for row in rows:
        made = compat.ecologits_0_11_3(
            *(
                float(row[name])
                for name in (
                    "active_params_b", "total_params_b", "output_tokens", "mix_gwp_kg_per_kwh",
                    "mix_ewif_l_per_kwh", "pue", "wue_l_per_kwh",
                )
            )
        )  # fmt: skip
        assert made.energy_wh / 1e3 == pytest.approx(float(row["energy_kwh"]), rel=1e-9)
        assert made.co2e_operational_g is not None and made.co2e_embodied_g is not None
        assert made.co2e_operational_g / 1e3 == pytest.approx(float(row["gwp_usage_kg"]), rel=1e-9)
        assert made.co2e_embodied_g / 1e3 == pytest.approx(float(row["gwp_embodied_kg"]), rel=1e-9)
        assert made.water_l == pytest.approx(float(row["wcf_l"]), rel=1e-9)


def _close(value: float | None, printed: str, relative: float) -> bool:
    """Within `relative`, or within one printed unit."""
    assert value is not None
    unit = 10 ** -len(printed.partition(".")[2])
    return abs(value - float(printed)) <= max(relative * abs(float(printed)), unit * (1 + 1e-9))


def test_how_hungry_published_rows(reference: Path) -> None:
    rows = [r for r in csv.DictReader((reference / "expected/hungry.csv").open())
            if r["kind"] == "published"]  # fmt: skip
    assert len(rows) == 11
    for row in rows:
        power_kw = (float(row["kw_lo"]) + float(row["kw_hi"])) / 2
        made = compat.jegham_2025_from_time(
            float(row["implied_total_time_s"]), power_kw,
            *(float(row[name]) for name in ("pue", "wue_site", "wue_source", "cif")),
        )  # fmt: skip
        assert _close(made.energy_wh, row["energy_wh"], 1e-4), row
        # water and carbon follow from the printed energy exactly as printed
        scale = float(row["energy_wh"]) / made.energy_wh
        assert made.water_l is not None and made.co2e_operational_g is not None
        assert _close(made.water_l * 1e3 * scale, row["water_ml"], 1e-4), row
        assert _close(made.co2e_operational_g * scale, row["carbon_g"], 1e-4), row


def test_how_hungry_formula_rows(reference: Path) -> None:
    rows = [r for r in csv.DictReader((reference / "expected/hungry.csv").open())
            if r["kind"].startswith("formula")]  # fmt: skip
    assert len(rows) == 7
    for row in rows:
        power = row["kw_hi"] if row["kind"] == "formula_hi" else row["kw_lo"]
        made = compat.jegham_2025(
            float(row["tokens_out"]), float(row["tps"]), float(row["ttft_s"]), float(power),
            *(float(row[name]) for name in ("pue", "wue_site", "wue_source", "cif")),
        )  # fmt: skip
        assert made.energy_wh == pytest.approx(float(row["energy_wh"]), rel=1e-6)
        assert made.water_l is not None
        assert made.water_l * 1e3 == pytest.approx(float(row["water_ml"]), rel=1e-6)
        assert made.co2e_operational_g == pytest.approx(float(row["carbon_g"]), rel=1e-6)


def test_li_2023_is_the_us_average_row() -> None:
    made = compat.li_2023(0.004, 1.17, 0.55, 3.142)
    assert made.water_on_site_l == pytest.approx(0.0022)
    assert made.water_l == pytest.approx(0.01690456)


def test_codecarbon_inflates_on_site_water_by_pue() -> None:
    theirs = compat.codecarbon_3_3_2(1.0, 1.5, 1.8, 400.0)
    ours = compat.li_2023(1.0, 1.5, 1.8, 0.0, 400.0)
    assert theirs.water_on_site_l == pytest.approx(1.5 * 1.8)
    assert ours.water_on_site_l == pytest.approx(1.8)
    assert theirs.co2e_operational_g == ours.co2e_operational_g == pytest.approx(600)


def test_each_mode_says_where_it_departs_in_one_sentence() -> None:
    assert set(compat.DEPARTURES) == {
        "li-2023", "jegham-2025", "ecologits-0.11.3", "codecarbon-3.3.2",
    }  # fmt: skip
    for mode in compat.DEPARTURES:
        text = compat.departure(mode)
        assert text.endswith(".") and text.count(". ") == 0
    with pytest.raises(UnknownNameError, match="did you mean li-2023"):
        compat.departure("li-2024")


def test_bad_input() -> None:
    with pytest.raises(InputError, match="tokens_per_s"):
        compat.jegham_2025(300, 0, 1, 1, 1.1, 0, 0, 0.4)
    with pytest.raises(InputError, match="it_energy_kwh"):
        compat.li_2023(-1, 1.1, 0, 0)
