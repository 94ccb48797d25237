"""Frontier: cost against capability in one lane, under the scenario and the limits of a service."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd
import streamlit as st

from dashboards import theme
from dashboards.database import Database, connect
from dashboards.state import Choice, choose, current
from observatory.errors import InputError
from observatory.figures import tradeoff
from observatory.tradeoffs import Limits
from observatory.tradeoffs.frontier import Point
from observatory.units import UNITS, show

COSTS = {"energy_j": "energy", "runtime_s": "runtime", "co2e_g": "carbon, operational",
         "water_l": "water", "cost_usd": "money"}  # fmt: skip

MOST_LEFT_OUT = 10  #: models of which is said why they are left out


def render(database: Database, choice: Choice) -> None:
    """The page."""
    st.title("Frontier")
    if database.empty:
        theme.nothing_yet("No cost has been measured in this database yet.")
        return
    st.markdown("Which models are worth what they cost? A score belongs to its **lane**, the full "
                "protocol of the benchmark; lanes never share an axis here.")  # fmt: skip
    lanes = database.lanes()
    if not lanes:
        st.info("No capability score is known of any measured model. `observatory import --scores` "
                "stores the shipped ones, `observatory import FILE` your own.")  # fmt: skip
        return
    left, right = st.columns(2)
    with left:
        cost = choose("cost of one request", "cost", COSTS, "energy_j")
    with right:
        names = {lane: f"{lane} ({n} model{'s' if n != 1 else ''})" for lane, n in lanes.items()}
        lane = choose("lane of the scores", "lane", names, max(lanes, key=lambda k: lanes[k]))
    limits = _limits()
    try:
        found = database.frontier(cost, lane, choice.workload, choice.scenario, limits)
    except InputError as error:
        st.info(theme.text(error))
        return
    seen: set[tuple[Point, ...]] = set()
    for group in found.groups:
        if group.points in seen:  # a cost that does not depend on the zone
            continue
        seen.add(group.points)
        rows = pd.DataFrame([asdict(point) for point in group.points])
        rows["provenance"] = _provenance(rows, database.requests(choice.workload), cost)
        best = rows[rows["on_frontier"]].iloc[0]
        same = sum(other.points == group.points for other in found.groups)
        name = "every zone" if same > 1 and same == len(found.groups) else group.name
        n, of = int(rows["on_frontier"].sum()), len(rows) + group.not_shown
        st.markdown(
            f"### In {theme.text(name)}, {n} of {of} {'point is' if of == 1 else 'points are'} on "
            f"the frontier; the cheapest is {theme.text(best['model'])} at "
            f"{theme.text(show(best['cost'], _unit(cost)))} with a score of {best['score']:.3g}"
        )
        theme.chart(
            tradeoff.frontier(rows, _unit(cost), lane),
            f"{COSTS[cost]} of one request against {lane}, {group.name}, intervals on both axes",
            rows.assign(cost_of=cost), f"frontier-{group.name}",
        )  # fmt: skip
        if group.not_shown:
            st.caption(
                f"Shown are {len(rows)} points: the frontier, what may be on it in some draw, and "
                f"the cheapest of each model. {group.not_shown:,} dearer ones of the same models "
                "are left out; `observatory frontier --json` has them."
            )
        for model, why in group.left_out[:MOST_LEFT_OUT]:
            st.markdown(f"* left out: {theme.text(model)}, {theme.text(why)}")
        if len(group.left_out) > MOST_LEFT_OUT:
            st.markdown(f"* and {len(group.left_out) - MOST_LEFT_OUT} more, most for want of a "
                        "score in this lane")  # fmt: skip
        if rows["inherited"].any():
            st.caption("Some scores are inherited from the model in another number format.")
        if rows["of_variant"].notna().any():
            st.caption(
                "Some scores are those of another checkpoint of the same architecture: what was "
                "timed is the shape; the table names whose score it is."
            )
    st.caption("On the frontier: no other model is both cheaper and better. Fill: ● so in at least "
               "95 % of draws, ◉ in at least half, ○ in fewer.")  # fmt: skip
    theme.shapes()


def _provenance(rows: pd.DataFrame, requests: pd.DataFrame, cost: str) -> list[str | None]:
    """How the cost of each point was obtained: time is measured, the rest is as its joules."""
    if cost == "runtime_s":
        return ["measured"] * len(rows)
    keys = zip(requests["model"], requests["configuration"], strict=True)
    known = dict(zip(keys, requests["energy_provenance"], strict=True))
    return [known.get(key) for key in zip(rows["model"], rows["configuration"], strict=True)]


def _unit(cost: str) -> str:
    return cost if cost in UNITS else "co2e_g"


def _limits() -> Limits:
    """What a service must hold: leaves out what does not."""
    with st.expander("Limits of a service"):
        columns = st.columns(3)
        asked = [("time to first token ≤ (s)", "ttft"), ("time per output token ≤ (s)", "tpot"),
                 ("cost ≤", "budget")]  # fmt: skip
        values = []
        for column, (label, key) in zip(columns, asked, strict=True):
            with column:
                values.append(st.number_input(label, 0.0, None, None, key=key, format="%g",
                                              placeholder="none", bind="query-params"))  # fmt: skip
    ttft, tpot, budget = (None if v is None else float(v) for v in values)
    return Limits(ttft, tpot, None, budget)


render(connect(), current())
