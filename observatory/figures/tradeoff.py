"""The frontier: cost against capability, intervals on both axes, the chance to be on it as fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from observatory.figures import style
from observatory.units import show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: chance to be on the frontier -> marker: filled >= 0.95, half, hollow < 0.5
FILLS = {"filled": "circle", "half": "circle-open-dot", "hollow": "circle-open"}


def frontier(points: pd.DataFrame, quantity: str, lane: str) -> go.Figure:
    """Points of one group with the frontier as a step; only its points carry a label.

    `points`: `model`, `cost`, `cost_low`, `cost_high`, `score`, `score_low`, `score_high`,
    `on_frontier`, `p_on_frontier`, `marker`. `quantity` is the cost as `units` names it.
    """
    if points.empty:
        return style.blank("No model has both this cost and a score in this lane.")
    go = style.graph_objects()
    rows = points.sort_values(["cost", "score"]).head(style.LARGEST)
    cost, score = [float(v) for v in rows["cost"]], [float(v) for v in rows["score"]]
    figure = go.Figure()
    best = rows[rows["on_frontier"]]
    figure.add_scatter(
        x=list(best["cost"]), y=list(best["score"]), mode="lines", name="frontier",
        line={"color": style.GREY, "width": 1.5, "shape": "hv"}, hoverinfo="skip",
    )  # fmt: skip
    low, high = style.plain(rows["cost_low"]), style.plain(rows["cost_high"])
    figure.add_scatter(
        x=cost, y=score, mode="markers+text", showlegend=False,
        marker={"color": style.BLUE, "size": 12, "line": {"width": 2},
                "symbol": [FILLS[m] for m in rows["marker"]]},
        error_x=style.error_bars(cost, low, high),
        error_y=style.error_bars(score, style.plain(rows["score_low"]),
                                 style.plain(rows["score_high"])),
        text=[style.safe(m) if on else "" for m, on in
              zip(rows["model"], rows["on_frontier"], strict=True)],
        textposition="top center", cliponaxis=False,
        customdata=[f"{style.safe(m)}: {show_interval(a, c, b, quantity)}, score {s:.3g}, "
                    f"on the frontier in {100 * p:.0f} % of draws"
                    for m, a, c, b, s, p in zip(rows["model"], low, cost, high, score,
                                                rows["p_on_frontier"], strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    bounds = [v for v in (*low, *cost, *high) if v]
    figure.update_xaxes(**style.log_axis(style.axis_label(quantity), bounds))
    benchmark = "/".join(lane.split("/")[:2])  # the whole lane stands in the table
    label = f"{style.safe(style.shorten(benchmark, 50))} (score)"
    figure.update_yaxes(title={"text": label}, showgrid=True, rangemode="tozero")
    return style.finish(figure, 460)
