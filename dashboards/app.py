"""The dashboard: `streamlit run dashboards/app.py`, or `observatory dashboard`.

The database is named by OBSERVATORY_DB (default results/observatory.db) and opened read-only.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboards import ranges, state
from dashboards.database import VARIABLE, Database, ObservatoryError, connect
from dashboards.navigation import PAGES, WITHOUT_DATABASE, WITHOUT_SCENARIO
from dashboards.theme import nothing_yet, sentence, text


def main() -> None:
    """Draw the frame of every page, then the page."""
    # an icon of our own: named icons and emoji would be fetched from another host
    icon = str(Path(__file__).parent / "icon.svg")
    st.set_page_config("Inference Observatory", icon, layout="wide")
    st.html(Path(__file__).parent / "style.css")
    page = st.navigation([
        st.Page(f"app_pages/{name}.py", title=title, help=help_text, default=i == 0)
        for i, (name, title, help_text) in enumerate(PAGES)
    ])  # fmt: skip
    try:
        database = connect(needed=page.title not in WITHOUT_DATABASE)
    except ObservatoryError as error:
        st.title("Inference Observatory")
        st.markdown("What a language model costs to run, in time, energy, carbon, water and money, "
                    "and what it is worth, with the error bars shown.")  # fmt: skip
        st.error(sentence(error), icon=":material/database_off:")
        nothing_yet(f"Another database is named by `observatory dashboard --db` or `{VARIABLE}`.")
        return
    with st.sidebar:
        st.caption(text(database.name))
    _page(page, database)


def _page(page: st.Page, database: Database) -> None:
    try:
        choice = state.scenario_bar(database.covered_request())
        st.session_state["choice"] = choice
        with st.container(key="scenario-line"):  # style.css keeps it in view
            unused = "*not used on this page:* " if page.title in WITHOUT_SCENARIO else ""
            told = None if unused else ranges.outside(database.requests(choice.workload))
            state.say_scenario(unused + choice.line(), told)
        page.run()
    except ObservatoryError as error:
        st.error(sentence(error), icon=":material/error:")


main()
