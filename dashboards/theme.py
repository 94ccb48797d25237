"""How pages show things: text that is text, charts with a table twin and files, empty states."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from observatory.exports import tables
from observatory.exports.columns import bounds_of, quantity_of, scale_of
from observatory.figures.naming import names as names
from observatory.units import MISSING

if TYPE_CHECKING:
    import plotly.graph_objects as go

Frame = pd.DataFrame | Callable[[], pd.DataFrame]

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$~:&\"'=^@])")
#: what the browser would still make an icon, a colour or a link of after Markdown's escapes were
#: read: `:material/home:`, `https://…`, `www.…`, an address with @
_LINKED = re.compile(r"(?<=:)(?=[/A-Za-z_+-])|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)
_CODE = re.compile(r"`([\w .=/-]+)`")  #: names of commands, options and levels
_JOINER = "\u2060"  #: of no width, and no break
LARGEST_WHOLE = 2**53  #: up to here a float holds every whole number
MOST_ROWS = 200  #: rows shown of a table; its files have all
ABBREVIATIONS = ("ttft", "tpot", "mfu", "mbu", "mape", "id", "kv", "cpu", "gpu")
#: what a column means, for those who hover over its name
MEANINGS = {
    "runtime_s": "Idealized runtime of one request: no queue, no contention.",
    "ttft_s": "Time to first token: the prefill of the whole prompt.",
    "tpot_s": "Time per output token after the first.",
    "roofline_s": "The least time that arithmetic and memory peaks of the hardware allow.",
    "roofline_ratio": "Roofline over runtime: 100 % would be all that the hardware allows.",
    "mfu": "Model FLOPs utilisation: arithmetic of the model over the hardware's peak.",
    "mbu": "Model bandwidth utilisation: bytes that must move over the peak bandwidth.",
    "mape": "Mean absolute error over the points that made the fit.",
    "n_points": "Points that made the fit.",
    "n_heldout": "Points that the fit never saw.",
    "heldout_mean_error": "Held-out points were this far off on average.",
    "heldout_median_error": "Half of the held-out points were closer than this.",
    "heldout_p90_error": "Nine of ten held-out points were closer than this.",
    "between_process_rel": "How much fresh processes differ.",
    "device_s": "Seconds that the device measured for this fit.",
    "extrapolated": "Whether the request lies outside what was measured.",
    "energy_reason": "Why there is no energy.",
    "energy_provenance": "Measured by a counter, estimated by a model, or imported.",
    "weights": "random_weights: the real architecture, as fast as trained, but its text is noise.",
    "p_on_frontier": "Share of draws in which the point is on the frontier.",
    "capability": "A score with its lane: the full protocol of the benchmark.",
}
SHARES = ("mfu", "mbu", "mape", "share", "roofline_ratio", "p_on_frontier", "p_lower")


def text(value: object) -> str:
    """Imported text for a Markdown line: shown as it is, never read as markup, link or image."""
    return _escaped(" ".join(str(value).split()))


def sentence(value: object) -> str:
    """A sentence of the program's own as `text`, but for the names in backticks, which are code."""
    parts = _CODE.split(" ".join(str(value).split()))
    return "".join(f"`{part}`" if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(part: str) -> str:
    return _MARKDOWN.sub(r"\\\1", _LINKED.sub(_JOINER, part))


def drawn(make: Callable[..., go.Figure], *arguments: Any) -> go.Figure:
    """The figure that `make` draws of these arguments, drawn once and then shared: a warm rerun
    draws nothing. `make` must depend on its arguments alone and nobody may change the figure."""
    return _drawn(f"{make.__module__}.{make.__qualname__}", make, arguments)


def content(rows: pd.DataFrame) -> str:
    """A small frame by all that it holds: several times as fast as hashing column by column."""
    held = [rows.columns.tolist(), rows.index.tolist(), rows.to_numpy(dtype=object).tolist()]
    return hashlib.blake2b(repr(held).encode()).hexdigest()


#: how a figure and a table know that their rows are the same as last time
HASHES: dict[Any, Any] = {pd.DataFrame: content}


@st.cache_resource(show_spinner=False, max_entries=128, hash_funcs=HASHES)
def _drawn(name: str, _make: Callable[..., go.Figure], arguments: tuple[Any, ...]) -> go.Figure:
    del name  # part of the key
    return _make(*arguments)


def chart(figure: go.Figure, alt: str, rows: pd.DataFrame, name: str) -> None:
    """A chart with its alternative text, a table twin and its files (CSV, JSON; SVG by camera).

    `rows` are the numbers drawn, in SI; `name` is the stem of the files and the key of the chart.
    """
    st.plotly_chart(
        figure, key=f"chart {name}", alt=" ".join(alt.split()), theme="streamlit",
        config={
            "displaylogo": False,
            "displayModeBar": True,
            "responsive": True,
            "modeBarButtons": [["toImage"]],  # zoom by dragging, back by a double click
            "toImageButtonOptions": {"format": "svg", "filename": name},
        },
    )  # fmt: skip
    with st.expander("Table and files"):
        _shown(rows, f"Table of: {alt}")
        with st.container(horizontal=True):
            download(rows, name)
            st.download_button(
                "Figure (JSON)", lambda: str(figure.to_json()), f"{name}.figure.json",
                "application/json", key=f"figure {name}", on_click="ignore",
            )  # fmt: skip
        st.caption("The camera above the chart saves it as SVG.")


def download(rows: Frame, name: str) -> None:
    """CSV and JSON of `rows` (or of what gives them, on the click), every column, SI units."""
    for label, kind, mime in (("CSV", "csv", "text/csv"), ("JSON", "json", "application/json")):
        st.download_button(
            label, _file(rows, kind), f"{name}.{kind}", mime, key=f"{kind} {name}",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip


def _file(rows: Frame, kind: str) -> Any:
    return lambda: tables.write(rows() if callable(rows) else rows, kind)


def table(
    rows: pd.DataFrame,
    name: str,
    alt: str,
    columns: list[str] | None = None,
    whole: Callable[[], pd.DataFrame] | None = None,
    total: int | None = None,
) -> None:
    """A table in readable units, with CSV and JSON of all its columns in SI.

    Where `rows` are only the first of `total`, `whole` gives all of them for the files.
    """
    chosen = rows if columns is None else rows[[c for c in columns if c in rows]]
    count = len(rows) if total is None else total
    chosen = chosen.head(MOST_ROWS)
    if count > len(chosen):
        st.caption(f"The first {len(chosen):,} of {count:,} rows; the files have them all.")
    _shown(chosen, alt, key=f"table {name}")
    with st.container(horizontal=True):
        download(rows if whole is None or count == len(rows) else whole, name)


def _shown(rows: pd.DataFrame, alt: str, **options: Any) -> None:
    shown = _readable(rows)
    settings = {
        label: st.column_config.NumberColumn(help=MEANINGS.get(name), format="percent")
        if is_share(name) and pd.api.types.is_numeric_dtype(rows[name])
        else st.column_config.Column(help=MEANINGS.get(name))
        for label, name in zip(shown.columns, map(str, rows.columns), strict=True)
    }
    st.dataframe(shown, hide_index=True, alt=alt, placeholder=MISSING, column_config=settings,
                 **options)  # fmt: skip


def is_share(name: str) -> bool:
    """Whether a column holds shares of one, which read best as percentages."""
    return name in SHARES or name.endswith(("_error", "_rel", "_share"))


@st.cache_resource(show_spinner=False, max_entries=128, hash_funcs=HASHES)
def _readable(rows: pd.DataFrame) -> pd.DataFrame:
    """`readable`, made once of the same rows; shared, and not to be changed."""
    return readable(rows)


def readable(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns scaled to a readable unit that stands in their name; bounds in the same unit.

    Three significant digits; whole numbers (counts, tokens, years, seeds) stay as they are. Text is
    guarded against spreadsheets, as the table can be copied.
    """
    names = [str(c) for c in rows.columns]
    made: dict[str, Any] = {}
    units: dict[str, tuple[float, str]] = {}
    for name in names:
        quantity = quantity_of(name)
        if quantity is not None and pd.api.types.is_numeric_dtype(rows[name]):
            bounds = bounds_of(name, names)
            units[name] = scale_of(rows[name], quantity)
            units |= dict.fromkeys(bounds or (), units[name])
    for name in names:
        column = rows[name]
        if name in units:
            factor, symbol = units[name]
            stem = re.sub(r"(_per)?_(s|j|wh|g|l|usd|w|bytes)(?=$|_low$|_high$)", "", name)
            made[f"{_words(stem)} ({symbol})"] = (column.astype(float) / factor).map(_rounded)
        elif name.endswith("_utc"):
            made[f"{_words(name.removesuffix('_utc'))} (UTC)"] = column.map(moment)
        elif pd.api.types.is_float_dtype(column):
            made[_words(name)] = _plain(column)
        else:
            made[_words(name)] = column
    return tables.guard_frame(pd.DataFrame(made))


def moment(utc: object) -> str:
    """A stored moment to the minute: `2026-11-24 03:01`; a dash where there is none."""
    return str(utc)[:16].replace("T", " ") if isinstance(utc, str) else MISSING


def _words(name: str) -> str:
    """`heldout_p90_error` -> `heldout p90 error`, `ttft` -> `TTFT`."""
    return " ".join(w.upper() if w in ABBREVIATIONS else w for w in name.split("_"))


def _plain(column: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers without a unit: whole ones as they are, of which a column is one of integers."""
    known = column.dropna()
    if ((known % 1 == 0) & (known.abs() < LARGEST_WHOLE)).all() and not known.empty:
        return column.astype("Int64")
    return column.map(lambda v: v if v % 1 == 0 else _rounded(v))


def _rounded(value: float) -> float:
    return value if pd.isna(value) else float(f"{value:.3g}")


def shapes(bars: str = "Bars reach from the 5th to the 95th percentile.") -> None:
    """What the markers' shapes say, and the bars."""
    st.caption("Shape tells how a number was obtained: ● measured ▲ estimated ◆ modelled "
               f"■ imported. {bars}")  # fmt: skip


def options_note(said: Iterable[str | None]) -> None:
    """Where the page has what a reason names by its option on the command line."""
    if any("--" in words for words in said if words):
        st.caption("`--tariff`, `--gpu-price`, `--pue`, `--wue` are *Site and prices* in the "
                   "sidebar; other options are of the command line alone.")  # fmt: skip


def nothing_yet(what: str) -> None:
    """Help in place of an empty page."""
    st.info(f"{what} Measure this machine, or load what was published; the page then fills itself.",
            icon=":material/info:")  # fmt: skip
    st.code(
        "make benchmark        # or: run-benchmark\n"
        "make dashboard        # loads the published sets that ship, and serves them\n"
        "observatory import published DIR        # loads those of a folder",
        language="bash",
    )
    st.markdown(
        "To measure takes about two minutes and needs no GPU, no model file and no account. "
        "`run-benchmark --dry-run` says what would be measured, `run-benchmark probe` which "
        "sensors this machine has."
    )


def percent(share: float | None) -> str:
    """A share as a percentage, or a dash."""
    return MISSING if share is None else f"{100 * share:.0f} %"
