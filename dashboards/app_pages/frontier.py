"""Frontier: cost against capability in one lane, under the scenario and the limits of a service."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd
import streamlit as st

from dashboards import theme
from dashboards.database import Database, connect
from dashboards.state import Choice, choose, current, say_scenario_again
from observatory.errors import InputError
from observatory.exports import frames
from observatory.figures import tradeoff
from observatory.tradeoffs import Limits
from observatory.tradeoffs.frontier import Group, Point
from observatory.units import UNITS, show

COSTS = {"energy_j": "energy", "runtime_s": "runtime", "co2e_g": "carbon, operational",
         "water_l": "water", "cost_usd": "money"}  # fmt: skip

MEASURED, IMPORTED = "measured", "imported"
MOST_LEFT_OUT = 10  #: models named of those that one reason leaves out


def render(database: Database, choice: Choice) -> None:
    """The page."""
    st.title("Frontier")
    kinds = _kinds(database)
    if not kinds:
        theme.nothing_yet("No cost has been measured in this database yet.")
        return
    st.markdown("Which models are worth what they cost? A score belongs to its **lane**, the full "
                "protocol of the benchmark; lanes never share an axis here.")  # fmt: skip
    kind = next(iter(kinds))
    if len(kinds) > 1:
        kind = choose("costs", "costs", kinds, kind)
    lanes = database.lanes(kind == IMPORTED)
    if not lanes:
        st.info("No capability score is known of any of these models. `observatory import "
                "--scores` stores the shipped ones, `observatory import FILE` yours.")  # fmt: skip
        return
    left, right = st.columns(2)
    with left:
        cost = choose("cost of one request", "cost", COSTS, "energy_j")
    with right:
        names = {lane: f"{lane} ({n} model{'s' if n != 1 else ''})" for lane, n in lanes.items()}
        lane = choose("lane of the scores", "lane", names, max(lanes, key=lambda k: lanes[k]))
    limits = _limits()
    try:
        if kind == IMPORTED:
            _imported(database, choice, cost, lane, limits)
        else:
            _measured(database, choice, cost, lane, limits)
    except InputError as error:
        st.info(theme.text(error))
        return
    st.caption("On the frontier: no other model is both cheaper and better. Fill: ● so in at least "
               "95 % of draws, ◉ in at least half, ○ in fewer.")  # fmt: skip
    theme.shapes()


def _kinds(database: Database) -> dict[str, str]:
    """Whose costs there are: of fits of this database, and of what others reported."""
    found = {MEASURED: "measured: the fits of this database"} if not database.empty else {}
    if not database.table("sources").empty:
        found[IMPORTED] = "imported: what others reported"
    return found


def _measured(
    database: Database, choice: Choice, cost: str, lane: str, limits: Limits
) -> None:  # fmt: skip
    """One request of the workload on what was measured here; a chart for each zone that differs."""
    found = database.frontier(cost, lane, choice.workload, choice.scenario, limits)
    seen: set[tuple[Point, ...]] = set()
    for group in found.groups:
        if group.points in seen:  # a cost that does not depend on the zone
            continue
        seen.add(group.points)
        rows = pd.DataFrame([asdict(point) for point in group.points])
        requests = database.requests(choice.workload)
        rows["provenance"] = frames.cost_provenance(rows, requests, cost)
        same = sum(other.points == group.points for other in found.groups)
        name = "every zone" if same > 1 and same == len(found.groups) else group.name
        title = "Measured here"
        if cost != "runtime_s":
            title = f"In {name}, boundary {choice.scenario.boundary}"
        _group(group, rows, title, cost, lane)


def _imported(
    database: Database, choice: Choice, cost: str, lane: str, limits: Limits
) -> None:  # fmt: skip
    """One source, task and device at a time: what they report is of their own requests."""
    billed = cost not in ("runtime_s", "energy_j")
    say_scenario_again(choice.line(reported=True, billed=billed))
    found = database.imported_frontier(cost, lane, choice.scenario, limits)
    groups = {group.name: group for group in found.groups}
    largest = max(groups, key=lambda name: len(groups[name].points))
    names = {name: f"{name} ({len(group.points)} points)" for name, group in groups.items()}
    group = groups[choose("source, task and device", "group", names, largest)]
    rows = pd.DataFrame([asdict(point) for point in group.points]).assign(provenance="imported")
    _group(group, rows, f"Of {group.name}", cost, lane)
    for note in found.notes:
        st.caption(theme.text(note))
    said = "billed from the joules that were reported" if billed else "as reported"
    st.caption(f"Costs are {theme.text(group.workload)}, {said}; a cost whose source states no "
               "error has an assumed one.")  # fmt: skip


def _group(group: Group, rows: pd.DataFrame, where: str, cost: str, lane: str) -> None:
    """The sentence, the chart and the remarks of points that may be compared."""
    best = rows[rows["on_frontier"]].iloc[0]
    costing = "costing at least" if group.lower_bound else "at"
    n, of = int(rows["on_frontier"].sum()), len(rows) + group.not_shown
    st.markdown(
        f"### {theme.text(where)}, {n} of {of} {'point is' if of == 1 else 'points are'} on "
        f"the frontier; the cheapest is {theme.text(best['model'])} {costing} "
        f"{theme.text(show(best['cost'], _unit(cost)))} with a score of {best['score']:.3g}"
    )
    theme.chart(
        theme.drawn(tradeoff.frontier, rows, _unit(cost), lane),
        f"{COSTS[cost]} of one request against {lane}, {group.name}, intervals on both axes",
        rows.assign(cost_of=cost), f"frontier-{group.name}",
    )  # fmt: skip
    if group.lower_bound:
        st.caption(f"Costs are at least what is drawn – {theme.text(group.lower_bound)}.")
    if group.not_shown:
        st.caption(
            f"Shown are {len(rows)} points: the frontier, what may be on it in some draw, and "
            f"the cheapest of each model. {group.not_shown:,} dearer ones of the same models "
            "are left out; `observatory frontier --json` has them."
        )
    reasons: dict[str, list[str]] = {}
    for model, why in group.left_out:
        reasons.setdefault(why, []).append(model)
    for why, models in reasons.items():
        more = len(models) - MOST_LEFT_OUT
        some = ", ".join(models[:MOST_LEFT_OUT]) + (f" and {more} more" if more > 0 else "")
        st.caption(theme.text(f"Left out, {why}: {some}."))
    if rows["score_low"].isna().all():
        st.caption("No interval of these scores was published: they are taken as exact.")
    if rows["inherited"].any():
        st.caption("Some scores are inherited from the model in another number format.")
    if rows["of_variant"].notna().any():
        st.caption(
            "Some scores are those of another checkpoint of the same architecture: what was "
            "timed is the shape; the table names whose score it is."
        )


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
