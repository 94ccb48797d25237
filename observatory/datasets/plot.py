"""The picture of a set: time and joules of each measured token, with intervals, drawn as SVG.

Written by hand so that the same rows give the same bytes on any machine, without a browser. Colours
and shapes are those of the pages (`figures.style`): the shape says how the joules were obtained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from observatory.derive import plain_rows
from observatory.figures.style import colours

PHASES = ("prefill", "decode")
LEFT, PANEL, GAP, ROW, TOP = 300, 300, 30, 18, 64
MOST = 120  #: rows drawn; a set with more is thinned, and the plot says so
#: half extents of the marks
SIZE = 4.0


@dataclass(frozen=True, slots=True)
class Dot:
    """One value of a row with its interval, all per token; None where it is missing."""

    low: float | None
    mid: float | None
    high: float | None
    roofline: float | None = None
    shape: str = "measured"


def draw(summary: pd.DataFrame, title: str) -> str:
    """SVG text of a summary as `answers.summary` gives it."""
    rows = [row for row in plain_rows(summary) if row["phase"] in PHASES]
    rows.sort(key=_place)
    left_out = max(0, len(rows) - MOST)
    rows = rows[:MOST]
    height = TOP + ROW * max(1, len(rows)) + 60
    width = LEFT + 2 * PANEL + GAP + 20
    palette = colours(str(row["model"]) for row in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11" role="img">',
        f"<title>{escape(title)}: time and energy of each token, by phase</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{escape(title)}</text>',
        '<text x="10" y="38" fill="#555">bars: 95 % interval, hollow: none known · '
        "tick: roofline · circle: joules measured, triangle: estimated</text>",
    ]
    for index, row in enumerate(rows):
        y = TOP + ROW * index + ROW / 2
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" '
            f'fill="{palette[str(row["model"])]}">{escape(_label(row))}</text>'
        )
    tints = [palette[str(row["model"])] for row in rows]
    panels = (
        ("Time (s/token)", [_time(row) for row in rows]),
        ("Energy (J/token)", [_energy(row) for row in rows]),
    )
    for place, (label, dots) in enumerate(panels):
        parts += _panel(LEFT + place * (PANEL + GAP), label, dots, tints)
    if left_out:
        parts.append(f'<text x="10" y="{height - 8}">{left_out} more rows in summary.csv</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    sizes = [row[n] or 0 for n in ("batch", "prompt_tokens", "context_tokens", "output_tokens")]
    return (str(row["model"]), PHASES[::-1].index(row["phase"]) * -1, row["configuration_key"],
            *sizes)  # fmt: skip


def _label(row: dict[str, Any]) -> str:
    size = (
        f"p={row['prompt_tokens']:g}"
        if row["phase"] == "prefill"
        else f"c={row['context_tokens'] or 0:g}"
    )
    return f"{row['model']} {row['phase']} {size} B={row['batch']:g}"


def _time(row: dict[str, Any]) -> Dot:
    tokens = _tokens(row)
    names = ("runtime_low_s", "runtime_s", "runtime_high_s", "roofline_s")
    low, mid, high, roof = (_per(row[name], tokens) for name in names)
    return Dot(low, mid, high, roof)


def _energy(row: dict[str, Any]) -> Dot:
    tokens = _tokens(row)
    low, mid, high = (_per(row[n], tokens) for n in ("energy_low_j", "energy_j", "energy_high_j"))
    return Dot(low, mid, high, shape=str(row["energy_provenance"]))


def _tokens(row: dict[str, Any]) -> float | None:
    """Tokens of one iteration."""
    rate, seconds = row["tokens_per_s"], row["runtime_s"]
    return None if rate is None or seconds is None else float(rate) * float(seconds)


def _per(value: float | None, tokens: float | None) -> float | None:
    return None if value is None or not tokens else float(value) / tokens


def _panel(left: float, label: str, dots: Sequence[Dot], tints: Sequence[str]) -> list[str]:
    """One log axis with decades, a dot and its bar in each row."""
    bottom = TOP + ROW * max(1, len(dots))
    known = [v for d in dots for v in (d.low, d.mid, d.high, d.roofline) if v is not None and v > 0]
    parts = [
        f'<text x="{left + PANEL / 2}" y="{bottom + 34}" text-anchor="middle">{label}</text>',
        f'<line x1="{left}" x2="{left + PANEL}" y1="{bottom}" y2="{bottom}" stroke="#888"/>',
    ]
    if not known:
        parts.append(
            f'<text x="{left + PANEL / 2}" y="{TOP + 14}" text-anchor="middle" fill="#555">'
            "not measured: README.md says why</text>"
        )
        return parts
    first, last = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    last = max(last, first + 1)

    def x(value: float) -> float:
        if value <= 0:  # an interval that reaches 0 reaches the axis's end
            return left
        return left + PANEL * (math.log10(value) - first) / (last - first)

    for decade in range(first, last + 1):
        at = x(10.0**decade)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{bottom}" stroke="#ddd"/>'
            f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{_tick(decade)}</text>'
        )
    for index, (dot, tint) in enumerate(zip(dots, tints, strict=True)):
        y = TOP + ROW * index + ROW / 2
        parts += _mark(dot, tint, x, y)
    return parts


def _tick(decade: int) -> str:
    """`10m` for -2: a power of ten with its SI prefix; the unit stands on the axis."""
    step = decade // 3
    prefix = {-3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G"}.get(step)
    return f"1e{decade}" if prefix is None else f"{10 ** (decade - 3 * step)}{prefix}"


def _mark(dot: Dot, tint: str, x: Any, y: float) -> list[str]:
    parts = []
    if dot.roofline:
        at = x(dot.roofline)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y - 6:.1f}" y2="{y + 6:.1f}" '
            f'stroke="{tint}" stroke-width="2" opacity="0.5"/>'
        )
    if not dot.mid:
        return parts
    if dot.low is not None and dot.high:
        parts.append(
            f'<line x1="{x(dot.low):.1f}" x2="{x(dot.high):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{tint}" stroke-width="1.5"/>'
        )
    at = x(dot.mid)
    inside = tint if dot.low is not None and dot.high else "white"
    paint = f'fill="{inside}" stroke="{tint}"'
    if dot.shape == "measured":
        parts.append(f'<circle cx="{at:.1f}" cy="{y:.1f}" r="{SIZE}" {paint}/>')
    else:
        corners = f"{at - SIZE:.1f},{y + SIZE:.1f} {at + SIZE:.1f},{y + SIZE:.1f}"
        parts.append(f'<polygon points="{corners} {at:.1f},{y - SIZE:.1f}" {paint}/>')
    return parts
