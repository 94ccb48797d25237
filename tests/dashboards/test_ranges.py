"""A request outside what was measured is flagged on every page that bills it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.dashboards.conftest import Opener, words

BILLING = ("answer", "footprint", "frontier", "routing", "compare", "card")
FLAG = "Outside the measured range"


@pytest.mark.parametrize("name", BILLING)
def test_the_page_flags_it(page: Opener, filled: Path, name: str) -> None:
    app = page(filled, name, p="5000", o="20")
    assert not app.exception
    said = words(app)
    assert f"**{FLAG}** of every configuration" in said
    assert "prompt 5000 (measured 16-1024)" in said


@pytest.mark.parametrize("name", ["answer", "footprint"])
def test_inside_nothing_is_flagged(page: Opener, filled: Path, name: str) -> None:
    assert FLAG not in words(page(filled, name, p="128", o="64"))


def test_pages_without_a_request_do_not_flag(page: Opener, filled: Path) -> None:
    assert FLAG not in words(page(filled, "runs", p="5000", o="20"))


def test_an_empty_database_flags_nothing(page: Opener, empty: Path) -> None:
    app = page(empty, p="5000", o="20")
    assert not app.exception and FLAG not in words(app)


def test_some_of_several_configurations() -> None:
    from dashboards.ranges import outside

    rows = pd.DataFrame({
        "extrapolated": [False, True, True],
        "extrapolation": [None, "outside the measured range: prompt 9 (measured 16-64)",
                          "outside the measured range: prompt 9 (measured 10-64)"],
    })  # fmt: skip
    told = outside(rows)
    assert told is not None and "2 of 3 configurations" in told and "1 other range" in told
    assert outside(rows.head(1)) is None
