"""The frontier: cost against capability, intervals on both axes, the chance to be on it as fill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from observatory.figures import labels, style
from observatory.units import show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: chance to be on the frontier -> marker: filled >= 0.95, half, hollow < 0.5
FILLS = {"filled": "circle", "half": "circle-open-dot", "hollow": "circle-open"}
#: the plot that labels are placed for, in pixels: on a wider one they are further apart
PLOT_PX = (420.0, 360.0)


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
    named = _labels(rows, cost, score, low, high)
    figure.add_scatter(
        x=cost, y=score, mode="markers+text", showlegend=False,
        marker={"color": style.BLUE, "size": 12, "line": {"width": 2, "color": style.BLUE},
                "symbol": [FILLS[m] for m in rows["marker"]]},
        error_x=style.error_bars(cost, low, high),
        error_y=style.error_bars(score, style.plain(rows["score_low"]),
                                 style.plain(rows["score_high"])),
        text=[style.safe(text) for text, _ in named],
        textposition=[position for _, position in named], cliponaxis=False,
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


def _labels(
    rows: pd.DataFrame, cost: Sequence[float], score: Sequence[float],
    low: Sequence[float | None], high: Sequence[float | None],
) -> list[tuple[str, str]]:  # fmt: skip
    """Name and position of each point of the frontier, clear of points, bars and other names."""
    known = [math.log(v) for v in (*low, *cost, *high) if v]
    left, width = min(known), (max(known) - min(known)) or 1.0
    tall = max([*score, *(v for v in style.plain(rows["score_high"]) if v is not None)]) or 1.0

    def px(value: float) -> float:
        return PLOT_PX[0] * (math.log(value) - left) / width

    def py(value: float) -> float:
        return PLOT_PX[1] * value / tall

    at = [(px(c), py(s)) for c, s in zip(cost, score, strict=True)]
    obstacles = [labels.Box(x - 7, x + 7, y - 7, y + 7) for x, y in at]
    obstacles += [labels.Box(px(a), px(b), y - 1, y + 1)
                  for a, b, (_, y) in zip(low, high, at, strict=True) if a and b]  # fmt: skip
    bars = zip(style.plain(rows["score_low"]), style.plain(rows["score_high"]), at, strict=True)
    obstacles += [labels.Box(x - 1, x + 1, py(a), py(b)) for a, b, (x, _) in bars
                  if a is not None and b is not None]  # fmt: skip
    shown = rows["on_frontier"].to_list()
    return labels.place(
        [(str(m) if on else "", x, y)
         for m, on, (x, y) in zip(rows["model"], shown, at, strict=True)], obstacles
    )  # fmt: skip
