"""The registry: sources, editions, overrides, and every way in which a row can be bad."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from observatory.errors import InputError, UnknownNameError
from observatory.footprint.factors import (
    EDITIONS,
    FactorTable,
    given,
    lint,
    load_factors,
    shipped_rows,
    shipped_text,
)

CI = "carbon_intensity.average-lifecycle"


def test_shipped_tables_are_clean_and_every_number_has_a_source() -> None:
    rows = shipped_rows()
    assert len(rows) > 2000
    assert lint(rows) == []
    assert all(row.source and "unsourced" not in row.source and row.verified for row in rows)
    assert all(row.licence for row in rows)


def test_lint_catches_what_it_is_for() -> None:
    row = shipped_rows()[0]
    problems = {
        replace(row, source=""): "has no source",
        replace(row, source="unsourced, not seen"): "has no source",
        replace(row, verified=False): "not verified",
        replace(row, value=-1.0): "outside",
        replace(row, low=2.0, high=1.0): "low <= value <= high",
        replace(row, low=1.0): "come together",
        replace(row, edition="1999.1"): "unknown edition",
        replace(row, year=2031): "data of 2031 in an older edition",
        replace(row, kind="carbon_intensity.green"): "needs a kind",
        replace(row, evidence="hearsay"): "evidence",
    }
    for bad, text in problems.items():
        assert any(text in line for line in lint([bad])), (text, lint([bad]))
    assert any("twice" in line for line in lint([row, row]))


def test_an_edition_sees_only_what_was_known_then() -> None:
    new, old = load_factors(), load_factors(edition="2025.1")
    assert (new.edition, old.edition) == (EDITIONS[-1], "2025.1")
    usa = new.get(CI, "USA"), old.get(CI, "USA")
    assert usa[0] is not None and usa[1] is not None
    assert (usa[0].value, usa[1].value) == (384.4, 369.473)
    assert usa[0].id == usa[1].id  # the same name, so both editions share their draws
    assert old.get("price.accelerator", "device:nvidia-h100-sxm") is None  # a 2026 row
    assert old.at("2026.1").get(CI, "USA") == usa[0]
    with pytest.raises(UnknownNameError, match="factor edition"):
        load_factors(edition="2031.7")


def test_a_user_table_overrides_and_marks_the_edition(tmp_path: Path) -> None:
    mine = tmp_path / "my.csv"
    mine.write_text("kind,zone,value,unit,source\n" + f"{CI},USA,0.2,kgCO2e/kWh,my utility 2026\n")
    table = load_factors([mine])
    factor = table.get(CI, "USA")
    assert factor is not None
    assert factor.value == pytest.approx(200)  # converted to gCO2e/kWh
    assert factor.source == "my utility 2026"
    assert table.edition.startswith("2026.1+")
    assert table.get(CI, "SWE") == load_factors().get(CI, "SWE")
    other = tmp_path / "later.csv"
    other.write_text(f"kind,zone,value,unit,source\n{CI},USA,100,gCO2e/kWh,later\n")
    assert load_factors([mine, other]).by_id(f"{CI}:USA").value == 100  # later files win
    assert load_factors([mine]).edition != load_factors([other]).edition


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"{CI},USA,-3,gCO2e/kWh,me", "outside 0 to 3000"),
        ("pue,site:x,0.9,1,me", "outside 1 to 5"),
        (f"{CI},USA,3,furlongs,me", "unknown unit 'furlongs'"),
        ("karma,USA,3,1,me", "unknown factor kind 'karma'"),
        (f"{CI},USA,abc,gCO2e/kWh,me", "value 'abc' is not a number"),
        (f"{CI},USA,nan,gCO2e/kWh,me", "not finite"),
        (f"{CI},USA,3,gCO2e/kWh,", "has no source"),
        ("active_share,industry,1.2,1,me", "outside"),
    ],
)
def test_bad_user_rows_name_their_line(tmp_path: Path, body: str, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(f"kind,zone,value,unit,source\n{body}\n")
    with pytest.raises(InputError, match=r"bad\.csv:2") as caught:
        load_factors([path])
    assert text in str(caught.value)


def test_unreadable_user_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load_factors([tmp_path / "none.csv"])
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"lacks the column\(s\) kind"):
        load_factors([tmp_path / "x.csv"])
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load_factors([tmp_path / "b.csv"])


def test_unknown_factor_is_an_error_with_near_matches() -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        load_factors().by_id("pue:industri")
    with pytest.raises(InputError, match=r"--pue: value 0\.5"):
        given("pue", 0.5, "--pue")


@pytest.mark.parametrize(
    ("unit", "value"), [("gCO2e/kWh", 400.0), ("kgCO2e/MWh", 400.0), ("kgCO2e/kWh", 0.4),
                        ("lb/MWh", 400 / 0.45359237)],
)  # fmt: skip
def test_units_round_trip(tmp_path: Path, unit: str, value: float) -> None:
    path = tmp_path / "u.csv"
    path.write_text(f"kind,zone,value,unit,source\n{CI},USA,{value!r},{unit},me\n")
    assert load_factors([path]).by_id(f"{CI}:USA").value == pytest.approx(400, rel=1e-12)


def test_published_pounds_agree_with_the_table() -> None:
    for row in shipped_rows():
        if row.zone.startswith("US-") and "lb/MWh" in row.note:
            pounds = float(row.note.split()[0])
            assert row.value == pytest.approx(pounds * 0.45359237, abs=6e-4)


def test_country_ewif_comes_out_of_the_generation_mix() -> None:
    """The shipped EWIF is a computed table: compute it again from the cited parts."""
    import json
    from importlib import resources

    from observatory.footprint.water import ewif_of_mix

    text = resources.files("codecarbon").joinpath("data/private_infra/global_energy_mix.json")
    mixes = json.loads(text.read_text())
    table = load_factors()

    def fuel(name: str) -> float:
        return table.by_id(f"ewif.fuel:fuel:{name}").value

    water = {
        "coal": fuel("macknick2012:coal-default"),
        "gas": fuel("macknick2012:gas-default"),
        "nuclear": fuel("macknick2012:nuclear-default"),
        "biofuel": fuel("macknick2012:biopower-default"),
        "other_renewable_exc_biofuel": fuel("macknick2012:geothermal-default"),
        "solar": fuel("macknick2012:solar-pv"),
        "wind": fuel("macknick2012:wind"),
        "oil": fuel("li2023-notebook:oil"),
        "hydro": fuel("macknick2012:hydro"),
    }
    checked = 0
    for zone in ("USA", "SWE", "IND", "FRA", "DEU", "GBR", "BRA", "NOR"):
        mix = mixes[zone]
        twh = {name: mix[f"{name}_TWh"] for name in water if name != "hydro"}
        twh["hydro"] = mix["hydroelectricity_TWh"]
        total = sum(twh.values())
        shares = {name: value / total for name, value in twh.items()}
        for rule, hydro in (("zero", 0.0), ("allocated", None)):
            ours = table.get(f"ewif.{rule}.mid", zone)
            assert ours is not None
            assert ewif_of_mix(shares, water, hydro) == pytest.approx(ours.value, rel=0.01)
            checked += 1
    assert checked == 16


def test_zone_text_is_packaged() -> None:
    assert shipped_text("zones.csv").startswith("zone,name,parent")


def test_table_is_immutable() -> None:
    table = load_factors()
    with pytest.raises(AttributeError):
        table.edition = "x"  # type: ignore[misc]
    assert isinstance(table, FactorTable)
