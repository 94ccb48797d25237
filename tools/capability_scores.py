"""Make observatory/capability/data/scores.csv from the reference data: what may ship, in our lanes.

`OBSERVATORY_REFERENCE=… python tools/capability_scores.py`. Rows ship with an open licence or from
a model card. Single facts cited from a leaderboard ship for small models (below 3.5 billion
parameters) and for catalogue models without any open score. Rows without a source do not ship, nor
do two different values of one source in one lane.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

from observatory.capability.lanes import slug
from observatory.capability.names import architecture, model_name
from observatory.catalog import models
from observatory.catalog.architecture import Architecture

TARGET = Path(__file__).resolve().parent.parent / "observatory/capability/data/scores.csv"
OPEN = {
    "Apache-2.0", "MIT", "CC BY 4.0 (Epoch AI compilation)", "CC BY 4.0 (Epoch AI)",
    "CC BY 4.0 (LLM-Stats)", "repo Apache-2.0 (bigscience)",
    "Llama community licence on document; numbers used as facts",
}  # fmt: skip
CITED = "single facts, cited"
SMALL = 3.5e9
EFFORT = re.compile(r"^(.*)_((?:x?high|medium|low|minimal|none|\d+K|thinking.*))$")
KEY = ("model", "benchmark", "metric", "shots", "effort", "chat_template", "precision", "harness",
       "family")  # fmt: skip
Row = dict[str, str]


@cache
def small(name: str) -> bool:
    return Architecture.lookup(name).parameters < SMALL


def family(row: Row) -> str:
    """The collection or document that a number stands in: rows of one share a protocol."""
    for mark, name in (("OLL v1", "open-llm-leaderboard-v1"), ("OLL v2", "open-llm-leaderboard-v2"),
                       ("Inspect", "epoch")):  # fmt: skip
        if mark in row["harness"]:
            return name
    if row["source_kind"] == "composite index":
        return "epoch"
    first = row["source"].split(" via ")[0]
    found = re.search(r"https?://([^/\s]+)/?([^\s|]*)", first)
    if not found:
        return slug(first)[:50]
    host, path = found[1].removeprefix("www."), found[2]
    paper = re.search(r"(\d{4}\.\d{4,5})", path)
    if paper and "arxiv" in host:
        return f"arxiv-{paper[1]}"
    parts = path.split("/")
    if "github.com" in host and row["source_kind"] == "harness result file":
        return "github-" + "-".join(parts[:2])
    if "github.com" in host:
        kept = [part for i, part in enumerate(parts) if i not in (2, 3)]
        return "github-" + "-".join(kept).removesuffix(".md")
    return slug(f"{host}-{path}")[:70]


def converted(row: Row) -> Row:
    """A reference row as one of ours."""
    name, effort = row["hf_id"] or row["model"], ""
    graded = EFFORT.match(row["model"])
    if graded and not row["hf_id"] and family(row) == "epoch":
        name, effort = graded[1], graded[2]
    chat = re.search(r"chat_template=(True|False)", row["note"])
    harness = re.sub(r" \((OLL v\d|Epoch AI)\)", "", row["harness"])
    return {
        "model": model_name(name),
        "benchmark": row["benchmark"],
        "metric": " ".join(row["metric"].split()),
        **{k: row[k] for k in ("score", "unit", "stderr", "ci_low", "ci_high")},
        "shots": row["shots"].strip().removesuffix("-shot"),
        "effort": effort,
        "chat_template": {"True": "yes", "False": "no"}[chat[1]] if chat else "",
        "precision": row["precision"],
        "harness": harness.replace("lm-evaluation-harness", "lm-eval"),
        "family": family(row),
        "source": row["source"],
        "licence": row["licence"],
        "date": row["date"],
        "reported_name": row["hf_id"] or row["model"],
    }


def ships(row: Row, covered: set[str]) -> bool:
    """Whether a row may and should ship; `covered` architectures have an open score."""
    if not row["source"].strip() or "unsourced" in (row["source"] + row["licence"]).lower():
        return False
    if row["licence"] in OPEN:
        return True
    shape = architecture(model_name(row["hf_id"] or row["model"]))
    known = row["licence"] == CITED and shape in models.names()
    return known and (shape not in covered or small(shape))


def main() -> int:
    """Write the table; prints what was left out."""
    source = Path(os.environ["OBSERVATORY_REFERENCE"]) / "catalog/capability.csv"
    with source.open(newline="") as stream:
        given = [
            {k: "" if v.strip().lower() in ("nan", "n/a") else v for k, v in row.items()}
            for row in csv.DictReader(stream)
        ]
    covered = {architecture(model_name(r["hf_id"] or r["model"])) for r in given
               if r["licence"] in OPEN}  # fmt: skip
    rows: dict[tuple[str, ...], Row] = {}
    clashes: set[tuple[str, ...]] = set()
    left: Counter[str] = Counter()
    for row in given:
        if not ships(row, covered):
            left[row["licence"]] += 1
            continue
        made = converted(row)
        key = (*(slug(made[k]) if made[k] else "" for k in KEY), made["source"])
        if rows.setdefault(key, made)["score"] != made["score"]:
            clashes.add(key)
    kept = [row for key, row in rows.items() if key not in clashes]
    kept.sort(key=lambda r: tuple(r[k] for k in ("benchmark", "model", "metric", "shots", "source",
                                                 "precision", "effort")))  # fmt: skip
    with TARGET.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(kept[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    print(f"{len(kept)} scores; left out {dict(left)}; {len(clashes)} lanes with two values")
    return 0


if __name__ == "__main__":
    sys.exit(main())
