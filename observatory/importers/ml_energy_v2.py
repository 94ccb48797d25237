"""ML.ENERGY Leaderboard v2: one JSON object a configuration, column names with blanks and units.

The task stands in the folder name (`llm_text_generation/code/GPU/organisation/model/bs…json`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observatory.importers.facts import Common
from observatory.importers.files import head
from observatory.importers.reading import (
    Reading,
    Row,
    each,
    extras,
    json_value,
    mapping,
    name_of,
    number,
    whole,
)

TOOL, LICENCE = "ML.ENERGY Leaderboard v2", "Apache-2.0"
URL = "https://github.com/ml-energy/leaderboard"
ENERGY = "Energy/req (J)"


def sniff(path: Path) -> bool:
    """A JSON object with `Energy/req (J)`."""
    return f'"{ENERGY}"' in head(path)


def read(path: Path) -> Reading:
    """The one configuration of the file. Raises InputError where it is unreadable."""
    content = json_value(path)
    folder = path.resolve().parts
    task = folder[-5] if len(folder) > 5 else None
    return Reading(
        TOOL, each([("0", content)], lambda k, raw: _row(k, raw, task)), "2", LICENCE, URL
    )


def _row(key: str, raw: Any, task: str | None) -> Row:
    raw = mapping(raw, "the file")
    tensor, pipeline = whole(raw, "TP"), whole(raw, "PP")
    count = None if tensor is None else tensor * (pipeline or 1)
    common = Common(
        row=key,
        model_name=name_of(raw, "Model"),
        phase="serving",
        output_tokens=number(raw, "Avg Output Tokens"),
        batch=number(raw, "Avg BS (reqs)"),
        device_kind=name_of(raw, "GPU"),
        device_count=count,
        boundary="device",
        method="nvml_counter",
        extra={"task": task, **extras(raw, ("TP", "PP", "Max BS (reqs)"))},
    )
    return Row(key, common.facts({
        "energy_j": (number(raw, ENERGY), "request"),
        "tpot_s": (number(raw, "Avg TPOT (s)"), "token"),
        "tokens_per_s": (number(raw, "Token tput (tok/s)"), "second"),
    }))  # fmt: skip
