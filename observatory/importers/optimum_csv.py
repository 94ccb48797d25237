"""optimum-benchmark report CSV: the full report, and the short one of the running-llamas example.

`forward` is prefill, `generate` a whole request of the batch, `decode` what is left. Both files of
one example hold the same runs: a row that another file of this tool already brought is marked
`twin_of` at import. Times are of the whole batch; no energy in these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observatory.importers.facts import MB, Common
from observatory.importers.reading import (
    Reading,
    Row,
    csv_rows,
    each,
    extras,
    header,
    name_of,
    number,
    words,
)

TOOL, LICENCE = "optimum-benchmark", "Apache-2.0"
URL = "https://github.com/huggingface/optimum-benchmark"
FULL = ("forward.latency(s)", "generate.latency(s)", "benchmark.input_shapes.batch_size")
SHORT = ("Prefill Latency (s)", "Decode Latency (s)", "Per Process Batch Size")
TWINS_ACROSS_FILES = True  #: full and short file list the same runs


def sniff(path: Path) -> bool:
    """Either of the two headers."""
    names = header(path)
    return set(FULL) <= set(names) or set(SHORT) <= set(names)


def read(path: Path) -> Reading:
    """Every run. Raises InputError where the file is unreadable."""
    full = set(FULL) <= set(header(path))
    rows = each(csv_rows(path, FULL if full else SHORT), _full if full else _short)
    return Reading(TOOL, rows, None, LICENCE, URL)


def _gpus(raw: Any, name: str) -> tuple[str | None, int | None]:
    """('NVIDIA A100', 1) from the text `['NVIDIA A100']`: split, never evaluated."""
    listed = [part.strip(" '\"") for part in str(raw.get(name) or "").strip("[] ").split(",")]
    kinds = [made for part in listed if (made := words({name: part}, name))]
    return (kinds[0], len(kinds)) if kinds else (None, None)


def _common(key: str, raw: Any, columns: dict[str, str], experiment: str) -> Common:
    device, count = _gpus(raw, columns["gpus"])
    parts = experiment.split("+")
    return Common(
        row=key,
        model_name=name_of(raw, columns["model"]),
        phase="e2e",
        prompt_tokens=number(raw, columns["prompt"]),
        output_tokens=number(raw, columns["output"]) if "output" in columns else None,
        batch=number(raw, columns["batch"]),
        device_kind=device,
        device_count=count,
        dtype=parts[0] or None,
        quantization=next((p for p in parts if p in ("gptq", "bnb", "awq")), "none"),
        backend="transformers",
        extra={"experiment": experiment, **extras(raw, columns.get("kept", "").split())},
    )


def _full(key: str, raw: Any) -> Row:
    columns = {
        "gpus": "environment.gpus", "model": "model", "output": "benchmark.new_tokens",
        "prompt": "benchmark.input_shapes.sequence_length",
        "batch": "benchmark.input_shapes.batch_size",
        "kept": "backend.version backend.use_flash_attention_2 backend.no_weights "
        "environment.transformers_version environment.optimum_version",
    }  # fmt: skip
    common = _common(key, raw, columns, words(raw, "experiment_name") or "")
    peak = number(raw, "generate.max_memory_allocated(MB)", MB)
    return Row(key, common.facts({
        "prefill_s": (number(raw, "forward.latency(s)"), "batch"),
        "decode_s": (number(raw, "decode.latency(s)"), "batch"),
        "runtime_s": (number(raw, "generate.latency(s)"), "batch"),
        "tokens_per_s": (number(raw, "decode.throughput(tokens/s)"), "second"),
        "memory_bytes": (peak, "device"),
    }))  # fmt: skip


def _short(key: str, raw: Any) -> Row:
    columns = {"gpus": "GPUs", "model": "Model", "prompt": "Sequence Length",
               "batch": "Per Process Batch Size"}  # fmt: skip
    common = _common(key, raw, columns, words(raw, "Experiment Name") or "")
    return Row(key, common.facts({
        "prefill_s": (number(raw, "Prefill Latency (s)"), "batch"),
        "decode_s": (number(raw, "Decode Latency (s)"), "batch"),
        "tokens_per_s": (number(raw, "Decode Throughput (tokens/s)"), "second"),
        "memory_bytes": (number(raw, "Generate Max Memory Allocated (MB)", MB), "device"),
    }))  # fmt: skip
