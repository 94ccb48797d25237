"""The frontier: cost against capability, intervals on both axes, the chance to be on it as fill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pandas as pd

from observatory.figures import labels, style
from observatory.figures.naming import names
from observatory.units import show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: chance to be on the frontier -> what is added to the shape: filled >= 0.95, half, hollow < 0.5
FILLS = {"filled": "", "half": "-open-dot", "hollow": "-open"}
NAME_CHARACTERS = 30
FEW = 16  #: points that may each carry a name


def frontier(points: pd.DataFrame, quantity: str, lane: str) -> go.Figure:
    """Points of one group with the frontier as a step.

    Points of the frontier carry a name; of the others those that have room for one, each where
    there are few, else the cheapest of each model.

    `points`: `model`, `configuration`, `cost`, `cost_low`, `cost_high`, `score`, `score_low`,
    `score_high`, `on_frontier`, `p_on_frontier`, `marker`, and where it is known `provenance` of
    the cost, which is the shape. `quantity` is the cost as `units` names it.
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
    called = names(rows.assign(configuration_key=rows["configuration"]))
    for annotation in _names(rows, called):
        figure.add_annotation(annotation)
    figure.add_scatter(
        x=cost, y=score, mode="markers", showlegend=False, cliponaxis=False,
        marker={"color": style.BLUE, "size": 12, "line": {"width": 2, "color": style.BLUE},
                "symbol": [style.symbol(p) + FILLS[m]
                           for p, m in zip(provenance, rows["marker"], strict=True)]},
        error_x=style.error_bars(cost, low, high),
        error_y=style.error_bars(score, score_low, score_high),
        customdata=[f"{style.safe(m)}, {style.safe(stack)}: "
                    f"{show_interval(a, c, b, quantity)}, score {s:.3g}, "
                    f"on the frontier in {100 * p:.0f} % of draws"
                    for m, stack, a, c, b, s, p in zip(
                        rows["model"], rows["configuration"], low, cost, high, score,
                        rows["p_on_frontier"], strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    bounds = [v for v in (*low, *cost, *high) if v]
    figure.update_xaxes(**style.log_axis(style.axis_label(quantity), bounds))
    benchmark = "/".join(lane.split("/")[:2])  # the whole lane stands in the table
    label = f"{style.safe(style.shorten(benchmark, 50))} (score)"
    figure.update_yaxes(title={"text": label}, showgrid=True, range=_span(rows))
    return style.finish(figure, 460)


def _names(rows: pd.DataFrame, called: Sequence[str]) -> list[dict[str, Any]]:
    """Names beside points, or at the end of a line that leads to one; the frontier's come first."""
    whole = rows.assign(called=called, text="", x=rows["cost"], y=rows["score"])
    few = len(whole) <= FEW
    best = whole[whole["on_frontier"]]
    rest = whole[~whole["on_frontier"]]
    others = rest if few else rest[~rest["model"].isin(best["model"])].drop_duplicates("model")
    shown = pd.concat([best.iloc[::-1], others])  # the best first: above them there is room
    shown["text"] = [_short(str(m), str(c)) for m, c in zip(shown["model"], shown["called"],
                                                           strict=True)]  # fmt: skip
    drawn = pd.concat([shown, whole.drop(shown.index)])
    bars = ["cost_low", "cost_high", "score_low", "score_high"]
    marks = [
        labels.Mark(text, x, y, (a, b), (c, d))
        for text, x, y, a, b, c, d in zip(
            drawn["text"], drawn["x"], drawn["y"], *(style.plain(drawn[n]) for n in bars),
            strict=True,
        )
    ]  # fmt: skip
    steps = list(zip(best["cost"], best["score"], strict=True))
    for (x0, y0), (x1, y1) in pairwise(steps):  # the step's two lines
        marks.append(labels.Mark("", x1, y0, (x0, x1), (y0, y1)))
    found = labels.leaders(marks, _span(rows), wanted=len(best))
    return [
        {"x": math.log10(m.x), "y": m.y, "ax": at[0], "ay": -at[1], "text": style.safe(m.text),
         "showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": style.GREY,
         "standoff": 7, "borderpad": 0}
        for m, at in zip(marks, found, strict=True) if at is not None
    ]  # fmt: skip


def _short(model: str, called: str) -> str:
    """The name of a point where it fits, else of its model, without its publisher."""
    bare = model.rpartition("/")[2]
    told = bare + called.removeprefix(model)
    return told if len(told) <= NAME_CHARACTERS else style.shorten(bare, NAME_CHARACTERS)


def _span(points: pd.DataFrame) -> tuple[float, float]:
    """What the axis of scores shows: them and their intervals, with room for names.

    It does not start at zero: a score is a place and no length, and chance is not zero either.
    """
    known = [v for c in ("score", "score_low", "score_high") for v in style.plain(points[c])
             if v is not None]  # fmt: skip
    room = 0.2 * (max(known) - min(known)) or 0.1 * abs(max(known)) or 0.1
    return min(known) - room, max(known) + room
