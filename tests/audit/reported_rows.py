"""Reported rows for tests: a made-up server, and public data as an importer gives it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from observatory.importers import ml_energy_v3 as ml_energy_reader
from observatory.records import Reported

#: Decode of 64 sequences on one H100: a step of 32 ms, 600 W. The numbers agree with each other.
SERVER: dict[str, Any] = {
    "model_name": "meta-llama/Llama-3.1-8B-Instruct", "phase": "serving", "output_tokens": 500.0,
    "batch": 64.0, "device_kind": "H100", "device_count": 1, "dtype": "bfloat16",
    "boundary": "device", "method": "nvml_counter",
}  # fmt: skip
VALUES: dict[str, tuple[float, str, str]] = {
    "tokens_per_s": (2000.0, "token/s", "second"),
    "tpot_s": (0.031, "s", "token"),
    "power_w": (600.0, "W", "request"),
    "energy_per_token_j": (0.3, "J", "token"),
    "energy_j": (150.0, "J", "request"),
}


def server(
    changes: Mapping[str, float] | None = None, row: str = "1", **what: Any
) -> list[Reported]:
    """One row of a file; `changes` replaces values, `what` the facts around them."""
    values = {q: (v, unit, per) for q, (v, unit, per) in VALUES.items()}
    for quantity, value in (changes or {}).items():
        values[quantity] = (value, *values[quantity][1:])
    return [
        Reported(row=row, quantity=quantity, value=value, unit=unit, per=per, **(SERVER | what))
        for quantity, (value, unit, per) in values.items()
    ]


def helm(root: Path) -> list[Reported]:
    """Requests of one client, fp16, times in ms (arXiv 2305.02440)."""
    with (root / "helm/models.csv").open() as file:
        gpus = {(r["hardware"], r["model"]): int(r["gpus"]) for r in csv.DictReader(file)}
    rows = []
    for device in ("a100", "v100"):
        for path in sorted((root / "helm/points" / device).glob("*.csv")):
            with path.open() as file:
                for line, point in enumerate(csv.DictReader(file), 2):
                    rows.append(
                        Reported(
                            row=f"{device}/{path.stem}:{line}", model_name=path.stem, phase="e2e",
                            quantity="runtime_s", value=float(point["runtime_s"]), unit="s",
                            prompt_tokens=float(point["p"]), output_tokens=float(point["o"]),
                            batch=1, device_kind=device, device_count=gpus[device, path.stem],
                            dtype="fp16",
                        )
                    )  # fmt: skip
    return rows


def ml_energy_v3(root: Path) -> list[Reported]:
    """Token-generating tasks of ML.ENERGY v3 as their importer reads them, rows named by task."""
    return [
        replace(value, row=f"{task}:{row.id}")
        for task in ("gpqa", "lm-arena-chat")
        for row in ml_energy_reader.read(root / f"peers/ml_energy_v3/tasks/{task}.json").rows
        for value in row.reported
    ]


def planted(rows: list[Reported], row: str, changes: Mapping[str, float]) -> list[Reported]:
    """A copy in which some values of one row are others."""
    return [
        replace(r, value=changes[r.quantity]) if r.row == row and r.quantity in changes else r
        for r in rows
    ]
