"""optimum-benchmark (0.2 and later): `benchmark_report.json`, or `benchmark.json` with its config.

Targets `prefill`, `decode`, `generate` and `per_token` hold `latency` (s), `throughput`, `energy`
(kWh by component, from CodeCarbon) and `memory` (MB). Schema as its trackers write it. The report
alone names no model: then the folder's name stands for it. The scenario `inference` gives joules of
a batch; `energy_star` gives those of a whole data set, which `num_samples` divides, and generates
until a model stops: its cap on new tokens is no length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from observatory.errors import InputError
from observatory.importers.facts import J_PER_KWH, MB, Common
from observatory.importers.files import head
from observatory.importers.optimum_csv import LICENCE, TOOL, URL
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    each,
    json_value,
    needed,
    number,
    whole,
    words,
)
from observatory.records import Reported

TARGETS = {"prefill": "prefill", "decode": "decode", "generate": "e2e", "forward": "prefill"}


def sniff(path: Path) -> bool:
    """A JSON object with targets that have a latency with unit and mean, or an energy in kWh."""
    start = head(path)
    target = any(f'"{name}"' in start for name in (*TARGETS, "load_model", "report"))
    return target and ('"latency"' in start or '"kWh"' in start) and '"unit"' in start


def read(path: Path) -> Reading:
    """One benchmark. Raises InputError where the file is unreadable."""
    content = json_value(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: no object: not an optimum-benchmark report")
    config = content.get("config") if isinstance(content.get("config"), dict) else {}
    report = content.get("report") if isinstance(content.get("report"), dict) else content
    fallback = path.resolve().parent.name or path.stem
    rows = each([("0", report)], lambda key, raw: _row(key, raw, config or {}, fallback))
    return Reading(TOOL, rows, None, LICENCE, URL)


def _part(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _row(key: str, raw: Mapping[str, Any], config: Mapping[str, Any], fallback: str) -> Row:
    backend, scenario = _part(config, "backend"), _part(config, "scenario")
    shapes = _part(scenario, "input_shapes")
    device, count = _device(_part(config, "environment"), backend)
    samples = None
    if scenario.get("name") == "energy_star":
        samples = needed(scenario, "num_samples")
        if samples < 1:
            raise RowError(f"num_samples is {samples:g}")
    common = Common(
        row=key,
        model_name=words(backend, "model") or words({"x": fallback}, "x") or "unnamed",
        phase="e2e",
        prompt_tokens=number(shapes, "sequence_length"),
        output_tokens=None if samples else _length(_part(scenario, "generate_kwargs")),
        batch=number(shapes, "batch_size"),
        device_kind=device,
        device_count=count,
        dtype=words(backend, "torch_dtype") or words(backend, "dtype"),
        quantization=words(backend, "quantization_scheme"),
        backend=words(backend, "name"),
        boundary="host",
        method="codecarbon",
    )
    made: list[Reported] = []
    for target, phase in TARGETS.items():
        made += _target(common, _part(raw, target), target, phase, samples)
    if not made:
        raise RowError("no target with a latency or an energy")
    return Row(key, tuple(made))


def _length(generate: Mapping[str, Any]) -> float | None:
    """New tokens of every request; None where a model may stop earlier."""
    least, most = number(generate, "min_new_tokens"), number(generate, "max_new_tokens")
    return most if least is None or least == most else None


def _device(
    environment: Mapping[str, Any], backend: Mapping[str, Any]
) -> tuple[str | None, int | None]:
    """What ran, which need not be the GPU of the machine; and how many, where ids are given."""
    device = words(backend, "device")
    if device == "cpu":
        return words(environment, "cpu") or device, None
    gpus = environment.get("gpu")  # a list of names; one name in old versions
    names = gpus if isinstance(gpus, list) else [gpus]
    named = {words({"gpu": name}, "gpu") for name in names} - {None}
    ids = words(backend, "device_ids")
    count = len(ids.split(",")) if ids else None
    return (named.pop() if len(named) == 1 else device), count


def _target(
    common: Common, raw: Mapping[str, Any], target: str, phase: str, samples: float | None
) -> list[Reported]:
    """Values of one target; with `samples` its joules are those of so many requests together."""
    latency, energy = _part(raw, "latency"), _part(raw, "energy")
    if latency and latency.get("unit") != "s":
        raise RowError(f"{target} latency is in {str(latency.get('unit'))[:20]!r}, not s")
    if energy and energy.get("unit") != "kWh":
        raise RowError(f"{target} energy is in {str(energy.get('unit'))[:20]!r}, not kWh")
    made = []
    mean = number(latency, "mean")
    if mean is not None:
        std = number(latency, "stdev")
        measured = replace(common, n=whole(latency, "count"))
        made.append(measured.fact(f"{target}_s", mean, "batch", std=std, phase=phase))
    for component, name in (("gpu", "device"), ("cpu", "cpu"), ("ram", "dram"), ("total", "")):
        joules = number(energy, component, J_PER_KWH / (samples or 1.0))
        if joules is not None:
            quantity = f"energy_{target}_{name}_j".replace("__", "_")
            per = "request" if samples else "batch"
            made.append(common.fact(quantity, joules, per, phase=phase))
    memory = number(_part(raw, "memory"), "max_allocated", MB)
    if memory is not None:
        made.append(common.fact(f"memory_{target}_bytes", memory, "device", phase=phase))
    return made
