"""Hours: additivity, levels, gaps, daylight saving; and readers of a user's own files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.errors import InputError
from observatory.footprint.hourly import (
    HourlySeries,
    at_hours,
    bill_hours,
    series_of,
    wue_series,
)
from observatory.footprint.intensity_files import read_intensity
from observatory.footprint.readers import (
    read_aware,
    read_weather,
    wet_bulb_stull_c,
)

START = datetime(2025, 1, 1, tzinfo=UTC)


def _series(values: list[float], skip: set[int] = frozenset()) -> HourlySeries:  # type: ignore[assignment]
    pairs = [(START + timedelta(hours=i), v) for i, v in enumerate(values) if i not in skip]
    return series_of(pairs, "carbon_intensity", "gCO2e/kWh", "synthetic")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 900)), min_size=2, max_size=48),
       st.integers(1, 47))  # fmt: skip
def test_bills_add_over_hours(hours: list[tuple[float, float]], cut: int) -> None:
    series = _series([ci for _, ci in hours])
    energy = {START + timedelta(hours=i): j for i, (j, _) in enumerate(hours)}

    def bill(part: dict[datetime, float]) -> tuple[float, float, float]:
        made = bill_hours(part, 1.2, (series, None), (None, 0.5), (None, 2.0))
        return made.co2e_operational_g, made.water_on_site_l, made.water_off_site_l

    keys = sorted(energy)
    first = {k: energy[k] for k in keys[:cut]}
    rest = {k: energy[k] for k in keys[cut:]}
    for whole, a, b in zip(bill(energy), bill(first), bill(rest), strict=True):
        assert whole == pytest.approx(a + b, rel=1e-9, abs=1e-12)


def test_flat_hours_equal_the_annual_bill() -> None:
    energy = {START + timedelta(hours=i): 3.6e6 for i in range(24)}
    made = bill_hours(energy, 1.5, (_series([100.0] * 24), None), (None, 0.5), (None, 2.0))
    assert made.co2e_operational_g == pytest.approx(24 * 1.5 * 100)
    assert made.water_on_site_l == pytest.approx(24 * 0.5)
    assert made.water_off_site_l == pytest.approx(24 * 1.5 * 2)
    assert made.levels == {
        "carbon_intensity": {"hour": 24}, "wue": {"year": 24}, "ewif": {"year": 24},
    }  # fmt: skip


def test_missing_hour_then_month_then_year_and_the_level_is_kept() -> None:
    series = _series([100.0, 200.0, 999.0, 300.0], skip={2})
    hours = [START, START + timedelta(hours=2), datetime(2025, 6, 1, tzinfo=UTC)]
    found = at_hours(hours, series, 450.0)
    assert found.levels == ("hour", "month", "year")
    assert found.values == (100.0, 200.0, 450.0)
    assert found.counts() == {"hour": 1, "month": 1, "year": 1}
    with pytest.raises(InputError, match="2025-06-01T00:00Z"):
        at_hours(hours, series, None)
    assert len(series.notes) == 1 and "1 of 4 hours are missing" in series.notes[0]
    assert "2025-01-01T02:00Z" in series.notes[0]


def test_wue_series_keeps_its_annual_mean() -> None:
    weather = HourlySeries(
        "wet_bulb", "F", {START + timedelta(hours=i): 30.0 + i for i in range(48)}, "synthetic"
    )
    made = wue_series(0.7, weather)
    assert sum(made.values.values()) / 48 == pytest.approx(0.7)
    assert made.by_hour_of_day(23) > made.by_hour_of_day(0)
    with pytest.raises(InputError, match="must be in F"):
        wue_series(0.7, HourlySeries("wet_bulb", "C", weather.values, "x"))


def test_intensity_file(tmp_path: Path) -> None:
    path = tmp_path / "ci.csv"
    path.write_text(
        "datetime,carbon_intensity\n2025-01-01T00:00Z,0.1\n2025-01-01T02:00+01:00,0.3\n"
    )
    made = read_intensity(path, unit="kgCO2e/kWh")
    assert list(made.values.values()) == pytest.approx([100.0, 300.0])
    assert max(made.values) == datetime(2025, 1, 1, 1, tzinfo=UTC)


def test_electricity_maps_headers_choose_the_kind(tmp_path: Path) -> None:
    path = tmp_path / "em.csv"
    path.write_text(
        "Datetime (UTC),Zone name,Carbon intensity gCO₂eq/kWh (direct),"
        "Carbon intensity gCO₂eq/kWh (Life cycle)\n2025-01-01 00:00:00,France,20,40\n"
    )
    assert list(read_intensity(path, "average-direct").values.values()) == [20.0]
    assert list(read_intensity(path, "average-lifecycle").values.values()) == [40.0]
    with pytest.raises(InputError, match="say which with --kind"):
        read_intensity(path)
    with pytest.raises(InputError, match="say which"):
        read_intensity(path, "marginal")


def test_daylight_saving_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "dst.csv"
    head = "datetime,carbon_intensity\n"
    path.write_text(head + "2025-10-26T02:00,50\n2025-10-26T02:00,60\n")
    with pytest.raises(InputError, match=r"dst\.csv:3: local time .* occurs twice \(daylight"):
        read_intensity(path, timezone="Europe/Paris")
    path.write_text(head + "2025-10-26T02:00+02:00,50\n2025-10-26T02:00+01:00,60\n")
    assert len(read_intensity(path).values) == 2  # with offsets they are two different hours
    path.write_text(head + "2025-10-26T00:00Z,50\n2025-10-26T02:00+02:00,60\n")
    with pytest.raises(InputError, match="occurs twice"):
        read_intensity(path)


def test_spring_forward_is_no_gap_in_utc(tmp_path: Path) -> None:
    path = tmp_path / "spring.csv"
    rows = "".join(f"2025-03-30T{h:02d}:00,50\n" for h in (0, 1, 3, 4))
    path.write_text("datetime,carbon_intensity\n" + rows)
    assert read_intensity(path, timezone="Europe/Paris").notes == ()
    path.write_text("datetime,carbon_intensity\n" + rows.replace("T01", "T05"))
    assert "are missing" in read_intensity(path, timezone="Europe/Paris").notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datetime,carbon_intensity\n2025-01-01T00:00,50\n", "no UTC offset"),
        ("datetime,carbon_intensity\n2025-01-01T00:00Z,-50\n", "negative"),
        ("datetime,carbon_intensity\n2025-01-01T00:00Z,many\n", "not a number"),
        ("datetime,carbon_intensity\n2025-01-01T00:00Z,inf\n", "not finite"),
        ("datetime,carbon_intensity\n01/02/25,50\n", "not an ISO 8601 time"),
        ("datetime,carbon_intensity\n2025-01-01T00:00Z\n", "1 columns, the header has 2"),
        ("datetime,carbon_intensity\n", "header and no rows"),
        ("", "is empty"),
        ("when,carbon_intensity\n2025-01-01T00:00Z,1\n", "no time column"),
        ("datetime,price\n2025-01-01T00:00Z,1\n", "no column carbon_intensity"),
    ],
)
def test_bad_intensity_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_intensity(path)
    assert "\n" not in str(caught.value)


def test_bad_unit_and_timezone(tmp_path: Path) -> None:
    path = tmp_path / "ci.csv"
    path.write_text("datetime,carbon_intensity\n2025-01-01T00:00,50\n")
    with pytest.raises(InputError, match="unknown unit 'stone/kWh'"):
        read_intensity(path, unit="stone/kWh")
    with pytest.raises(InputError, match="unknown timezone"):
        read_intensity(path, timezone="Mars/Olympus")


def test_weather(tmp_path: Path) -> None:
    assert wet_bulb_stull_c(20.0, 50.0) == pytest.approx(13.7, abs=0.05)  # Stull's own example
    path = tmp_path / "w.csv"
    path.write_text("time,temperature_c,relative_humidity\n2025-01-01T00:00Z,20,50\n")
    (value,) = read_weather(path).values.values()
    assert value == pytest.approx(13.7 * 1.8 + 32, abs=0.1)
    path.write_text("time,wet_bulb_c\n2025-01-01T00:00Z,10\n")
    assert list(read_weather(path).values.values()) == [50.0]
    path.write_text("time,temperature_c,relative_humidity\n2025-01-01T00:00Z,20,150\n")
    with pytest.raises(InputError, match="relative humidity 150"):
        read_weather(path)
    path.write_text("time,sunshine\n2025-01-01T00:00Z,20\n")
    with pytest.raises(InputError, match="wet_bulb_f"):
        read_weather(path)


def test_aware_download(reference: Path) -> None:
    table = read_aware(reference / "factors/aware_sample.csv")
    assert table.version == "AWARE 2.0"
    assert table.factor("CHN") == (6.29, "year")
    assert table.factor("CHN", 6) == (16.1, "month")
    assert table.factor("AU-QLD", 11) == (58.2, "month")
    with pytest.raises(InputError, match="no AWARE factor for zone ZZZ"):
        table.factor("ZZZ")
    with pytest.raises(InputError, match="month 13"):
        table.factor("CHN", 13)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zone,cf_non_irri_yearly\nFR,1\n", r"lacks the column\(s\) unit"),
        ("zone,cf_non_irri_yearly,unit\nFR,1,bathtubs\n", "unknown unit 'bathtubs'"),
        ("zone,cf_non_irri_yearly,unit\nFR,-1,m3 world-eq./m3 consumed\n", "negative"),
    ],
)
def test_bad_aware_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "aware.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_aware(path)
