"""Which columns of an export a paper wants, and what a caption must say beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from observatory.figures.runtime import point_label

MOST_VALUES = 3  #: different values of a column that a caption lists


@dataclass(frozen=True, slots=True)
class PaperTable:
    """Columns of a table in a paper, the facts its caption states, and what brackets mean."""

    title: str
    columns: tuple[str, ...]
    said: tuple[str, ...] = ()
    brackets: str = ""


_STACK = ("device", "dtype", "attention", "threads", "backend", "backend_version", "weights",
          "energy_method", "energy_boundary")  # fmt: skip
#: headers shorter than the names of their columns; units are added
HEADS = {
    "prompt_tokens": "prompt", "context_tokens": "context", "output_tokens": "output",
    "tokens_per_s": "token/s", "n_windows": "n", "n_points": "points",
    "n_heldout": "held out", "heldout_p90_error": "p90 held out", "prompt_max": "prompt max",
    "output_max": "output max", "device_s": "cost", "co2e_operational_g": "carbon",
    "co2e_g": "carbon", "co2e_total_g": "carbon, total", "cost_usd": "money",
    "on_frontier": "frontier", "p_on_frontier": "P(frontier)", "process_index": "process",
    "window_index": "window", "energy_device_j": "device", "energy_cpu_j": "CPU",
    "energy_dram_j": "DRAM", "error_rel": "error", "configuration_key": "configuration",
    "started_utc": "started (UTC)", "last_utc": "last (UTC)", "cells_ok": "ok",
    "cells_failed": "failed", "mape": "MAPE",
}  # fmt: skip
#: columns that are shares and print as per cent
SHARES = frozenset({"mape", "heldout_p90_error", "heldout_median_error", "heldout_max_error",
                    "p95_error", "error_rel", "between_process_rel", "mfu", "mbu"})  # fmt: skip
CI95 = "Brackets: 95 % confidence interval."
P5_P95 = "Brackets: 5th to 95th percentile."
PAPER: Mapping[str, PaperTable] = {
    "summary": PaperTable(
        "Measured points: median of one iteration.",
        ("model", "point", "runtime_s", "energy_j", "tokens_per_s", "n_windows"), _STACK, CI95,
    ),
    "idealized": PaperTable(
        "Measured, idealized and roofline time.",
        ("model", "point", "runtime_s", "idealized_s", "error_rel", "roofline_s"),
        (*_STACK[:7], "roofline_bound"), CI95,
    ),
    "fits": PaperTable(
        "Idealized runtime and energy: fitted laws and their errors.",
        ("model", "quantity", "mape", "heldout_p90_error", "n_points", "n_heldout", "device_s",
         "prompt_max", "output_max", "configuration"),
        ("recipe", "weights"),
    ),
    "footprint": PaperTable(
        "Bills of one request.",
        ("model", "zone", "energy_wh", "co2e_operational_g", "water_l", "cost_usd", "runtime_s",
         "configuration"),
        ("prompt_tokens", "output_tokens", "batch", "boundary", "kind", "edition", "hydro_rule",
         "energy_method", "energy_provenance", "cost_basis"), P5_P95,
    ),
    "frontier": PaperTable(
        "Cost against capability.",
        ("model", "runtime_s", "energy_j", "co2e_g", "co2e_total_g", "water_l", "cost_usd",
         "score", "p_on_frontier", "on_frontier", "configuration"),
        ("group", "workload", "lane", "source"), "Brackets: interval of cost and score.",
    ),
    "capability": PaperTable(
        "Scores by lane.",
        ("model", "benchmark", "score", "stderr", "metric", "shots", "precision", "unit"),
        ("harness", "source", "licence"),
    ),
    "windows": PaperTable(
        "Raw windows.",
        ("configuration_key", "point", "duration_s", "iterations", "process_index",
         "window_index", "energy_device_j", "energy_cpu_j", "energy_dram_j", "flags"),
        ("run_id", "energy_method", "energy_boundary"),
    ),
    "configurations": PaperTable(
        "What was measured.",
        ("model", "cells_ok", "cells_failed", "windows", "processes", "runs", "last_utc",
         "weights", "configuration"), ("backend", "backend_version"),
    ),
    "estimates": PaperTable(
        "Bills kept in the store, in the unit that the bill's name states.",
        ("model", "zone", "bill", "mid", "prompt_tokens", "output_tokens"),
        ("batch", "boundary", "edition", "kind", "method", "device"), P5_P95,
    ),
    "runs": PaperTable(
        "Runs.", ("id", "status", "cells", "cells_ok", "windows", "started_utc", "profile",
                  "sensor"), ("code_version", "seed"),
    ),
    "cells": PaperTable(
        "Cells.", ("model", "point", "status", "error", "role"), ("run_id",),
    ),
    "findings": PaperTable(
        "Findings of the audit.", ("rule", "sentence", "remedy", "severity", "subject"), (),
    ),
}  # fmt: skip


def caption_facts(frame: pd.DataFrame, names: Sequence[str]) -> str:
    """`name value; name a / b` for the columns a caption states; missing ones are left out."""
    parts = []
    for name in names:
        if name not in frame:
            continue
        values = list(dict.fromkeys(_shown(v) for v in frame[name] if _known(v)))
        if values:
            more = "" if len(values) <= MOST_VALUES else f" and {len(values) - MOST_VALUES} more"
            parts.append(f"{name.replace('_', ' ')} {' / '.join(values[:MOST_VALUES])}{more}")
    return "; ".join(parts)


def with_point(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `point` (`decode 16 from 512`) where it has the columns that make one, and
    the bounds of kept estimates named as those of every other number."""
    made = frame
    if {"phase", "prompt_tokens", "context_tokens", "output_tokens", "batch"} <= set(frame.columns):
        made = made.assign(point=[point_label(row) for row in frame.to_dict("records")])
    if {"low", "mid", "high"} <= set(frame.columns):
        made = made.rename(columns={"low": "mid_low", "high": "mid_high"})
    return made


def _known(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and value != value)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
