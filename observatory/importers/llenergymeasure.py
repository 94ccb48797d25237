"""LLenergyMeasure `result.json`: one experiment over `n` prompts (schema 2 to 5 of its exporter).

`total_energy_j` is the GPUs' energy of the whole experiment, idle not subtracted, and
`avg_energy_per_token_j` that over the output tokens, while `avg_tokens_per_second` counts prompt
tokens too. Schema 5 names model and engine itself and has no `effective_config`. A token cap
(`max_output_tokens`) is no length, so it is kept as a note. Fixtures that say of themselves that
they were not measured are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from observatory.importers.facts import Common
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
    whole,
    words,
)

TOOL = "LLenergyMeasure"
URL = "https://github.com/henrycgbaker/LLenergyMeasure"
SAME = 1e-3  #: two token counts that agree


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


def _part(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = raw.get(name)
        raw = value if isinstance(value, dict) else {}
    return raw


def _row(key: str, raw: Any) -> Row:
    raw = mapping(raw, "experiment")
    said = words(raw, "reproducibility_notes") or ""
    if "not from real measurements" in said:
        raise RowError("says of itself that it was not measured")
    config, gpu = _part(raw, "effective_config"), _part(raw, "environment_snapshot", "hardware")
    polled = "nvml_power_integral" if "NVML polling" in said else None
    common = Common(
        row=key,
        model_name=words(raw, "model_name") or name_of(config, "model"),
        phase="serving",
        device_kind=words(_part(gpu, "gpu"), "name"),
        dtype=words(config, "precision"),
        backend=words(raw, "engine") or words(raw, "backend") or words(config, "backend"),
        boundary="device",
        method=words(raw, "energy_backend") or polled or "unknown",
        n=whole(config, "n"),
        extra=extras(config, ("max_input_tokens", "max_output_tokens"))
        | extras(raw, ("experiment_id", "schema_version", "measurement_methodology",
                       "energy_adjusted_j"))
        | _warnings(raw),
    )  # fmt: skip
    return Row(key, common.facts(_values(raw)))


def _values(raw: Mapping[str, Any]) -> dict[str, tuple[float | None, str]]:
    total_j, seconds = number(raw, "total_energy_j"), number(raw, "total_inference_time_sec")
    output, every = number(raw, "output_tokens"), number(raw, "total_tokens")
    each_j = number(raw, "avg_energy_per_token_j")
    counted = total_j / each_j if total_j and each_j else None
    of_all = counted is not None and every and abs(counted / every - 1) < SAME and output != every
    return {
        "energy_run_j": (total_j, "run"),
        "energy_per_token_j": (each_j, "token of prompt and output" if of_all else "token"),
        "tokens_per_s": (output / seconds if output and seconds else None, "second"),
        "total_tokens_per_s": (number(raw, "avg_tokens_per_second"), "second"),
        "runtime_run_s": (seconds, "run"),
        "power_idle_w": (number(raw, "baseline_power_w"), "second"),
    }


def _warnings(raw: Mapping[str, Any]) -> dict[str, Any]:
    given = raw.get("measurement_warnings")
    said = [text for text in given if isinstance(text, str)] if isinstance(given, list) else []
    return extras({"warnings": "; ".join(said)}, ("warnings",)) if said else {}
