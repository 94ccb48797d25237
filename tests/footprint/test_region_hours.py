"""Region × hour and jobs over hours: the bill of each hour, never an invented one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.footprint import EnergyInput, Scenario
from observatory.footprint.bills import footprints
from observatory.footprint.hourly import HourlySeries, series_of
from observatory.footprint.intensity_files import read_by_zone, read_text_by_zone
from observatory.footprint.matrix import stated_energy
from observatory.footprint.region_hours import NO_SERIES, bill_job, region_hours, spread

START = datetime(2025, 6, 1, tzinfo=UTC)
SCENARIO = Scenario(draws=2000)
ENERGY = EnergyInput(device_j=500.0, host_j=200.0, provenance="measured", method="nvml_counter")
EM = ("Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
      "Carbon intensity gCO₂eq/kWh (Life cycle)\n")  # fmt: skip


def series(values: list[float], kind: str | None = "average-lifecycle") -> HourlySeries:
    pairs = [(START + timedelta(hours=i), v) for i, v in enumerate(values)]
    return series_of(pairs, "carbon_intensity", "gCO2e/kWh", "synthetic", kind)


def days(n: int) -> list[float]:
    return [100.0 + hour for _ in range(n) for hour in range(24)]


def test_each_hour_is_the_bill_of_that_hours_mean_intensity() -> None:
    found = region_hours(ENERGY, SCENARIO, ["FRA", "SWE"], {"FRA": series(days(3))})
    fra = found[(found["zone"] == "FRA") & (found["level"] == "hour")]
    assert list(fra["hour_utc"]) == list(range(24)) and set(fra["days"]) == {3}
    stated = Scenario(zone="FRA", draws=2000, carbon_intensity_g_per_kwh=117.0,
                      kind="average-lifecycle")  # fmt: skip
    bill = footprints([ENERGY], stated)[0].co2e_operational_g
    at = fra[fra["hour_utc"] == 17].iloc[0]
    assert (at["co2e_g"], at["co2e_low_g"], at["co2e_high_g"]) == pytest.approx(
        (bill.value, bill.low, bill.high), rel=1e-9
    )
    assert at["intensity_g_per_kwh"] == 117.0


def test_a_zone_without_a_series_has_its_year_and_no_hours() -> None:
    found = region_hours(ENERGY, SCENARIO, ["FRA", "SWE"], {"FRA": series(days(2))})
    (row,) = found[found["zone"] == "SWE"].to_dict("records")
    own = footprints([ENERGY], Scenario(zone="SWE", draws=2000, kind="average-lifecycle"))[0]
    assert row["level"] == "year" and row["reason"] == NO_SERIES
    assert row["co2e_g"] == own.co2e_operational_g.value and pd.isna(row["hour_utc"])


def test_nothing_is_invented_without_any_series() -> None:
    found = region_hours(ENERGY, SCENARIO, ["FRA", "POL"], {})
    assert len(found) == 2 and found["hour_utc"].isna().all()


def test_kinds_never_share_a_table() -> None:
    found = region_hours(ENERGY, SCENARIO, ["GBR", "FRA", "US-TX"],
                         {"GBR": series(days(1), "average-direct")})  # fmt: skip
    by = {row["zone"]: row for row in found[found["level"] != "hour"].to_dict("records")}
    assert set(found.loc[found["co2e_g"].notna(), "kind"]) == {"average-direct"}
    assert pd.isna(by["FRA"]["co2e_g"]) and "average-lifecycle" in by["FRA"]["reason"]
    assert by["US-TX"]["co2e_g"] > 0
    with pytest.raises(InputError, match="kinds never share a table"):
        region_hours(ENERGY, SCENARIO, ["FRA"], {"FRA": series(days(1)),
                                                 "GBR": series(days(1), "marginal")})  # fmt: skip
    mixed = region_hours(ENERGY, SCENARIO, ["FRA", "US-TX"], {})  # no kind was chosen
    assert mixed["co2e_g"].notna().sum() == 1 and mixed["reason"].notna().sum() == 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10**6), st.floats(0, 1e9))
def test_energy_is_spread_without_loss(start_s: int, length_s: int, joules: float) -> None:
    start = START + timedelta(seconds=start_s)
    hours = spread(joules, start, start + timedelta(seconds=length_s))
    assert sum(hours.values()) == pytest.approx(joules)
    assert len(hours) <= length_s / 3600 + 2 and all(j >= 0 for j in hours.values())
    inside = list(hours.values())[1:-1]
    assert inside == pytest.approx([joules * 3600 / length_s] * len(inside))


def test_a_job_adds_the_bills_of_its_hours() -> None:
    span = (START + timedelta(hours=1, minutes=30), START + timedelta(hours=3))
    scenario = Scenario(zone="FRA", pue=1.5)
    job = bill_job(stated_energy(3000.0), scenario, span, series([10.0, 100.0, 300.0]), None)
    # 1 kWh at 100 g in the first half hour, 2 kWh at 300 g in the next
    assert job.hourly.co2e_operational_g == pytest.approx(1.5 * (100 + 2 * 300))
    assert job.hourly.levels["carbon_intensity"] == {"hour": 2}
    yearly = footprints([stated_energy(3000.0)], scenario)[0]
    assert job.annual.co2e_operational_g == pytest.approx(yearly.co2e_operational_g.value)
    assert job.hourly.water_on_site_l == pytest.approx(yearly.water_on_site_l.value)
    assert job.hourly.water_off_site_l == pytest.approx(yearly.water_off_site_l.value)


def test_a_series_that_says_no_kind_needs_one() -> None:
    silent = series(days(1), None)
    for ask in (
        lambda s: region_hours(ENERGY, s, ["FRA"], {"FRA": silent}),
        lambda s: bill_job(
            stated_energy(1.0), s, (START, START + timedelta(hours=1)), silent, None
        ),
    ):
        with pytest.raises(InputError, match="does not say its kind"):
            ask(Scenario(zone="FRA", draws=100))
        ask(Scenario(zone="FRA", draws=100, kind="average-lifecycle"))


def test_a_job_at_the_device_boundary_has_no_pue() -> None:
    scenario = Scenario(zone="FRA", pue=2.0, boundary="wall")
    job = bill_job(stated_energy(1000.0), scenario, (START, START + timedelta(hours=1)),
                   series([50.0]), None)  # fmt: skip
    assert job.hourly.co2e_operational_g == pytest.approx(50.0)


def test_a_job_of_facility_energy_is_refused() -> None:
    energy = EnergyInput(facility_j=1.0, provenance="imported", method="stated")
    with pytest.raises(InputError, match="needs IT energy"):
        bill_job(energy, Scenario(zone="FRA"), (START, START + timedelta(hours=1)),
                 series([50.0]), None)  # fmt: skip
    with pytest.raises(InputError, match="not after the start"):
        spread(1.0, START, START)


def test_marginal_hours_have_no_annual_twin_and_say_so() -> None:
    job = bill_job(stated_energy(1000.0), Scenario(zone="FRA", pue=1.0),
                   (START, START + timedelta(hours=1)), series([400.0, 600.0], "marginal"),
                   None)  # fmt: skip
    assert job.kind == "marginal" and job.hourly.co2e_operational_g == pytest.approx(400.0)
    assert job.annual.co2e_operational_g == pytest.approx(500.0)
    assert any("mean of the series" in note for note in job.notes)


# ------------------------------------------------------------------ files of providers
def test_electricity_maps_names_its_zones(tmp_path: Path) -> None:
    path = tmp_path / "em.csv"
    path.write_text(EM + "2025-06-01 00:00:00,France,France,FR,20,40\n"
                         "2025-06-01 00:00:00,Germany,Germany,DE,300,400\n")  # fmt: skip
    made = read_by_zone([str(path)], "average-lifecycle")
    assert {z: list(s.values.values()) for z, s in made.items()} == {"FRA": [40.0], "DEU": [400.0]}
    with pytest.raises(InputError, match="say which with --kind"):
        read_by_zone([str(path)])
    with pytest.raises(InputError, match="holds 2 zones"):
        read_by_zone([f"FRA={path}"], "average-lifecycle")
    with pytest.raises(InputError, match="were given twice"):
        read_by_zone([str(path), str(path)], "average-lifecycle")


def test_great_britain_in_half_hours(tmp_path: Path) -> None:
    path = tmp_path / "gb.csv"
    path.write_text("Datetime (UTC),Actual Carbon Intensity (gCO2/kWh),"
                    "Forecast Carbon Intensity (gCO2/kWh),Index\n"
                    "2025-06-01T00:00Z,100,999,low\n2025-06-01T00:30Z,120,999,low\n")  # fmt: skip
    made = read_by_zone([str(path)])
    assert list(made["GBR"].values.values()) == [110.0] and made["GBR"].kind == "average-direct"


@pytest.mark.parametrize("head", ["point_time,value", "timestamp,MOER"])
def test_watttime_is_marginal_in_pounds_a_megawatt_hour(tmp_path: Path, head: str) -> None:
    path = tmp_path / "wt.csv"
    path.write_text(f"{head}\n2025-06-01T00:00:00+00:00,1000\n")
    made = read_by_zone([f"US-CA={path}"])["US-CA"]
    assert list(made.values.values()) == pytest.approx([453.59237]) and made.kind == "marginal"
    with pytest.raises(InputError, match="names no zone: say which with ZONE="):
        read_by_zone([str(path)])


def test_an_uploaded_text_takes_the_chosen_zone_where_it_names_none() -> None:
    text = "datetime,carbon_intensity\n2025-06-01T00:00Z,50\n"
    assert list(read_text_by_zone("x.csv", text, "FRA")) == ["FRA"]
    with pytest.raises(InputError, match="names no zone"):
        read_text_by_zone("x.csv", text, None)
    row = "2025-06-01 00:00:00,France,France,FR,20,40\n"
    assert list(read_text_by_zone("x.csv", EM + row, "POL", "average-direct")) == ["FRA"]
    with pytest.raises(InputError, match=r"unknown zone 'US-CAL-CISO'.*or say ZONE="):
        read_text_by_zone("x.csv", EM + row.replace(",FR,", ",US-CAL-CISO,"), None, "marginal")


# ------------------------------------------------------------------ the verb
@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fra.csv"
    rows = "".join(f"{(START + timedelta(hours=i)).isoformat()},{v}\n"
                   for i, v in enumerate(days(2)))  # fmt: skip
    path.write_text("datetime,carbon_intensity\n" + rows)
    return path


def test_the_table_and_its_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["hours", "--it-energy-wh", "1000", "--pue", "1", "--hourly-intensity", f"FRA={file}",
            "--kind", "average-lifecycle",
            "--zone", "FRA", "--zone", "POL"]  # fmt: skip
    assert run(observatory, call) == 0
    said = capsys.readouterr().out
    assert "every third hour" in " ".join(said.split()) and "POL: no hourly series" in said
    assert max(len(line) for line in said.splitlines()) <= 100
    assert run(observatory, [*call, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    hours = [r["co2e_g"] for r in rows if r["zone"] == "FRA" and r["level"] == "hour"]
    assert hours == pytest.approx([100.0 + h for h in range(24)])
    assert run(observatory, [*call, "--csv"]) == 0
    assert capsys.readouterr().out.startswith("zone,zone_name,hour_utc,co2e_g")


def test_a_job_on_the_command_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["hours", "--it-energy-wh", "2000", "--pue", "1", "--hourly-intensity", f"FRA={file}",
            "--kind", "average-lifecycle",
            "--start", "2025-06-01T10:00Z", "--hours", "2"]  # fmt: skip
    assert run(observatory, [*call, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["hourly"]["co2e_operational_g"] == pytest.approx(110 + 111)
    assert made["levels"]["carbon_intensity"] == {"hour": 2} and made["zone"] == "FRA"
    assert run(observatory, call) == 0
    assert "over its hours" in capsys.readouterr().out


def test_hours_of_weather_move_the_water_on_site(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weather = tmp_path / "w.csv"
    rows = "".join(f"{(START + timedelta(hours=i)).isoformat()},{10 + i % 24}\n"
                   for i in range(48))  # fmt: skip
    weather.write_text("time,wet_bulb_c\n" + rows)
    call = ["hours", "--it-energy-wh", "1000", "--zone", "FRA", "--hourly-weather", str(weather),
            "--start", "2025-06-01T23:00Z", "--hours", "1", "--json"]  # fmt: skip
    assert run(observatory, call) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["hourly"]["water_on_site_l"] > 1.2 * made["annual"]["water_on_site_l"]
    assert made["hourly"]["co2e_operational_g"] == made["annual"]["co2e_operational_g"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--it-energy-wh", "1", "--start", "2025-06-01T10:00Z"], "both --start and --hours"),
        (["--it-energy-wh", "1", "--start", "now", "--hours", "1", "--zone", "FRA"], "--start"),
        (["--it-energy-wh", "1", "--start", "2025-06-01T10:00", "--hours", "1", "--zone", "FRA"],
         "UTC offset"),
        (["--it-energy-wh", "1", "--start", "2025-06-01T10:00Z", "--hours", "-1", "--zone", "FRA"],
         "--hours -1"),
        (["--it-energy-wh", "1", "--start", "2025-06-01T10:00Z", "--hours", "1", "--zone", "FRA"],
         "no hours are known of FRA"),
        (["--it-energy-wh", "1", "--start", "2025-06-01T10:00Z", "--hours", "1"], "one zone"),
        ([], "either --it-energy-wh or --configuration"),
        (["--it-energy-wh", "1", "--hourly-intensity", "/nowhere.csv"], "/nowhere.csv"),
        (["--it-energy-wh", "1", "--hourly-intensity", "Frnce=/nowhere.csv"], "unknown zone"),
        (["--it-energy-wh", "1", "--hourly-weather", "x.csv"], "of a job"),
    ],
)  # fmt: skip
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert run(observatory, ["hours", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
