"""Runs & quality: every run, what is wrong and what to do, cells and raw windows of one run."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards import theme
from dashboards.database import Database, connect
from dashboards.state import choose

ICONS = {"exclude": ":material/block:", "avoid": ":material/filter_alt:",
         "warn": ":material/warning:", "info": ":material/info:"}  # fmt: skip


def render(database: Database) -> None:
    """The page."""
    st.title("Runs & quality")
    runs = database.table("runs")
    if runs.empty:
        theme.nothing_yet("No run is in this database yet.")
        return
    facts = database.overview()
    st.markdown(
        f"{_counted(facts['runs'], 'run')}, {_counted(facts['windows'], 'window')}, "
        f"{_counted(facts['cells_failed'], 'failed cell')}; newest "
        f"{theme.moment(facts['newest_utc'])} UTC."
        + (f" {facts['running']} running now." if facts["running"] else "")
    )
    _findings(database)
    st.subheader("Runs")
    theme.table(runs, "runs", "Every run, newest first", [
        "id", "started_utc", "ended_utc", "status", "profile", "cells", "cells_ok",
        "cells_failed", "windows", "sensor", "sensor_reason", "sampler_cpu_share", "command",
        "code_version",
    ])  # fmt: skip
    names = {str(r["id"]): f"{r['id']} · {theme.moment(r['started_utc'])} · {r['status']}"
             for r in runs.to_dict("records")}  # fmt: skip
    chosen = choose("one run", "run", names, next(iter(names)))
    _one_run(database, chosen)


def _counted(n: int, what: str) -> str:
    return f"**{n:,}** {what}{'' if n == 1 else 's'}"


def _findings(database: Database) -> None:
    """What is wrong: one line a rule, with its remedy; then every row."""
    st.subheader("Findings")
    rules = database.table("findings_by_rule")
    if rules.empty:
        st.success("No rule was broken.", icon=":material/check:")
        return
    for row in rules.to_dict("records"):
        st.markdown(
            f"{ICONS.get(str(row['severity']), '')} **{theme.text(row['rule'])}** "
            f"({row['severity']}, {row['n']} row{'s' if row['n'] != 1 else ''}): "
            f"{theme.sentence(row['sentence'])} *{theme.text(row['remedy'])}*"
        )
    st.caption("*exclude* leaves a row out of the summaries, *avoid* does so where the same point "
               "has better rows, *warn* only shows it. No row is deleted.")  # fmt: skip
    total = int(rules["n"].sum())
    with st.expander(f"All {total} findings"):
        theme.table(database.table("findings", first=theme.MOST_ROWS), "findings", "Every finding",
                    whole=database.whole("findings"), total=total)  # fmt: skip


def _one_run(database: Database, run_id: str) -> None:
    cells = database.table("cells", run_id)
    bad = cells[~cells["status"].isin(["ok", "planned"])]
    for row in bad.head(20).to_dict("records"):
        st.markdown(f"* **{theme.text(row['status'])}** {theme.text(row['model'])} "
                    f"{theme.text(row['plan_key'])}: {theme.text(row['error'])}")  # fmt: skip
    with st.expander(f"{len(cells)} cells of this run"):
        theme.table(cells, "cells", "Cells of the run", [
            "position", "model", "phase", "prompt_tokens", "context_tokens", "output_tokens",
            "batch", "role", "status", "error", "expected_s",
        ])  # fmt: skip
    windows = database.table("windows", run_id)
    _drift(windows)
    with st.expander(f"{len(windows)} raw windows of this run"):
        columns = [str(c) for c in windows if c != "cell_id" and windows[c].notna().any()]
        theme.table(windows, "windows", "Raw windows of the run", columns)


def _drift(windows: pd.DataFrame) -> None:
    """The anchor workload at the start and at the end, within each process of the run."""
    anchors = windows[windows["phase"] == "anchor"].sort_values("id")
    seconds = anchors["duration_s"] / anchors["iterations"]
    ends = seconds.groupby([anchors["configuration_key"], anchors["process_index"]])
    changes = (ends.last() / ends.first() - 1)[ends.size() > 1]
    if changes.empty:
        return
    change = 100 * float(changes.median())
    said = f"Anchor drift from start to end, median over processes: {change:+.1f} %."
    if abs(change) > 3:
        st.warning(f"{said} Above 3 %: the machine was not steady.")
    else:
        st.caption(said)


render(connect())
