"""Model card: one model's numbers on every configuration, and a snippet for a hub page."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards import theme
from dashboards.database import Database, connect
from dashboards.state import SPLIT, Choice, choose, current
from observatory.exports.card import snippet
from observatory.footprint.result import lower_bound
from observatory.units import show_interval

MOST = 20  #: configurations billed


def render(database: Database, choice: Choice) -> None:
    """The page."""
    st.title("Model card")
    known = database.configurations()
    if not known:
        theme.nothing_yet("No model has been measured in this database yet.")
        return
    names = sorted({name.partition(SPLIT)[0] for name in known.values()})
    model = choose("model", "model", {name: name for name in names}, names[0])
    rows = database.table("configurations", None, model)
    mine = rows[rows["configuration_key"].isin(known)]
    facts = mine.iloc[0]
    st.markdown(f"### {theme.text(model)}: {facts['parameters'] / 1e6:,.1f} M parameters, "
                f"{facts['active_parameters'] / 1e6:,.1f} M active")  # fmt: skip
    keys = tuple(mine["configuration_key"].head(MOST))
    own = database.estimate(choice.workload, choice.scenario, keys)
    if len(mine) > MOST:
        st.caption(f"The first {MOST} of {len(mine)} configurations.")
    frame = pd.DataFrame([
        {"configuration": e.configuration, "zone": f.zone or "stated numbers",
         "runtime": show_interval(e.runtime_low_s, e.runtime_s, e.runtime_high_s, "runtime_s"),
         "energy": f.energy_wh.shown("energy_wh"), "boundary": f.boundary,
         "carbon": f.co2e_g.shown("co2e_g"), "water": f.water_l.shown("water_l"),
         "money": f.cost_usd.shown("cost_usd"),
         "missing": f.energy_wh.reason or f.cost_usd.reason}
        for e in own for f in e.footprints
    ])  # fmt: skip
    st.dataframe(frame, hide_index=True, alt=f"Bills of one request of {model}")
    least = lower_bound(f for e in own for f in e.footprints)
    if least is not None:
        st.caption(f"≥ {theme.text(least)}.")
    st.subheader("What was measured")
    theme.table(mine, "card", f"Configurations of {model}", [
        "configuration", "weights", "backend", "backend_version", "dtype", "quantization",
        "attention", "compile_mode", "threads", "cells", "cells_ok", "cells_failed", "windows",
        "processes", "runs", "first_utc", "last_utc",
    ])  # fmt: skip
    scores = database.table("capability_of", model)
    st.subheader("Capability")
    if scores.empty:
        st.markdown("No score of this model is known, in the database or shipped.")
    else:
        theme.table(scores, "scores", f"Scores of {model}, by lane")
    st.subheader("For a hub page")
    st.caption("The front matter block and the table of a model card; numbers as on this page.")
    st.code(snippet(own), language="markdown")


render(connect(), current())
