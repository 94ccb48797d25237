"""Which columns of an export a paper wants, and what a caption must say beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import pandas as pd

from observatory.answers import label
from observatory.derive import plain_rows
from observatory.figures.naming import names
from observatory.figures.runtime import point_label

MOST_VALUES = 3  #: different values of a column that a caption lists
MOST_MARKS = 12  #: different sets of facts that a caption tells by a letter
#: phases that say how steady a machine was, and are no result
ASIDE = ("anchor", "idle")


@dataclass(frozen=True, slots=True)
class PaperTable:
    """Columns of a table in a paper, the facts its caption states, and what brackets mean."""

    title: str
    columns: tuple[str, ...]
    said: tuple[str, ...] = ()
    brackets: str = ""
    aside: tuple[str, ...] = ()  #: phases left out beside others


_STACK = ("device", "dtype", "attention", "threads", "backend", "backend_version", "weights",
          "energy_method", "energy_provenance", "energy_boundary")  # fmt: skip
#: facts that the words of a configuration tell
_IN_WORDS = frozenset({"device", "dtype", "attention", "threads", "configuration"})
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
        ASIDE,
    ),
    "idealized": PaperTable(
        "Measured, idealized and roofline time.",
        ("model", "point", "runtime_s", "idealized_s", "error_rel", "roofline_s"),
        (*_STACK[:7], "roofline_bound"), CI95, ASIDE,
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
         "lower_bound", "energy_method", "energy_provenance", "cost_basis"), P5_P95,
    ),
    "frontier": PaperTable(
        "Cost against capability.",
        ("model", "runtime_s", "energy_j", "co2e_g", "co2e_total_g", "water_l", "cost_usd",
         "score", "p_on_frontier", "on_frontier", "configuration"),
        ("group", "workload", "lane", "source", "lower_bound"),
        "Brackets: interval of cost and score.",
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
        if name == "lower_bound":  # a sentence that needs no name before it
            parts += values
        elif values:
            more = "" if len(values) <= MOST_VALUES else f" and {len(values) - MOST_VALUES} more"
            parts.append(f"{name.replace('_', ' ')} {' / '.join(values[:MOST_VALUES])}{more}")
    return "; ".join(parts)


def marks(
    frame: pd.DataFrame, names: Sequence[str]
) -> tuple[dict[str, str], list[str], tuple[str, ...]]:
    """What rows differ in, by a letter: (letter -> its facts, the letter of each row, the columns
    that the letters tell).

    Empty where all rows share these facts, where the name of a single model's rows says them, and
    where there are more than MOST_MARKS sets, too many for a caption.
    """
    varying = tuple(n for n in names if n in frame and frame[n].astype(str).nunique() > 1)
    rows = [caption_facts(frame.iloc[[i]], varying) for i in range(len(frame))] if varying else []
    letters = dict(zip(dict.fromkeys(rows), ascii_lowercase, strict=False))
    told = {"model", "configuration_key"} <= set(frame) and frame["model"].nunique() == 1
    if not 2 <= len(set(rows)) <= MOST_MARKS or (told and _IN_WORDS.issuperset(varying)):
        return {}, [], ()
    return {letter: facts for facts, letter in letters.items()}, [letters[r] for r in rows], varying


def prepared(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as a paper's table reads it.

    With `point` (`decode 16 from 512`) where it has the columns that make one, each model named
    with what sets its configurations apart, and the bounds of kept estimates named as those of
    every other number.
    """
    made = frame
    if {"phase", "prompt_tokens", "context_tokens", "output_tokens", "batch"} <= set(frame.columns):
        made = made.assign(point=[point_label(row) for row in frame.to_dict("records")])
    if {"low", "mid", "high"} <= set(frame.columns):
        made = made.rename(columns={"low": "mid_low", "high": "mid_high"})
    stack = {"device", "dtype", "attention"} <= set(made.columns)
    if "model" in made and (stack or "configuration" in made):
        made = made.assign(model=names(_stacks(made)))
    return made


def _stacks(frame: pd.DataFrame) -> pd.DataFrame:
    """Model, configuration in words and key of each row, as `naming.names` asks."""
    words = frame["configuration"] if "configuration" in frame else [
        label(row | {"device_kind": row["device"]}) for row in plain_rows(frame)
    ]  # fmt: skip
    made = frame[["model"]].assign(configuration=words)
    key = frame["configuration_key"] if "configuration_key" in frame else made["configuration"]
    return made.assign(configuration_key=key)


def _known(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and value != value)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
