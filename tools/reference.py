"""Write docs/cli.md and docs/schema.md from the code: `python tools/reference.py [--check]`.

The help texts and the comments of tables are the documentation; these pages only print them. A test
runs `--check`, so that a page never says anything else than the program.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from observatory.cli import VERBS, observatory
from observatory.store import schema
from observatory.store.views import VIEWS

DOCS = Path(__file__).resolve().parent.parent / "docs"
CLI_HEAD = """# Command line

Written by `python tools/reference.py` from the programs' own help; a test compares them.
`run-benchmark` has a page of its own with examples: [run-benchmark.md](run-benchmark.md).

Exit codes: 0 done · 1 done with failures, all of them in the store or listed · 2 wrong usage or
unreadable input, nothing changed · 3 a required sensor is missing · 130 interrupted, resumable.
"""
SCHEMA_HEAD = """# Schema

Written by `python tools/reference.py` from `observatory/store/schema.py`; a test compares them.

Columns carry their units (`_s`, `_j`, `_w`, `_g`, `_l`, `_usd`, `_bytes`). NULL is missing, with a
reason in a column beside it where one is known; 0 is a measurement. Facts (`window`, `reported`,
`capability`, `peak` and what describes them) are only ever added; `finding`, `summary` and `fit`
are made again from facts by `observatory derive`. The views are the public SQL interface:

"""


def cli_page() -> str:
    """Help of every verb, 96 columns wide."""
    parts = [CLI_HEAD]
    for name in VERBS:
        context = click.Context(observatory, info_name="observatory")
        command = observatory.get_command(context, name)
        assert command is not None, name
        own = click.Context(command, info_name=f"observatory {name}", max_content_width=96,
                            terminal_width=96)  # fmt: skip
        parts.append(f"## observatory {name}\n\n```text\n{command.get_help(own)}\n```\n")
    return "\n".join(parts)


def schema_page() -> str:
    """Every view and table with its columns."""
    parts = [SCHEMA_HEAD + "\n".join(f"* `{name}`" for name in VIEWS) + "\n"]
    for table in schema.metadata.sorted_tables:
        rows = [
            f"| `{c.name}` | {c.type} | {'' if c.nullable else 'no'} | {c.comment} |"
            for c in table.columns
        ]
        head = "| column | type | NULL | what |\n|---|---|---|---|"
        parts.append(f"## {table.name}\n\n{table.comment}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which differ."""
    pages = {DOCS / "cli.md": cli_page(), DOCS / "schema.md": schema_page()}
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"docs/{path.name} is stale: run python tools/reference.py")
        return 1 if stale else 0
    for path, text in pages.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
