"""How every figure looks: one palette, one meaning of shapes, units on the axes, decades on a log.

Colours are those of Okabe and Ito (2008), told apart under every common colour vision. They are set
on the traces; fonts, grid and background are left to the page's theme, so that one figure serves
light and dark.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from observatory.errors import InputError
from observatory.units import UNITS

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, GREY = "#E69F00", "#56B4E9", "#F0E442", "#8A8A8A"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, YELLOW, GREY)
#: provenance is a shape
SYMBOLS = {
    "measured": "circle",
    "modelled": "diamond",
    "estimated": "triangle-up",
    "imported": "square",
}
LARGEST = 5000  #: points a chart, at most
ROW_PX = 26
LEGEND_LINE_PX = 20
LEGEND_FREE = 3  #: series whose lines any figure has room for


def graph_objects() -> Any:
    """`plotly.graph_objects`, or InputError that says how to install it."""
    try:
        import plotly.graph_objects as go
    except ImportError:
        raise InputError(
            "figures need plotly: pip install 'inference-observatory[dashboard]'"
        ) from None
    return go


def safe(text: object) -> str:
    """Text that plotly shows as it is: its labels read a few HTML tags."""
    return html.escape("" if text is None else str(text), quote=False)


def unsafe(text: str) -> str:
    """The text that `safe` was given."""
    return html.unescape(text)


def shorten(text: str, width: int = 34) -> str:
    """`text` cut to `width` characters with an ellipsis."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, in order of first appearance; the eighth and later share grey."""
    unique = list(dict.fromkeys(names))
    return {name: PALETTE[min(i, len(PALETTE) - 1)] for i, name in enumerate(unique)}


def symbol(provenance: str | None) -> str:
    """Marker of a provenance; a cross where it is not stated."""
    return SYMBOLS.get(provenance or "", "x")


def axis_label(quantity: str) -> str:
    """Label with unit. Raises KeyError for a quantity that `units` does not know."""
    return UNITS[quantity].label


def log_axis(label: str, values: Iterable[float | None]) -> dict[str, Any]:
    """A logarithmic axis: ticks at decades, or at 1-2-5 where the data span less than two.

    Values stay in SI; ticks are written in the prefix in which the middle of the data reads well,
    which stands on the axis: `Runtime (ms)`. Raises InputError for values of zero or less, which
    have no place on it.
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    if any(v <= 0 for v in known):
        raise InputError(f"{label}: a log axis shows positive values only")
    axis: dict[str, Any] = {"title": {"text": label}, "type": "log", "showgrid": True, "dtick": 1,
                            "minor": {"dtick": "D1", "ticks": "outside", "ticklen": 3,
                                      "tickcolor": GREY},
                            "ticklabelstandoff": 5}  # fmt: skip
    if known:
        wide = max(known) >= 100 * min(known)
        ticks = _decades(min(known), max(known)) if wide else _one_two_five(min(known), max(known))
        factor, shown = readable(label, math.sqrt(min(known)) * math.sqrt(max(known)))
        axis["title"] = {"text": shown}
        axis |= {"tickmode": "array", "tickvals": ticks,
                 "ticktext": [tick(t / factor) for t in ticks]}  # fmt: skip
    return axis


def readable(label: str, value: float) -> tuple[float, str]:
    """(factor, label) in the prefix in which `value` reads well: `Runtime (s)`, 0.02 ->
    (0.001, `Runtime (ms)`). A unit that `units` does not know, such as tokens, stays."""
    found = re.fullmatch(r"(.*\()([^ /)]+)(.*\))", label)
    scales = next((u.scales for u in UNITS.values() if found and found[2] == u.symbol), None)
    if found is None or scales is None:
        return 1.0, label
    factor, scaled = next(((f, s) for f, s in scales if value >= f), scales[-1])
    return factor, f"{found[1]}{scaled}{found[3]}"


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten that cover `low` to `high`."""
    return [float(f"1e{d}") for d in range(math.floor(math.log10(low)),
                                           math.ceil(math.log10(high)) + 1)]  # fmt: skip


def _one_two_five(low: float, high: float) -> list[float]:
    """Round values that cover `low` to `high`."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{m}e{d}") for d in decades for m in (1, 2, 5)]
    inside = [t for t in ticks if low * 0.8 <= t <= high * 1.25]
    return inside if len(inside) >= 2 else [float(f"{low:.2g}"), float(f"{high:.2g}")]


def tick(value: float) -> str:
    """A number on an axis: `0.02`, `5`, `20,000`; the unit stands on the axis."""
    value = float(f"{value:.6g}")  # 1000, though 1e-6 / 1e-9 is a little less
    return f"{value:,.0f}" if 1000 <= value < 1e9 else f"{value:.6g}"


def linear_axis(
    label: str, zero: bool = True, values: Iterable[float | None] = ()
) -> dict[str, Any]:
    """A linear axis that starts at zero, as lengths of bars must.

    With `values`, ticks are written in the prefix in which their largest reads well, as on
    `log_axis`.
    """
    axis: dict[str, Any] = {"title": {"text": label}, "showgrid": True,
                            "rangemode": "tozero" if zero else "normal"}  # fmt: skip
    largest = max((v for v in values if v is not None and math.isfinite(v)), default=0.0)
    if largest > 0 and zero:
        factor, shown = readable(label, largest)
        step = next(m * 10.0**math.floor(math.log10(largest) - 1) for m in (2, 5, 10, 20)
                    if 5 * m * 10.0**math.floor(math.log10(largest) - 1) >= largest)  # fmt: skip
        ticks = [step * i for i in range(16)]  # beyond the largest too, for its interval
        axis |= {"title": {"text": shown}, "tickmode": "array", "tickvals": ticks,
                 "ticktext": [tick(t / factor) for t in ticks]}  # fmt: skip
    return axis


def finish(figure: go.Figure, height: int, title: str | None = None) -> go.Figure:
    """Margins, legend above the plot and no background, so that page and paper both fit.

    A legend takes at most half of the figure and is cut beyond: the height leaves room for all of
    it, one series a line as on a telephone.
    """
    figure.update_layout(
        height=with_legend(height, named(figure)),
        margin={"l": 8, "r": 12, "t": 40 if title is None else 64, "b": 8},
        legend={
            "orientation": "h",
            "yanchor": "bottom",
            "y": 1.0,
            "x": 0,
            "title": {"text": ""},
            "traceorder": "normal",
        },
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"align": "left"},
        **({"title": {"text": safe(title)}} if title else {}),
    )
    figure.update_xaxes(automargin=True, zeroline=False)
    figure.update_yaxes(automargin=True, zeroline=False)
    return figure


def named(figure: go.Figure) -> int:
    """How many series stand in the legend."""
    return sum(t.showlegend is not False and bool(t.name) for t in figure.data)


def with_legend(height: int, series: int) -> int:
    """The height of a figure whose legend has this many series, of which a line holds one."""
    more = LEGEND_LINE_PX * max(0, series - LEGEND_FREE)
    return max(height + more, 2 * LEGEND_LINE_PX * (series + 1) if series > 1 else 0)


def blank(sentence: str, height: int = 160) -> go.Figure:
    """A figure that says why there is nothing to draw."""
    figure = graph_objects().Figure()
    figure.add_annotation(
        text=safe(sentence), showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper"
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return finish(figure, height)


def error_bars(
    mid: Sequence[float], low: Sequence[float | None], high: Sequence[float | None]
) -> dict[str, Any]:
    """Asymmetric bars from `low` to `high`; none where a bound is missing."""
    known = [a is not None and b is not None for a, b in zip(low, high, strict=True)]
    above = [h - m if k and h is not None else 0.0
             for m, h, k in zip(mid, high, known, strict=True)]  # fmt: skip
    below = [m - a if k and a is not None else 0.0
             for m, a, k in zip(mid, low, known, strict=True)]  # fmt: skip
    return {
        "type": "data", "symmetric": False, "array": [max(0.0, x) for x in above],
        "arrayminus": [max(0.0, x) for x in below], "thickness": 1.5, "width": 3,
        "visible": any(known),
    }  # fmt: skip


def plain(values: Iterable[Any]) -> list[Any]:
    """Values with NaN as None, as JSON wants them."""
    return [None if v is None or (isinstance(v, float) and math.isnan(v)) else v for v in values]
