"""A page's figure made fit for paper: white, black axes, column width, type of 7.5 points.

Colours stay those of `style` (Okabe and Ito, told apart by the colour-blind), and what a colour
says is said by a shape or a label too, so that a figure survives black-and-white print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from observatory.errors import UnknownNameError
from observatory.figures import style
from observatory.figures.naming import distinct

if TYPE_CHECKING:
    import plotly.graph_objects as go

PX_PER_IN = 96  #: CSS pixels; 72 points of a PDF
#: widths in inches: one column of two, and a whole page
WIDTHS = {"column": 3.4, "page": 7.0}
FONT_PX = 10  #: 7.5 pt
ROW_PX = 12  #: the least that a labelled row takes
MARKER = 0.6  #: markers of a page over those of a screen
LABEL_CHARACTERS = {"column": 26, "page": 48}
INK, GRID = "#000000", "#E3E3E3"
FONT = "DejaVu Sans, Liberation Sans, Arial, Helvetica, sans-serif"


def for_paper(figure: go.Figure, width: str = "column") -> go.Figure:
    """A copy of `figure` for a column or a page of a paper. Raises UnknownNameError for the width.

    Traces, axes and units are those of the page; only looks change. Categories stay what they are:
    the text of their ticks is cut to what the width holds.
    """
    if width not in WIDTHS:
        raise UnknownNameError("width", width, list(WIDTHS), f"one of {', '.join(WIDTHS)}")
    import plotly.graph_objects as go

    made = go.Figure(figure)
    px = round(WIDTHS[width] * PX_PER_IN)
    rows = len(made.layout.yaxis.tickvals or ()) or len({v for t in made.data for v in _texts(t.y)})
    most = max(round(1.25 * px), 70 + ROW_PX * rows)
    series = style.named(made)
    height = style.with_legend(min(round(0.8 * (made.layout.height or 360)), most), series)
    axis: dict[str, Any] = {
        "showline": True, "linecolor": INK, "linewidth": 0.75, "ticks": "outside", "ticklen": 3,
        "tickwidth": 0.75, "tickcolor": INK, "gridcolor": GRID, "gridwidth": 0.5,
        "title": {"standoff": 6, "font": {"size": FONT_PX}}, "tickfont": {"size": FONT_PX - 1},
    }  # fmt: skip
    made.update_layout(
        template="none", width=px, height=height, paper_bgcolor="white",
        plot_bgcolor="white", font={"family": FONT, "size": FONT_PX, "color": INK},
        margin={"l": 6, "r": 10, "t": 26 if series > 1 else 8, "b": 6}, showlegend=series > 1,
    )  # fmt: skip
    made.update_layout(legend={"font": {"size": FONT_PX - 2}, "itemsizing": "trace",
                               "bgcolor": "rgba(255,255,255,0)"})  # fmt: skip
    made.update_xaxes(**axis)
    made.update_yaxes(**axis)
    for trace in made.data:
        _slimmer(trace)
    for letter in ("x", "y"):
        _shorter_ticks(made, letter, LABEL_CHARACTERS[width])
    made.update_annotations(font={"size": FONT_PX - 1})
    return made


def _slimmer(trace: Any) -> None:
    marker: Any = getattr(trace, "marker", None)
    if marker is not None and trace.type == "scatter" and isinstance(marker.size, int | float):
        marker.size = max(4, round(MARKER * marker.size, 1))
        if marker.line.width:
            marker.line.width = 1.25
    if trace.type == "scatter" and trace.text is not None and "text" in (trace.mode or ""):
        trace.textfont.size = FONT_PX - 2
    if trace.type == "heatmap":
        trace.colorbar.update(thickness=8, title={"font": {"size": FONT_PX}},
                              tickfont={"size": FONT_PX - 2})  # fmt: skip
    for name in ("error_x", "error_y"):
        bars = getattr(trace, name, None)
        if bars is not None and bars.array is not None:
            bars.thickness, bars.width = 1, 2


def _shorter_ticks(figure: go.Figure, letter: str, characters: int) -> None:
    """Cut the text of an axis's ticks, where it is longer: two categories never become one."""
    axis = figure.layout[f"{letter}axis"]
    places = [v for trace in figure.data for v in _texts(getattr(trace, letter, None))]
    texts = [style.unsafe(v) for v in axis.ticktext or axis.tickvals or dict.fromkeys(places)
             if isinstance(v, str)]  # fmt: skip
    if places and any(len(text) > characters for text in texts):
        axis.update(
            tickmode="array", tickvals=list(axis.tickvals or dict.fromkeys(places)),
            ticktext=[style.safe(text) for text in distinct(texts, characters)],
        )  # fmt: skip


def _texts(values: Any) -> list[str]:
    return [] if values is None else [v for v in values if isinstance(v, str)]
