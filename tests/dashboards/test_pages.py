"""Every other page on every kind of database; figures asserted; links restore what was chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from observatory import answers
from observatory.footprint import Scenario
from observatory.records import Workload
from observatory.store.database import open_read_only
from tests.dashboards.conftest import HOSTILE, Opener, app_pages, words

PAGES = ("phases", "footprint", "frontier", "routing", "compare", "runs", "card", "methods")


def figures(app: object) -> list[dict[str, object]]:
    """Figure JSON of every chart on the page, in order."""
    return [json.loads(c.proto.spec) for c in app.get("plotly_chart")]  # type: ignore[attr-defined]


def test_every_page_of_the_app_is_tested_here() -> None:
    assert {name for name, *_ in app_pages()} == {"answer", *PAGES}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("kind", ["filled", "energyless", "empty", "hostile", "imported"])
def test_no_page_breaks_on_any_database(
    page: Opener, request: pytest.FixtureRequest, kind: str, name: str
) -> None:
    app = page(request.getfixturevalue(kind), name)
    assert not app.exception and not app.error
    assert app.title[0].value
    if kind == "hostile":
        for element in [*app.get("markdown"), *app.get("caption")]:
            for mark in ("![x](", "](javascript", "<script>", "$x^"):
                assert mark not in element.value
        assert all("<script>" not in json.dumps(figure) for figure in figures(app))
        for table in app.dataframe:
            assert not [c for c in table.value.to_numpy().ravel() if str(c).startswith("=")]
    if kind == "empty" and name not in ("methods", "routing"):  # they need no measurement
        assert "make benchmark" in app.code[0].value


@pytest.mark.parametrize("name", PAGES)
def test_every_chart_has_a_description_and_a_unit_on_its_axis(
    page: Opener, filled: Path, name: str
) -> None:
    app = page(filled, name)
    for chart in app.get("plotly_chart"):
        assert len(chart.proto.alt) > 20
        layout = json.loads(chart.proto.spec)["layout"]
        numeric = [a for a in (layout["xaxis"], layout["yaxis"]) if "title" in a]
        assert numeric
        for axis in numeric:
            label = axis["title"]["text"]
            assert label.endswith(")") or label == "Ratio to the base"


def test_phases_draw_what_was_measured(page: Opener, filled: Path) -> None:
    app = page(filled, "phases")
    rows = answers.summary(open_read_only(filled), "SmolLM2-135M", "prefill")
    trace = next(t for t in figures(app)[0]["data"]  # type: ignore[attr-defined]
                 if t["name"] == "SmolLM2-135M" and t["mode"] == "markers")  # fmt: skip
    assert trace["x"] == list(rows["prompt_tokens"]) and trace["y"] == list(rows["runtime_s"])
    assert set(trace["marker"]["symbol"]) == {"circle"}  # measured


def test_footprint_shows_the_bill_that_the_command_line_prints(page: Opener, filled: Path) -> None:
    app = page(filled, "footprint", zone="FRA", p="300", o="9")
    found = answers.estimate(
        open_read_only(filled), Workload.request(300, 9), Scenario(zone="FRA"), "Pythia-160M"
    )[0]
    table = app.dataframe[0].value
    expected = found.footprints[0].co2e_g.shown("co2e_g")
    assert expected.startswith("≥ ")  # idle energy was not measured
    assert expected in set(table["value"])


def test_a_link_names_the_configuration_by_its_key(page: Opener, filled: Path) -> None:
    rows = answers.fits(open_read_only(filled))
    key = str(rows[rows["model"] == "SmolLM2-135M"]["configuration_key"].iloc[0])
    app = page(filled, "footprint", of=key)
    assert app.selectbox(key="of").value == key
    app = page(filled, "footprint", of="unknown")
    assert not app.exception and app.selectbox(key="of").value != "unknown"


def test_a_change_in_the_scenario_moves_the_numbers(page: Opener, filled: Path) -> None:
    app = page(filled, "footprint", zone="FRA")
    before = words(app)
    app.selectbox(key="zone").set_value("POL").run()
    assert not app.exception and "Poland" in words(app) and "Poland" not in before
    assert app.query_params["zone"] in ("POL", ["POL"])


def test_failed_cells_and_findings_are_said_with_their_remedy(page: Opener, tmp_path: Path) -> None:
    from observatory.ingest import Recorder, utc_now
    from observatory.records import Cell, Energy, Window
    from tests import synthetic

    path = tmp_path / "bad.db"
    synthetic.record(path)
    run = answers.runs(open_read_only(path)).iloc[0]
    recorder = Recorder.resume(path, str(run["id"]))
    key = str(answers.fits(open_read_only(path))["configuration_key"].iloc[0])
    for name in ("too large", "negative"):
        recorder.plan([Cell(str(run["id"]), name, key, "prefill", Workload.prefill(8))])
    recorder.finish("too large", "oom", "needs 40 GiB, 24 GiB are there")
    joules = Energy(cpu_j=-5.0, method="synthetic", provenance="estimated", boundary="host")
    recorder.store("negative", Window(0, 0, 1, 0.5, utc_now(), 8, joules))
    recorder.finish("negative", "ok")
    recorder.close("done_with_failures")
    app = page(path, "runs")
    assert not app.exception
    said = words(app)
    assert "needs 40 GiB" in said
    found = answers.findings(open_read_only(path))
    assert len(found) and all(remedy in said for remedy in set(found["remedy"]))


def test_the_card_names_no_grid_that_was_not_chosen(page: Opener, filled: Path) -> None:
    assert "co2_eq_emissions" not in page(filled, "card").code[0].value
    card = page(filled, "card", zone="FRA").code[0].value
    assert 'geographical_location: "France"' in card and "| configuration |" in card


def test_hostile_names_reach_the_card_as_text(page: Opener, hostile: Path) -> None:
    app = page(hostile, "card")
    assert not app.exception and any(name in words(app) for name in HOSTILE)


def test_whole_numbers_of_a_table_are_not_rounded(page: Opener, filled: Path) -> None:
    from dashboards import theme

    shown = theme.readable(pd.DataFrame({
        "year": [2023.0, None], "prompt_tokens": [8192.0, 2049.0], "seed": [123456789, 1],
        "runtime_s": [1.23456, 2.0], "score": [0.123456, 8192.0],
    }))  # fmt: skip
    assert shown["year"].tolist() == [2023, pd.NA]
    assert shown["prompt tokens"].tolist() == [8192, 2049]
    assert shown["prompt tokens"].dtype == "Int64" and shown["seed"].tolist() == [123456789, 1]
    assert shown["runtime (s)"].tolist() == [1.23, 2.0] and shown["score"].tolist() == [0.123, 8192]
    factors = next(t.value for t in page(filled, "methods").dataframe if "evidence" in t.value)
    years = set(pd.to_numeric(factors["year"]).dropna())
    assert {2023, 2026} <= years <= set(range(1990, 2030))


def test_names_in_backticks_are_code_and_all_else_is_text() -> None:
    from dashboards import theme

    assert theme.sentence("asked for `quick`, met `default level`: *x*") == (
        r"asked for `quick`, met `default level`\: \*x\*"
    )
    for hostile in ("`![x](http://a.example)`", "a ` b", "`<script>`"):
        assert theme.sentence(hostile) == theme.text(hostile)
