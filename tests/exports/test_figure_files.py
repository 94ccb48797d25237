"""Figures as files: the page's figures, in paper style, the same bytes each time."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from observatory.cli import observatory, run
from observatory.errors import InputError, UnknownNameError
from observatory.exports import rendering
from observatory.exports.drawings import DRAWINGS
from observatory.figures import paper, style
from observatory.records import Configuration, Model
from tests import synthetic

pytest.importorskip("plotly", reason="the extra `figures` is not installed")

LANE = "bbh/acc_norm/3-shot/lm-eval/open-llm-leaderboard-v2/chat=no"
#: what a figure needs beside the database
NEEDS = {
    "ladder": ["--zone", "FRA"], "variance": ["--zone", "FRA"], "frontier": ["--lane", LANE],
    "money": ["--tariff", "0.2"],
    "ratios": ["--zone", "FRA", "--configuration", "Pythia-160M", "--configuration",
               "SmolLM2-135M"],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files of hours and of items, for the figures that need them."""
    path = tmp_path_factory.mktemp("hours") / "fra.csv"
    rows = "".join(f"2025-06-01T{h:02d}:00Z,{50 + h}\n" for h in range(24))
    path.write_text("datetime,carbon_intensity\n" + rows)
    from observatory.tradeoffs import routing_example

    table = path.with_name("items.csv")
    table.write_text(routing_example.as_csv(routing_example.example()))
    NEEDS["routing"] = ["--items", str(table), "--zone", "FRA"]
    NEEDS["region-hours"] = ["--hourly-intensity", f"FRA={path}", "--kind", "average-lifecycle"]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("figures") / "o.db"
    synthetic.record(path)
    synthetic.record(path, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    return path


def figure(database: Path, out: Path, *arguments: str) -> int:
    return run(observatory, ["figure", *arguments, "--db", str(database), "--out", str(out)])


def spec(database: Path, tmp_path: Path, name: str, *arguments: str) -> dict[str, Any]:
    out = tmp_path / f"{name}.json"
    assert figure(database, out, name, *NEEDS.get(name, []), *arguments) == 0
    made: dict[str, Any] = json.loads(out.read_text())
    return made


@pytest.mark.parametrize("name", list(DRAWINGS))
def test_every_figure_is_in_paper_style_with_units(
    database: Path, tmp_path: Path, name: str
) -> None:
    made = spec(database, tmp_path, name)
    layout = made["layout"]
    assert made["data"] and layout["width"] == 326  # 3.4 inches
    assert (layout["paper_bgcolor"], layout["plot_bgcolor"]) == ("white", "white")
    axes = [layout["xaxis"], layout["yaxis"]]
    if name == "region-hours":  # its unit stands at the colour bar
        axes.append(made["data"][0]["colorbar"])
    assert any("(" in axis["title"].get("text", "") or "Ratio" in axis["title"].get("text", "")
               for axis in axes)  # fmt: skip
    drawn = set(re.findall(r'"color": ?"(#[0-9A-F]{6})"', json.dumps(made["data"]), re.I))
    assert drawn <= {*style.PALETTE, "#FFFFFF"}


def test_the_frontier_has_intervals_on_both_axes_and_fill(database: Path, tmp_path: Path) -> None:
    step, points = spec(database, tmp_path, "frontier")["data"]
    assert step["line"]["shape"] == "hv" and len(points["x"]) == 2
    assert points["error_x"]["visible"] is True and "error_y" in points
    # filled: on the frontier in 95 % of draws; joules of a synthetic sensor are an estimate
    assert points["marker"]["symbol"][0] == "triangle-up"


def test_the_paper_has_the_page_s_numbers(database: Path, tmp_path: Path) -> None:
    from observatory import answers
    from observatory.store.database import open_read_only

    measured = spec(database, tmp_path, "decode", "--configuration", "Pythia-160M")["data"][0]
    rows = answers.idealized(open_read_only(database), "Pythia-160M")
    rows = rows[rows["phase"] == "decode"].sort_values("context_tokens")
    assert measured["y"] == pytest.approx(list(rows["runtime_s"] / rows["output_tokens"]))


@pytest.mark.parametrize(("kind", "there", "not_there"), [
    (None, "France", "Texas"), ("average-direct", "Texas", "France"),
])  # fmt: skip
def test_regions_of_one_kind_of_carbon_share_a_figure(
    database: Path, tmp_path: Path, kind: str | None, there: str, not_there: str
) -> None:
    said = [] if kind is None else ["--kind", kind]
    (trace,) = spec(database, tmp_path, "regions-carbon", *said)["data"]
    assert there in trace["y"] and not_there not in trace["y"]
    (water,) = spec(database, tmp_path, "regions-water")["data"]
    assert {"France", "Texas"} <= set(water["y"])  # no kind in it


def test_the_heat_map_is_by_hour_and_holds_nothing_where_no_hour_is_known(
    database: Path, tmp_path: Path
) -> None:
    (heat,) = spec(database, tmp_path, "region-hours")["data"]
    assert heat["type"] == "heatmap" and heat["x"] == ["mean", *(f"{h:02d}" for h in range(24))]
    rows = dict(zip(heat["y"], heat["z"], strict=True))
    assert all(v is not None for v in rows["France"])
    assert rows["Poland"][0] is not None and set(rows["Poland"][1:]) == {None}
    ratio = 10 ** (rows["France"][24] - rows["France"][1])
    assert ratio == pytest.approx(73 / 50)


def test_width_of_a_page_and_unknown_width(database: Path, tmp_path: Path) -> None:
    made = spec(database, tmp_path, "decode", "--width", "page")
    assert made["layout"]["width"] == 672
    with pytest.raises(UnknownNameError):
        paper.for_paper(style.blank("x"), "poster")


def test_long_labels_are_cut_to_the_column_and_categories_stay_what_they_are() -> None:
    go = style.graph_objects()
    long = [f"{'a' * 60} {n} thread" for n in (1, 2)]
    bars = [go.Bar(x=[1, 2, 3], y=[*long, "b & c"], orientation="h") for _ in range(2)]
    made = paper.for_paper(go.Figure(bars))
    assert [list(bar.y) for bar in made.data] == [[*long, "b & c"]] * 2
    axis = made.layout.yaxis
    assert list(axis.tickvals) == [*long, "b & c"]
    assert len(set(axis.ticktext)) == 3 and axis.ticktext[2] == "b &amp; c"
    assert max(map(len, axis.ticktext[:2])) <= paper.LABEL_CHARACTERS["column"]
    assert axis.ticktext[0].endswith("1 thread") and axis.ticktext[1].endswith("2 thread")
    assert paper.for_paper(go.Figure(go.Bar(x=["b"], y=[1]))).layout.xaxis.ticktext is None


def test_two_configurations_of_a_model_have_a_bar_each(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bars of one category are stacked, and would show a time that nothing takes."""
    from dataclasses import replace

    path = tmp_path / "several.db"
    real = synthetic.configuration_of
    for threads in (1, 2):

        def configuration(of: Model, threads: int = threads) -> Configuration:
            return replace(real(of), threads=threads, attention="kernel-" + "x" * 60)

        monkeypatch.setattr(synthetic, "configuration_of", configuration)
        synthetic.record(path, f"run-{threads}", scale=float(threads))
    made = spec(path, tmp_path, "request", "--prompt", "100", "--output", "10")
    bars = [trace for trace in made["data"] if trace["type"] == "bar"]
    assert all(len(set(bar["y"])) == 2 for bar in bars)
    assert made["layout"]["yaxis"].get("ticktext", bars[0]["y"]) == [
        "SmolLM2-135M · 1 thread", "SmolLM2-135M · 2 threads",
    ]  # fmt: skip


def test_the_frontier_of_time_is_measured(database: Path, tmp_path: Path) -> None:
    _, points = spec(database, tmp_path, "frontier", "--cost", "runtime_s")["data"]
    assert all(symbol.startswith("circle") for symbol in points["marker"]["symbol"])


@pytest.mark.parametrize("width", list(paper.WIDTHS))
def test_a_legend_has_room_for_every_series(width: str) -> None:
    """Plotly gives a legend half of the figure, and cuts what is more."""
    go = style.graph_objects()
    figure = style.finish(go.Figure([go.Bar(name=f"series {i}", y=[1]) for i in range(12)]), 200)
    assert figure.layout.height >= 2 * 12 * style.LEGEND_LINE_PX
    assert paper.for_paper(figure, width).layout.height >= 2 * 12 * style.LEGEND_LINE_PX
    assert style.finish(go.Figure(go.Bar(name="one", y=[1])), 200).layout.height == 200


def test_list_needs_no_database(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(observatory, ["figure", "--list", "--db", "/nowhere.db"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in DRAWINGS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "unknown figure"),
        ([], "name a figure"),
        (["decode", "--out", "x.bmp"], ".bmp is none of"),
        (["money"], "no price"),
        (["region-hours"], "needs hours"),
        (["routing"], "needs --items"),
        (["ladder"], "give --zone"),
        (["ratios"], "two to four configurations"),
        (["frontier"], "needs --lane"),
        (["frontier", "--lane", LANE, "--cost", "co2e_g"], "give --group (or --zone)"),
        (["decode", "--configuration", "nobody"], "unknown model or configuration"),
        (["decode", "--prompt", "0"], "--prompt 0"),
        (["decode", "--format", "json", "--out", "/nowhere/x.json"], "cannot write"),
    ],
)
def test_wrong_usage_is_one_line_and_code_two(
    database: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(observatory, ["figure", *arguments, "--db", str(database)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error


def test_without_a_browser_one_line_says_what_to_install(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(rendering, "available", lambda: rendering.NO_CHROME)
    assert figure(database, tmp_path / "x.pdf", "decode") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "chromium" in error and not (tmp_path / "x.pdf").exists()


def test_a_browser_that_is_not_there_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaleido", reason="the extra `figures` is not installed")
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    said = rendering.available()
    assert said is None or "Chrome" in said
    with pytest.raises(InputError, match="format 'bmp'"):
        rendering.render(style.blank("x"), "bmp")


def test_files_have_their_format_their_size_and_the_same_bytes_twice(
    database: Path, tmp_path: Path
) -> None:
    if rendering.available():
        pytest.skip(str(rendering.available()))
    forms = ["svg", "pdf", "png"]
    drawn = paper.for_paper(_decode(database))
    first, second = (rendering.render_all({"decode": drawn}, forms) for _ in range(2))
    assert first == second
    svg, pdf, png = (first["decode", form] for form in forms)
    assert svg.startswith(b"<svg") and b'width="326"' in svg and b"Context before" in svg
    assert pdf.startswith(b"%PDF-") and b"/CreationDate (D:1980" in pdf
    (box,) = re.findall(rb"/MediaBox \[0 0 (\d+(?:\.\d+)?) ", pdf)
    assert float(box) == pytest.approx(3.4 * 72, abs=1)  # points
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (326 * 4, drawn.layout.height * 4)


def _decode(database: Path) -> Any:
    from observatory.exports.drawings import Ask, draw
    from observatory.records import Workload
    from observatory.store.database import open_read_only

    return draw(open_read_only(database), "decode", Ask(Workload.request(64, 8)))
