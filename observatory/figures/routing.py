"""Routers: quality against one bill, with the line of random mixing and the oracle as the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from observatory.figures import labels, style
from observatory.units import show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: kind of policy -> (name in the legend, colour)
KINDS = {
    "single": ("one model alone", style.BLUE),
    "random": ("random mix", style.GREY),
    "threshold": ("threshold router", style.VERMILLION),
    "cascade": ("cascade", style.PURPLE),
    "oracle": ("oracle (knows the answers)", style.GREEN),
}
NAMED = ("single", "oracle", "cascade")  #: points that carry a label


def routers(
    points: pd.DataFrame, random: pd.DataFrame, threshold: pd.DataFrame, quantity: str
) -> go.Figure:
    """Policies as points with both intervals; the random mix and the threshold router as lines.

    Each frame: `policy`, `kind`, `quality`, `quality_low`, `quality_high` and the column `quantity`
    with `_low` and `_high`, as `units` names it. Policies without the bill are left out.
    """
    known = points[points[quantity].notna()]
    if known.empty:
        return style.blank("No policy has this bill.")
    known = known.assign(**_labels(known, quantity))
    figure = style.graph_objects().Figure()
    for kind, rows in (("random", random), ("threshold", threshold)):
        drawn = rows[rows[quantity].notna()] if len(rows) else rows
        if len(drawn):
            name, colour = KINDS[kind]
            figure.add_scatter(
                x=[float(v) for v in drawn[quantity]], y=[float(v) for v in drawn["quality"]],
                mode="lines", name=name, hoverinfo="skip", legendgroup=kind,
                line={"color": colour, "width": 2, "dash": "dot" if kind == "random" else "solid"},
            )  # fmt: skip
    lines = {trace.name for trace in figure.data}
    for kind, (name, colour) in KINDS.items():
        rows = known[known["kind"] == kind].head(style.LARGEST)
        if rows.empty:
            continue
        cost, quality = [float(v) for v in rows[quantity]], [float(v) for v in rows["quality"]]
        low, high = style.plain(rows[f"{quantity}_low"]), style.plain(rows[f"{quantity}_high"])
        figure.add_scatter(
            x=cost, y=quality, mode="markers+text", name=name, legendgroup=kind,
            showlegend=name not in lines, marker={"color": colour, "size": 11, "symbol": "circle"},
            error_x=style.error_bars(cost, low, high) | {"color": colour},
            error_y=style.error_bars(quality, style.plain(rows["quality_low"]),
                                     style.plain(rows["quality_high"])) | {"color": colour},
            text=[style.safe(text) for text in rows["label"]],
            textposition=list(rows["label_at"]), cliponaxis=False,
            customdata=[f"{style.safe(p)}: {show_interval(a, c, b, quantity)}, "
                        f"{100 * q:.1f} % right"
                        for p, a, c, b, q in zip(rows["policy"], low, cost, high, quality,
                                                 strict=True)],
            hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
    label = f"{style.axis_label(quantity).removesuffix(')')} per item)"
    if _wide(known, quantity):
        ends = [float(v) for c in (quantity, f"{quantity}_low", f"{quantity}_high")
                for v in known[c].dropna()]  # fmt: skip
        figure.update_xaxes(**style.log_axis(label, ends))
    else:
        figure.update_xaxes(**style.linear_axis(label))
    figure.update_yaxes(title={"text": "Answers that are right (share)"}, showgrid=True,
                        rangemode="tozero", tickformat=".0%")  # fmt: skip
    return style.finish(figure, 480)


def _wide(known: pd.DataFrame, quantity: str) -> bool:
    """Whether the costs span enough for a log axis."""
    bounds = [float(v) for c in (quantity, f"{quantity}_low") for v in known[c].dropna()]
    return min(bounds) > 0 and max(bounds) >= 5 * min(bounds)


def _labels(known: pd.DataFrame, quantity: str) -> dict[str, list[str]]:
    """Columns `label` and `label_at`: what a point is called and where that stands."""
    names = [quantity, "quality", f"{quantity}_low", f"{quantity}_high", "quality_low",
             "quality_high"]  # fmt: skip
    columns = zip(*(style.plain(known[name]) for name in names), strict=True)
    marks = [
        labels.Mark(_label(str(kind), str(policy)), x, y, (a, b), (c, d))
        for kind, policy, (x, y, a, b, c, d) in zip(
            known["kind"], known["policy"], columns, strict=True
        )
    ]
    top = max(m.y for m in marks) * 1.05
    placed = labels.beside(marks, (0.0, top), log_x=_wide(known, quantity))
    return {"label": [text for text, _ in placed], "label_at": [at for _, at in placed]}


def _label(kind: str, policy: str) -> str:
    """The model of a policy that asks one; else what kind it is, where it stands by itself."""
    if kind == "single":
        return style.shorten(policy.removeprefix("always "), 28)
    return kind if kind in NAMED else ""
