"""The routing page: the example named as one, uploads, the four bills, hostile names, links."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from observatory.cli import observatory, run
from observatory.exports import tables
from observatory.figures import routing as figures
from observatory.footprint import Scenario
from observatory.tradeoffs import routing_answer, routing_example
from observatory.tradeoffs.routing import Choices, lab
from observatory.tradeoffs.routing_use import uses
from tests.dashboards.conftest import HOSTILE, Opener, words


def expected(zone: str = "FRA", **choices: float) -> routing_answer.Answer:
    made = routing_example.example()
    found = lab(made.by_cost["energy_j"], made.router, Choices(**{"judge_error": 0.1} | choices))  # type: ignore[arg-type]
    return routing_answer.answer(found, made.router, uses(made, found.table.models),
                                 Scenario(zone=zone))  # fmt: skip


def test_the_example_is_named_and_a_sentence_answers_first(page: Opener, filled: Path) -> None:
    app = page(filled, "routing", zone="FRA")
    assert not app.exception and not app.error
    said = words(app)
    assert routing_answer.sentence(expected().billed) in said
    assert "synthetic" in said and "nothing was measured" in said and "licence" in said


def test_page_command_line_and_file_say_the_same(
    page: Opener, filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = page(filled, "routing", zone="FRA", bill="co2e_g")
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    path = tmp_path / "items.csv"
    path.write_text(routing_example.as_csv(routing_example.example()))
    code = run(observatory, ["route", str(path), "--zone", "FRA", "--judge-error", "0.1", "--json"])
    (bills,) = json.loads(capsys.readouterr().out)["bills"]
    assert code == 0
    printed = {p["policy"]: p["bills"]["co2e_operational_g"]["value"] for p in bills["policies"]}
    drawn = sorted(v for t in chart["data"] if "markers" in t["mode"] for v in t["x"])
    assert drawn == pytest.approx(sorted(printed.values()), rel=1e-12)
    rows = pd.DataFrame(routing_answer.rows(expected().billed))
    text = tables.write(rows, "csv")
    back = pd.read_csv(io.StringIO(text if isinstance(text, str) else bytes(text).decode()))
    assert dict(zip(back["policy"], back["co2e_g"], strict=True)) == pytest.approx(printed)
    for end, percentile in (("low", "p5"), ("high", "p95")):  # the intervals are the same draws
        said = {p["policy"]: p["saved"]["water_l"][percentile] for p in bills["policies"]}
        shown = dict(zip(back["policy"], back[f"saved_water_{end}"], strict=True))
        assert shown == pytest.approx(said, abs=1e-12)


def test_the_figure_has_traces_axes_and_units(page: Opener, filled: Path) -> None:
    app = page(filled, "routing", zone="FRA")
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    names = {trace["name"] for trace in chart["data"]}
    assert names == {name for name, _ in figures.KINDS.values()}
    lines = {t["name"]: t for t in chart["data"] if t["mode"] == "lines"}
    assert lines["random mix"]["line"]["dash"] == "dot" and len(lines["random mix"]["x"]) == 21
    points = [t for t in chart["data"] if "markers" in t["mode"]]
    assert all(t["error_x"]["visible"] and t["error_y"]["visible"] for t in points)
    assert chart["layout"]["xaxis"]["title"]["text"] == "Energy (mWh per item)"
    assert chart["layout"]["xaxis"]["type"] == "log"
    assert chart["layout"]["yaxis"]["title"]["text"] == "Answers that are right (share)"
    assert len(app.get("plotly_chart")[0].proto.alt) > 100


def test_a_link_restores_every_widget(page: Opener, filled: Path) -> None:
    asked = {"by": "output_tokens", "weak": "synthetic-medium", "strong": "synthetic-large",
             "covers": "facility", "bill": "water_l"}  # fmt: skip
    app = page(filled, "routing", zone="POL", share="0.25", target="0.6", judge="0.2", **asked)
    assert not app.exception and not app.error
    for key, value in asked.items():
        assert app.selectbox(key=key).value == value
    for key, number in (("share", 0.25), ("target", 0.6), ("judge", 0.2)):
        assert app.number_input(key=key).value == number
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert chart["layout"]["xaxis"]["title"]["text"] == "Water (µL per item)"


def test_without_a_price_money_is_missing_and_says_why(page: Opener, filled: Path) -> None:
    app = page(filled, "routing", zone="FRA", bill="cost_usd")
    assert not app.exception and "--tariff" in words(app)
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert not chart["data"] and "No policy has this bill" in json.dumps(chart["layout"])
    priced = page(filled, "routing", zone="FRA", bill="cost_usd", tariff="0.1")
    assert json.loads(priced.get("plotly_chart")[0].proto.spec)["data"]


def test_measured_configurations_serve_the_models(page: Opener, filled: Path) -> None:
    app = page(filled, "routing", zone="FRA", boundary="host")
    options = app.selectbox(key="served0").options
    assert len(options) == 3
    before = words(app)
    app.selectbox(key="served0").select_index(1).run()
    assert not app.exception and not app.error
    assert "joules and seconds of" in words(app) and "joules and seconds of" not in before


def test_an_uploaded_table_with_hostile_names(page: Opener, filled: Path) -> None:
    app = page(filled, "routing", zone="FRA", items="file")
    assert not app.exception and "Choose a file" in words(app)
    bad = f"item,model,correct,energy_j\nq,{HOSTILE[0]},1,1\nq,ok,0,2\n"
    app.file_uploader(key="upload").set_value(("<b>x</b>.csv", bad.encode(), "text/csv")).run()
    assert not app.exception
    for element in [*app.get("markdown"), *app.get("caption"), *app.error]:
        assert "<script>" not in element.value and "<b>" not in element.value
    for chart in app.get("plotly_chart"):
        assert "<script>" not in chart.proto.spec
    formula = 'item,model,correct,energy_j\nq,"=HYPERLINK(""x"")",1,1\n'
    app.file_uploader(key="upload").set_value(("x.csv", formula.encode(), "text/csv")).run()
    assert not app.exception and "would run as a formula" in app.error[0].value.replace("\\", "")


def test_a_table_without_joules_gives_no_bill_and_a_reason(page: Opener, energyless: Path) -> None:
    app = page(energyless, "routing", zone="FRA", items="file")
    rows = "item,model,correct,cost_usd\nq,a,1,0.1\nq,b,1,0.3\nr,a,0,0.1\nr,b,1,0.3\n"
    app.file_uploader(key="upload").set_value(("x.csv", rows.encode(), "text/csv")).run()
    assert not app.exception and not app.error
    assert "energy of a is unknown" in words(app) and "of the money" in words(app)
