"""What an artifact says about itself: how to read and re-create it, methods, machines, licences."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import pandas as pd
from sqlalchemy import Engine, select, text

from observatory import __version__, answers
from observatory.audit import RULES
from observatory.footprint import FactorTable
from observatory.records import Workload
from observatory.store import reader, schema

MADE_WITH = ("numpy", "pandas", "scipy", "sqlalchemy", "plotly", "kaleido")
CITATION = f"""cff-version: 1.2.0
message: "If you use this data, cite the software and the sources in factors.csv."
title: Inference Observatory
type: software
version: {__version__}
license: Apache-2.0
authors:
  - name: The Inference Observatory founders
references:
  - type: conference-paper
    title: "Cheaply Evaluating Inference Efficiency Metrics for Autoregressive Transformer APIs"
    authors: [{{family-names: Narayanan}}]
    year: 2023
    notes: "The idealized runtime."
  - type: article
    title: "Making AI Less Thirsty"
    authors: [{{family-names: Li}}]
    year: 2023
    identifiers: [{{type: other, value: "arXiv:2304.03271"}}]
    notes: "Water on site and off site."
"""


def environment(engine: Engine) -> str:
    """The machines of the measurements as JSON, in order of their key."""
    e = schema.environment
    rows = reader.frame(engine, select(e).order_by(e.c.key)).to_dict("records")
    return _json([{str(k): _plain(v) for k, v in row.items()} for row in rows])


def methods(engine: Engine, table: FactorTable) -> str:
    """Versions of everything that turned facts into these numbers, as JSON."""
    fits = answers.fits(engine, None)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    recipes = sorted(
        set(zip(fits["recipe"].map(str), fits["recipe_version"].map(str), strict=True))
    )
    return _json({
        "inference_observatory": __version__,
        "schema": found,
        "factor_edition": table.edition,
        "recipes": [{"recipe": name, "version": version} for name, version in recipes],
        "audit_rules": {f"{subject}/{rule.code}": rule.version
                        for subject, rules in RULES.items() for rule in rules},
        "made_with": {"python": platform.python_version()} | _versions(),
    })  # fmt: skip


def _versions() -> dict[str, str | None]:
    out: dict[str, str | None] = {}
    for name in MADE_WITH:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            out[name] = None
    return out


def licences(engine: Engine, factors: pd.DataFrame) -> str:
    """Whose data is in here, and under what terms, in Markdown."""
    s, c = schema.source, schema.capability
    sources = reader.frame(engine, select(s.c.name, s.c.tool, s.c.licence).order_by(s.c.name))
    scores = reader.frame(
        engine, select(c.c.source, c.c.licence).distinct().order_by(c.c.source, c.c.licence)
    )
    lines = ["# Licences", "", "Measurements of this database: their authors'.",
             "Software: Inference Observatory, Apache-2.0.", ""]  # fmt: skip
    used = factors[["source", "licence"]].drop_duplicates().sort_values(["source", "licence"])
    for title, rows in (
        ("Factors", [(r["source"], r["licence"]) for r in used.to_dict("records")]),
        ("Imported files", [(f"{r['name']} ({r['tool']})", r["licence"])
                            for r in sources.to_dict("records")]),
        ("Scores", [(r["source"], r["licence"]) for r in scores.to_dict("records")]),
    ):  # fmt: skip
        if rows:
            lines += [f"## {title}", ""]
            lines += [f"* {_line(name)}: {_line(terms) or 'none stated'}" for name, terms in rows]
            lines.append("")
    return "\n".join(lines)


def readme(
    engine: Engine, asked: Workload, table: FactorTable, commands: Mapping[str, str],
    notes: Sequence[str],
) -> str:  # fmt: skip
    """How to read the artifact, how to check it and how each file is made again."""
    runs = answers.runs(engine).sort_values(["started_utc", "id"])
    measured = "\n".join(f"    {_line(c)}" for c in dict.fromkeys(runs["command"].astype(str)))
    again = "\n".join(f"    {command}" for command in commands.values())
    left = "".join(f"* {note}\n" for note in notes)
    return f"""# Artifact of an Inference Observatory database

inference-observatory {__version__}, factors of edition {table.edition}, request {asked.label()}.

* `store.sql`: the whole store, for `sqlite3` or `psql`.
* `tables/`: what it says. CSV in SI units, missing is empty, with its reason in a column beside it;
  text that a spreadsheet would run as a formula has an apostrophe in front. LaTeX for a paper.
* `figures/`: the pages' figures, as plotly JSON and, where a browser was at hand, SVG and PDF.
* `cards/`: a snippet for each model's card.
* `factors.csv`: every factor used, with source and licence; `LICENCES.md`: whose data is in here.
* `environment.json`: the machines. `methods.json`: versions of recipes, rules, factors, software.
* `scenario.json`: every choice behind the bills.
* `SHA256SUMS`: check with `sha256sum -c SHA256SUMS`.

{left}
## The commands that measured

As they were typed:

{measured or "    none"}

## The commands that make each file again

{again}
"""


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    missing = value is None or (isinstance(value, float) and value != value)
    return None if missing else value.item() if hasattr(value, "item") else value


def _line(value: object) -> str:
    """Text on one line; empty for missing."""
    return "" if value is None or value != value else " ".join(str(value).split())
