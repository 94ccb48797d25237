"""A rerun in which nothing changed draws nothing again; one in which something did, does."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from observatory.figures import bills
from tests.dashboards.conftest import Opener


def test_a_figure_is_drawn_again_only_for_other_numbers(
    page: Opener, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    drawn: list[str] = []
    real = bills.bill

    @functools.wraps(real)
    def counted(rows: Any, column: str) -> Any:
        drawn.append(column)
        return real(rows, column)

    st.cache_resource.clear()
    monkeypatch.setattr(bills, "bill", counted)
    app = page(filled, zone="FRA")
    assert sorted(drawn) == ["co2e_operational_g", "energy_j", "water_l"]  # no price: no money
    app.run()
    assert len(drawn) == 3
    app.number_input(key="o").set_value(7).run()
    assert not app.exception and len(drawn) == 6
    app.selectbox(key="boundary").set_value("host").run()
    assert not app.exception and len(drawn) == 9
