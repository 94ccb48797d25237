"""lm-evaluation-harness sample logs, `samples_TASK_DATE.jsonl`: one JSON object an item.

The file becomes one score a metric, the mean over its items with its standard error; the items
themselves stay in the file (`observatory route` reads tables of items). Model and task stand in the
folder and file name.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from observatory.capability.lanes import Lane, Score
from observatory.errors import InputError
from observatory.importers.files import head, lines
from observatory.importers.lm_eval import OWN, TOOL, URL
from observatory.importers.reading import Reading, Row, name_of, parse_json, words

_NAME = re.compile(r"^samples_(?P<task>.+?)(_\d{4}-\d\d-\d\dT.*)?\.jsonl(\.gz)?$")
METRICS = ("acc", "acc_norm", "exact_match", "pass@1", "f1", "em", "mc1", "mc2")


def sniff(path: Path) -> bool:
    """A file of that name whose first line has a document and responses."""
    start = head(path)
    return bool(_NAME.match(path.name)) and '"doc_id"' in start


def read(path: Path) -> Reading:
    """One row for the file. Raises InputError where it is unreadable or a line is no object."""
    found = _NAME.match(path.name)
    task = name_of({"task": found["task"] if found else path.stem}, "task")
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for i, line in enumerate(lines(path), 1):
        if line.strip():
            _add(sums, parse_json(line, f"{path} line {i}"), path, i)
    if not sums:
        raise InputError(f"{path}: no item with a known metric ({', '.join(METRICS)})")
    folder = path.resolve().parent.name.replace("__", "/", 1)
    model = words({"folder": folder}, "folder") or "unnamed"
    scores = []
    for (metric, filtered), (n, total, squares) in sorted(sums.items()):
        mean = total / n
        spread = max(0.0, squares - n * mean * mean)
        stderr = math.sqrt(spread / (n - 1) / n) if n > 1 else None
        lane = Lane(task, metric, None, "lm-eval-?", "harness-run", filter=filtered)
        scores.append(Score(model, lane, mean, "fraction", f"{path.name} ({TOOL} samples)", OWN,
                            stderr, extra={"n": int(n)}))  # fmt: skip
    return Reading(TOOL, [Row("0", scores=tuple(scores))], None, None, URL)


def _add(sums: dict[tuple[str, str], list[float]], item: Any, path: Path, line: int) -> None:
    if not isinstance(item, dict):
        raise InputError(f"{path}: line {line} is no object")
    for metric in METRICS:
        value = item.get(metric)
        if value is None or isinstance(value, (dict, list, str)):
            continue
        made = float(value) if abs(value) <= 1 else math.nan
        if not 0 <= made <= 1:
            raise InputError(f"{path}: line {line}: {metric} is not between 0 and 1")
        entry = sums[metric, str(item.get("filter") or "none")[:60]]
        entry[0] += 1
        entry[1] += made
        entry[2] += made * made
