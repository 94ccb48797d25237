"""How pages show things: text that is text, charts with a table twin and files, empty states."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from observatory.exports import tables
from observatory.exports.columns import bounds_of, quantity_of, scale_of
from observatory.figures.naming import names as names
from observatory.footprint import Bill
from observatory.units import MISSING, show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$~:&\"'=^@])")
MOST_ROWS = 500  #: rows shown of a table; its files have all


def text(value: object) -> str:
    """Imported text for a Markdown line: shown as it is, never read as markup, link or image."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(value).split()))


def chart(figure: go.Figure, alt: str, rows: pd.DataFrame, name: str) -> None:
    """A chart with its alternative text, a table twin and its files (CSV, JSON; SVG by camera).

    `rows` are the numbers drawn, in SI; `name` is the stem of the files and the key of the chart.
    """
    st.plotly_chart(
        figure, key=f"chart {name}", alt=" ".join(alt.split()), theme="streamlit",
        config={
            "displaylogo": False,
            "responsive": True,
            "modeBarButtons": [["toImage"]],  # zoom by dragging, back by a double click
            "toImageButtonOptions": {"format": "svg", "filename": name},
        },
    )  # fmt: skip
    with st.expander("Table and files"):
        st.dataframe(readable(rows), hide_index=True, alt=f"Table of: {alt}",
                     placeholder=MISSING)  # fmt: skip
        with st.container(horizontal=True):
            download(rows, name)
            st.download_button(
                "Figure (JSON)", lambda: str(figure.to_json()), f"{name}.figure.json",
                "application/json", key=f"figure {name}", on_click="ignore",
            )  # fmt: skip
        st.caption("The camera above the chart saves it as SVG.")


def download(rows: pd.DataFrame, name: str) -> None:
    """CSV and JSON of `rows`, every column, SI units."""
    for label, kind, mime in (("CSV", "csv", "text/csv"), ("JSON", "json", "application/json")):
        st.download_button(
            label, _file(rows, kind), f"{name}.{kind}", mime, key=f"{kind} {name}",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip


def _file(rows: pd.DataFrame, kind: str) -> Any:
    return lambda: tables.write(rows, kind)


def table(rows: pd.DataFrame, name: str, alt: str, columns: list[str] | None = None) -> None:
    """A table in readable units, with CSV and JSON of all its columns in SI."""
    chosen = rows if columns is None else rows[[c for c in columns if c in rows]]
    if len(chosen) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS} of {len(chosen):,} rows; the files have them all.")
        chosen = chosen.head(MOST_ROWS)
    st.dataframe(readable(chosen), hide_index=True, alt=alt, key=f"table {name}",
                 placeholder=MISSING)  # fmt: skip
    with st.container(horizontal=True):
        download(rows, name)


def readable(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns scaled to a readable unit that stands in their name; bounds in the same unit.

    Three significant digits. Text is guarded against spreadsheets, as the table can be copied.
    """
    names = [str(c) for c in rows.columns]
    made: dict[str, Any] = {}
    units: dict[str, tuple[float, str]] = {}
    for name in names:
        quantity = quantity_of(name)
        if quantity is not None and pd.api.types.is_numeric_dtype(rows[name]):
            bounds = bounds_of(name, names)
            units[name] = scale_of(rows[name], quantity)
            units |= dict.fromkeys(bounds or (), units[name])
    for name in names:
        column = rows[name]
        if name in units:
            factor, symbol = units[name]
            stem = re.sub(r"(_per)?_(s|j|wh|g|l|usd|w|bytes)(?=$|_low$|_high$)", "", name)
            made[f"{stem.replace('_', ' ')} ({symbol})"] = _rounded(column.astype(float) / factor)
        elif name.endswith("_utc"):
            made[f"{name.removesuffix('_utc')} (UTC)"] = column.astype(str).str[:16]
        elif pd.api.types.is_float_dtype(column):
            made[name.replace("_", " ")] = _rounded(column)
        else:
            made[name.replace("_", " ")] = column
    return tables.guard_frame(pd.DataFrame(made))


def _rounded(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.map(lambda v: v if pd.isna(v) else float(f"{v:.3g}"))


def shapes() -> None:
    """What the markers' shapes say."""
    st.caption("Shape tells how a number was obtained: ● measured ▲ estimated ◆ modelled "
               "■ imported. Bars reach from the 5th to the 95th percentile.")  # fmt: skip


def nothing_yet(what: str) -> None:
    """Help in place of an empty page."""
    st.info(f"{what} Measure this machine first; the page fills itself.", icon=":material/info:")
    st.code("make benchmark        # or: run-benchmark", language="bash")
    st.markdown(
        "It takes about two minutes. `run-benchmark --dry-run` says what would be measured, and "
        "`run-benchmark probe` which sensors this machine has."
    )


def bill_text(bill: Bill | None, quantity: str) -> str:
    """A bill with its band, or a dash."""
    if bill is None:
        return MISSING
    return show_interval(bill.low, bill.value, bill.high, quantity)


def percent(share: float | None) -> str:
    """A share as a percentage, or a dash."""
    return MISSING if share is None else f"{100 * share:.0f} %"
