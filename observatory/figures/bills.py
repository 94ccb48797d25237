"""Figures of the four bills: energy, carbon, water and money, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from observatory.figures import style
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


def bill(rows: pd.DataFrame, column: str) -> go.Figure:
    """One bill of one request: a dot with its p5–p95 for each model, one row for each zone.

    `rows`: `name`, `zone_name`, `provenance`, and `column` with `_low` and `_high`. A bill that is
    missing is not drawn; a figure without any says so. The axis is logarithmic where every value
    is positive and the largest is ten times the smallest, else linear from zero.
    """
    known = rows[rows[column].notna()] if column in rows else rows.iloc[:0]
    if known.empty:
        return style.blank("No number: see the reason in the table.")
    go = style.graph_objects()
    quantity = BILLS.get(column, column)
    palette = style.colours(rows["name"])
    figure = go.Figure()
    for name, group in known.groupby("name", sort=False):
        figure.add_scatter(**_dots(str(name), group, column, quantity, palette[str(name)]))
    values = [v for c in (column, f"{column}_low", f"{column}_high")
              for v in style.plain(known[c]) if v is not None]  # fmt: skip
    label = style.axis_label(quantity)
    wide = min(values) > 0 and max(values) >= 10 * min(values)
    figure.update_xaxes(**(style.log_axis(label, values) if wide else style.linear_axis(label)))
    figure.update_yaxes(autorange="reversed", showgrid=True, type="category")
    figure.update_layout(scattermode="group", scattergap=0.5)
    rows_drawn = known["zone_name"].nunique() * max(1, known["name"].nunique() * 0.6)
    return style.finish(figure, int(110 + style.ROW_PX * (1 + rows_drawn)))


def _dots(name: str, group: pd.DataFrame, column: str, quantity: str, colour: str) -> Any:
    mid = [float(v) for v in group[column]]
    low, high = style.plain(group[f"{column}_low"]), style.plain(group[f"{column}_high"])
    return {
        "x": mid, "y": [style.safe(z) for z in group["zone_name"]], "mode": "markers",
        "name": style.safe(name), "orientation": "h",
        "marker": {"color": colour, "size": 11,
                   "symbol": [style.symbol(p) for p in group["provenance"]]},
        "error_x": style.error_bars(mid, low, high),
        "text": [show_interval(a, m, b, quantity) for a, m, b in zip(low, mid, high, strict=True)],
        "hovertemplate": "%{y}: %{text}<extra>" + style.safe(name) + ", p5 – p95</extra>",
    }  # fmt: skip
