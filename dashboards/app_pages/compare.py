"""Compare: two to four configurations, bill by bill, as paired ratios on shared draws."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboards import theme
from dashboards.database import Database, connect
from dashboards.state import Choice, choose, choose_many, current, narrowed
from observatory.answers import Estimate
from observatory.exports import frames
from observatory.figures import ladder
from observatory.figures.runtime import point_label
from observatory.footprint import EXAMPLE_ZONES
from observatory.footprint.comparison import WORDS
from observatory.units import show, show_interval

MOST = 3  #: beside the base
MOST_POINTS = 60  #: drawn; the table has all


def render(database: Database, choice: Choice) -> None:
    """The page."""
    st.title("Compare")
    known = database.configurations()
    if len(known) < 2:
        theme.nothing_yet("A comparison needs two measured configurations.")
        return
    first, *rest = known
    base = choose("base", "base", narrowed("base", known, [first]), first)
    usual = [k for k in (*rest[:1], first) if k != base][:1]
    offered = narrowed("with", {k: v for k, v in known.items() if k != base}, usual)
    others = choose_many("compared with it", "with", offered, usual, MOST)
    scenario = choice.scenario
    if scenario.zone is None:
        scenario = replace(scenario, zone=EXAMPLE_ZONES[1])
        st.caption(f"No zone was chosen: {EXAMPLE_ZONES[1]} stands in as an **example**.")
    if not others:
        st.info("Choose what to compare with.")
        return
    changes = {key: database.compare(choice.workload, scenario, base, key) for key in others}
    for change in changes.values():
        st.markdown(f"### {theme.text(change.sentence)}")
    rows = frames.ratio_rows({known[key]: change for key, change in changes.items()})
    theme.chart(
        theme.drawn(ladder.ratios, rows),
        f"Bills as ratios to those of {known[base]}",
        rows,
        "ratios",
    )
    st.caption(
        "Both sides share the draws of grid, site and sensor, so what they have in common cancels. "
        "Left of 1 is less. *Undecided* is a probability between 5 and 95 %."
    )
    for change in changes.values():
        for note in change.notes:
            st.markdown(f"* {theme.text(note)}")
        for quantity, why in change.missing.items():
            st.markdown(f"* {theme.text(WORDS.get(quantity, quantity))}: {theme.text(why)}")
    theme.options_note(why for change in changes.values() for why in change.missing.values())
    _pairs(database, base, others, known)
    _side_by_side(database, choice, [base, *others], known)


def _pairs(database: Database, base: str, others: list[str], known: dict[str, str]) -> None:
    """What one run measured of both in the same rounds: no fit, no factor, drift cancelled."""
    st.subheader("Measured side by side")
    rows = database.pairs(base, tuple(others))
    if rows.empty:
        st.markdown("No run measured these together, so that nothing can be paired.")
        return
    quantities = {"runtime_s": "runtime", "energy_j": "energy"}
    there = {k: v for k, v in quantities.items() if k in set(rows["quantity"])}
    asked = choose("quantity", "paired", there, next(iter(there)))
    mine = rows[rows["quantity"] == asked].rename(columns={"quantity": "measured"})
    mine = mine.assign(
        name=mine["key"].map(known),
        quantity=[point_label(row) for row in mine.to_dict("records")],
    )
    theme.chart(
        theme.drawn(ladder.ratios, mine.head(MOST_POINTS)),
        f"{there[asked]} as a ratio to that of {known[base]} at each point both measured, "
        "with 95 % intervals", mine.drop(columns="key"), "pairs",
    )  # fmt: skip
    claimed = int((mine["verdict"] != "undecided").sum())
    st.caption(
        "A pair is a process of each in the same round of one run, so that drift cancels. At "
        f"{claimed} of {len(mine)} points the interval excludes 1; a point with a single pair has "
        "no interval."
    )


def _side_by_side(
    database: Database, choice: Choice, keys: list[str], known: dict[str, str]
) -> None:
    st.subheader("Side by side")
    found = database.estimate(choice.workload, choice.scenario, tuple(keys))
    estimates = {e.configuration_key: e for e in found}
    frame = pd.DataFrame({known[key]: _facts(estimates[key]) for key in keys if key in estimates})
    frame.insert(0, "", frame.index)
    st.dataframe(frame, hide_index=True, alt="Facts of the compared configurations")


def _facts(e: Estimate) -> dict[str, str]:
    return {
        "runtime": show_interval(e.runtime_low_s, e.runtime_s, e.runtime_high_s, "runtime_s"),
        "time to first token": show(e.ttft_s, "ttft_s"),
        "time per output token": show(e.tpot_s, "tpot_s"),
        "roofline / runtime": theme.percent(e.roofline_ratio),
        "energy, as sensed": show(e.energy_j, "energy_j")
        + (f" at the boundary {e.energy_boundary}" if e.energy_j is not None else ""),
        "how": f"{e.energy_provenance} by {e.energy_method}, {e.energy_boundary}"
        if e.energy_j is not None else f"missing: {e.energy_reason}",
        "weights": e.weights,
        "capability": e.capability or "no score",
    }  # fmt: skip


render(connect(), current())
