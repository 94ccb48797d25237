"""lm-evaluation-harness results JSON, in its two dialects of aggregate files.

0.4: keys `metric,filter` with `metric_stderr,filter` beside them. 0.3: keys `metric` and
`metric_stderr`. A group that only averages tasks of the same file is kept with `group` in its
notes; perplexities are kept under their own unit. A number that cannot be a score is rejected.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from observatory.capability.lanes import LOWER_IS_BETTER, Lane, Score
from observatory.errors import InputError
from observatory.importers.files import head
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    clean,
    each,
    extras,
    json_value,
    mapping,
    name_of,
    number,
    words,
)

TOOL = "lm-evaluation-harness"
URL = "https://github.com/EleutherAI/lm-evaluation-harness"
OWN = "own harness run: licence of the importer's choice"
NO_METRIC = ("name", "alias", "sample_len", "sample_count")


def sniff(path: Path) -> bool:
    """A JSON object with results by task and either versions or a config of the harness."""
    start = head(path).lstrip()
    return (
        start.startswith("{")
        and '"results"' in start
        and any(mark in start for mark in (',none"', "_stderr", '"acc"', '"versions"'))
    )


def read(path: Path) -> Reading:
    """One row a task. Raises InputError where the file is unreadable."""
    content = json_value(path)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        raise InputError(f"{path}: no object `results`: not an lm-eval results file")
    run = _Run(content, path)
    return Reading(TOOL, each(results.items(), run.row), run.version, None, URL)


class _Run:
    """What all scores of one file share."""

    def __init__(self, content: Mapping[str, Any], path: Path) -> None:
        self.content, self.path = content, path
        config = _object(content, "config")
        arguments = config.get("model_args")
        if isinstance(arguments, str):
            pairs = (part.partition("=") for part in arguments.split(","))
            arguments = {key.strip(): value for key, _, value in pairs}
        self.arguments = arguments if isinstance(arguments, dict) else {}
        self.precision = _precision(self.arguments, config)
        self.version = _word(content, "lm_eval_version") or _word(config, "lm_eval_version")
        self.model = (
            _word(content, "model_name")
            or _word(self.arguments, "pretrained")
            or _word(self.arguments, "model")
            or (path.stem if config.get("model") in (None, "hf", "vllm", "hf-causal") else None)
            or _word(config, "model")
        )
        self.date = _date(content.get("date"))
        when = content.get("date")  # two runs of one file name are told apart by it
        stamp = f", {when:.0f}" if isinstance(when, (int, float)) and abs(when) < 1e12 else ""
        self.source = f"{path.name} ({TOOL} {self.version or '?'}{stamp})"
        self.chat = content.get("chat_template") not in (None, "", False) \
            if "chat_template" in content else None  # fmt: skip

    def row(self, task: str, raw: Any) -> Row:
        """Every metric of a task."""
        raw = mapping(raw, f"results of {task[:60]}")
        if self.model is None:
            raise RowError("names no model")
        name = name_of({"task": task}, "task")
        scores = tuple(self._scores(task, name, raw))
        if not scores:
            raise RowError("holds no metric")
        return Row(name, scores=scores)

    def _scores(self, task: str, name: str, raw: Mapping[str, Any]) -> Iterator[Score]:
        for key in raw:
            metric, _, filtered = key.partition(",")
            if key in NO_METRIC or metric.endswith("_stderr") or isinstance(raw[key], dict):
                continue
            value = number(raw, key)
            if value is None:
                continue
            metric = name_of({"metric": metric}, "metric")
            unit = self._unit(metric, value)
            error = f"{metric}_stderr,{filtered}" if filtered else f"{metric}_stderr"
            stderr = number(raw, error)
            if stderr is not None and stderr < 0:
                raise RowError(f"{error} is negative")
            yield Score(
                self.model or "", self._lane(task, name, metric, filtered), value, unit,
                self.source, OWN, stderr, date=self.date,
                extra=self._extra(task, metric),
            )  # fmt: skip

    def _unit(self, metric: str, value: float) -> str:
        if metric in LOWER_IS_BETTER:
            if value < 0:
                raise RowError(f"{metric} is {value:g}")
            return "perplexity" if "perplexity" in metric or metric == "ppl" else metric
        return "fraction" if 0 <= value <= 1 else "points"

    def _lane(self, task: str, name: str, metric: str, filtered: str) -> Lane:
        shots = _object(self.content, "n-shot").get(task)
        version = _object(self.content, "versions").get(task)
        if shots is None:
            shots = _object(self.content, "config").get("num_fewshot")
        harness = f"lm-eval-{self.version or '?'}"
        return Lane(
            name, metric, _word({"shots": shots}, "shots"), harness,
            "harness-run", _word({"version": version}, "version"), filtered or None,
            chat_template=self.chat, precision=self.precision,
        )  # fmt: skip

    def _extra(self, task: str, metric: str) -> dict[str, Any]:
        """Whether the task is a group, its items, and which way the file says the metric counts."""
        groups = _object(self.content, "group_subtasks") or _object(self.content, "groups")
        samples = _object(_object(self.content, "n-samples"), task).get("effective")
        made: dict[str, Any] = {"group": True} if task in groups else {}
        up = _object(_object(self.content, "higher_is_better"), task).get(metric)
        made |= {"higher_is_better": up} if isinstance(up, bool) else {}
        return made | extras({"n": samples}, ("n",))


def _object(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _word(raw: Mapping[str, Any], name: str) -> str | None:
    value = raw.get(name)
    try:
        return words(raw, name) if isinstance(value, (str, int, float)) else None
    except RowError:
        return None


def _precision(arguments: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    for flag, name in (("load_in_4bit", "int4"), ("load_in_8bit", "int8")):
        if str(arguments.get(flag)).lower() == "true":
            return name
    for source, name in (
        (arguments, "quantization"),
        (arguments, "dtype"),
        (config, "model_dtype"),
    ):
        found = _word(source, name)
        if found and found != "auto":
            return found.removeprefix("torch.")
    return None


def _date(value: Any) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 4e9:
        return datetime.datetime.fromtimestamp(value, datetime.UTC).date().isoformat()
    return (clean(value) or "")[:32] or None if isinstance(value, str) else None
