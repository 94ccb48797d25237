"""MLPerf Inference: `summary_results*.json`, one object a submission.

`Power_Result` is the mean watts of the system under test for Offline and Server, and millijoules a
query for SingleStream and MultiStream: both come out as `energy_j` of one unit of work (W over
throughput, or mJ / 1000). The -99 and -99.9 entries of one system with equal results are one
measurement listed twice: the later one says so in `twin_of`. Results are shown here as imported and
not verified by MLCommons.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from observatory.errors import InputError
from observatory.importers.facts import MS, Common
from observatory.importers.files import head
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    each,
    extras,
    json_value,
    mapping,
    name_of,
    number,
    shown,
    whole,
    words,
)

TOOL, LICENCE = "MLPerf Inference", "Apache-2.0"
URL = "https://github.com/mlcommons/inference_results_{version}"
NOTICE = "not verified by MLCommons Association"
KEPT = (
    "ID", "Submitter", "Availability", "Category", "Suite", "System", "Platform", "Model",
    "Scenario", "Accuracy", "Nodes", "a#", "host_processor_core_count", "Processor", "version",
)  # fmt: skip
UNITS = {"Tokens/s": "token", "Samples/s": "sample", "Queries/s": "query", "Latency (ms)": "query"}
DTYPES = {"float8": "fp8"}
SAME = ("Submitter", "Suite", "Category", "Platform", "Software", "Scenario", "Performance_Result",
        "Performance_Units", "Power_Result")  # fmt: skip


def sniff(path: Path) -> bool:
    """A JSON list of submissions with scenario and performance."""
    start = head(path)
    return '"Performance_Result"' in start and '"Scenario"' in start and '"Submitter"' in start


def read(path: Path) -> Reading:
    """Every submission. Raises InputError where the file is unreadable."""
    content = json_value(path)
    if not isinstance(content, list):
        raise InputError(f"{path}: no list of submissions: not an MLPerf summary")
    first = content[0] if content and isinstance(content[0], dict) else {}
    version = shown(str(first["version"])) if first.get("version") else None
    rows = each(_with_twins(content), lambda key, raw: _row(key, *raw))
    return Reading(TOOL, rows, version, LICENCE, URL.format(version=version), {"notice": NOTICE})


def _with_twins(content: list[Any]) -> Iterator[tuple[str, tuple[Any, str | None]]]:
    seen: dict[tuple[str, ...], str] = {}
    for i, raw in enumerate(content):
        twin = None
        if isinstance(raw, dict):
            model = str(raw.get("Model"))
            key = (model.removesuffix(".9"), *(repr(raw.get(name)) for name in SAME))
            if model.endswith(("-99", "-99.9")):
                other = seen.setdefault(key, f"{i}:{model}")
                twin = other.partition(":")[0] if other.partition(":")[2] != model else None
        yield str(i), (raw, twin)


def _row(key: str, raw: Any, twin: str | None) -> Row:
    raw = mapping(raw, "submission")
    unit = UNITS.get(str(raw.get("Performance_Units")))
    if unit is None:
        raise RowError(f"Performance_Units {str(raw.get('Performance_Units'))[:30]!r} is unknown")
    accelerator, per_node = words(raw, "Accelerator"), _count(raw, "a#")
    nodes = whole(raw, "Nodes") or 1
    if accelerator is None:
        accelerator, per_node = words(raw, "Processor"), _count(raw, "host_processors_per_node")
    dtype = (words(raw, "weight_data_types") or "").lower() or None
    common = Common(
        row=key,
        model_name=words(raw, "UsedModel") or name_of(raw, "Model"),
        phase="serving",
        work_unit=unit,
        device_kind=accelerator,
        device_count=None if per_node is None else per_node * nodes,
        dtype=DTYPES.get(dtype, dtype) if dtype else None,
        backend=(words(raw, "Software") or "")[:200] or None,
        boundary="wall",
        method="wall_meter",
        extra={"notice": NOTICE, **({"twin_of": twin} if twin else {}), **extras(raw, KEPT)},
    )
    return Row(key, common.facts(_values(raw, unit)))


def _count(raw: Any, name: str) -> int | None:
    """A count that is a number in one version and text in another."""
    return None if str(raw.get(name)).strip() in ("", "None") else whole(raw, name)


def _values(raw: Any, unit: str) -> dict[str, tuple[float | None, str]]:
    performance, power = number(raw, "Performance_Result"), number(raw, "Power_Result")
    values: dict[str, tuple[float | None, str]] = {}
    if raw["Performance_Units"] == "Latency (ms)":
        latency = None if performance is None else performance * MS
        values["runtime_s"] = (latency, "query")
    else:
        values[_rate(unit)] = (performance, "second")
    if power is None:
        return values
    units = str(raw.get("Power_Units")).lower()
    if units == "watts":
        values["power_w"] = (power, "second")
        if performance and raw["Performance_Units"] != "Latency (ms)":
            values["energy_j"] = (power / performance, unit)
    elif units in ("millijoules", "millijoules/stream", "mj"):
        values["energy_j"] = (power / 1000, "query")
    else:
        raise RowError(f"Power_Units {units[:30]!r} is neither watts nor millijoules")
    return values


def _rate(unit: str) -> str:
    return {"token": "tokens_per_s", "sample": "samples_per_s", "query": "queries_per_s"}[unit]
