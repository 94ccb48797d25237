"""Figures of the four bills: energy, carbon, water and money, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from observatory.figures import style
from observatory.figures.naming import distinct
from observatory.units import show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: bill column of a footprint row -> quantity of `units`
BILLS = {
    "energy_wh": "energy_wh",
    "co2e_operational_g": "co2e_g",
    "water_l": "water_l",
    "cost_usd": "cost_usd",
}
ROW_PX, LABEL_CHARACTERS = 22, 30


def bill(rows: pd.DataFrame, column: str) -> go.Figure:
    """One bill of one request: a row for each model, labelled, under the name of each zone.

    `rows`: `name`, `zone_name`, `provenance`, and `column` with `_low` and `_high` (p5 and p95). A
    bill that is missing is not drawn; a figure without any says so. The axis is logarithmic where
    every value is positive and the largest is ten times the smallest, else linear from zero.
    """
    known = rows[rows[column].notna()] if column in rows else rows.iloc[:0]
    if known.empty:
        return style.blank("No number: see the reason in the table.")
    go = style.graph_objects()
    quantity = BILLS.get(column, column)
    palette = style.colours(rows["name"])
    figure = go.Figure()
    places = [_place(z, n) for z, n in zip(known["zone_name"], known["name"], strict=True)]
    for name, group in known.assign(place=places).groupby("name", sort=False):
        figure.add_scatter(**_dots(str(name), group, column, quantity, palette[str(name)]))
    _label(figure, known)
    values = [v for c in (column, f"{column}_low", f"{column}_high")
              for v in style.plain(known[c]) if v is not None]  # fmt: skip
    label = style.axis_label(quantity)
    wide = min(values) > 0 and max(values) >= 10 * min(values)
    figure.update_xaxes(**(style.log_axis(label, values) if wide else style.linear_axis(label)))
    return style.finish(figure, 70 + ROW_PX * len(figure.layout.yaxis.categoryarray))


def _place(zone: object, name: object) -> str:
    """The row of a model in a zone."""
    return f"{style.safe(zone)} · {style.safe(name)}"


def _label(figure: go.Figure, known: pd.DataFrame) -> None:
    """Names of models beside their rows, those of zones above them: no legend to look up."""
    order: list[str] = []
    rows: list[str] = []
    texts: list[str] = []
    for zone, group in known.groupby("zone_name", sort=False):
        heading = style.safe(zone)
        figure.add_annotation(text=f"<b>{heading}</b>", x=0, xref="paper", xanchor="left", xshift=2,
                              y=len(order), yref="y", showarrow=False)  # fmt: skip
        here = [str(name) for name in dict.fromkeys(group["name"])]
        order += [heading, *(_place(zone, name) for name in here)]
        rows += [_place(zone, name) for name in here]
        texts += here
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=order, showgrid=True,
        range=[len(order) - 0.5, -0.5], tickmode="array",
        tickvals=rows,
        ticktext=[style.safe(text) for text in distinct(texts, LABEL_CHARACTERS)],
    )  # fmt: skip


def _dots(name: str, group: pd.DataFrame, column: str, quantity: str, colour: str) -> Any:
    mid = [float(v) for v in group[column]]
    low, high = style.plain(group[f"{column}_low"]), style.plain(group[f"{column}_high"])
    return {
        "x": mid, "y": list(group["place"]), "mode": "markers", "name": style.safe(name),
        "showlegend": False, "customdata": [style.safe(z) for z in group["zone_name"]],
        "marker": {"color": colour, "size": 11,
                   "symbol": [style.symbol(p) for p in group["provenance"]]},
        "error_x": style.error_bars(mid, low, high),
        "text": [show_interval(a, m, b, quantity) for a, m, b in zip(low, mid, high, strict=True)],
        "hovertemplate": "%{customdata}: %{text}<extra>" + style.safe(name) + ", p5 – p95</extra>",
    }  # fmt: skip
