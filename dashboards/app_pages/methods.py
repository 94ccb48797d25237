"""Data & methods: formulas, the factor registry with its sources, capability lanes, the schema."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd
import streamlit as st

from dashboards import theme
from dashboards.database import Database, connect
from observatory import __version__
from observatory.footprint import load_factors
from observatory.store.views import VIEWS

FORMULAS = r"""
* idealized runtime: $T(p,o,B)=\alpha(Bp)+\sum_{i=1}^{o-1}\left[c_0+c_1B+b_1B(p+i)\right]$
* energy in a facility: $E=\mathrm{PUE}\,(E_{device}$ $+\,E_{host}+E_{idle})$
* carbon, operational: $C=E\cdot CI(zone)$
* water on site: $W_{on}=E_{IT}\cdot\mathrm{WUE}$ (never times PUE)
* water off site: $W_{off}=E\cdot\mathrm{EWIF}(zone)$
* roofline: the larger of $\mathrm{FLOP}/peak$ and $\mathrm{bytes}/bandwidth$, plus communication
"""


def render(database: Database) -> None:
    """The page."""
    st.title("Data & methods")
    st.markdown(
        "The runtime is *idealized*: no queue and no contention, so that models stand on equal "
        "footing (Narayanan et al., 2023). Optional terms are switched on by evidence only. Bills "
        "are medians with 5th and 95th percentiles of shared Monte Carlo draws; repeatability, "
        "systematic error and choices are kept apart. What is missing is NULL with a reason."
    )
    st.markdown(FORMULAS)
    st.caption(
        "p prompt tokens, o output tokens, B requests at once; α the measured curve of prefill; "
        "c₀, c₁, b₁ what decode steps cost; CI grams of CO2e per kWh of the zone's grid; WUE and "
        "EWIF litres per kWh on site and in power plants; PUE facility energy over IT energy."
    )
    _fits(database)
    _factors()
    _sources(database)
    st.subheader("Ask with SQL")
    st.markdown("These views are stable; columns carry their units.")
    st.code(
        "select model, phase, runtime_s, energy_j, energy_reason from v_summary;", language="sql"
    )
    st.markdown(", ".join(f"`{name}`" for name in VIEWS))
    st.caption(f"inference-observatory {__version__}")


def _fits(database: Database) -> None:
    st.subheader("Fits")
    rows = database.table("fits", None, parameters=False, first=theme.MOST_ROWS)
    if rows.empty:
        st.markdown("None yet.")
        return
    theme.table(rows, "fits", "Every fit with its errors and ranges", [
        "model", "configuration", "quantity", "recipe", "n_points", "n_heldout", "mape",
        "heldout_median_error", "heldout_p90_error", "between_process_rel", "device_s",
        "prompt_min", "prompt_max", "output_max", "context_max", "energy_method",
    ], database.whole("fits", None, parameters=False), database.fits())  # fmt: skip


@st.cache_resource(show_spinner=False)
def _registry() -> tuple[str, pd.DataFrame]:
    """Edition and rows of the factors that this version ships."""
    table = load_factors()
    return table.edition, pd.DataFrame([{"id": f.id, **asdict(f)} for f in table.current()])


def _factors() -> None:
    st.subheader("Factors")
    edition, rows = _registry()
    st.markdown(f"Edition **{edition}**. A number without a source fails the build.")
    theme.table(rows, "factors", "The factor registry in force, with sources", [
        "id", "value", "low", "high", "unit", "year", "edition", "evidence", "source", "licence",
        "note",
    ])  # fmt: skip


def _sources(database: Database) -> None:
    imported = database.table("sources")
    if not imported.empty:
        st.subheader("Imported")
        st.caption("What others measured, with its licence. It is shown apart from what was "
                   "measured here, and no fit is made of it.")  # fmt: skip
        theme.table(imported, "sources", "Every imported file with its licence and address")
    scores = database.table("capability_table")
    if not scores.empty:
        st.subheader("Capability scores")
        st.caption("A score belongs to its lane: the full protocol. Lanes never share an axis.")
        theme.table(scores, "capability", "Every capability score with its lane and licence")


render(connect())
