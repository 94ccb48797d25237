"""The frontier page: cost beside capability, intervals, fill, only points of the frontier named."""

from __future__ import annotations

import json
from pathlib import Path

from observatory.cli import observatory, run
from observatory.records import Workload
from observatory.store.database import open_read_only
from observatory.tradeoffs import Limits, frontier
from tests import synthetic
from tests.dashboards.conftest import Opener, words


def test_points_are_those_of_the_command_line(page: Opener, filled: Path) -> None:
    app = page(filled, "frontier", zone="FRA", cost="co2e_g")
    assert not app.exception
    lane = app.selectbox(key="lane").value
    from observatory.footprint import Scenario

    found = frontier(open_read_only(filled), "co2e_g", lane, Workload.request(128, 64),
                     Scenario(zone="FRA"))  # fmt: skip
    (chart,) = app.get("plotly_chart")
    figure = json.loads(chart.proto.spec)
    line, marks = figure["data"]
    assert line["name"] == "frontier" and line["line"]["shape"] == "hv"
    (group,) = found.groups
    assert sorted(marks["x"]) == sorted(p.cost for p in group.points)
    assert sorted(marks["y"]) == sorted(p.score for p in group.points)
    named = [note["text"] for note in figure["layout"]["annotations"]]
    assert {p.model for p in group.points if p.on_frontier} <= set(named)
    assert set(named) <= {p.model for p in group.points} and len(named) == len(set(named))
    assert all(any(p.configuration in said for p in group.points) for said in marks["customdata"])
    assert marks["error_x"]["visible"]  # no bare point
    assert all(s.startswith("triangle-up") for s in marks["marker"]["symbol"])  # estimated joules
    assert figure["layout"]["xaxis"]["title"]["text"] == "Carbon (µgCO2e)"


def test_a_cost_that_no_zone_moves_is_drawn_once(page: Opener, filled: Path) -> None:
    app = page(filled, "frontier", cost="energy_j")
    assert len(app.get("plotly_chart")) == 1 and "every zone" in words(app)
    app = page(filled, "frontier", cost="co2e_g")
    assert len(app.get("plotly_chart")) == 3


def test_a_limit_that_nothing_meets_is_said(page: Opener, filled: Path) -> None:
    app = page(filled, "frontier", ttft="0.000001")
    assert not app.exception and not app.get("plotly_chart")
    assert "no model meets the limits" in words(app) and "is over" in words(app)
    assert Limits(1e-6).max_ttft_s == 1e-6


def test_without_joules_the_reason_is_said(page: Opener, energyless: Path) -> None:
    app = page(energyless, "frontier")
    assert not app.exception and not app.get("plotly_chart")
    assert "no sensor on this synthetic machine" in words(app)


def test_what_others_reported_is_a_frontier_of_its_own(page: Opener, imported: Path) -> None:
    """Squares, one source and device at a time, and never on an axis with own measurements."""
    app = page(imported, "frontier")
    assert not app.exception
    lane, group = app.selectbox(key="lane").value, app.selectbox(key="group").value
    found = frontier(open_read_only(imported), "energy_j", lane, imported=True)
    points = next(g.points for g in found.groups if g.name == group)
    marks = json.loads(app.get("plotly_chart")[0].proto.spec)["data"][1]
    assert len(marks["x"]) > 10 and set(marks["x"]) <= {p.cost for p in points}
    assert all(symbol.startswith("square") for symbol in marks["marker"]["symbol"])
    assert f"Of {group}," in words(app) and "Left out, no score in this lane" in words(app)
    assert page(imported, "frontier", group=group, cost="co2e_g").info  # carbon needs a zone


def test_costs_of_others_are_chosen_where_there_are_own_ones(page: Opener, tmp_path: Path) -> None:
    path = tmp_path / "both.db"
    synthetic.record(path)
    assert run(observatory, ["import", "published", "--db", str(path)]) == 0
    own = page(path, "frontier")
    assert own.selectbox(key="costs").value == "measured" and "In every zone" in words(own)
    assert "request 128 prompt" in words(own) and "boundary facility" in words(own)
    others = page(path, "frontier", costs="imported")
    bar = "request as reported by its source · boundary as reported"
    assert bar in words(others)
    assert "128 prompt" not in words(others) and "boundary facility" not in words(others)
    billed = page(path, "frontier", costs="imported", cost="co2e_g", zone="FRA", boundary="wall")
    assert "request as reported by its source · **zone FRA** · **boundary wall**" in words(billed)
    assert "128 prompt" not in words(billed) and "billed from the joules" in words(billed)
    assert others.selectbox(key="costs").value == "imported" and not others.exception
    marks = json.loads(others.get("plotly_chart")[0].proto.spec)["data"][1]
    assert {symbol.split("-")[0] for symbol in marks["marker"]["symbol"]} == {"square"}


def test_imported_files_are_listed_with_their_licence(page: Opener, imported: Path) -> None:
    app = page(imported, "methods")
    rows = next(t.value for t in app.dataframe if "licence" in t.value and "tool" in t.value)
    assert "ML.ENERGY Benchmark v3" in set(rows["tool"]) and rows["licence"].notna().all()
