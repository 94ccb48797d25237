"""The frontier: cost against capability, intervals on both axes, the chance to be on it as fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from observatory.figures import labels, style
from observatory.units import show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: chance to be on the frontier -> what is added to the shape: filled >= 0.95, half, hollow < 0.5
FILLS = {"filled": "", "half": "-open-dot", "hollow": "-open"}


def frontier(points: pd.DataFrame, quantity: str, lane: str) -> go.Figure:
    """Points of one group with the frontier as a step; only its points carry a label.

    `points`: `model`, `cost`, `cost_low`, `cost_high`, `score`, `score_low`, `score_high`,
    `on_frontier`, `p_on_frontier`, `marker`, and where it is known `provenance` of the cost, which
    is the shape. `quantity` is the cost as `units` names it.
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
    provenance = rows["provenance"] if "provenance" in rows else ["measured"] * len(rows)
    score_low, score_high = style.plain(rows["score_low"]), style.plain(rows["score_high"])
    texts = [str(m) if on else "" for m, on in zip(rows["model"], rows["on_frontier"], strict=True)]
    named = labels.beside(
        [labels.Mark(t, x, y, (a, b), (c, d)) for t, x, y, a, b, c, d in
         zip(texts, cost, score, low, high, score_low, score_high, strict=True)], _span(rows),
    )  # fmt: skip
    figure.add_scatter(
        x=cost, y=score, mode="markers+text", showlegend=False,
        marker={"color": style.BLUE, "size": 12, "line": {"width": 2, "color": style.BLUE},
                "symbol": [style.symbol(p) + FILLS[m]
                           for p, m in zip(provenance, rows["marker"], strict=True)]},
        error_x=style.error_bars(cost, low, high),
        error_y=style.error_bars(score, score_low, score_high),
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
    figure.update_yaxes(title={"text": label}, showgrid=True, range=_span(rows))
    return style.finish(figure, 460)


def _span(points: pd.DataFrame) -> tuple[float, float]:
    """What the axis of scores shows: them and their intervals, with room for names.

    It does not start at zero: a score is a place and no length, and chance is not zero either.
    """
    known = [v for c in ("score", "score_low", "score_high") for v in style.plain(points[c])
             if v is not None]  # fmt: skip
    room = 0.15 * (max(known) - min(known)) or 0.1 * abs(max(known)) or 0.1
    return min(known) - room, max(known) + room
