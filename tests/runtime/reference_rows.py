"""Rows of the reference data for calibration tests: the profiling logs and ML.ENERGY v3.

`python -m tests.runtime.reference_rows` writes the shipped calibrations anew.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

from observatory.catalog import hardware
from observatory.catalog.architecture import lookup
from observatory.errors import UnknownNameError
from observatory.runtime.calibration import Calibration
from observatory.runtime.calibration_errors import calibrate
from observatory.runtime.calibration_rows import Sample

_PRECISION = {"bfloat16": "bf16", "fp8": "fp8", "mxfp4": "mxfp4"}
_PROMPT = {"gpqa": 250.0, "lm-arena-chat": 200.0}
V3_ASSUMPTION = "context = 200 (chat) or 250 (gpqa) + 0.75 × output tokens: prompts are unpublished"


def helm(root: Path, device: str) -> list[Sample]:
    """Requests of one client at batch 1, fp16 (Narayanan et al., 2023)."""
    with (root / "helm/models.csv").open() as file:
        gpus = {(r["hardware"], r["model"]): int(r["gpus"]) for r in csv.DictReader(file)}
    rows = []
    for path in sorted((root / "helm/points" / device).glob("*.csv")):
        arch, n = lookup(path.stem), gpus[device, path.stem]
        with path.open() as file:
            for r in csv.DictReader(file):
                rows.append(
                    Sample(arch, n, "fp16", 1, float(r["runtime_s"]), float(r["p"]), float(r["o"]))
                )
    return rows


def ml_energy_v3(root: Path, gpu: str, time: str = "throughput") -> list[Sample]:
    """Decode steps of vLLM servers whose architecture is in the catalogue.

    time: `throughput` = batch / output throughput, the effective step that carries the energy;
    `median` = the published median inter-token latency.
    """
    rows = []
    for task, prompt in _PROMPT.items():
        table = json.loads((root / f"peers/ml_energy_v3/tasks/{task}.json").read_text())
        for r in table["configurations"]:
            if r["gpu_model"] != gpu:
                continue
            try:
                arch = lookup(r["model_id"])
            except UnknownNameError:
                continue
            batch = r["avg_batch_size"]
            step = batch / r["output_throughput_tokens_per_sec"]
            rows.append(
                Sample(
                    arch, r["num_gpus"], _PRECISION[r["weight_precision"]], batch,
                    step if time == "throughput" else r["median_itl_ms"] / 1e3,
                    context=prompt + 0.75 * r["avg_output_len"], power_w=r["avg_power_watts"],
                )
            )  # fmt: skip
    return rows


def shipped(root: Path) -> list[Calibration]:
    """The calibrations that the package ships, computed from the reference data."""
    logs = "profiling logs of arXiv 2305.02440 (github.com/stanford-crfm/helm-efficiency, c31b8fc)"
    v3 = "ML.ENERGY Benchmark v3, vLLM, steady state (Apache-2.0)"
    found = [
        calibrate(helm(root, key), hardware.lookup(key), "single-stream", logs,
                  ("stack: Megatron, fp16, eager, 2022",))
        for key in ("a100", "v100")
    ]  # fmt: skip
    found += [
        calibrate(ml_energy_v3(root, key), hardware.lookup(key), "server", v3, (V3_ASSUMPTION,))
        for key in ("H100", "B200")
    ]
    return found


if __name__ == "__main__":
    target = Path(__file__).parents[2] / "observatory/catalog/data/calibrations.json"
    records = [c.as_dict() for c in shipped(Path(os.environ["OBSERVATORY_REFERENCE"]))]
    target.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{target}\n")
