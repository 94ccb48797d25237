"""ML.ENERGY Benchmark v3: one JSON file a task, one object a configuration of a vLLM server.

Energy is the NVML counter over a steady state of the server, all GPUs together; prompt lengths are
not in it. J/token × token/s equals the mean power by construction, so that identity checks this
reader and not the measurement. Rows that share every identifying column are different measurements:
the position in the list is the identity. Image rows count images, not tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observatory.importers.facts import MS, Common
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
    words,
)

TOOL, LICENCE = "ML.ENERGY Benchmark v3", "Apache-2.0"
URL = "https://github.com/ml-energy/benchmark"
KEPT = (
    "nickname", "architecture", "max_num_seqs", "tensor_parallel", "expert_parallel",
    "data_parallel", "ulysses_degree", "ring_degree", "image_height", "image_width",
    "inference_steps", "total_params_billions", "activated_params_billions",
)  # fmt: skip


def sniff(path: Path) -> bool:
    """A JSON object with configurations that carry energy and a model id."""
    start = head(path)
    return '"configurations"' in start and '"avg_power_watts"' in start and '"model_id"' in start


def read(path: Path) -> Reading:
    """Every configuration of one task. Raises InputError where the file is unreadable."""
    from observatory.errors import InputError

    content = json_value(path)
    found = content.get("configurations") if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise InputError(f"{path}: no list `configurations`: not an ML.ENERGY v3 file")
    task = words(content, "task") or path.stem
    rows = each(((f"{i}", raw) for i, raw in enumerate(found)), lambda k, raw: _row(k, raw, task))
    return Reading(TOOL, rows, "3", LICENCE, URL, {"task": task})


def _row(key: str, raw: Any, task: str) -> Row:
    raw = mapping(raw, "configuration")
    image = "energy_per_image_joules" in raw
    common = Common(
        row=key,
        model_name=name_of(raw, "model_id"),
        phase="serving",
        work_unit="image" if image else "token",
        output_tokens=number(raw, "avg_output_len"),
        batch=number(raw, "batch_size" if image else "avg_batch_size"),
        device_kind=name_of(raw, "gpu_model"),
        device_count=whole(raw, "num_gpus"),
        dtype=words(raw, "weight_precision"),
        backend=None if image else "vllm",
        boundary="device",
        method="nvml_counter",
        extra={"task": task, **extras(raw, KEPT)},
    )
    return Row(key, common.facts(_image(raw) if image else _text(raw)))


def _text(raw: Any) -> dict[str, tuple[float | None, str]]:
    values = {
        "energy_j": (number(raw, "energy_per_request_joules"), "request"),
        "energy_per_token_j": (number(raw, "energy_per_token_joules"), "token"),
        "power_w": (number(raw, "avg_power_watts"), "second"),
        "tokens_per_s": (number(raw, "output_throughput_tokens_per_sec"), "second"),
    }
    for name in ("median", "p90", "p95", "p99"):
        values[f"itl_{name}_s"] = (number(raw, f"{name}_itl_ms", MS), "token")
    return values


def _image(raw: Any) -> dict[str, tuple[float | None, str]]:
    return {
        "energy_j": (number(raw, "energy_per_image_joules"), "image"),
        "power_w": (number(raw, "avg_power_watts"), "second"),
        "images_per_s": (number(raw, "throughput_images_per_sec"), "second"),
        "runtime_s": (number(raw, "batch_latency_s"), "batch"),
    }
