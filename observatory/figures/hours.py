"""The heat map of one request by region and hour of the day."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from observatory.figures import style
from observatory.units import show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

WHOLE = "mean"  #: the column that every zone has
HOURS = tuple(f"{hour:02d}" for hour in range(24))
COLOURS = "Cividis"  #: told apart by the colour-blind, and in black and white by lightness


def region_hours(rows: pd.DataFrame) -> go.Figure:
    """Operational carbon of one request: a row a zone, a column a UTC hour, colour on a log scale.

    `rows`: as `footprint.region_hours` gives them. The first column is the mean of the zone's
    series, or its annual value where it has no hours: then its hours stay empty, with the reason.
    Zones come smallest first; one without a number is left out.
    """
    known = rows[rows["co2e_g"].notna() & (rows["co2e_g"] > 0)] if "co2e_g" in rows else rows[:0]
    whole = known[known["level"] != "hour"].sort_values("co2e_g")
    if whole.empty:
        return style.blank("No zone has a carbon intensity of this kind: see the reasons.")
    go = style.graph_objects()
    columns = [WHOLE, *HOURS]
    z, text = [], []
    for zone in whole["zone"]:
        mine = known[known["zone"] == zone]
        z.append([_log(_cell(mine, column)) for column in columns])
        text.append([_said(_cell(mine, column), column) for column in columns])
    names = [style.safe(name) for name in whole["zone_name"]]
    figure = go.Figure()
    figure.add_heatmap(
        x=columns, y=names, z=z, text=text, colorscale=COLOURS, xgap=1, ygap=1,
        colorbar=_bar([float(v) for v in known["co2e_g"]]), hoverongaps=True,
        hovertemplate="%{y}, %{text}<extra></extra>",
    )  # fmt: skip
    if known["hour_utc"].isna().all():
        figure.add_annotation(
            text="No hours are known: each zone has its mean alone.", showarrow=False,
            x=0.5, y=0.5, xref="paper", yref="paper",
        )  # fmt: skip
    figure.update_xaxes(
        type="category", title={"text": "Hour of the day (UTC)"}, showgrid=False, tickangle=0,
        tickmode="array", tickvals=[WHOLE, *HOURS[3::3]],
    )  # fmt: skip
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return style.finish(figure, 130 + 22 * len(names))


def _cell(rows: pd.DataFrame, column: str) -> dict[str, Any] | None:
    found = rows[rows["level"] != "hour"] if column == WHOLE else rows[
        rows["hour_utc"] == int(column)
    ]  # fmt: skip
    if found.empty:
        return None
    return {str(k): v for k, v in found.iloc[0].items()}


def _log(cell: dict[str, Any] | None) -> float | None:
    return None if cell is None else math.log10(cell["co2e_g"])


def _said(cell: dict[str, Any] | None, column: str) -> str:
    if cell is None:
        return f"{column}:00 UTC: no hourly series"
    low, high = (None if pd.isna(cell[k]) else cell[k] for k in ("co2e_low_g", "co2e_high_g"))
    what = "whole year" if cell["level"] == "year" else WHOLE
    when = what if column == WHOLE else f"{column}:00 UTC"
    return f"{when}: {show_interval(low, cell['co2e_g'], high, 'co2e_g')}"


def _bar(values: list[float]) -> dict[str, Any]:
    """A colour bar whose ticks are grams, as the colours are logarithms of them."""
    axis = style.log_axis(style.axis_label("co2e_g"), values)
    return {
        "title": {"text": axis["title"]["text"], "side": "right"},
        "tickvals": [math.log10(v) for v in axis["tickvals"]], "ticktext": axis["ticktext"],
        "thickness": 12, "outlinewidth": 0,
    }  # fmt: skip
