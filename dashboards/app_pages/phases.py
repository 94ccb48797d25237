"""Phases: prefill over the prompt, decode over the context; time, joules, memory, utilisation."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards import theme
from dashboards.database import Database, connect
from dashboards.state import choose_many, narrowed
from observatory.figures import phases
from observatory.units import show

MOST = 6  #: configurations drawn at once


def render(database: Database) -> None:
    """The page."""
    st.title("Phases")
    known = database.configurations()
    if not known:
        theme.nothing_yet("No phase has been measured in this database yet.")
        return
    st.markdown(
        "A request is a **prefill**, which reads the prompt and gives the first token, and then "
        "**decode** steps, one token each, which slow down as the context grows."
    )
    usual = list(known)[:2]
    offered = narrowed("with", known, usual)
    chosen = choose_many("configurations", "with", offered, usual, MOST)
    if not chosen:
        st.info("Choose a configuration above.")
        return
    rows = database.table("idealized", None, tuple(chosen))
    rows["name"] = theme.names(rows)
    said = _sentence(rows[rows["configuration_key"] == chosen[0]])
    if said:
        st.markdown(f"### {said}")
    for title, phase in (("Prefill", "prefill"), ("One decode step", "decode")):
        st.subheader(title)
        mine = rows[rows["phase"] == phase]
        theme.chart(
            theme.drawn(phases.phase_time, rows, phase),
            f"{title}: measured, idealized (line) and roofline (dotted) time, "
            + " and ".join(known[key] for key in chosen),
            mine[["model", "configuration", "prompt_tokens", "context_tokens", "output_tokens",
                  "batch", "runtime_s", "runtime_low_s", "runtime_high_s", "idealized_s",
                  "roofline_s", "roofline_bound", "mfu", "mbu", "n_windows", "n_processes"]],
            f"phase-{phase}",
        )  # fmt: skip
    st.caption(
        "Markers: measured, with 95 % intervals. Line: the idealized runtime that was fitted to "
        "them. Dotted: the roofline, the least time that this hardware's peaks allow."
    )
    st.subheader("Joules a token")
    theme.chart(
        theme.drawn(phases.joules_per_token, rows), "Joules of each token in prefill and in decode",
        rows[["model", "configuration", "phase", "prompt_tokens", "context_tokens",
              "energy_per_token_j", "energy_j", "energy_low_j", "energy_high_j", "power_w",
              "energy_boundary", "energy_method", "energy_provenance", "energy_reason"]],
        "joules-per-token",
    )  # fmt: skip
    theme.shapes("Bars are 95 % intervals. A wide bar comes from few processes that differ.")
    st.subheader("Throughput, utilisation, memory")
    theme.table(rows, "phases", "Throughput, utilisation and memory of each measured point", [
        "model", "configuration", "phase", "prompt_tokens", "context_tokens", "output_tokens",
        "batch", "tokens_per_s", "mfu", "mbu", "peak_memory_bytes", "power_w",
        "between_process_rel", "profile",
    ])  # fmt: skip


def _rounded(ratio: float) -> str:
    """Two digits, never an exponent: `3.4`, `490`."""
    return f"{float(f'{ratio:.2g}'):,.{1 if ratio < 10 else 0}f}"


def _sentence(rows: pd.DataFrame) -> str | None:
    """What one token costs in time, read and written, where both phases were measured alone."""
    alone = rows[rows["batch"] == 1]
    read = alone[alone["phase"] == "prefill"].sort_values("prompt_tokens").tail(1)
    written = alone[alone["phase"] == "decode"].sort_values("context_tokens").tail(1)
    if read.empty or written.empty:
        return None
    prompt, prefill_s = read["prompt_tokens"].iloc[0], float(read["runtime_s"].iloc[0])
    step_s = float(written["runtime_s"].iloc[0] / written["output_tokens"].iloc[0])
    return (
        f"{theme.text(rows['name'].iloc[0])} reads {prompt:,.0f} tokens in "
        f"{show(prefill_s, 'runtime_s')} and then writes one every {show(step_s, 'runtime_s')}: "
        f"a token written takes as long as {_rounded(step_s / (prefill_s / prompt))} tokens read"
    )


render(connect())
