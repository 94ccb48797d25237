"""Pictures of the dashboard: `make screenshots`, or `python -m tools.screenshots --db FILE`.

Without more, it makes the pictures of docs/dashboard.md: every page, light, 1400 pixels wide, and
the first one on a dark telephone, as docs/images/NAME.png. The same database gives the same files.
A console error or a request to another host is printed and makes the exit code 1; a database that
is not there, 2.
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tools.browser import ROOT, Visit, launched, served, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZES = {"1400": (1400, 900), "390": (390, 844)}
HEIGHT = """() => Math.max(...['stMain', 'stSidebarContent'].map(id => {
  const it = document.querySelector(`[data-testid="${id}"]`);
  return it && it.getBoundingClientRect().right > 0 ? it.scrollHeight : 0; }))"""
#: no caret and no half-faded element in a picture, so that two runs give the same file
STILL = "* { transition: none !important; animation: none !important; caret-color: transparent; }"
COLOURS = 256  #: of the palette that pictures are reduced to; a chart's colours are few


def picture(seen: Visit, tallest: int) -> bytes:
    """The whole page as PNG, cut at `tallest` pixels."""
    page = seen.page
    page.add_style_tag(content=STILL)
    width = page.viewport_size["width"] if page.viewport_size else 1400
    page.set_viewport_size({"width": width, "height": min(tallest, page.evaluate(HEIGHT))})
    seen.settle()
    page.set_viewport_size({"width": width, "height": min(tallest, page.evaluate(HEIGHT))})
    page.mouse.move(0, 0)
    seen.settle()
    return bytes(page.screenshot())


def small(png: bytes) -> bytes:
    """The same picture in few colours: the most frequent ones exactly, so that surfaces keep
    theirs, and those that cover the others best, so that a rare hue of one model stays."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        full = image.convert("RGB")
    rest = full.quantize(COLOURS // 2, method=Image.Quantize.MAXCOVERAGE).getpalette() or []
    pixels = np.asarray(full, dtype=np.int64).reshape(-1, 3)
    colours, where, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    common = colours[np.argsort(-counts, kind="stable")[: COLOURS // 2]]
    palette = np.concatenate([common, np.array(rest).reshape(-1, 3)])[:COLOURS]
    distance = ((colours[:, None, :] - palette[None, :, :]) ** 2).sum(axis=2)
    nearest = distance.argmin(axis=1).astype(np.uint8)
    reduced = Image.fromarray(nearest[where.ravel()].reshape(full.height, full.width))
    reduced.putpalette(palette.astype(np.uint8).ravel().tolist())
    out = io.BytesIO()
    reduced.save(out, "PNG", optimize=True)
    return out.getvalue()


@contextmanager
def somewhere(url: str) -> Iterator[str]:
    """An address that somebody else serves."""
    yield url.rstrip("/")


def take(browser: Browser, base: str, given: argparse.Namespace) -> list[str]:
    """Take the pictures; the complaints of the pages."""
    with visit(browser, base) as first:
        first.open("/")
        pages, complaints = first.pages(), list(first.complaints)
    unknown = sorted(set(given.pages) - set(pages))
    if unknown:
        raise SystemExit(f"error: no page {unknown[0]!r}: one of {', '.join(pages)}")
    wanted = list(itertools.product(given.pages or pages, given.sizes, given.schemes))
    if not given.pages and (given.sizes, given.schemes) == (["1400"], ["light"]):
        wanted.append((next(iter(pages)), "390", "dark"))
    query = f"?{urllib.parse.quote(given.query, safe='=&,')}" if given.query else ""
    for name, size, scheme in wanted:
        plain = (size, scheme) == ("1400", "light")
        target = given.out / (f"{name}.png" if plain else f"{name}-{size}-{scheme}.png")
        with visit(browser, base, SIZES[size], scheme == "dark") as seen:
            seen.open(pages[name] + query)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(small(picture(seen, given.tallest)))
            complaints += [f"{target.name}: {it}" for it in seen.complaints]
        print(f"{target} {target.stat().st_size / 1e3:.0f} kB")
    return complaints


def main() -> int:
    """Take the pictures; 1 where a page complained."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--db", default="results/observatory.db")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--pages", nargs="*", default=[], help="default: all")
    parser.add_argument("--sizes", nargs="*", choices=list(SIZES), default=["1400"])
    parser.add_argument("--schemes", nargs="*", choices=["light", "dark"], default=["light"])
    parser.add_argument("--query", default="", help="query of the address, such as zone=FRA")
    parser.add_argument("--tallest", type=int, default=1800, help="cut pictures at this height")
    parser.add_argument("--url", help="a dashboard that runs already")
    given = parser.parse_args()
    if not given.url and "://" not in given.db and not Path(given.db).exists():
        print(
            f"error: no database at {given.db}: `make dashboard` makes one of the published sets, "
            "or give --db FILE; the pictures stay as they were", file=sys.stderr,
        )  # fmt: skip
        return 2
    with somewhere(given.url) if given.url else served(given.db) as base, launched() as browser:
        complaints = take(browser, base, given)
    for complaint in dict.fromkeys(complaints):
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
