"""Figures of the two phases: time and joules of prefill over the prompt, of decode over context."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from observatory.figures import labels, style
from observatory.units import show, show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: phase -> (column of the x axis, its label, what the y axis shows)
AXES = {
    "prefill": ("prompt_tokens", "Prompt (token)", "Prefill (s)"),
    "decode": ("context_tokens", "Context before the first step (token)", "Decode step (s)"),
}


def steps_of(row: pd.Series[Any]) -> float:
    """What a time is divided by: the steps of a decode stretch; 1 for a prefill."""
    return float(row["output_tokens"]) if row["phase"] == "decode" else 1.0


ROOM = 1.2  #: of the largest context, where labels stand
HEIGHT_PX = 250.0  #: of the plots here, about
Ends = dict[tuple[object, ...], tuple[str, str]]  #: series -> label and place of its last point


def _ends(
    lasts: dict[tuple[object, ...], tuple[float, float]], drawn: list[float], log: bool
) -> Ends:
    """`B=16` beside the last point of each series, whose key ends with its batch, clear of all the
    others; nothing where all have one batch.

    `drawn`: all values on the y axis. `log`: both axes are logarithmic, else they begin at 0.
    """
    if len({key[-1] for key in lasts}) < 2:
        return dict.fromkeys(lasts, ("", "middle left"))
    left, right = (0.75, 1.0) if log else (0.92, ROOM)  # where levels begin, and labels have room
    largest = max(x for x, _ in lasts.values())
    levels = (None, None) if log else (0.0, max(drawn))  # above and below: beside them is better
    marks = [labels.Mark(f"B={key[-1]:.0f}", x, math.log(y) if log else y, (left * x, x), levels)
             for key, (x, y) in lasts.items()]  # fmt: skip
    marks.append(labels.Mark("", right * largest, marks[0].y))
    if not log:  # levels cross what is left of a point
        marks += [labels.Mark("", 0.96 * m.x, m.y, y_bar=levels) for m in marks[:-1]]
        marks.append(labels.Mark("", 0.0, 0.0))  # where the axis begins
    known = [math.log(v) if log else v for v in drawn if v > 0]
    low, high = (min(known) if log else 0.0), max(known)
    low, high = low, low + (high - low) * labels.PLOT_PX[1] / HEIGHT_PX
    return dict(zip(lasts, labels.beside(marks, (low, high), log), strict=False))


def phase_time(rows: pd.DataFrame, phase: str) -> go.Figure:
    """Measured points with intervals, the fit as a line, the roofline dotted; one colour a model,
    and lines for each batch by itself.

    `rows`: as `answers.idealized` gives them, with a column `name`. Prefill is drawn over the
    prompt on two log axes, the time of one decode step over the context on linear ones.
    """
    mine = rows[rows["phase"] == phase]
    if mine.empty:
        return style.blank(f"No {phase} was measured.")
    go = style.graph_objects()
    x_name, x_label, y_label = AXES[phase]
    figure = go.Figure()
    palette = style.colours(rows["name"])
    series = [(key, points.sort_values(x_name))
              for key, points in mine.groupby(["name", "batch"], sort=False)]  # fmt: skip
    steps = mine.apply(steps_of, axis=1)
    drawn = [v for c in ("runtime_s", "runtime_high_s", "roofline_s")
             for v in (mine[c] / steps).dropna()]  # fmt: skip
    ends = _ends({key: (points[x_name].iloc[-1], points["runtime_s"].iloc[-1]
                        / steps_of(points.iloc[-1])) for key, points in series},
                 drawn, phase == "prefill")  # fmt: skip
    seen, largest = set[str](), float(mine[x_name].max())
    for (name, batch), points in series:
        label, place = ends[name, batch]
        share = points.apply(steps_of, axis=1)
        colour, shown = palette[str(name)], style.safe(name)
        mid = list(points["runtime_s"] / share)
        low = style.plain(points["runtime_low_s"] / share)
        high = style.plain(points["runtime_high_s"] / share)
        figure.add_scatter(
            x=list(points[x_name]), y=mid, mode="markers+text" if label else "markers",
            name=shown, legendgroup=shown, showlegend=shown not in seen,
            texttemplate=_last(points, label), textposition=place, cliponaxis=False,
            marker={"color": colour, "size": 9,
                    "symbol": [style.symbol(p) for p in points["provenance"]]},
            error_y=style.error_bars(mid, low, high),
            text=[show_interval(a, m, b, "runtime_s")
                  for a, m, b in zip(low, mid, high, strict=True)],
            hovertemplate="%{x:.0f} token: %{text}<extra>" + shown + "</extra>",
        )  # fmt: skip
        seen.add(shown)
        for column, dash, what in (("idealized_s", "solid", "idealized"),
                                   ("roofline_s", "dot", "roofline")):  # fmt: skip
            line = style.plain(points[column] / share)
            if any(v is not None for v in line):
                at = list(points[x_name])
                if len(line) == 1:  # a level, wide enough to be told from its point
                    at, line = _around(at[0], largest, phase), line * 3
                figure.add_scatter(
                    x=at, y=line, mode="lines",
                    name=f"{shown} {what}",
                    legendgroup=shown, showlegend=False,
                    line={"color": colour, "dash": dash, "width": 1.5},
                    text=[show(v, "runtime_s") for v in line],
                    hovertemplate="%{x:.0f} token: %{text}<extra>" + f"{shown} {what}</extra>",
                )  # fmt: skip
    if phase == "prefill":
        times = [v for c in ("runtime_s", "roofline_s") for v in style.plain(mine[c])]
        figure.update_xaxes(**style.log_axis(x_label, style.plain(mine[x_name])))
        figure.update_yaxes(**style.log_axis(y_label, times))
    else:
        figure.update_xaxes(**style.linear_axis(x_label), range=[0, ROOM * largest])
        times = [*(mine["runtime_s"] / mine["output_tokens"])]
        figure.update_yaxes(**style.linear_axis(y_label, values=times))
    return style.finish(figure, 360)


def _last(points: pd.DataFrame, label: str) -> list[str]:
    return [""] * (len(points) - 1) + [label]


def _around(x: float, largest: float, phase: str) -> list[float]:
    """A stretch of the x axis, most of it left of one place, whose label stands on the other side.
    The axis is logarithmic for prefill, else linear."""
    if phase == "prefill":
        return [0.75 * x, x, 1.04 * x]
    return [max(0.0, x - 0.08 * largest), x, x + 0.01 * largest]


def joules_per_token(rows: pd.DataFrame) -> go.Figure:
    """Joules of each token of each measured prefill and decode stretch, on a log axis.

    `rows`: as `answers.idealized` gives them, with `name`. The shape says how the joules were
    obtained.
    """
    known = rows[rows["energy_per_token_j"].notna() & rows["phase"].isin(list(AXES))]
    if known.empty:
        reasons = sorted(set(rows["energy_reason"].dropna())) if "energy_reason" in rows else []
        return style.blank(
            f"No energy: {style.shorten(reasons[0], 90)}" if reasons else "No energy."
        )
    go = style.graph_objects()
    figure = go.Figure()
    palette = style.colours(rows["name"])
    known = known.assign(size=[row[AXES[row["phase"]][0]] for _, row in known.iterrows()])
    series = [(key, group.sort_values("size"))
              for key, group in known.groupby(["name", "phase", "batch"], sort=False)]  # fmt: skip
    drawn = list(known["energy_per_token_j"])
    ends = _ends({key: (group["size"].iloc[-1], group["energy_per_token_j"].iloc[-1])
                  for key, group in series}, drawn, log=True)  # fmt: skip
    seen = set[str]()
    for (name, phase, batch), group in series:
        label, place = ends[name, phase, batch]
        mid = [float(v) for v in group["energy_per_token_j"]]
        scale = group["energy_per_token_j"] / group["energy_j"]
        low, high = (style.plain(group[c] * scale) for c in ("energy_low_j", "energy_high_j"))
        shown = style.safe(name)
        figure.add_scatter(
            x=list(group["size"]), y=mid,
            mode="lines+markers+text" if label else "lines+markers",
            name=f"{shown} {phase}", showlegend=f"{shown} {phase}" not in seen,
            legendgroup=f"{shown} {phase}", texttemplate=_last(group, label),
            textposition=place, cliponaxis=False,
            line={"color": palette[str(name)], "width": 1,
                  "dash": "solid" if phase == "decode" else "dash"},
            marker={"size": 9, "color": palette[str(name)],
                    "symbol": [style.symbol(p) for p in group["energy_provenance"]]},
            error_y=style.error_bars(mid, low, high),
            text=[show(v, "energy_j") for v in mid],
            hovertemplate="%{x:.0f} token: %{text} a token<extra>" + f"{shown} {phase}</extra>",
        )  # fmt: skip
        seen.add(f"{shown} {phase}")
    figure.update_xaxes(**style.log_axis(
        "Prompt or context (token)",
        [v for p, (c, *_) in AXES.items() for v in style.plain(known[known["phase"] == p][c])
         if v is not None and v > 0],
    ))  # fmt: skip
    figure.update_yaxes(**style.log_axis("Energy (J/token)", list(known["energy_per_token_j"])))
    return style.finish(figure, 380)
