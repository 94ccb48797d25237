"""Which windows a finding leaves out of summaries and fits, and whose joules a point leaves out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from observatory.audit import joules
from observatory.audit.rule import AVOID, EXCLUDE
from observatory.records import Finding

#: What makes windows repeats of each other: the same stack, machine and workload.
GROUP = [
    "configuration_key", "environment_key", "phase",
    "prompt_tokens", "output_tokens", "context_tokens", "batch",
]  # fmt: skip


def mark_excluded(rows: pd.DataFrame, findings: Sequence[Finding]) -> pd.DataFrame:
    """The windows with the columns `excluded` and `energy_left_out`.

    A window is left out where it broke a rule of severity `exclude`, or of severity `avoid` while
    the same configuration, machine and workload has other windows that broke none: a measurement
    beside a busy neighbour serves only where there is no better one (ours). Of a window that stays,
    the joules alone are left out where they are of another kind than the point's (`joules`).
    """
    by_severity = {
        severity: {f.subject_id for f in findings if f.severity == severity}
        for severity in (EXCLUDE, AVOID)
    }
    bad = rows["id"].isin(by_severity[EXCLUDE])
    poor = rows["id"].isin(by_severity[AVOID])
    if rows.empty:
        return rows.assign(excluded=bad, energy_left_out=bad)
    good = (~bad & ~poor).groupby([rows[c] for c in GROUP], dropna=False).transform("any")
    marked = rows.assign(excluded=bad | (poor & good))
    return marked.assign(energy_left_out=joules.left_out(marked, GROUP))


def process_of(rows: pd.DataFrame) -> pd.Series[str]:
    """A label for each window's process: its run and its identity there. The index says which
    repeat a process was to be; where several share one identity, they were one process."""
    named = rows["process_id"].astype(object).fillna("")
    return rows["run_id"] + "/" + named.where(named != "", rows["process_index"].astype(str))
