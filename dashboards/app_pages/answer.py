"""Answer: one sentence first, then the bills, the configurations and how time comes about."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboards import sentence, theme
from dashboards.database import Database, connect
from dashboards.state import Choice, choose, current, narrowed
from observatory.answers import Estimate
from observatory.exports.frames import bill_rows
from observatory.figures import bills, runtime
from observatory.footprint import EXAMPLE_ZONES
from observatory.footprint.comparison import Change
from observatory.footprint.energy import J_PER_WH
from observatory.footprint.result import lower_bound
from observatory.units import MISSING, show, show_interval

SHOWN = 12  #: configurations billed and drawn, fastest first; the table has them all
TITLES = {
    "energy_wh": "Energy",
    "co2e_operational_g": "Carbon",
    "water_l": "Water",
    "cost_usd": "Money",
}


def render(database: Database, choice: Choice) -> None:
    """The page."""
    requests = database.requests(choice.workload)
    if requests.empty:
        st.title("What does one request cost?")
        theme.nothing_yet("No configuration has been measured in this database yet.")
        if not database.table("sources").empty:
            st.page_link("app_pages/frontier.py", label="What others measured is on Frontier",
                         icon=":material/arrow_forward:")  # fmt: skip
        _started(database)
        return
    keys = tuple(requests["configuration_key"].head(SHOWN))
    estimates = database.estimate(choice.workload, choice.scenario, keys)
    best = sentence.first_of(estimates)
    claim, rest = sentence.answer(estimates)
    st.markdown(f"### {claim}")
    change = _change(database, choice, estimates)
    st.markdown(rest if change is None else f"{rest} {theme.text(change.sentence)}")
    meant = "" if change is None else " · P(better): share of draws in which moving is cheaper"
    st.caption(sentence.evidence(best, _measured(database, best)) + meant)
    _numbers(best)
    _bills(estimates, choice)
    _configurations(database, requests, choice)
    _times(database, best)


def _change(database: Database, choice: Choice, estimates: list[Estimate]) -> Change | None:
    """Moving from the runner-up to the first; in an example zone where none was chosen."""
    second = sentence.runner_up(estimates)
    if second is None:
        return None
    scenario = choice.scenario
    if scenario.zone is None:
        scenario = replace(scenario, zone=EXAMPLE_ZONES[1])
    keys = (second.configuration_key, sentence.first_of(estimates).configuration_key)
    return database.compare(choice.workload, scenario, *keys)


def _started(database: Database) -> None:
    """Runs without a fit: say how they ended."""
    runs = database.table("runs")
    if not runs.empty:
        st.subheader("Runs so far")
        columns = ["id", "started_utc", "status", "cells", "cells_ok", "cells_failed"]
        theme.table(runs, "runs", "Runs in this database", columns)


def _measured(database: Database, best: Estimate) -> dict[str, object] | None:
    rows = database.table("configurations", (best.configuration_key,))
    mine = rows[rows["environment_key"] == best.environment_key]
    return None if mine.empty else {str(k): v for k, v in mine.iloc[0].items()}


def _numbers(best: Estimate) -> None:
    """The headline numbers of the cheapest configuration."""
    boundary, energy = "of the scenario", MISSING
    if best.footprints:
        made = best.footprints[0]
        boundary, energy = made.boundary, made.energy_wh.scaled(J_PER_WH).shown("energy_j")
    cards = [
        ("Runtime", show_interval(best.runtime_low_s, best.runtime_s, best.runtime_high_s,
                                  "runtime_s"), "Idealized: no queue, no contention."),
        ("Time to first token", show(best.ttft_s, "ttft_s"), "Prefill of the whole prompt."),
        ("Time per output token", show(best.tpot_s, "tpot_s"), "Mean over the later tokens."),
        (f"Energy at the boundary {boundary}", energy, _energy_help(best)),
        ("Roofline / runtime", theme.percent(best.roofline_ratio),
         "1 would be all that the hardware's measured peaks allow."),
    ]  # fmt: skip
    with st.container(horizontal=True):
        for label, value, help_text in cards:
            number, _, rest = value.partition(" [")
            unit = rest.partition("] ")[2]
            st.metric(label, f"{number} {unit}".strip(), help=help_text, border=True,
                      delta=f"[{rest.partition(']')[0]}]" if rest else None, delta_color="off",
                      delta_arrow="off", height="stretch")  # fmt: skip


def _energy_help(best: Estimate) -> str:
    """How to read the joules: the watt-hours of the bills elsewhere, and what they leave out."""
    if not best.footprints or best.footprints[0].energy_wh.value is None:
        return "Not known: see the reason below."
    made = best.footprints[0]
    said = f"{made.energy_wh.shown('energy_wh')}: p5 – p95; with PUE at the boundary facility."
    return f"{said} ≥ {made.lower_bound}." if made.lower_bound else said


def _bills(estimates: list[Estimate], choice: Choice) -> None:
    """Four bills in the chosen zone, or in three example zones side by side."""
    example = choice.scenario.zone is None
    st.subheader("Four bills of this request")
    if len(estimates) == SHOWN:
        st.caption(f"Of the {SHOWN} fastest configurations.")
    if example:
        st.caption("No zone was chosen: these are three **examples**, low, middle and high carbon. "
                   "Choose yours in the sidebar.")  # fmt: skip
    rows = bill_rows(estimates)
    for left in (0, 2):
        columns = st.columns(2, gap="large")
        for column, name in zip(columns, list(TITLES)[left : left + 2], strict=True):
            with column:
                _bill(estimates, rows, name)
    theme.shapes()
    st.caption(f"Boundary {theme.text(choice.scenario.boundary)}.")
    least = lower_bound(made for e in estimates for made in e.footprints)
    if least is not None:
        st.caption(f"Bills with energy in them are at least what is drawn – {theme.text(least)}.")
    _notes(estimates)


def _bill(estimates: list[Estimate], rows: pd.DataFrame, name: str) -> None:
    st.markdown(f"**{TITLES[name]}**")
    reasons = list(dict.fromkeys(
        getattr(f, name).reason for e in estimates for f in e.footprints
        if getattr(f, name).value is None and getattr(f, name).reason
    ))  # fmt: skip
    for reason in reasons[:2]:
        st.markdown(f"Not known – {theme.text(reason)}")
    if reasons and name == "cost_usd":
        st.caption("On this page: *Site and prices* in the sidebar.")
    if name not in rows or rows[name].isna().all():
        return
    if rows.groupby("name")[name].nunique().max() == 1 and rows["zone"].nunique() > 1:
        rows = rows.drop_duplicates("name").assign(zone="every zone", zone_name="every zone")
    drawn = name
    if name == "energy_wh":  # one unit of energy on this page: joules, as the sentence has them
        drawn = "energy_j"
        ends = ("", "_low", "_high")
        rows = rows.assign(**{f"energy_j{end}": J_PER_WH * rows[f"{name}{end}"] for end in ends})
    columns = ["name", "zone", "zone_name", *dict.fromkeys(
        f"{column}{end}" for column in (drawn, name) for end in ("", "_low", "_high")
    ), "boundary", "covers", "provenance", "method", "kind", "edition", "example"]  # fmt: skip
    theme.chart(
        theme.drawn(bills.bill, rows, drawn),
        f"{TITLES[name]} of one request by zone and configuration, with 5th to 95th percentile",
        rows[[c for c in columns if c in rows]], f"bill-{name}",
    )  # fmt: skip


def _notes(estimates: list[Estimate]) -> None:
    notes = {note for e in estimates for f in e.footprints for note in f.notes}
    assumed = {a for e in estimates for f in e.footprints for a in f.assumed}
    if notes or assumed:
        with st.expander("What was assumed"):
            for line in sorted(notes):
                st.markdown(f"* {theme.text(line)}")
            if assumed:
                st.markdown(f"* assumed factors: {theme.text(', '.join(sorted(assumed)))}")


def _configurations(database: Database, requests: pd.DataFrame, choice: Choice) -> None:
    """Every configuration: time beside the roofline, joules, how much was measured."""
    st.subheader("Configurations")
    keys = tuple(requests["configuration_key"].head(theme.MOST_ROWS))
    rows = database.details(choice.workload, keys)
    rows = rows.assign(name=theme.names(rows))
    drawn = rows.head(SHOWN)
    more = f", the fastest {SHOWN} of {len(requests)}" if len(requests) > SHOWN else ""
    theme.chart(
        theme.drawn(runtime.request_by_configuration, drawn),
        f"Prefill and decode time of one request on each configuration{more}, with its interval "
        "and the roofline bound",
        drawn[["model", "configuration", "prefill_s", "decode_s", "runtime_s", "runtime_low_s",
               "runtime_high_s", "roofline_s", "roofline_bound", "extrapolated"]],
        "request-by-configuration",
    )  # fmt: skip
    everything, measured = database.all_details(choice.workload), database.whole("configurations")
    theme.table(
        _counted(rows, database.table("configurations", keys)), "configurations",
        "Every measured configuration with its cost", [
        "model", "configuration", "runtime_s", "runtime_low_s", "runtime_high_s", "energy_j",
        "energy_boundary", "energy_provenance", "ttft_s", "tpot_s", "roofline_s", "roofline_ratio",
        "energy_reason", "energy_method", "weights", "capability", "extrapolated", "runs",
        "windows", "processes", "last_utc",
        ], lambda: _counted(everything(), measured()), len(requests),
    )  # fmt: skip


def _counted(rows: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """The rows with how much was measured for each."""
    keys = ["configuration_key", "environment_key"]
    counts = measured[[*keys, "runs", "windows", "processes", "last_utc", "dtype", "threads"]]
    return rows.merge(counts, on=keys, how="left")


def _times(database: Database, best: Estimate) -> None:
    """Measured beside idealized beside roofline, for one configuration."""
    st.subheader("Measured, idealized, roofline")
    names = database.configurations()
    offered = narrowed("of", names, [best.configuration_key])
    chosen = choose("configuration", "of", offered, best.configuration_key)
    mine = database.table("idealized", None, (chosen,))
    mine = mine[mine["phase"].isin(["prefill", "decode", "e2e"])]
    worst = mine.loc[mine["role"] == "heldout", "error_rel"].abs().max()
    st.caption("The fit is made of the filled points and tried on the hollow ones"
               + (", of which there are none here" if pd.isna(worst)
                  else f"; its largest error on those is {100 * worst:.2g} %")
               + ". The roofline is what the hardware's peaks would allow. *decode 16 from 512*: "
               "16 tokens written after 512; *request 128 + 32*: 128 read and 32 written."
               )  # fmt: skip
    theme.chart(
        theme.drawn(runtime.measured_idealized_roofline, mine),
        f"Measured, idealized and roofline time of each measured point of {names[chosen]}",
        mine[["phase", "prompt_tokens", "context_tokens", "output_tokens", "batch", "role",
              "runtime_s", "runtime_low_s", "runtime_high_s", "idealized_s", "error_rel",
              "roofline_s", "roofline_bound", "n_windows", "n_processes", "provenance"]],
        "measured-idealized-roofline",
    )  # fmt: skip


render(connect(), current())
