"""Intelligence per Watt profiling records, as JSON lines (or one JSON list) of its record schema.

Each record is one question with `model_metrics` a model: `energy_metrics.per_query_joules`,
`latency_metrics`, `token_metrics`, `gpu_info`. Values of -1 or 0 stand for "not available" in its
telemetry, so an energy or a time of 0 or less is missing here. Its data set folder (Arrow) must be
exported to JSON lines first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from observatory.importers.facts import MS, Common
from observatory.importers.files import head, lines
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    each,
    json_value,
    mapping,
    number,
    parse_json,
    words,
)
from observatory.records import Reported

TOOL = "Intelligence per Watt"
URL = "https://github.com/HazyResearch/intelligence-per-watt"


def sniff(path: Path) -> bool:
    """Records with model_metrics and energy_metrics."""
    start = head(path)
    return '"model_metrics"' in start and '"energy_metrics"' in start


def read(path: Path) -> Reading:
    """One row a question. Raises InputError where the file is unreadable."""
    return Reading(TOOL, each(_records(path), _row), None, None, URL)


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    if head(path).lstrip().startswith("["):
        content = json_value(path)
        yield from ((str(i), raw) for i, raw in enumerate(content))
        return
    for i, line in enumerate(lines(path), 1):
        if line.strip():
            yield str(i), parse_json(line, f"{path} line {i}")


def _part(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _positive(raw: Mapping[str, Any], name: str, scale: float = 1.0) -> float | None:
    value = number(raw, name, scale)
    return value if value is not None and value > 0 else None


def _row(key: str, raw: Any) -> Row:
    raw = mapping(raw, "record")
    made: list[Reported] = []
    for i, (model, metrics) in enumerate(_part(raw, "model_metrics").items()):
        metrics = mapping(metrics, "model_metrics")
        made += _facts(f"{key}:{i}", words({"model": model}, "model"), metrics)
    if not made:
        raise RowError("holds no metric of any model")
    return Row(key, tuple(made))


def _facts(key: str, model: str | None, metrics: Mapping[str, Any]) -> tuple[Reported, ...]:
    if model is None:
        raise RowError("names no model")
    latency, tokens = _part(metrics, "latency_metrics"), _part(metrics, "token_metrics")
    gpu = _part(_part(metrics, "power_metrics"), "gpu")
    correct = _correct(metrics)
    common = Common(
        row=key,
        model_name=model,
        phase="e2e",
        prompt_tokens=_positive(tokens, "input"),
        output_tokens=_positive(tokens, "output"),
        device_kind=words(_part(metrics, "gpu_info"), "name"),
        boundary="device",
        method="energy_monitor",
        extra={} if correct is None else {"correct": correct},
    )
    joules = _positive(_part(metrics, "energy_metrics"), "per_query_joules")
    cpu = _positive(_part(metrics, "energy_metrics"), "cpu_per_query_joules")
    phases = _part(metrics, "phase_metrics")
    split = [
        common.fact(f"energy_{phase}_j", joules_of, phase=phase)
        for phase in ("prefill", "decode")
        if (joules_of := _positive(phases, f"{phase}_energy_j")) is not None
    ]
    whole = common.facts({
        "energy_j": (joules, "request"),
        "energy_cpu_j": (cpu, "request"),
        "runtime_s": (_positive(latency, "total_query_seconds"), "request"),
        "ttft_s": (_positive(latency, "time_to_first_token_seconds"), "request"),
        "tpot_s": (_positive(latency, "per_token_ms", MS), "token"),
        "tokens_per_s": (_positive(latency, "throughput_tokens_per_sec"), "second"),
        "power_w": (_positive(_part(gpu, "per_query_watts"), "avg"), "second"),
    })  # fmt: skip
    return (*whole, *split)


def _correct(metrics: Mapping[str, Any]) -> bool | None:
    """Whether the answer was right. `lm_correctness` is False in a record that nobody judged, so
    that only its True says something; a later `evaluation` says both."""
    judged = _part(metrics, "evaluation").get("is_correct")
    if isinstance(judged, bool):
        return judged
    return True if metrics.get("lm_correctness") is True else None
