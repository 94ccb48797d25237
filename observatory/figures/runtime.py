"""Figures of time: measured beside idealized beside roofline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from observatory.figures import style
from observatory.units import show, show_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

MEASURED, IDEALIZED, ROOFLINE = "measured", "idealized (fit)", "roofline (bound)"


def point_label(row: Mapping[Any, Any]) -> str:
    """A measured point in words: `decode 16 from 512`, `prefill 256`, `request 128 + 32`."""

    def whole(name: str) -> str:
        value = row.get(name)
        return "?" if value is None or pd.isna(value) else f"{value:.0f}"

    batch = "" if row.get("batch") in (None, 1) else f" × {row['batch']:.0f}"
    if row["phase"] == "prefill":
        return f"prefill {whole('prompt_tokens')}{batch}"
    if row["phase"] == "decode":
        return f"decode {whole('output_tokens')} from {whole('context_tokens')}{batch}"
    what = {"e2e": "request"}.get(str(row["phase"]), str(row["phase"]))
    if whole("prompt_tokens") == whole("output_tokens") == "?":  # such as idling
        return f"{what}{batch}"
    return f"{what} {whole('prompt_tokens')} + {whole('output_tokens')}{batch}"


def measured_idealized_roofline(rows: pd.DataFrame) -> go.Figure:
    """Three times of each measured point of one configuration, on a log axis in seconds.

    `rows`: `phase`, `prompt_tokens`, `context_tokens`, `output_tokens`, `batch`, `runtime_s` with
    `runtime_low_s` and `runtime_high_s`, `idealized_s`, `roofline_s`, `role`. Missing times are
    left out of their trace. Points held out of the fit carry a hollow marker.
    """
    if rows.empty:
        return style.blank("Nothing was measured for this configuration.")
    go = style.graph_objects()
    points = rows.to_dict("records")
    labels = [style.safe(point_label(row)) for row in points]
    figure = go.Figure()
    measured = [float(row["runtime_s"]) for row in points]
    held = ["circle-open" if row.get("role") == "heldout" else "circle" for row in points]
    low, high = style.plain(rows["runtime_low_s"]), style.plain(rows["runtime_high_s"])
    figure.add_scatter(
        x=measured, y=labels, mode="markers", name=f"{MEASURED} (hollow: held out)",
        marker={"color": style.BLUE, "symbol": held, "size": 10,
                "line": {"width": 2, "color": style.BLUE}},
        error_x=style.error_bars(measured, low, high),
        text=[show_interval(a, m, b, "runtime_s")
              for a, m, b in zip(low, measured, high, strict=True)],
        hovertemplate="%{y}: %{text}<extra>measured, 95 %</extra>",
    )  # fmt: skip
    for name, column, colour, shape in (
        (IDEALIZED, "idealized_s", style.VERMILLION, "diamond-open"),
        (ROOFLINE, "roofline_s", style.ORANGE, "line-ns-open"),
    ):
        known = [(label, row[column]) for label, row in zip(labels, points, strict=True)
                 if row[column] is not None and not pd.isna(row[column])]  # fmt: skip
        if known:
            figure.add_scatter(
                x=[v for _, v in known], y=[label for label, _ in known], mode="markers", name=name,
                marker={"color": colour, "symbol": shape, "size": 11,
                        "line": {"width": 2, "color": colour}},
                text=[show(v, "runtime_s") for _, v in known],
                hovertemplate=f"%{{y}}: %{{text}}<extra>{name}</extra>",
            )  # fmt: skip
    everything = [v for name in ("runtime_s", "idealized_s", "roofline_s") for v in
                  style.plain(rows[name])]  # fmt: skip
    figure.update_xaxes(**style.log_axis(style.axis_label("runtime_s"), everything))
    figure.update_yaxes(autorange="reversed", showgrid=True)
    return style.finish(figure, 110 + style.ROW_PX * len(points))


def request_by_configuration(rows: pd.DataFrame) -> go.Figure:
    """Prefill and decode of one request on each configuration, stacked, with the roofline.

    `rows`: `name`, `prefill_s`, `decode_s`, `runtime_s`, `runtime_low_s`, `runtime_high_s`,
    `roofline_s`. Bars start at zero; the interval is that of the whole request.
    """
    if rows.empty:
        return style.blank("Nothing was measured yet.")
    go = style.graph_objects()
    names = [style.safe(name) for name in rows["name"]]
    total = [float(v) for v in rows["runtime_s"]]
    figure = go.Figure()
    figure.add_bar(y=names, x=list(rows["prefill_s"]), name="prefill", orientation="h",
                   marker={"color": style.BLUE},
                   text=[show(v, "runtime_s") for v in rows["prefill_s"]], textposition="none",
                   hovertemplate="%{y}: %{text}<extra>prefill</extra>")  # fmt: skip
    figure.add_bar(y=names, x=list(rows["decode_s"]), name="decode", orientation="h",
                   marker={"color": style.SKY},
                   error_x=style.error_bars(total, style.plain(rows["runtime_low_s"]),
                                            style.plain(rows["runtime_high_s"]))
                   | {"color": style.BLUE, "thickness": 2},
                   text=[show(v, "runtime_s") for v in rows["decode_s"]], textposition="none",
                   hovertemplate="%{y}: %{text}<extra>decode</extra>")  # fmt: skip
    bound = [(n, v) for n, v in zip(names, style.plain(rows["roofline_s"]), strict=True)
             if v is not None]  # fmt: skip
    if bound:
        figure.add_scatter(
            y=[n for n, _ in bound], x=[v for _, v in bound], mode="markers", name=ROOFLINE,
            marker={"symbol": "line-ns-open", "size": 18, "color": style.ORANGE,
                    "line": {"width": 3, "color": style.ORANGE}},
            text=[show(v, "runtime_s") for _, v in bound],
            hovertemplate="%{y}: %{text}<extra>roofline</extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.35)
    figure.update_xaxes(**style.linear_axis(style.axis_label("runtime_s"), values=total))
    figure.update_yaxes(autorange="reversed")
    return style.finish(figure, 130 + 34 * len(names))
