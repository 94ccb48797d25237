"""Write the help into docs/run-benchmark.md: `python tools/run_benchmark_help.py [--check]`.

Only the part between the two marks is written; a test runs `--check`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from runners.cli import run_benchmark

PAGE = Path(__file__).resolve().parent.parent / "docs" / "run-benchmark.md"
BEGIN, END = "<!-- help -->\n", "<!-- /help -->\n"


def help_text() -> str:
    """The help of `run-benchmark` and of its commands, 96 columns wide."""
    parts = []
    own = {f"run-benchmark {name}": one for name, one in sorted(run_benchmark.commands.items())}
    for name, command in {"run-benchmark": run_benchmark, **own}.items():
        context = click.Context(command, info_name=name, max_content_width=96, terminal_width=96)
        parts.append(f"```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def page(text: str) -> str:
    """`text` with the present help between the marks."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE.name} has lost its marks {BEGIN.strip()} … {END.strip()}")
    return head + begin + help_text() + end + tail


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` say that it is stale."""
    text = PAGE.read_text(encoding="utf-8")
    if page(text) == text:
        return 0
    if "--check" in arguments:
        print(f"docs/{PAGE.name} is stale: run python tools/run_benchmark_help.py")
        return 1
    PAGE.write_text(page(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
