"""Routing: what sending each question to the cheapest model that can answer it would save."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import theme
from dashboards.database import Database, connect
from dashboards.state import Choice, choose, current
from observatory.errors import InputError
from observatory.figures.routing import routers
from observatory.footprint import EXAMPLE_ZONES
from observatory.importers import items
from observatory.importers.items import Tables
from observatory.tradeoffs import routing_answer, routing_example
from observatory.tradeoffs.routing import Choices, Lab, decisive, lab
from observatory.tradeoffs.routing_answer import COLUMNS, WORDS, Answer
from observatory.tradeoffs.routing_bills import RoutingBills
from observatory.tradeoffs.routing_use import COVERS, TOKENS, Measured

EXAMPLE, OWN = "example", "file"
WORD_OF = {column: WORDS[bill] for bill, column in COLUMNS.items()}
EXACT = 1e-9  #: a saving with less between its bounds has no width
MOST_SERVED = 8  #: models of a table that may be set beside a measured configuration


def render(database: Database, choice: Choice) -> None:
    """The page."""
    st.title("Routing")
    answer_place = st.container()
    left, right = st.columns(2)
    with left:
        source = choose("items", "items", {EXAMPLE: routing_example.NAME, OWN: "a file of yours"},
                        EXAMPLE)  # fmt: skip
    with right:
        quantity = choose("cost on the axis", "bill", WORD_OF, "energy_wh")
    tables, name = _tables(source)
    if tables is None:
        answer_place.info("Choose a file of items: who answered which question, at what cost.")
        return
    scenario = choice.scenario
    if scenario.zone is None and scenario.carbon_intensity_g_per_kwh is None:
        scenario = replace(scenario, zone=EXAMPLE_ZONES[1])
        st.caption(f"No zone was chosen: {EXAMPLE_ZONES[1]} stands in as an **example**.")
    with st.expander("The router, and who serves the models"):
        made = _lab(tables)
        covers = choose("joules of the items cover", "covers", {c: c for c in COVERS}, "wall")
        served = _served(database, tables, made.table.models)
    used = database.uses(tables, made.table.models, covers, served)
    found = _answered((made, tables.router, used, scenario))
    with answer_place:
        st.markdown(f"### {theme.text(routing_answer.sentence(found.billed))}")
        st.caption(theme.text(name))
    _chart(found, quantity)
    _files(tables, source)
    _savings(found.billed)
    if found.billed.lower_bound:
        st.caption(theme.text(f"{found.billed.lower_bound}; what is saved is a share of the rest"))
    _measures(made)
    for note in found.billed.notes:
        st.caption(theme.text(note))
    theme.options_note(found.billed.notes)


@st.cache_resource(show_spinner=False, max_entries=8)
def _answered(asked: tuple[Any, ...]) -> Answer:
    """The policies billed; kept by the contents of what was asked, as no widget may have moved."""
    return routing_answer.answer(*asked)


# ---------------------------------------------------------------------- the items
def _files(tables: Tables, source: str) -> None:
    """The example as a file that the command line reads."""
    if source == EXAMPLE:
        st.download_button(
            "Items of the example (CSV)", lambda: routing_example.as_csv(tables),
            "routing-synthetic-example.csv", "text/csv", key="example csv", on_click="ignore",
        )  # fmt: skip


def _tables(source: str) -> tuple[Tables | None, str]:
    """The table of items and what to call it. Raises InputError for a file that is none."""
    if source == EXAMPLE:
        made = routing_example.example()
        return made, f"Items: {routing_example.SOURCE}; licence: {routing_example.LICENCE}."
    given = st.file_uploader(
        "A table of items (CSV or JSON)", type=["csv", "json"], key="upload", max_upload_size=50,
        help="Columns item, model, correct, router_score (optional) and costs such as energy_j, "
             "cost_usd, prompt_tokens, output_tokens; or the JSON of `observatory route --help`.",
    )  # fmt: skip
    if given is None:
        return None, ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"items{Path(given.name).suffix[:5]}"
        path.write_bytes(given.getvalue())
        try:
            return items.read(path), f"Items: {given.name}, as uploaded; not kept."
        except InputError as error:
            said = str(error).replace(str(path), given.name)
            raise InputError(said) from None


def _lab(tables: Tables) -> Lab:
    decided = choose("policies are decided by", "by", {c: c for c in tables.by_cost},
                     decisive(tables.by_cost))  # fmt: skip
    table = tables.by_cost[decided]
    cheap, best = table.ends()
    models = {m: m for m in table.models}
    left, right = st.columns(2)
    with left:
        weak = choose("weak end", "weak", models, cheap)
    with right:
        strong = choose("strong end", "strong", models, best)
    values = []
    asked = [
        ("share sent to the strong end", "share", 0.5),
        ("quality gap to recover", "target", 0.8),
        ("judge error of the cascade", "judge", 0.1),
    ]
    for column, (label, key, usual) in zip(st.columns(3), asked, strict=True):
        with column:
            got = st.number_input(label, 0.0, 1.0, usual, 0.05, key=key, bind="query-params")
            values.append(usual if got is None else float(got))
    share, target, judge = values
    chosen = Choices(weak, strong, (), judge, share, target)
    return lab(table, tables.router, chosen)


def _served(database: Database, tables: Tables, models: Sequence[str]) -> dict[str, Measured]:
    """Measured configurations that the reader sets beside models of the table."""
    known = database.served()
    if not known or any(name not in tables.by_cost for name in TOKENS):
        return {}
    options = {"": "as the file says"} | {key: words for key, (words, _) in known.items()}
    chosen = {
        model: choose(f"{theme.text(model)} is served by", f"served{j}", options, "")
        for j, model in enumerate(models[:MOST_SERVED])
    }
    return {model: known[key][1] for model, key in chosen.items() if key}


# ---------------------------------------------------------------------- what is shown
def _chart(found: Answer, quantity: str) -> None:
    points = pd.DataFrame(routing_answer.rows(found.billed))
    random = pd.DataFrame(routing_answer.rows(found.random))
    curve = [] if found.threshold is None else routing_answer.rows(found.threshold)
    threshold = pd.DataFrame(curve, columns=points.columns)
    alt = (
        f"Quality against {WORD_OF[quantity]} per item of {len(points)} policies: single models, "
        f"random mix, threshold router, cascade and oracle. {routing_answer.sentence(found.billed)}"
    )
    theme.chart(theme.drawn(routers, points, random, threshold, quantity), alt, points, "routing")
    if points[quantity].isna().all():
        st.info(theme.text(points["missing"].iloc[0]))
    lines = pd.concat([random, threshold], ignore_index=True)
    with st.expander("Points of the curves"):
        theme.table(lines, "routing-curves", "Random mix and threshold router at each share")
    st.caption(
        "Bars reach from the 5th to the 95th percentile: factors, repeatability and the drawing of "
        f"{found.billed.items} items. The oracle knows the answers; no router can."
    )


def _savings(made: RoutingBills) -> None:
    st.subheader(f"Saved against {theme.text(made.reference)}")
    frame = pd.DataFrame([
        {"policy": policy.name} | {
            word: _saved(policy.saved[name].low, policy.saved[name].value, policy.saved[name].high)
            for name, word in WORDS.items()
        }
        for policy in made.policies
    ])  # fmt: skip
    theme.table(frame, "routing-savings", f"Share of each bill saved against {made.reference}")
    reasons = dict.fromkeys(b.reason for p in made.policies for b in p.bills.values() if b.reason)
    for reason in reasons:
        st.markdown(f"* {theme.text(reason)}")


def _saved(low: float | None, value: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "–"
    middle, *ends = (round(100 * share) for share in (value, low, high))
    return f"{middle} %" if high - low < EXACT else f"{middle} % [{ends[0]} – {ends[1]}]"


def _unknown(measure: str, value: float | None) -> str | None:
    """Why a measure of the router has no value."""
    if value is not None:
        return None
    if measure.startswith("AIQ"):
        return "the curve starts above the least cost, or all models cost the same"
    return "the router never reaches this, or the two ends are equally good"


def _measures(made: Lab) -> None:
    st.subheader("Measures of the router")
    if made.router is None:
        st.markdown(theme.text(made.router_reason))
    area = made.aiq_mixing
    rows = [("AIQ of random mixing, over the range of cost", area.range),
            ("AIQ of random mixing, over the largest cost", area.cmax)]  # fmt: skip
    if made.router is not None:
        router = made.router
        rows += [("APGR", router.apgr), ("CPT(50 %), share of strong calls", router.cpt_50),
                 ("CPT(80 %), share of strong calls", router.cpt_80),
                 ("AIQ of the router, over the range of cost", router.aiq.range),
                 ("AIQ of the router, over the largest cost", router.aiq.cmax)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["measure", "value"])
    if frame["value"].isna().any():
        frame["reason"] = [_unknown(measure, value) for measure, value in rows]
    theme.table(frame, "routing-measures", f"APGR, CPT and AIQ from {made.weak} to {made.strong}")
    st.caption(
        f"{made.unsolved_items} of {len(made.table.items)} items are solved by no model; the "
        "oracle is charged the cheapest call for them."
    )


render(connect(needed=False), current())
