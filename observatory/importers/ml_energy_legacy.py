"""ML.ENERGY Leaderboard of 2023: `GPU_task_benchmark.csv`, means over a chat data set.

Columns: model, throughput (token/s), response_length (tokens), latency (s) and energy (J) of one
response. GPU and task stand in the file name alone. The batch size is not stated.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from observatory.importers.facts import Common
from observatory.importers.reading import (
    Reading,
    Row,
    csv_rows,
    each,
    header,
    name_of,
    needed,
    number,
)

TOOL, LICENCE = "ML.ENERGY Leaderboard 2023", "Apache-2.0"
URL = "https://github.com/ml-energy/leaderboard"
COLUMNS = ["model", "throughput", "response_length", "latency", "energy"]
_NAME = re.compile(r"^(?P<gpu>[A-Za-z0-9]+)_(?P<task>[a-z-]+)_benchmark\.csv$")


def sniff(path: Path) -> bool:
    """A CSV with exactly these columns."""
    return header(path) == COLUMNS


def read(path: Path) -> Reading:
    """One response a model. Raises InputError where the file is unreadable."""
    found = _NAME.match(path.name)
    gpu, task = (found["gpu"], found["task"]) if found else (None, None)
    rows = each(csv_rows(path, COLUMNS), lambda k, raw: _row(k, raw, gpu, task))
    return Reading(TOOL, rows, "2023", LICENCE, URL, {"device": gpu, "task": task})


def _row(key: str, raw: Any, gpu: str | None, task: str | None) -> Row:
    common = Common(
        row=key,
        model_name=name_of(raw, "model"),
        phase="e2e",
        output_tokens=number(raw, "response_length"),
        device_kind=gpu,
        boundary="device",
        method="nvml_counter",
        extra={"task": task},
    )
    return Row(key, common.facts({
        "energy_j": (needed(raw, "energy"), "request"),
        "runtime_s": (needed(raw, "latency"), "request"),
        "tokens_per_s": (number(raw, "throughput"), "second"),
    }))  # fmt: skip
