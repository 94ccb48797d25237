"""Figures: traces, axes and units as JSON; nothing drawn for what is missing; names as text."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory import answers
from observatory.errors import InputError
from observatory.figures import bills, labels, ladder, naming, phases, runtime, style, tradeoff
from observatory.store.database import open_read_only
from tests import synthetic

pytest.importorskip("plotly", reason="the extra `dashboard` is not installed")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("figures") / "observatory.db"
    synthetic.record(path)
    made = answers.idealized(open_read_only(path))
    return made.assign(name=made["model"])


def spec(figure: Any) -> dict[str, Any]:
    """The figure as a browser gets it."""
    made: dict[str, Any] = json.loads(figure.to_json())
    return made


def bill_rows(**changes: Any) -> pd.DataFrame:
    row = {"name": "m", "zone_name": "France", "provenance": "estimated",
           "co2e_operational_g": 0.002,
           "co2e_operational_g_low": 0.001, "co2e_operational_g_high": 0.01}  # fmt: skip
    return pd.DataFrame([row, row | {"zone_name": "Poland"} | changes])


def test_measured_idealized_roofline_are_three_traces_in_seconds(rows: pd.DataFrame) -> None:
    made = spec(runtime.measured_idealized_roofline(rows))
    measured, fitted, roof = made["data"]
    assert measured["x"] == list(rows["runtime_s"]) and roof["x"] == list(rows["roofline_s"])
    assert fitted["name"] == runtime.IDEALIZED
    hollow = [s == "circle-open" for s in measured["marker"]["symbol"]]
    assert hollow == list(rows["role"] == "heldout")
    axis = made["layout"]["xaxis"]
    assert axis["title"]["text"] == "Runtime (ms)" and axis["type"] == "log"
    written = [float(t.replace(",", "")) / 1000 for t in axis["ticktext"]]
    assert written == pytest.approx(axis["tickvals"])  # in the unit of the title
    assert all(math.log10(t) == round(math.log10(t)) for t in axis["tickvals"])  # decades


def test_a_missing_roofline_is_no_trace(rows: pd.DataFrame) -> None:
    made = spec(runtime.measured_idealized_roofline(rows.assign(roofline_s=float("nan"))))
    assert len(made["data"]) == 2


def test_bills_carry_interval_unit_and_shape_of_provenance() -> None:
    made = spec(bills.bill(bill_rows(), "co2e_operational_g"))
    (trace,) = made["data"]
    assert trace["y"] == ["France · m", "Poland · m"]
    axis = made["layout"]["yaxis"]
    assert axis["categoryarray"] == ["France", "France · m", "Poland", "Poland · m"]
    assert (axis["tickvals"], axis["ticktext"]) == (trace["y"], ["m", "m"])
    heads = {note["y"]: note["text"] for note in made["layout"]["annotations"]}
    assert heads == {0: "<b>France</b>", 2: "<b>Poland</b>"}
    assert trace["marker"]["symbol"] == ["triangle-up"] * 2  # estimated
    assert trace["error_x"]["array"] == pytest.approx([0.008] * 2)
    assert trace["error_x"]["arrayminus"] == pytest.approx([0.001] * 2)
    assert made["layout"]["xaxis"]["title"]["text"] == "Carbon (mgCO2e)"


def test_a_missing_bill_is_not_drawn_as_zero() -> None:
    none = {"co2e_operational_g": None, "co2e_operational_g_low": None,
            "co2e_operational_g_high": None}  # fmt: skip
    (trace,) = spec(bills.bill(bill_rows(**none), "co2e_operational_g"))["data"]
    assert trace["y"] == ["France · m"]
    blank = spec(bills.bill(bill_rows().assign(**none), "co2e_operational_g"))
    assert not blank["data"] and "reason" in blank["layout"]["annotations"][0]["text"]


def test_a_bill_of_zero_is_drawn_on_a_linear_axis() -> None:
    zero = bill_rows(co2e_operational_g=0.0, co2e_operational_g_low=0.0)
    made = spec(bills.bill(zero, "co2e_operational_g"))
    assert made["data"][0]["x"][1] == 0.0 and made["layout"]["xaxis"].get("type") != "log"


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_phases_are_points_and_two_lines(rows: pd.DataFrame, phase: str) -> None:
    made = spec(phases.phase_time(rows, phase))
    assert [t["mode"] for t in made["data"]] == ["markers", "lines", "lines"]
    mine = rows[rows["phase"] == phase]
    share = mine["output_tokens"] if phase == "decode" else 1
    assert made["data"][0]["y"] == list(mine["runtime_s"] / share)


def test_joules_per_token_without_joules_says_why(rows: pd.DataFrame) -> None:
    none = rows.assign(energy_per_token_j=float("nan"), energy_reason="no sensor here")
    made = spec(phases.joules_per_token(none))
    assert not made["data"] and "no sensor here" in made["layout"]["annotations"][0]["text"]


def test_inputs_of_the_variance_are_named_in_words() -> None:
    ids = ["ewif.zero.mid:USA", "pue:industry", "sensor:AMD EPYC:estimated", "repeatability"]
    rows = pd.DataFrame({"quantity": "Energy", "input": ids, "share": [0.5, 0.3, 0.1, 0.1]})
    assert [t["name"] for t in spec(ladder.variance_shares(rows))["data"]] == [
        "water of electricity (USA)", "PUE (industry)", "sensor (AMD EPYC, estimated)",
        "repeatability",
    ]  # fmt: skip


def test_every_input_of_the_variance_has_a_colour_of_its_own() -> None:
    """The smallest of many stand together; a large one never shares a colour."""
    rows = pd.DataFrame([
        {"quantity": q, "input": f"input{i}", "share": share}
        for q, shares in (("Energy", [0.3, 0.2, *[0.05] * 6]), ("Water", [0.01] * 8 + [0.9]))
        for i, share in enumerate(shares)
    ])  # fmt: skip
    made = spec(ladder.variance_shares(rows))["data"]
    colours = [trace["marker"]["color"] for trace in made]
    assert len(made) == len(set(colours)) == len(style.PALETTE)
    assert made[0]["name"] == "input8" and made[-1]["name"] == "2 other inputs"
    drawn = {q: sum(x for t in made for y, x in zip(t["y"], t["x"], strict=True) if y == q)
             for q in ("Energy", "Water")}  # fmt: skip
    assert drawn == pytest.approx({"Energy": 80.0, "Water": 98.0})


def test_batches_of_one_context_have_labels_apart_and_a_level_each(rows: pd.DataFrame) -> None:
    one = rows[rows["phase"] == "decode"].head(1)
    several = pd.concat([one.assign(batch=b, runtime_s=one["runtime_s"] * t)
                         for b, t in ((1, 1.0), (16, 1.001), (64, 3.0))])  # fmt: skip
    made = spec(phases.phase_time(several, "decode"))["data"]
    points = [t for t in made if t["mode"] == "markers+text"]
    assert {t["texttemplate"][-1] for t in points} == {"B=1", "B=16", "B=64"}
    assert len({t["textposition"] for t in points[:2]}) == 2  # their points are the same
    levels = [t for t in made if t["mode"] == "lines"]
    assert len(levels) == 6 and all(t["x"][0] < t["x"][1] < t["x"][2] for t in levels)
    assert all(len(set(t["y"])) == 1 for t in levels)


def test_names_of_points_lead_to_them_and_cover_nothing() -> None:
    marks = [labels.Mark("on-the-frontier", 10.0, 0.5, (5.0, 20.0))] + [
        labels.Mark("off", 10.0 * 1.02**i, 0.49, (5.0, 30.0)) for i in range(40)
    ]
    found = labels.leaders(marks, (0.4, 0.6), wanted=1)
    assert found[0] is not None and None in found[1:]  # no room for all of them
    places, obstacles = labels._scene(marks, (0.4, 0.6), log_x=True)
    boxes = [
        labels.Box(x + at[0] - w, x + at[0] + w, y + at[1] - 7.5, y + at[1] + 7.5)
        for m, (x, y), at in zip(marks, places, found, strict=True) if at is not None
        for w in [labels.CHARACTER_PX * len(m.text) / 2]
    ]  # fmt: skip
    assert all(sum(box.overlap(other) for other in obstacles) <= labels.SLIGHT for box in boxes)
    assert all(a.overlap(b) == 0 for i, a in enumerate(boxes) for b in boxes[:i])


def test_markup_in_a_name_is_text() -> None:
    made = bills.bill(bill_rows().assign(name="<a href=x>y</a>"), "co2e_operational_g").to_json()
    assert "<a href" not in made and "&lt;a href" in json.loads(made)["data"][0]["name"]


@given(st.lists(st.text(min_size=1, max_size=90), min_size=1, max_size=8), st.integers(12, 40))
def test_texts_cut_short_stay_apart(texts: list[str], width: int) -> None:
    texts = [*texts, "p" * 60 + " one", "p" * 60 + " two", "q" * 60, "q" * 61]
    short = naming.distinct(texts, width)
    assert len(set(short)) == len(set(texts)) and max(map(len, short)) <= width
    assert all(s == t for s, t in zip(short, texts, strict=True) if len(t) <= width)


def test_what_differs_stands_in_a_cut_text() -> None:
    same = "Pythia-160M · AMD EPYC 7B13 64-Core Processor, bfloat16, sdpa, eager"
    assert naming.distinct([f"{same}, 2 threads", f"{same}, 1 thread", "Qwen"], 26) == [
        "Pythia-160M · A… 2 threads", "Pythia-160M · AM… 1 thread", "Qwen",
    ]  # fmt: skip


def test_names_say_what_sets_configurations_apart() -> None:
    rows = pd.DataFrame(
        [("a", "CPU, bfloat16, 2 threads", "k1", "e"), ("a", "CPU, bfloat16, 1 thread", "k2", "e"),
         ("b", "CPU, bfloat16", "k3", "e"), ("b", "CPU, bfloat16", "k3", "e"),
         ("c", "CPU", "k4", "e1"), ("c", "CPU", "k4", "e2"),
         ("d", "CPU", "k5", "e"), ("d", "CPU, static", "k6", "e")],
        columns=["model", "configuration", "configuration_key", "environment_key"],
    )  # fmt: skip
    assert naming.names(rows) == [
        "a · 2 threads", "a · 1 thread", "b", "b", "c · CPU · k4/e1", "c · CPU · k4/e2",
        "d · CPU", "d · static",
    ]  # fmt: skip
    assert naming.names(rows.drop(columns="environment_key"))[:2] == naming.names(rows)[:2]


def test_empty_tables_give_a_sentence() -> None:
    nothing = pd.DataFrame()
    for figure in (
        runtime.measured_idealized_roofline(nothing), runtime.request_by_configuration(nothing),
        bills.bill(nothing, "water_l"), ladder.variance_shares(nothing), ladder.ratios(nothing),
        tradeoff.frontier(nothing, "energy_j", "mmlu"),
    ):  # fmt: skip
        made = spec(figure)
        assert not made["data"] and made["layout"]["annotations"][0]["text"]


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=20))
def test_ticks_of_a_log_axis_are_inside_and_in_order(values: list[float]) -> None:
    axis = style.log_axis("x", values)
    ticks = axis["tickvals"]
    assert ticks == sorted(ticks) and len(ticks) >= 1 and len(set(axis["ticktext"])) >= 1
    assert min(ticks) <= max(values) * 10 and max(ticks) >= min(values) / 10


def test_a_log_axis_refuses_zero() -> None:
    with pytest.raises(InputError, match="positive"):
        style.log_axis("x", [0.0, 1.0])


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [
        ("Runtime (s)", 0.02, (1e-3, "Runtime (ms)")),
        ("Runtime (s)", 300.0, (1.0, "Runtime (s)")),
        ("Energy (J/token)", 0.03, (1e-3, "Energy (mJ/token)")),
        ("Energy (Wh per item)", 3e-3, (1e-3, "Energy (mWh per item)")),
        ("Energy (Wh)", 2e-5, (1e-6, "Energy (µWh)")),
        ("Carbon (gCO2e)", 5e3, (1e3, "Carbon (kgCO2e)")),
        ("Cost ($)", 1e-5, (1e-6, "Cost (µ$)")),
        ("Prompt (token)", 5e3, (1.0, "Prompt (token)")),
        ("Ratio to the base", 0.01, (1.0, "Ratio to the base")),
    ],
)
def test_an_axis_says_the_prefix_of_its_ticks(
    label: str, value: float, expected: tuple[float, str]
) -> None:
    assert style.readable(label, value) == expected


@given(st.floats(1e-9, 1e9))
def test_a_linear_axis_of_bars_starts_at_zero_and_has_a_few_round_ticks(largest: float) -> None:
    axis = style.linear_axis("Runtime (s)", values=[largest, None])
    inside = [t for t in axis["tickvals"] if t <= largest]
    assert axis["rangemode"] == "tozero" and axis["tickvals"][0] == 0
    assert 3 <= len(inside) <= 6 and axis["tickvals"][-1] > 2 * largest


def test_ticks_are_plain_numbers() -> None:
    assert [style.tick(v) for v in (0.02, 1.0, 5e3, 2e6)] == ["0.02", "1", "5,000", "2,000,000"]
    assert style.tick(999.9999999999999) == "1,000"  # as of a division by a prefix


def test_labels_of_the_frontier_do_not_cover_one_another() -> None:
    points = [("a-long-model-name", 100.0, 100.0), ("another-long-name", 112.0, 104.0),
              ("third-long-name", 118.0, 109.0), ("", 50.0, 50.0)]  # fmt: skip
    bars = [labels.Box(0, 300, y - 1, y + 1) for _, _, y in points]
    placed = labels.place(points, bars)
    assert placed[3][0] == "" and [text for text, _ in placed[:2]] == [p[0] for p in points[:2]]
    boxes = [labels.around(text, x, y, where) for (text, where), (_, x, y) in
             zip(placed, points, strict=True) if text]  # fmt: skip
    assert all(a.overlap(b) == 0 for i, a in enumerate(boxes) for b in boxes[:i])
    # where there is no room at all, the later name is left out and not drawn over
    crowd = labels.place([("x" * 30, 0.0, 0.0)] * 20, [])
    assert 0 < sum(1 for text, _ in crowd if text) < 20


def test_plotly_is_imported_only_when_a_figure_is_made() -> None:
    names = ", ".join(f"observatory.figures.{p.stem}" for p in
                      Path(style.__file__).parent.glob("*.py") if p.stem != "__init__")  # fmt: skip
    code = f"import sys, {names}; print('plotly' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
