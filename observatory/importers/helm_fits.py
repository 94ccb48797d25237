"""Published parameters of the idealized-runtime paper: one JSON object, a model a key.

`{"openai/davinci": {"runtime_per_output_token": s, "runtime_for_prompt_tokens": {"1": s, ...}}}`,
for black-box APIs also `overhead`. Times are s, rounded to 1 ms by its authors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from observatory.errors import InputError
from observatory.importers.facts import Common
from observatory.importers.files import head
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    each,
    json_value,
    mapping,
    name_of,
    number,
)
from observatory.records import Reported

TOOL, URL = "helm-fits", "https://github.com/stanford-crfm/helm-efficiency"
BETA, ALPHA, OVERHEAD = "tpot_s", "ttft_s", "overhead_s"
_LENGTH = re.compile(r"[1-9][0-9]{0,11}")
_STEP, _TABLE = "runtime_per_output_token", "runtime_for_prompt_tokens"


def sniff(path: Path) -> bool:
    """The two names of parameters."""
    start = head(path)
    return f'"{_STEP}"' in start and f'"{_TABLE}"' in start


def read(path: Path) -> Reading:
    """Every parameter of every model. Raises InputError where the file is unreadable."""
    content = json_value(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: no JSON object of models")
    rows = ((str(name), raw) for name, raw in content.items())
    return Reading(TOOL, each(rows, _row), None, None, URL)


def _row(key: str, raw: Any) -> Row:
    name = name_of({"model": key}, "model")
    raw = mapping(raw, f"model {name}")
    table = mapping(raw.get(_TABLE), f"{_TABLE} of {name}")
    if not table:
        raise RowError(f"{_TABLE} is empty")
    common = Common(row=name, model_name=name, phase="decode", backend="published-2023", batch=1.0)
    step = common.fact(BETA, _positive(raw, _STEP), "token")
    overhead = number(raw, "overhead")
    facts = [step, *_alphas(name, table)]
    if overhead is not None:
        facts.append(common.fact(OVERHEAD, overhead))
    return Row(name, tuple(facts))


def _alphas(name: str, table: Mapping[str, Any]) -> Iterator[Reported]:
    for prompt in table:
        if not _LENGTH.fullmatch(prompt):
            raise RowError(f"{prompt[:20]!r} is no number of prompt tokens")
        common = Common(
            row=f"{name} p={prompt}", model_name=name, phase="prefill", backend="published-2023",
            prompt_tokens=float(prompt), output_tokens=1.0, batch=1.0,
        )  # fmt: skip
        yield common.fact(ALPHA, _positive(table, prompt))


def _positive(raw: Mapping[str, Any], name: str) -> float:
    value = number(raw, name)
    if value is None or not value > 0:
        raise RowError(f"{name} is {value}, not a positive time")
    return value
