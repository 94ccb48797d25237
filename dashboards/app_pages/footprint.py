"""Footprint: the ladder of boundaries, regions, and where the width of an interval comes from."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboards import theme
from dashboards.database import Database, connect
from dashboards.state import Choice, choose, current, narrowed
from observatory.errors import InputError
from observatory.exports import frames
from observatory.exports.frames import PARTS, REGIONS
from observatory.figures import hours, ladder
from observatory.footprint import EXAMPLE_ZONES, Bill, EnergyInput, Footprint, Scenario
from observatory.footprint.energy import J_PER_WH
from observatory.footprint.hourly import HourlySeries
from observatory.footprint.intensity_files import read_text_by_zone
from observatory.footprint.ladder import Rung
from observatory.footprint.region_hours import region_hours
from observatory.units import MISSING, show

BILLS = {"co2e_operational_g": ("Carbon", "co2e_g"), "water_l": ("Water", "water_l"),
         "cost_usd": ("Money", "cost_usd")}  # fmt: skip
KINDS = ("average-lifecycle", "average-direct", "marginal")


def render(database: Database, choice: Choice) -> None:
    """The page."""
    st.title("Footprint")
    known = database.configurations()
    if not known:
        theme.nothing_yet("Nothing to bill has been measured in this database yet.")
        return
    first = next(iter(known))
    key = choose("configuration", "of", narrowed("of", known, [first]), first)
    scenario, example = choice.scenario, ""
    if scenario.zone is None:
        scenario = replace(scenario, zone=EXAMPLE_ZONES[1])
        example = f"No zone was chosen: {EXAMPLE_ZONES[1]} stands in as an **example**. "
    if example:
        st.caption(example)
    made, rungs = database.detail(choice.workload, scenario, key)
    st.markdown(f"### {_sentence(made, choice)}")
    _bills(made)
    _ladder(rungs, made)
    _regions(database, choice, key)
    _hours(made, choice)
    _shares(made)
    _choices(made)


def _sentence(made: Footprint, choice: Choice) -> str:
    """The carbon and the water of the request, or why they are not known."""
    where = theme.text(made.zone_name or "the stated grid")
    carbon, water = made.co2e_g, made.water_l
    if carbon.value is None:
        return f"The carbon of this request is not known: {theme.text(carbon.reason)}."
    least = "at least " if carbon.lower_bound else ""
    said = f"One request of {choice.request} emits {least}**{show(carbon.value, 'co2e_g')}**"
    if water.value is not None:
        said += f" and takes {least}**{show(water.value, 'water_l')}** of water"
    return f"{said} in {where}, at the boundary {made.boundary}."


def _qualified(made: Footprint) -> dict[str, str | None]:
    """What every bill must be read with."""
    return {"boundary": made.boundary, "zone": made.zone, "kind": made.kind,
            "edition": made.edition, "method": made.method, "provenance": made.provenance,
            "hydro_rule": made.hydro_rule}  # fmt: skip


def _bills(made: Footprint) -> None:
    qualified = _qualified(made)
    said = [f"{name.replace('_', ' ')} {value}" for name, value in qualified.items() if value]
    st.caption(theme.text(" · ".join(said)))
    rows = [
        {"bill": title, "value": _both(bill) if name == "energy_wh" else bill.shown(quantity),
         "p5": bill.low, "value (SI)": bill.value, "p95": bill.high, "reason": bill.reason,
         **qualified}
        for name, (title, quantity) in PARTS.items()
        for bill in [getattr(made, name)]
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    st.dataframe(frame[["bill", "value", "reason"]], hide_index=True, alt="Bills of one request",
                 column_config={
                     "bill": st.column_config.TextColumn(width="medium"),
                     "value": st.column_config.TextColumn("value [p5 – p95]", width="medium"),
                     "reason": st.column_config.TextColumn("why it is missing", width="large"),
                 }, placeholder=MISSING)  # fmt: skip
    if made.lower_bound is not None:
        st.caption(f"≥ {theme.text(made.lower_bound)}.")
    theme.options_note(frame["reason"].dropna())
    with st.container(horizontal=True):
        theme.download(frame.drop(columns="value"), "bills")


def _both(energy: Bill) -> str:
    """Energy in the watt-hours of published figures, and in the joules of the other pages."""
    if energy.value is None:
        return MISSING
    return f"{energy.shown('energy_wh')} = {show(J_PER_WH * energy.value, 'energy_j')}"


def _ladder(rungs: tuple[Rung, ...], made: Footprint) -> None:
    st.subheader("Boundary ladder")
    st.caption(
        "The same joules under each boundary. A figure may be compared only with figures of its "
        "own rung; published ones are of other requests on other machines."
    )
    frame = frames.ladder_rows(rungs, made.provenance)
    theme.chart(theme.drawn(ladder.boundary_ladder, frame),
                "Energy of this request up to each boundary, beside published figures", frame,
                "boundary-ladder")  # fmt: skip
    for rung in rungs:
        if rung.reason:
            st.markdown(f"* **{rung.boundary}** has no number: {theme.text(rung.reason)}")
    if any(rung.reason for rung in rungs):
        st.caption("A rung has a number only where everything in it was measured. The bills above "
                   "count what was measured, and say *at least* or ≥.")  # fmt: skip


def _regions(database: Database, choice: Choice, key: str) -> None:
    st.subheader("The same request elsewhere")
    bill = choose("bill", "bill", {k: title for k, (title, _) in BILLS.items()}, next(iter(BILLS)))
    scenario = replace(choice.scenario, zone=None)
    rows = database.table("bills_by_zone", choice.workload, scenario, key, REGIONS)
    rows, left = frames.one_kind(rows, bill)
    title, quantity = BILLS[bill]
    columns = ["zone", "zone_name", *(f"{name}{end}" for name in BILLS for end in
               ("", "_low", "_high")), "provenance", "kind", "boundary", "edition",
               "assumed"]  # fmt: skip
    theme.chart(theme.drawn(ladder.by_region, rows, bill, quantity),
                f"{title} of one request in {len(rows)} regions, with 5th to 95th percentile",
                rows[columns], "by-region")  # fmt: skip
    for kind, zones in left.items():
        st.caption(f"Not drawn: {', '.join(zones)}, whose carbon intensity is {theme.text(kind)}; "
                   f"kinds never share a chart, and here it is {theme.text(rows['kind'].iloc[0])}."
                   )  # fmt: skip


def _hours(made: Footprint, choice: Choice) -> None:
    """Region × hour: of the zones whose hours the reader has; the others by their year."""
    st.subheader("By region and hour of the day")
    st.caption(
        "No hourly carbon intensity is shipped, and no shape of a day is made up: add your own; "
        "the file is read in memory and not kept. Hours are UTC."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = choose("kind of carbon intensity", "kind", {k: k for k in KINDS}, KINDS[0])
        files = st.file_uploader(
            "hourly carbon intensity (CSV)", ["csv"], accept_multiple_files=True, key="hourly",
            max_upload_size=20,
            help="Exports of Electricity Maps, Great Britain's system operator or WattTime, or a "
                 "time and carbon_intensity of the zone chosen in the sidebar.",
        )  # fmt: skip
    series: dict[str, HourlySeries] = {}
    for file in files or ():
        try:
            text = file.getvalue().decode("utf-8-sig")
            series |= read_text_by_zone(file.name, text, choice.scenario.zone, kind)
        except UnicodeDecodeError:
            st.warning(f"{theme.text(file.name)}: not UTF-8 text")
        except InputError as error:
            st.warning(theme.text(error))
    if not series:
        return  # without hours the map would be one column: the chart above has those means
    if made.energy is None:
        st.info("The energy of this request is not known.")
        return
    zones = list(dict.fromkeys((*series, *REGIONS)))
    scenario = replace(choice.scenario, zone=None, kind=kind)
    try:
        rows = _by_hour(made.energy, scenario, zones, series)
    except InputError as error:
        st.warning(theme.text(error))
        return
    theme.chart(theme.drawn(hours.region_hours, rows),
                "Carbon of one request by region and hour of the day; the first column is the mean",
                rows, "region-hours")  # fmt: skip
    silent = rows[rows["reason"].notna()]
    for said, group in (
        ("the year alone is known: the file has no hours of it", silent[silent["co2e_g"].notna()]),
        (f"no carbon intensity of the kind {kind}", silent[silent["co2e_g"].isna()]),
    ):
        if not group.empty:
            st.markdown(f"* {theme.text(', '.join(group['zone']))}: {theme.text(said)}")


def _same_series(series: HourlySeries) -> tuple[object, ...]:
    return (series.source, series.kind, hash(tuple(series.values.items())))


@st.cache_data(show_spinner=False, max_entries=16, hash_funcs={
    EnergyInput: repr, Scenario: repr, HourlySeries: _same_series})  # fmt: skip
def _by_hour(
    energy: EnergyInput, scenario: Scenario, zones: list[str], series: dict[str, HourlySeries]
) -> pd.DataFrame:
    return region_hours(energy, scenario, zones, series)


def _shares(made: Footprint) -> None:
    st.subheader("Where the width comes from")
    frame = frames.share_rows(made)
    theme.chart(theme.drawn(ladder.variance_shares, frame),
                "Inputs with the largest share of the variance", frame, "variance-shares"
                )  # fmt: skip


def _choices(made: Footprint) -> None:
    """What the bills would be under other choices: never part of an interval."""
    if made.choices:
        st.subheader("Under other choices")
        rows = []
        for c in made.choices:
            title, quantity = PARTS.get(c.quantity, (c.quantity, ""))
            value = show(c.value, quantity) if quantity else f"{c.value:g}"
            rows.append({"choice": c.choice, "option": c.option, "bill": title, "value": value})
        frame = pd.DataFrame(rows)
        st.dataframe(frame, hide_index=True, alt="Bills under other choices")
    with st.expander("What was assumed, and which factors"):
        for note in made.notes:
            st.markdown(f"* {theme.text(note)}")
        st.markdown(f"Factors: {theme.text(', '.join(made.factor_ids))}")
        st.markdown(f"Draws: {made.draws}, seed {made.seed}, edition {theme.text(made.edition)}")


render(connect(), current())
