"""The answer page on a filled, an energy-less, an empty, an absent and a hostile database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from observatory import answers
from observatory.footprint import EXAMPLE_ZONES, Scenario
from observatory.footprint.zones import zones
from observatory.records import Workload
from observatory.store.database import open_read_only
from tests.dashboards.conftest import HOSTILE, Opener, words


def charts(app: object) -> dict[str, dict[str, object]]:
    """Figure JSON of every chart, by the first words of its alternative text."""
    found = app.get("plotly_chart")  # type: ignore[attr-defined]
    return {c.proto.alt.split(" of ")[0]: json.loads(c.proto.spec) for c in found}


def test_the_first_thing_said_is_the_answer(page: Opener, filled: Path) -> None:
    app = page(filled)
    assert not app.exception
    first = app.markdown[0].value.replace("\\", "")
    found = answers.estimate(open_read_only(filled), Workload.request(128, 64))
    said = words(app)
    from observatory.headline import headline

    whole = headline(found)
    assert first.startswith("### A request of 128 prompt and 64 output tokens takes SmolLM2-135M")
    assert whole.startswith(first.removeprefix("### ")) and whole.split(". It ")[1] in said
    assert "Moving from Pythia-160M" in said
    assert "84 windows from 2 processes in 1 run" in words(app)


def test_energy_is_in_joules_names_its_boundary_and_is_a_lower_bound(
    page: Opener, filled: Path
) -> None:
    app = page(filled, zone="FRA")
    (e,) = answers.estimate(
        open_read_only(filled), Workload.request(128, 64), Scenario(zone="FRA"), "SmolLM2-135M"
    )
    wh = e.footprints[0].energy_wh
    tile = app.metric[3]
    assert tile.label == "Energy at the boundary facility"
    assert wh.value is not None and tile.value == f"≥ {wh.value * 3600:.3g} J"
    assert wh.shown("energy_wh") in tile.help and "leaves out idle" in tile.help
    chart = charts(app)["Energy"]
    assert chart["layout"]["xaxis"]["title"]["text"] == "Energy (J)"  # type: ignore[index]
    drawn = {t["name"]: t["x"][0] for t in chart["data"]}  # type: ignore[attr-defined]
    assert drawn["SmolLM2-135M"] == pytest.approx(3600 * wh.value)
    assert "lower bound: energy leaves out idle" in words(app)
    whole = page(filled, zone="FRA", boundary="host")
    assert whole.metric[3].label == "Energy at the boundary host"
    assert not whole.metric[3].value.startswith("≥")
    assert "lower bound: energy" not in words(whole)


def test_without_a_zone_three_named_examples_are_billed(page: Opener, filled: Path) -> None:
    app = page(filled)
    carbon = charts(app)["Carbon"]
    for trace in carbon["data"]:  # type: ignore[attr-defined]
        named = [zones()[zone].name for zone in EXAMPLE_ZONES]
        assert trace["customdata"] == named
        assert [row.partition(" · ")[0] for row in trace["y"]] == named
    assert "three **examples**" in words(app)
    assert carbon["layout"]["xaxis"]["title"]["text"] == "Carbon (mgCO2e)"  # type: ignore[index]


def test_a_permalink_restores_the_scenario_and_its_numbers(page: Opener, filled: Path) -> None:
    app = page(filled, p="300", o="9", zone="Poland", boundary="host", tariff="0.25")
    assert app.number_input(key="p").value == 300 and app.number_input(key="o").value == 9
    assert app.selectbox(key="zone").value == "POL"
    assert app.query_params["zone"] in ("POL", ["POL"])
    scenario = Scenario(zone="POL", boundary="host", tariff_usd_per_kwh=0.25)
    found = answers.estimate(open_read_only(filled), Workload.request(300, 9), scenario)
    drawn = {t["name"]: t["x"][0] for t in charts(app)["Money"]["data"]}  # type: ignore[attr-defined]
    assert drawn == {e.model: e.footprints[0].cost_usd.value for e in found}
    assert "**tariff 0.25 $/kWh**" in words(app) and "**zone POL**" in words(app)


def test_missing_money_has_a_reason_and_no_zero(page: Opener, filled: Path) -> None:
    app = page(filled)
    assert "--tariff" in words(app) and "Money" not in charts(app)


def test_without_energy_the_answer_is_the_time_and_the_reason(
    page: Opener, energyless: Path
) -> None:
    app = page(energyless, zone="FRA", tariff="0.3")
    assert not app.exception
    assert "Its energy is unknown: no sensor on this synthetic machine" in words(app)
    assert not {"Energy", "Carbon", "Water", "Money"} & set(charts(app))
    assert app.metric[3].value == "–"
    assert words(app).count("no sensor on this synthetic machine") >= 4


def test_an_empty_and_an_absent_database_get_help(
    page: Opener, empty: Path, tmp_path: Path
) -> None:
    app = page(empty)
    assert not app.exception and "make benchmark" in app.code[0].value
    app = page(tmp_path / "none.db")
    assert not app.exception and "no database at" in words(app)
    assert "make benchmark" in app.code[0].value


def test_a_file_that_is_no_database_is_one_line(page: Opener, tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("not a database\n")
    app = page(text)
    assert not app.exception and "is not a SQLite database" in app.error[0].value.replace("\\", "")


def test_an_unknown_zone_in_a_link_is_said(page: Opener, filled: Path) -> None:
    app = page(filled, zone="Frnce")
    assert not app.exception and "unknown zone" in app.warning[0].value


def test_hostile_names_are_shown_as_text(page: Opener, hostile: Path) -> None:
    app = page(hostile)
    assert not app.exception
    for kind in ("markdown", "caption"):
        for element in app.get(kind):
            assert not getattr(element, "allow_html", False)
            for mark in ("![x](", "](javascript", "<script>", "$x^"):
                assert mark not in element.value
    for spec in (json.dumps(chart) for chart in charts(app).values()):
        assert "<script>" not in spec
    for table in app.dataframe:
        cells = [str(cell) for cell in table.value.to_numpy().ravel()]
        assert not [cell for cell in cells if cell.startswith("=")]
    assert any(name in words(app) for name in HOSTILE)


@pytest.mark.parametrize("query", [{"p": "0"}, {"p": "x"}, {"b": "-3"}, {"boundary": "moon"}])
def test_a_bad_value_in_the_address_falls_back(
    page: Opener, filled: Path, query: dict[str, str]
) -> None:
    app = page(filled, **query)
    assert not app.exception and not app.error
    assert app.number_input(key="p").value == 128


def test_one_chosen_zone_has_its_name(page: Opener, filled: Path) -> None:
    """Only joules that are the same in several zones are of every zone."""
    made = charts(page(filled, zone="FRA", tariff="0.2"))
    for title in ("Energy", "Carbon", "Water", "Money"):
        (head,) = made[title]["layout"]["annotations"]  # type: ignore[index]
        assert head["text"] == "<b>France</b>"
    (head,) = charts(page(filled))["Energy"]["layout"]["annotations"]  # type: ignore[index]
    assert head["text"] == "<b>every zone</b>"


def test_without_a_database_the_page_says_how_to_get_one_and_routing_works(
    page: Opener, tmp_path: Path
) -> None:
    app = page(tmp_path / "none.db")
    said = app.code[0].value
    for command in ("make benchmark", "make dashboard", "observatory import published DIR"):
        assert command in said
    assert "run `run-benchmark` first" in app.error[0].value.replace("\\", "")
    assert r"\`" not in app.error[0].value  # code, no literal backtick
    app = page(tmp_path / "none.db", "routing")
    assert not app.exception and not app.error and app.get("plotly_chart")
