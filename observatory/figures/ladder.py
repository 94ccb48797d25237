"""Figures of the bill: the ladder of boundaries, what moves the interval, one request by region."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from observatory.figures import style
from observatory.figures.naming import distinct
from observatory.units import show, show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go


def boundary_ladder(rungs: pd.DataFrame) -> go.Figure:
    """Energy of one request up to each boundary, beside what others published at that boundary.

    `rungs`: `boundary`, `subject` (this request, or whose figure), `energy_wh`, `ours` (bool),
    `provenance` (a shape). Published figures belong to other requests on other machines: the rung
    is what is comparable.
    """
    known = rungs[rungs["energy_wh"].notna()]
    if known.empty:
        return style.blank("No rung has a number: see the reasons below.")
    go = style.graph_objects()
    figure = go.Figure()
    for ours, name, colour in (
        (True, "this request", style.BLUE),
        (False, "published", style.GREY),
    ):
        part = known[known["ours"] == ours]
        if not part.empty:
            figure.add_scatter(
                x=list(part["energy_wh"]), y=list(part["boundary"]), mode="markers", name=name,
                marker={"color": colour, "size": 12 if ours else 9,
                        "symbol": [style.symbol(p) for p in style.plain(part["provenance"])]},
                text=[f"{style.safe(s)}: {show(v, 'energy_wh')}"
                      for s, v in zip(part["subject"], part["energy_wh"], strict=True)],
                hovertemplate="%{text}<extra>%{y}</extra>",
            )  # fmt: skip
    figure.update_xaxes(**style.log_axis(style.axis_label("energy_wh"), list(known["energy_wh"])))
    figure.update_yaxes(
        type="category", categoryorder="array",
        categoryarray=["facility", "wall", "host", "device"], showgrid=True,
    )  # fmt: skip
    return style.finish(figure, 260)


SEVERAL = len(style.PALETTE)  #: series of a figure that colours tell apart
#: what the first part of an input's id means
INPUTS = {
    "pue": "PUE", "wue": "WUE", "ewif": "water of electricity", "active_share": "utilisation",
    "carbon_intensity": "carbon intensity",
}  # fmt: skip


def input_name(identity: str) -> str:
    """An uncertain input in words: `ewif.zero.mid:USA` -> `water of electricity (USA)`."""
    head, *of = identity.split(":")
    kind = head.split(".")[0]
    name = INPUTS.get(kind, kind.replace("_", " "))
    return f"{name} ({', '.join(of)})" if of else name


def variance_shares(shares: pd.DataFrame) -> go.Figure:
    """Which inputs the width of each bill comes from, each in a colour of its own.

    `shares`: `quantity`, `input`, `share` (0 to 1). Where there are more inputs than colours, those
    that matter least in every bill stand together.
    """
    if shares.empty:
        return style.blank("No input of these bills is uncertain.")
    go = style.graph_objects()
    figure = go.Figure()
    most = (
        shares.groupby("input", sort=False)["share"]
        .max()
        .sort_values(ascending=False, kind="stable")
    )
    own = list(most.index) if len(most) <= SEVERAL else list(most.index)[: SEVERAL - 1]
    words = [input_name(str(name)) for name in own]
    for name, told, legend, colour in zip(
        own, words, distinct(words, 36), style.PALETTE[: len(own)], strict=True
    ):
        group = shares[shares["input"] == name]
        figure.add_bar(**_share(group, legend, told, colour))
    rest = shares[~shares["input"].isin(own)]
    if not rest.empty:
        few = rest.groupby("quantity", sort=False)["share"].sum().reset_index()
        told = f"{rest['input'].nunique()} other inputs"
        figure.add_bar(**_share(few, told, told, style.GREY))
    figure.update_layout(barmode="stack", bargap=0.4)
    figure.update_xaxes(**style.linear_axis("Share of the variance (%)"), range=[0, 100])
    figure.update_yaxes(
        autorange="reversed", categoryorder="array",
        categoryarray=list(dict.fromkeys(shares["quantity"])),
    )  # fmt: skip
    return style.finish(figure, 140 + 44 * shares["quantity"].nunique())


def _share(group: pd.DataFrame, legend: str, told: str, colour: str) -> dict[str, Any]:
    """One input's part of each bill."""
    return {
        "y": list(group["quantity"]), "x": [100 * v for v in group["share"]], "orientation": "h",
        "name": style.safe(legend), "marker": {"color": colour},
        "hovertemplate": "%{y}: %{x:.0f} %<extra>" + style.safe(told) + "</extra>",
    }  # fmt: skip


def by_region(rows: pd.DataFrame, column: str, quantity: str) -> go.Figure:
    """One bill of one request in each region with its interval, smallest first, on a log axis.

    `rows`: `zone_name`, `provenance` of the energy (a shape), `column`, `column_low`,
    `column_high`.
    """
    known = rows[rows[column].notna() & (rows[column] > 0)].sort_values(column)
    if known.empty:
        return style.blank("No number in any region: see the reasons in the table.")
    go = style.graph_objects()
    mid = [float(v) for v in known[column]]
    low, high = style.plain(known[f"{column}_low"]), style.plain(known[f"{column}_high"])
    figure = go.Figure()
    figure.add_scatter(
        x=mid, y=[style.safe(z) for z in known["zone_name"]], mode="markers", showlegend=False,
        marker={"color": style.BLUE, "size": 9,
                "symbol": [style.symbol(p) for p in style.plain(known["provenance"])]},
        error_x=style.error_bars(mid, low, high),
        text=[show_interval(a, m, b, quantity) for a, m, b in zip(low, mid, high, strict=True)],
        hovertemplate="%{y}: %{text}<extra>p5 – p95</extra>",
    )  # fmt: skip
    bounds = [v for v in (*low, *mid, *high) if v]
    figure.update_xaxes(**style.log_axis(style.axis_label(quantity), bounds))
    figure.update_yaxes(autorange="reversed", showgrid=True)
    return style.finish(figure, 90 + 22 * len(mid))


def ratios(rows: pd.DataFrame) -> go.Figure:
    """Paired ratios to a base with their intervals, where they have one; 1 is no difference.

    `rows`: `quantity`, `name`, `ratio`, `ratio_low`, `ratio_high`.
    """
    if rows.empty:
        return style.blank("These have no bill in common.")
    go = style.graph_objects()
    figure = go.Figure()
    palette = style.colours(rows["name"])
    for name, group in rows.groupby("name", sort=False):
        mid = [float(v) for v in group["ratio"]]
        low, high = style.plain(group["ratio_low"]), style.plain(group["ratio_high"])
        figure.add_scatter(
            x=mid, y=list(group["quantity"]), mode="markers", name=style.safe(name),
            orientation="h", marker={"color": palette[str(name)], "size": 11},
            error_x=style.error_bars(mid, low, high),
            text=[f"× {m:.3g}" + ("" if a is None or b is None else f" [{a:.3g} – {b:.3g}]")
                  for m, a, b in zip(mid, low, high, strict=True)],
            hovertemplate="%{y}: %{text}<extra>" + style.safe(name) + "</extra>",
        )  # fmt: skip
    figure.add_vline(x=1, line={"color": style.GREY, "dash": "dot", "width": 1.5})
    figure.update_layout(scattermode="group", scattergap=0.5)
    columns = ("ratio", "ratio_low", "ratio_high")
    bounds = [v for c in columns for v in style.plain(rows[c]) if v is not None and v > 0] + [1.0]
    wide = max(bounds) > 3 * min(bounds)
    label = "Ratio to the base"
    axis = style.log_axis(label, bounds) if wide else style.linear_axis(label, zero=False)
    figure.update_xaxes(**axis)
    if wide:  # a little more than the bars, so that a tick stands on either side
        figure.update_xaxes(range=[math.log10(min(bounds) * 0.8), math.log10(max(bounds) * 1.25)])
    else:  # zero is no reference of a ratio, one is
        pad = 0.08 * (max(bounds) - min(bounds)) or 0.05
        figure.update_xaxes(range=[min(bounds) - pad, max(bounds) + pad])
    figure.update_yaxes(autorange="reversed", showgrid=True, type="category")
    return style.finish(figure, 120 + 34 * rows["quantity"].nunique())
