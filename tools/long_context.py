"""Write the tables of docs/long-context.md and its plot from the code: `… [--check]`.

Text between `<!-- NAME -->` and `<!-- end -->` in the page is made here; a test runs `--check`.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

from observatory.catalog import hardware
from observatory.catalog.architecture import lookup
from observatory.runtime.long_context import CONTEXTS, Point, compare, sweep

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, PLOT = DOCS / "long-context.md", DOCS / "images" / "long-context.svg"
MODEL, DEVICE, DEVICES = "Yi-34B", "A100-SXM4-80GB", 4
#: of Okabe and Ito (2008): told apart by readers who do not see all colours
COLOURS = ("#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7")
WIDTH, HEIGHT, LEFT, TOP, GAP = 900, 360, 60, 40, 70


def seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{three(value * 1e3)} ms" if value < 1 else f"{three(value)} s"


def three(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{float(f'{value:.3g}'):g}"


def tokens(count: int) -> str:
    if count < 4096 or count % 1024:
        return f"{count:,}"
    return f"{count // 1024}k" if count < 2**20 else f"{count // 2**20}M"


def table(head: str, rows: list[list[str]]) -> str:
    columns = head.count("|") - 1
    line = "|---" + "|---:" * (columns - 1) + "|"
    return "\n".join([head, line, *("| " + " | ".join(row) + " |" for row in rows)])


def example() -> str:
    """The running example of the paper: a 34B model on one A100, 4k against 50k tokens."""
    arch, hw = lookup(MODEL), hardware.lookup(DEVICE)
    short, long = sweep(arch, hw, (4096, 50_000), utilisation=1.0)
    rows = [
        ["prefill, causal", seconds(short.prefill_s), seconds(long.prefill_s)],
        ["prefill, unfused (p²)",
         seconds(short.prefill_unfused_s), seconds(long.prefill_unfused_s)],
        ["of it attention (causal)", f"{short.attention_share:.0%}", f"{long.attention_share:.0%}"],
        ["one decode step", seconds(short.step_s), seconds(long.step_s)],
        ["KV cache", f"{short.kv_bytes / 1e9:.3g} GB", f"{long.kv_bytes / 1e9:.3g} GB"],
        ["sequences that fit", str(short.concurrency), str(long.concurrency)],
        ["swap one out and one in", seconds(short.switch_s), seconds(long.switch_s)],
    ]  # fmt: skip
    return table("| | 4k | 50,000 |", rows)


def conventions() -> str:
    """FLOPs of one prefill by three conventions."""
    arch = lookup(MODEL)
    rows = []
    for p in (4096, 32768, 50_000, 131072, 1048576):
        linear = 2 * arch.active_matmul_parameters * p
        causal, square = arch.prefill_flops(p), arch.prefill_flops(p, causal=False)
        rows.append(
            [tokens(p), *(three(x / 1e15) for x in (linear, causal, square)),
             f"{causal / linear:.2f}", f"{square / causal:.2f}"]
        )  # fmt: skip
    return table(
        "| tokens | 2·N·p, PFLOP | causal, PFLOP | p², PFLOP | causal / 2Np | p² / causal |", rows
    )


def attentions() -> str:
    """Variants of one model from 4k to 1M."""
    rows = []
    for point in compare(lookup(MODEL), hardware.lookup(DEVICE), CONTEXTS[::2], DEVICES):
        rows.append(
            [point.case, tokens(point.context), seconds(point.prefill_s), seconds(point.step_s),
             three(point.kv_bytes / 1e9), str(point.concurrency), seconds(point.switch_s)]
        )  # fmt: skip
    return table(
        "| attention | context | prefill | decode step | KV, GB | sequences | swap |", rows
    )


def released() -> str:
    """Released models that differ in how they attend, each on eight H200."""
    rows = []
    cases = (("Llama-3.1 70B", None), ("Llama-3.1 70B", "fp8"), ("Gemma-3-27B (text)", None),
             ("gpt-oss-120b", None), ("DeepSeek-V3", None))  # fmt: skip
    for name, kv in cases:
        arch = lookup(name)
        dtype = arch.quantization or "bf16"
        for p in sweep(arch, hardware.lookup("H200"), (4096, 131072), 8, dtype, kv):
            label = f"{name} ({dtype}{', fp8 KV' if kv else ''})"
            rows.append([label, tokens(p.context), seconds(p.prefill_s), seconds(p.step_s),
                         three(p.kv_bytes / 1e9), str(p.concurrency)])  # fmt: skip
    return table("| model | context | prefill | decode step | KV, GB | sequences |", rows)


def plot() -> str:
    """Two log-log panels: decode step and KV cache of one sequence against context."""
    groups: dict[str, list[Point]] = {}
    for point in compare(lookup(MODEL), hardware.lookup(DEVICE), CONTEXTS, DEVICES):
        groups.setdefault(point.case, []).append(point)
    width = (WIDTH - 2 * LEFT - GAP) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 60}" '
        'font-family="sans-serif" font-size="12" role="img">',
        f"<title>{MODEL} on {DEVICES} × {DEVICE}: decode and KV cache against context</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT + 60}" fill="white"/>',
    ]
    for index, (label, values) in enumerate(
        (
            ("decode step, ms (modelled, one sequence)",
             {c: [p.step_s * 1e3 for p in ps] for c, ps in groups.items()}),
            ("KV cache of one sequence, GB", {c: [p.kv_bytes / 1e9 for p in ps]
                                              for c, ps in groups.items()}),
        )
    ):  # fmt: skip
        parts += panel(LEFT + index * (width + GAP), width, label, values)
    for index, case in enumerate(groups):
        x, y = LEFT + 290 * (index % 3), HEIGHT + 18 + 20 * (index // 3)
        parts.append(f'<line x1="{x}" x2="{x + 24}" y1="{y - 4}" y2="{y - 4}" '
                     f'stroke="{COLOURS[index]}" stroke-width="3"/>')  # fmt: skip
        parts.append(f'<text x="{x + 30}" y="{y}">{case}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(left: float, width: float, label: str, lines: dict[str, list[float]]) -> list[str]:
    """One log-log panel with decades on y and doublings on x."""
    bottom = HEIGHT - 40
    values = [v for line in lines.values() for v in line]
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))))

    def at_x(context: int) -> float:
        first, last = math.log2(CONTEXTS[0]), math.log2(CONTEXTS[-1])
        return left + width * (math.log2(context) - first) / (last - first)

    def at_y(value: float) -> float:
        return bottom - (bottom - TOP) * (math.log10(value) - low) / (high - low)

    out = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold">{label}</text>']
    for decade in range(low, high + 1):
        y = at_y(10**decade)
        out.append(f'<line x1="{left:.1f}" x2="{left + width:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
                   'stroke="#ddd"/>')  # fmt: skip
        out.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">'
                   f"{10.0**decade:g}</text>")  # fmt: skip
    for context in CONTEXTS[::2]:
        out.append(f'<text x="{at_x(context):.1f}" y="{bottom + 18}" text-anchor="middle">'
                   f"{tokens(context)}</text>")  # fmt: skip
    for colour, line in zip(COLOURS, lines.values(), strict=True):
        points = " ".join(
            f"{at_x(c):.1f},{at_y(v):.1f}" for c, v in zip(CONTEXTS, line, strict=True)
        )
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return out


def page(text: str) -> str:
    """The page with its tables made anew."""
    for name, make in (("example", example), ("conventions", conventions), ("cases", attentions),
                       ("released", released)):  # fmt: skip
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
        if not pattern.search(text):
            raise SystemExit(f"docs/long-context.md has no place for {name}")
        text = pattern.sub(lambda m: f"{m[1]}{make()}\n{m[2]}", text)  # noqa: B023
    return text


def main(arguments: list[str]) -> int:
    text = PAGE.read_text(encoding="utf-8")
    made = {PAGE: page(text), PLOT: plot()}
    stale = [p for p, new in made.items() if not p.exists() or p.read_text("utf-8") != new]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} is not what the code says: run python tools/long_context.py")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
