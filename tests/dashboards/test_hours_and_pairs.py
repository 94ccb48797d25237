"""Footprint by region and hour from an uploaded file; Compare with what a run measured of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards.conftest import HOSTILE, Opener, words
from tests.test_pairs import RATIO, record

HOURS = "datetime,carbon_intensity\n" + "".join(
    f"2025-06-0{day}T{hour:02d}:00Z,{40 + hour}\n" for day in (1, 2) for hour in range(24)
)


def chart(app: Any, name: str) -> dict[str, Any]:
    """The figure whose description begins with `name`."""
    (found,) = [c for c in app.get("plotly_chart") if c.proto.alt.startswith(name)]
    made: dict[str, Any] = json.loads(found.proto.spec)
    return made


def test_without_a_file_no_empty_map_of_hours_is_drawn(page: Opener, filled: Path) -> None:
    app = page(filled, "footprint", zone="FRA")
    alts = [c.proto.alt for c in app.get("plotly_chart")]
    assert alts and not [alt for alt in alts if "hour of the day" in alt]
    assert "no shape of a day is made up" in words(app)


def test_an_uploaded_file_gives_its_zone_hours(page: Opener, filled: Path) -> None:
    app = page(filled, "footprint", zone="FRA")
    app.file_uploader(key="hourly").set_value(("fra.csv", HOURS.encode(), "text/csv")).run()
    assert not app.exception and not app.warning
    (heat,) = chart(app, "Carbon of one request by region and hour")["data"]
    rows = dict(zip(heat["y"], heat["z"], strict=True))
    assert len(heat["x"]) == 25 and None not in rows["France"]
    assert 10 ** (rows["France"][24] - rows["France"][1]) == pytest.approx(63 / 40)
    assert rows["Poland"][0] is not None and set(rows["Poland"][1:]) == {None}
    said = words(app)
    assert "the file has no hours of it" in said
    assert "US-TX, US-CA, US-VA: no carbon intensity of the kind average-lifecycle" in said


def test_a_hostile_upload_is_one_warning_and_no_markup(page: Opener, filled: Path) -> None:
    app = page(filled, "footprint", zone="FRA")
    for content in (f"datetime,{HOSTILE[0]}\n2025-06-01T00:00Z,1\n".encode(), b"\xff\xfe\x00"):
        app.file_uploader(key="hourly").set_value(("<b>x</b>.csv", content, "text/csv")).run()
        assert not app.exception and len(app.warning) == 1
        assert "<script>" not in app.warning[0].value and "<b>" not in app.warning[0].value


def test_regions_of_another_kind_are_named_and_not_drawn(page: Opener, filled: Path) -> None:
    app = page(filled, "footprint", zone="FRA")
    (trace,) = chart(app, "Carbon of one request in")["data"]
    assert "Texas" not in trace["y"] and "Not drawn: US-TX" in words(app)
    water = page(filled, "footprint", zone="FRA", bill="water_l")
    (trace,) = chart(water, "Water of one request in")["data"]
    assert "Texas" in trace["y"]


def test_compare_draws_the_pairs_that_a_run_measured(page: Opener, tmp_path: Path) -> None:
    path = tmp_path / "pairs.db"
    a, b = record(path)
    app = page(path, "compare", base=a, **{"with": b}, zone="FRA")
    assert not app.exception and not app.error
    (trace,) = chart(app, "runtime as a ratio")["data"]
    assert trace["x"] == pytest.approx([RATIO] * len(trace["x"]), rel=0.02)
    assert trace["error_x"]["visible"] is True and "of 14 points the interval excludes 1" in words(
        app
    )
    energy = page(path, "compare", base=a, **{"with": b}, zone="FRA", paired="energy_j")
    assert chart(energy, "energy as a ratio")["data"]


def test_compare_says_where_no_run_measured_both(page: Opener, filled: Path) -> None:
    assert "No run measured these together" in words(page(filled, "compare", zone="FRA"))
