"""Derived tables from facts: findings, summaries, fits. Pure functions of what was measured.

Everything here can be thrown away and comes out again the same. A summary pools the windows of
equal configuration, machine and workload over processes and runs; each process is a repeat. A fit
takes one observation for each process and cell (the median of its windows).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine

from observatory import audit
from observatory.audit.bounds import StoreBounds
from observatory.audit.marking import GROUP, mark_excluded
from observatory.ceilings import Ceilings
from observatory.errors import InputError
from observatory.runtime.fit import Fit, Observation, fit, heldout_errors
from observatory.statistics import between_process_spread, mad, median, process_interval
from observatory.store import reader, schema, writer

PROFILES = ("quick", "standard", "publishable")
FIT_PHASES = ("prefill", "decode", "e2e")
#: columns of reported rows that no rule looks at
NOT_JUDGED = ("std", "n", "reason", "extra", "source_name", "tool")
RECIPE_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Derived:
    """How many rows of each derived table stand after `derive`."""

    findings: int
    summaries: int
    fits: int


def derive(engine: Engine, configurations: Collection[str] | None = None) -> Derived:
    """Make findings, summaries and fits again from facts, in one transaction.

    `configurations` limits it to those keys (what a run touched); without it everything is made
    again, findings on reported rows too. A derived row depends on the facts of its own
    configuration alone, so both ways give the same rows.
    """
    with engine.begin() as connection:
        rows = reader.windows(connection, configurations=configurations)
        roofline = Ceilings(connection)
        findings = audit.audit_windows(rows, StoreBounds(connection, roofline))
        usable = mark_excluded(rows, findings)
        findings += audit.audit_cells(usable)
        summaries = [roofline.beside(row) for row in summarise(usable)]
        fits = list(fit_all(usable))
        writer.replace_findings(connection, findings, configurations)
        found = len(findings)
        if configurations is None:
            found += audit_reported(connection)
        writer.replace_derived(connection, schema.summary, summaries, configurations)
        writer.replace_derived(connection, schema.fit, fits, configurations)
    return Derived(found, len(summaries), len(fits))


def audit_reported(connection: Connection, sources: Collection[str] | None = None) -> int:
    """Make the findings on reported rows (of these sources) again. Returns how many there are.

    Rows are judged within their source, so that one source at a time gives the same findings.
    """
    findings = audit.audit_reported(reader.reported(connection, sources, True, NOT_JUDGED))
    writer.replace_reported_findings(connection, findings, sources)
    return len(findings)


def plain_rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows as plain dicts in which missing is None, never NaN."""
    for row in frame.to_dict("records"):
        yield {str(k): none_if_nan(v) for k, v in row.items()}


def none_if_nan(value: Any) -> Any:
    """None for NaN, anything else as it is."""
    return None if isinstance(value, float) and math.isnan(value) else value


def summarise(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """One row for each configuration × machine × phase × workload with usable windows."""
    if rows.empty:
        return
    for key, group in rows.groupby(GROUP, dropna=False, sort=True):
        used = group[~group["excluded"]]
        if used.empty:
            continue
        row = {name: none_if_nan(v) for name, v in zip(GROUP, key, strict=True)}
        row |= {c: None if row[c] is None else int(row[c]) for c in GROUP[3:]}
        row |= _identity(used, len(group) - len(used)) | _times(used) | _joules(used)
        yield row


def _identity(used: pd.DataFrame, excluded: int) -> dict[str, Any]:
    memory = used["peak_memory_bytes"].dropna()
    return {
        "role": "heldout" if (used["role"] == "heldout").all() else str(used["role"].iloc[0]),
        "provenance": "measured",
        "profile": min(used["profile"], key=lambda p: PROFILES.index(p) if p in PROFILES else -1),
        "n_runs": int(used["run_id"].nunique()),
        "n_processes": int(_process(used).nunique()),
        "n_windows": len(used),
        "n_excluded": excluded,
        "peak_memory_bytes": None if memory.empty else int(memory.max()),
    }


def _process(rows: pd.DataFrame) -> pd.Series[str]:
    return rows["run_id"] + "/" + rows["process_index"].astype(str) + "/" + rows["process_id"]


def _by_process(rows: pd.DataFrame, values: pd.Series[float]) -> list[np.ndarray]:
    return [v.to_numpy(dtype=float) for _, v in values.groupby(_process(rows), sort=True)]


def _times(used: pd.DataFrame) -> dict[str, Any]:
    seconds = used["duration_s"] / used["iterations"]
    groups = _by_process(used, seconds)
    interval = process_interval(groups)
    tokens = (used["tokens"] / used["iterations"]).dropna()
    per_iteration = None if tokens.empty else median(tokens)
    return {
        "runtime_s": interval.mid,
        "runtime_low_s": interval.low,
        "runtime_high_s": interval.high,
        "runtime_interval": interval.method,
        "runtime_mad_s": mad(seconds),
        "runtime_p5_s": float(np.quantile(seconds, 0.05)),
        "runtime_p95_s": float(np.quantile(seconds, 0.95)),
        "between_process_rel": between_process_spread(groups),
        "tokens_per_iteration": per_iteration,
        "tokens_per_s": None if per_iteration is None else per_iteration / interval.mid,
    }


def _joules(used: pd.DataFrame) -> dict[str, Any]:
    """Energy of one iteration. Windows without a reading are left out; without any, the reason."""
    parts = used[["energy_device_j", "energy_cpu_j", "energy_dram_j"]]
    have = parts.notna().any(axis=1)
    empty: dict[str, Any] = {
        "energy_j": None, "energy_low_j": None, "energy_high_j": None, "energy_device_j": None,
        "energy_host_j": None, "energy_idle_devices_j": None, "energy_per_token_j": None,
        "power_w": None, "energy_boundary": None, "energy_method": None,
        "energy_provenance": None, "energy_reason": None,
    }  # fmt: skip
    if not have.any():
        reasons = used["energy_reason"].dropna()
        return empty | {"energy_reason": str(reasons.mode().iloc[0]) if len(reasons) else None}
    rows, shares = used[have], parts[have].div(used.loc[have, "iterations"], axis=0)
    total = shares.sum(axis=1, min_count=1)
    interval = process_interval(_by_process(rows, total))
    tokens = (rows["tokens"] / rows["iterations"]).dropna()
    idle = (rows["energy_idle_devices_j"] / rows["iterations"]).dropna()
    host = shares[["energy_cpu_j", "energy_dram_j"]].sum(axis=1, min_count=1).dropna()
    device = shares["energy_device_j"].dropna()
    return empty | {
        "energy_j": interval.mid,
        "energy_low_j": interval.low,
        "energy_high_j": interval.high,
        "energy_device_j": None if device.empty else median(device),
        "energy_host_j": None if host.empty else median(host),
        "energy_idle_devices_j": None if idle.empty else median(idle),
        "energy_per_token_j": interval.mid / median(tokens) if len(tokens) else None,
        "power_w": median(total * rows["iterations"] / rows["duration_s"]),
        "energy_boundary": _only(rows["energy_boundary"]),
        "energy_method": _only(rows["energy_method"]),
        "energy_provenance": _only(rows["energy_provenance"]),
    }


def _only(values: pd.Series[str]) -> str | None:
    found = sorted(set(values.dropna()))
    return "+".join(found) if found else None


def observations(rows: pd.DataFrame, role: str, column: str = "duration_s") -> list[Observation]:
    """One observation for each process and cell of this role: the median of its windows.

    `column` is the additive cost that is fitted: seconds, or the joules of one component.
    """
    used = rows[
        ~rows["excluded"] & (rows["role"] == role) & rows["phase"].isin(FIT_PHASES)
        & (rows[column].astype(float) > 0)
    ]  # fmt: skip
    result: list[Observation] = []
    if used.empty:
        return result
    per_iteration = used.assign(seconds=used[column] / used["iterations"], who=_process(used))
    for key, group in per_iteration.groupby([*GROUP[2:], "who"], dropna=False, sort=True):
        phase, prompt, output, context, batch, who = (none_if_nan(v) for v in key)
        seconds = group["seconds"]
        result.append(
            Observation(
                prompt_tokens=0 if prompt is None else int(prompt),
                output_tokens=int(output),
                batch=int(batch),
                runtime_s=median(seconds),
                phase=str(phase),
                std_s=float(seconds.std(ddof=1)) if len(seconds) > 1 else None,
                process=str(who),
                context_tokens=None if context is None else int(context),
            )
        )
    return result


def pool_processes(points: Sequence[Observation]) -> list[Observation]:
    """The same points with the median over processes as their time: what a fit is held against."""
    groups: dict[tuple[Any, ...], list[Observation]] = {}
    for o in points:
        key = (o.phase, o.prompt_tokens, o.output_tokens, o.batch, o.context_tokens)
        groups.setdefault(key, []).append(o)
    return [
        Observation(
            first.prompt_tokens, first.output_tokens, first.batch,
            median([o.runtime_s for o in group]), first.phase, context_tokens=first.context_tokens,
        )
        for group in groups.values()
        for first in group[:1]
    ]  # fmt: skip


def process_spread(points: Sequence[Observation]) -> float | None:
    """Median over points of (slowest - fastest process) / median; None with one process."""
    groups: dict[tuple[Any, ...], list[list[float]]] = {}
    for o in points:
        key = (o.phase, o.prompt_tokens, o.output_tokens, o.batch, o.context_tokens)
        groups.setdefault(key, []).append([o.runtime_s])
    spreads = [s for g in groups.values() if (s := between_process_spread(g)) is not None]
    return median(spreads) if spreads else None


QUANTITIES = {
    "runtime_s": "duration_s",
    "energy_device_j": "energy_device_j",
    "energy_cpu_j": "energy_cpu_j",
    "energy_dram_j": "energy_dram_j",
}


def fit_all(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Idealized runtime, and joules by component, of each configuration × machine with enough.

    Energy follows the same model with non-negative parameters (METHOD §3.6).
    """
    if rows.empty:
        return
    for (configuration, machine), group in rows.groupby(
        ["configuration_key", "environment_key"], sort=True
    ):
        for quantity, column in QUANTITIES.items():
            points = observations(group, "fit", column)
            try:
                fitted = fit(points)
            except InputError:
                continue  # too few points: a run under way, or one without prefill or decode
            held = pool_processes(observations(group, "heldout", column))
            row = fit_row(str(configuration), str(machine), fitted, points, held, quantity)
            if quantity != "runtime_s":
                seen = group[group[column].notna()]
                for name in ("energy_boundary", "energy_method", "energy_provenance"):
                    row[name] = _only(seen[name])
            yield row


def fit_row(
    configuration: str,
    machine: str,
    fitted: Fit,
    points: Sequence[Observation],
    held: Sequence[Observation],
    quantity: str = "runtime_s",
) -> dict[str, Any]:
    """A fit as a row of the table `fit`."""
    errors = heldout_errors(fitted, held) if held else None
    ranges = fitted.ranges
    return {
        "configuration_key": configuration,
        "environment_key": machine,
        "quantity": quantity,
        "recipe": fitted.recipe,
        "recipe_version": RECIPE_VERSION,
        "data_hash": fitted.data_hash,
        "parameters": fitted.to_json(),
        "mape": fitted.errors.mape,
        "p95_error": fitted.errors.p95,
        "max_error": fitted.errors.max,
        "n_points": fitted.points_used,
        "n_heldout": len(held),
        "heldout_median_error": None if errors is None else errors.median,
        "heldout_p90_error": None if errors is None else errors.p90,
        "heldout_max_error": None if errors is None else float(np.max(np.abs(errors.all))),
        "between_process_rel": process_spread([*points]),
        "device_s": fitted.device_s,
        "prompt_min": int(ranges.prompt[0]),
        "prompt_max": int(ranges.prompt[1]),
        "output_max": int(ranges.output[1]),
        "batch_min": int(ranges.batch[0]),
        "batch_max": int(ranges.batch[1]),
        "context_max": int(ranges.context[1]),
        "energy_boundary": None,
        "energy_method": None,
        "energy_provenance": None,
    }
