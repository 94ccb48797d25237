"""HELM's API runtimes (July 2022): mean seconds of a scenario, CSV with two sets of column names.

Empty is missing, not zero. The model stands in the scenario's text (`...,model=openai_davinci`);
a row without one is rejected. Their idealized runtime is kept as theirs, under its own quantity.
The raw times are of an API, contention and network included: the recipe `denoised` is for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from observatory.importers.facts import Common
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    csv_rows,
    each,
    header,
    name_of,
    number,
)

TOOL, URL = "helm-runs", "https://github.com/stanford-crfm/helm-efficiency"
_PROMPT = ("num_tokens_in_prompt", "num_prompt_tokens")
_REQUIRED = ("scenario", "inference_runtime", "num_output_tokens")
_MODEL = re.compile(r"(?:^|[:,])model=([^,\s]+)")


def sniff(path: Path) -> bool:
    """The columns of either table."""
    names = set(header(path))
    return set(_REQUIRED) <= names and bool(names & set(_PROMPT))


def read(path: Path) -> Reading:
    """Every scenario. Raises InputError where the file is unreadable."""
    prompt = next((name for name in _PROMPT if name in header(path)), _PROMPT[0])
    rows = _without_duplicates(csv_rows(path, (*_REQUIRED, prompt)))
    return Reading(TOOL, each(rows, lambda key, raw: _row(key, raw, prompt)), None, None, URL)


def _without_duplicates(rows: Iterator[tuple[str, dict[str, str]]]) -> Iterator[tuple[str, Any]]:
    """Marks rows seen before: equal in every cell is a duplicate, else another trial."""
    cells: dict[tuple[str, ...], str] = {}
    trials: dict[str, int] = {}
    for key, raw in rows:
        same = cells.setdefault(tuple(raw.values()), key) if raw else key
        scenario = raw.get("scenario", "")
        trials[scenario] = trials.get(scenario, 0) + 1
        if raw:
            raw = {
                **raw,
                "#duplicate": same if same != key else "",
                "#trial": str(trials[scenario]),
            }
        yield key, raw


def _row(key: str, raw: dict[str, str], prompt: str) -> Row:
    if raw["#duplicate"]:
        raise RowError(f"repeats line {raw['#duplicate']} in every cell")
    scenario = name_of(raw, "scenario")
    found = _MODEL.search(scenario)
    if found is None:
        raise RowError("its scenario names no model (model=...)")
    extra: dict[str, Any] = {"scenario": scenario, "trial": int(raw["#trial"])}
    accuracy = number(raw, "exact_match")
    if accuracy is not None:
        extra["exact_match"] = accuracy
    common = Common(
        row=key,
        model_name=found[1],
        phase="e2e",
        prompt_tokens=number(raw, prompt),
        output_tokens=number(raw, "num_output_tokens"),
        backend="api",
        extra=extra,
    )
    return Row(key, common.facts({
        "runtime_s": (number(raw, "inference_runtime"), "request"),
        "idealized_runtime_s": (number(raw, "inference_idealized_runtime"), "request"),
    }))  # fmt: skip
