"""Which windows a finding leaves out of summaries and fits."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from observatory.audit.rule import AVOID, EXCLUDE
from observatory.records import Finding

#: What makes windows repeats of each other: the same stack, machine and workload.
GROUP = [
    "configuration_key", "environment_key", "phase",
    "prompt_tokens", "output_tokens", "context_tokens", "batch",
]  # fmt: skip


def mark_excluded(rows: pd.DataFrame, findings: Sequence[Finding]) -> pd.DataFrame:
    """The windows with a column `excluded`.

    A window is left out where it broke a rule of severity `exclude`, or of severity `avoid` while
    the same configuration, machine and workload has other windows that broke none: a measurement
    beside a busy neighbour serves only where there is no better one (ours).
    """
    by_severity = {
        severity: {f.subject_id for f in findings if f.severity == severity}
        for severity in (EXCLUDE, AVOID)
    }
    bad = rows["id"].isin(by_severity[EXCLUDE])
    poor = rows["id"].isin(by_severity[AVOID])
    if rows.empty:
        return rows.assign(excluded=bad)
    good = (~bad & ~poor).groupby([rows[c] for c in GROUP], dropna=False).transform("any")
    return rows.assign(excluded=bad | (poor & good))
