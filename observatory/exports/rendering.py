"""Figures as SVG, PDF and PNG: drawn by Chrome through kaleido (extra `figures`), always alike.

Plotly gives every SVG an id of its own making and Chrome dates every PDF; both are made constant,
so that the same figure is the same file. No page of the network is asked: plotly.js comes from the
installed package and MathJax is off.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from observatory.errors import InputError
from observatory.records import canonical_json

if TYPE_CHECKING:
    import plotly.graph_objects as go

FORMATS = ("svg", "pdf", "png", "json")
PNG_SCALE = 4  #: 384 dots an inch
TIMEOUT_S = 120
NO_KALEIDO = "figures as files need kaleido: pip install 'inference-observatory[figures]'"
NO_CHROME = (
    "figures as files need Chrome or Chromium: install Debian's chromium, or name one in "
    "BROWSER_PATH (--format json needs none)"
)
_UID = re.compile(r'id="defs-([0-9a-f]{6})"')
_PDF_DATE = re.compile(rb"\(D:\d{14}")
PDF_DATE = b"(D:19800101000000"


def available() -> str | None:
    """None where images can be made, else the sentence that says what to install."""
    try:
        import kaleido  # noqa: F401
        from choreographer.browsers.chromium import Chromium
    except ImportError:
        return NO_KALEIDO
    found = Chromium.find_browser(skip_local=False)
    return None if found and os.access(found, os.X_OK) else NO_CHROME


def render(figure: go.Figure, form: str) -> bytes:
    """One figure in one of FORMATS. Raises InputError where Chrome or kaleido is missing."""
    return render_all({"figure": figure}, [form])["figure", form]


def render_all(figures: Mapping[str, go.Figure], forms: list[str]) -> dict[tuple[str, str], bytes]:
    """(name, format) -> file, with one browser for all of them. Raises InputError as `render`."""
    wanted = [(name, form) for name in figures for form in forms]
    unknown = [form for form in forms if form not in FORMATS]
    if unknown:
        raise InputError(f"format {unknown[0]!r}: use one of {', '.join(FORMATS)}")
    made = {
        (name, form): _json(figures[name]) for name, form in wanted if form == "json"
    }  # fmt: skip
    images = [pair for pair in wanted if pair[1] != "json"]
    if images:
        missing = available()
        if missing:
            raise InputError(missing)
        drawn = asyncio.run(_images([(_numbered(figures[name]), form) for name, form in images]))
        made |= {pair: _constant(content, pair[1])
                 for pair, content in zip(images, drawn, strict=True)}  # fmt: skip
    return made


def _json(figure: go.Figure) -> bytes:
    return (canonical_json(json.loads(figure.to_json())) + "\n").encode()


def _numbered(figure: go.Figure) -> go.Figure:
    """A copy whose traces are numbered: a trace without an id gets one by chance."""
    from plotly.graph_objects import Figure

    made = Figure(figure)
    for i, trace in enumerate(made.data):
        trace.uid = f"{i:06d}"
    return made


async def _images(asked: list[tuple[go.Figure, str]]) -> list[bytes]:
    import kaleido
    from choreographer.errors import BrowserClosedError, BrowserFailedError

    try:
        async with kaleido.Kaleido(n=1, timeout=TIMEOUT_S, mathjax=False) as browser:
            return [await browser.calc_fig(figure, opts=_options(figure, form))
                    for figure, form in asked]  # fmt: skip
    except (BrowserFailedError, BrowserClosedError, TimeoutError) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"the browser that draws figures failed: {said}") from error


def _options(figure: go.Figure, form: str) -> dict[str, Any]:
    size = {"width": figure.layout.width or 700, "height": figure.layout.height or 450}
    return {"format": form, "scale": PNG_SCALE if form == "png" else 1, **size}


def _constant(content: bytes, form: str) -> bytes:
    """The file without what differs from one time to the next."""
    if form == "svg":
        text = content.decode()
        for uid in set(_UID.findall(text)):
            text = re.sub(rf"(?<![#0-9a-zA-Z])([a-z]+-?){uid}", r"\g<1>000000", text)
            text = re.sub(rf"#([a-z]+-?){uid}", r"#\g<1>000000", text)
        return text.encode()
    if form == "pdf":
        return _PDF_DATE.sub(PDF_DATE, content)
    return content
