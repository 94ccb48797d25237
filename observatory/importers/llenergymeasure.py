"""LLenergyMeasure `result.json`: one experiment over `n` prompts (schema 2 and 3 of its exporter).

`total_energy_j` is the GPUs' energy of the whole experiment, idle not subtracted; the figures per
token come from it. `max_output_tokens` is a cap and not the length, so it is kept as a note.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observatory.importers.facts import Common
from observatory.importers.reading import (
    Reading,
    Row,
    each,
    extras,
    head,
    json_value,
    mapping,
    number,
    whole,
    words,
)

TOOL = "LLenergyMeasure"
URL = "https://github.com/henrycgbaker/LLenergyMeasure"


def sniff(path: Path) -> bool:
    """A JSON object with its total energy, tokens and effective configuration."""
    start = head(path)
    return '"total_energy_j"' in start and '"avg_energy_per_token_j"' in start


def read(path: Path) -> Reading:
    """One experiment, or a list of them. Raises InputError where the file is unreadable."""
    content = json_value(path)
    found = content if isinstance(content, list) else [content]
    return Reading(
        TOOL, each(((str(i), raw) for i, raw in enumerate(found)), _row), None, None, URL
    )


def _row(key: str, raw: Any) -> Row:
    raw = mapping(raw, "experiment")
    config = mapping(raw.get("effective_config"), "effective_config")
    common = Common(
        row=key,
        model_name=words(config, "model") or "unnamed",
        phase="serving",
        dtype=words(config, "precision"),
        backend=words(config, "backend"),
        boundary="device",
        method=words(raw, "energy_backend") or "unknown",
        n=whole(config, "n"),
        extra=extras(config, ("max_input_tokens", "max_output_tokens"))
        | extras(raw, ("experiment_id", "schema_version", "measurement_methodology")),
    )
    return Row(key, common.facts({
        "energy_run_j": (number(raw, "total_energy_j"), "run"),
        "energy_per_token_j": (number(raw, "avg_energy_per_token_j"), "token"),
        "tokens_per_s": (number(raw, "avg_tokens_per_second"), "second"),
        "runtime_run_s": (number(raw, "total_inference_time_sec"), "run"),
    }))  # fmt: skip
