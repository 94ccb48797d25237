"""Derived tables from facts: findings, summaries, fits. Pure functions of what was measured.

Everything here can be thrown away and comes out again the same. A summary pools the windows of
equal configuration, machine and workload over processes and runs; each process is a repeat. Fits
(`fitting`) have the default recipe, and the others that somebody asked to be stored beside it: the
request stays, the fit is made again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine, select

from observatory import audit
from observatory.audit.bounds import StoreBounds
from observatory.audit.evidence import run_facts
from observatory.audit.joules import PARTS
from observatory.audit.levels import judged
from observatory.audit.marking import GROUP, mark_excluded, process_of
from observatory.ceilings import Ceilings
from observatory.fitting import DEFAULT_RECIPE, fit_all, only
from observatory.records import Finding
from observatory.statistics import between_process_spread, mad, median, process_interval
from observatory.store import reader, schema, writer

#: columns of reported rows that no rule looks at
NOT_JUDGED = ("std", "n", "reason", "extra", "source_name", "tool")


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
        roofline = Ceilings(connection)
        usable, findings = audited_windows(connection, roofline, configurations)
        findings += audit.audit_cells(usable)
        summaries = [roofline.beside(row) for row in summarise(usable)]
        asked = asked_recipes(connection, configurations)
        fits = [made.row() for made in fit_all(usable, asked, roofline.mixtures())]
        writer.replace_findings(connection, findings, configurations)
        found = len(findings)
        if configurations is None:
            found += audit_reported(connection)
        writer.replace_derived(connection, schema.summary, summaries, configurations)
        writer.replace_derived(connection, schema.fit, fits, configurations)
    return Derived(found, len(summaries), len(fits))


def audited_windows(
    connection: Connection, roofline: Ceilings, configurations: Collection[str] | None = None
) -> tuple[pd.DataFrame, list[Finding]]:
    """Windows with the column `excluded` and the level of their point, and the findings."""
    rows = reader.windows(connection, configurations=configurations)
    findings = audit.audit_windows(rows, StoreBounds(connection, roofline))
    return judged(mark_excluded(rows, findings), findings, run_facts(connection)), findings


def asked_recipes(
    connection: Connection, configurations: Collection[str] | None = None
) -> dict[tuple[str, str, str], set[str]]:
    """(configuration, machine, quantity) -> recipes stored beside the default one."""
    f = schema.fit
    query = select(f.c.configuration_key, f.c.environment_key, f.c.quantity, f.c.recipe).where(
        f.c.recipe != DEFAULT_RECIPE
    )
    if configurations is not None:
        query = query.where(f.c.configuration_key.in_(configurations))
    found: dict[tuple[str, str, str], set[str]] = {}
    for key, machine, quantity, recipe in connection.execute(query):
        found.setdefault((str(key), str(machine), str(quantity)), set()).add(str(recipe))
    return found


def audit_reported(connection: Connection, sources: Collection[str] | None = None) -> int:
    """Make the findings on reported rows (of these sources) again. Returns how many there are.

    Rows are judged within their source, and beside equal rows of sources stored before it, so that
    one source at a time gives the same findings.
    """
    rows = reader.reported(connection, sources, True, NOT_JUDGED, True, audit.STATED)
    others = None if sources is None else reader.reported_alike(connection, sources, audit.STATED)
    findings = audit.audit_reported(rows, others)
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
        "profile": used["level"].iloc[0],
        "profile_reason": used["level_reason"].iloc[0],
        "n_runs": int(used["run_id"].nunique()),
        "n_processes": int(process_of(used).nunique()),
        "n_windows": len(used),
        "n_excluded": excluded,
        "peak_memory_bytes": None if memory.empty else int(memory.max()),
    }


def _byprocess_of(rows: pd.DataFrame, values: pd.Series[float]) -> list[np.ndarray]:
    return [v.to_numpy(dtype=float) for _, v in values.groupby(process_of(rows), sort=True)]


def _times(used: pd.DataFrame) -> dict[str, Any]:
    seconds = used["duration_s"] / used["iterations"]
    groups = _byprocess_of(used, seconds)
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
    """Energy of one iteration. Windows without a reading are left out, and those whose joules are
    of another kind than the point's (`audit.joules`); without any, the reason."""
    parts = used[PARTS]
    have = parts.notna().any(axis=1) & ~used["energy_left_out"]
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
    interval = process_interval(_byprocess_of(rows, total))
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
        "energy_boundary": only(rows["energy_boundary"]),
        "energy_method": only(rows["energy_method"]),
        "energy_provenance": only(rows["energy_provenance"]),
    }
