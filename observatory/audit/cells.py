"""Rules on whole cells: how far repeats spread, and how far the anchor drifted over a run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from observatory.audit.joules import PARTS, kind_of
from observatory.audit.marking import process_of
from observatory.audit.rule import WARN, Rule, above, apply_all, below, limit, number
from observatory.records import Finding, Phase

MOST_CV = 0.05  #: METHOD §3.9
MOST_DRIFT = 0.03  #: METHOD §3.11
LEAST_WINDOWS = 3  #: a spread of two says nothing

CELL_RULES: tuple[Rule, ...] = (
    Rule(
        "runtime_cv", WARN,
        "The time of one iteration varies by {value:.1%} over {windows} windows of {processes} "
        "process(es) (coefficient of variation; bound {bound:.0%}).",
        "Repeat in more processes; look for neighbours, clocks and throttling.",
        "METHOD §3.9; windows left out by other rules do not count",
        ("runtime_cv",), limit("runtime_cv", MOST_CV), words=("windows", "processes"),
    ),
    Rule(
        "energy_cv", WARN,
        "The joules of one iteration vary by {value:.1%} over {windows} windows of {processes} "
        "process(es) (coefficient of variation; bound {bound:.0%}).",
        "Measure longer windows; let the device reach a steady temperature first.",
        "METHOD §3.9; measured energy of one boundary and method only",
        ("energy_cv",), limit("energy_cv", MOST_CV), words=("windows", "processes"),
    ),
    Rule(
        "mixed_boundary", WARN,
        "The joules of {value:.0f} of {windows} windows ({others}) have another boundary, method "
        "or provenance than those of their point: they are left out of its energy.",
        "Read what the energy columns cover; measure with one sensor what is to be pooled.",
        "METHOD §1: a device's joules and a host's are different quantities, a guess is no reading",
        ("energy_left_out",), lambda t: above(number(t, "energy_left_out"), 0.0),
        words=("windows", "others"),
    ),
    Rule(
        "anchor_drift", WARN,
        "The anchor took {change:+.1%} at the end of the run, against its start "
        "(bound {bound:.0%}).",
        "The machine changed while it measured: repeat the run, or compare inside it with care.",
        "METHOD §3.11; paired within each process, the largest over processes",
        ("drift", "change"), limit("drift", MOST_DRIFT), words=("change",), version=2,
    ),
    Rule(
        "level_not_met", WARN,
        "The run asked for `{asked}`, the point met `{level}`: {why}.",
        "Cite it as the level that it met; for the other, mend the reason and measure again.",
        "METHOD §3, profiles; a point pooled from several runs has the lowest level asked",
        ("asked_rank", "level_rank"),
        lambda t: below(number(t, "level_rank"), number(t, "asked_rank")),
        words=("asked", "level", "why"),
    ),
)  # fmt: skip


def audit_cells(windows: pd.DataFrame) -> list[Finding]:
    """Findings on cells, from windows with the columns that `marking.mark_excluded` adds."""
    if windows.empty:
        return []
    used = windows[~windows["excluded"]]
    cells = _spreads(used).join(_drifts(used), how="left").join(_levels(used), how="left")
    cells = cells.reset_index(names="id")
    return apply_all(CELL_RULES, cells, "cell")


def _spreads(used: pd.DataFrame) -> pd.DataFrame:
    """CV of seconds and joules of one iteration for each cell, NaN below three windows; and how
    many of its windows have joules that do not count in their point, and of what kinds."""
    other = used["energy_left_out"].astype(bool)
    measured = ((used["energy_provenance"] == "measured") & ~other).to_numpy()
    joules = np.where(measured, used[PARTS].astype(float).sum(axis=1, min_count=1), np.nan)
    table = pd.DataFrame({
        "cell": used["cell_id"],
        "seconds": used["duration_s"] / used["iterations"],
        "joules": joules / used["iterations"],
        "process": process_of(used),
        "idle": used["phase"] == Phase.IDLE,
        "other": other,
    })  # fmt: skip
    groups = table.groupby("cell")
    count = groups[["seconds", "joules"]].count()
    # An idle baseline does no work: its window is as long as asked, and its spread is no noise.
    judged = (count >= LEAST_WINDOWS).mul(~groups["idle"].any(), axis=0)
    cv = (groups[["seconds", "joules"]].std() / groups[["seconds", "joules"]].mean()).where(judged)
    return pd.DataFrame({
        "runtime_cv": cv["seconds"],
        "energy_cv": cv["joules"],
        "windows": groups.size(),
        "processes": groups["process"].nunique(),
        "energy_left_out": groups["other"].sum(),
    }).join(_kinds(used[other]))  # fmt: skip


def _kinds(windows: pd.DataFrame) -> pd.Series[str]:
    """`others`: the kinds of joules of these windows, by cell."""
    kinds = kind_of(windows).groupby(windows["cell_id"])
    return kinds.agg(lambda found: "; ".join(sorted(set(found)))).rename("others")


def anchor_changes(used: pd.DataFrame) -> pd.Series[float]:
    """Change of the anchor's time from the first of its cells to the last, by run_id,
    configuration_key, process_index and cell (the last); only where a process has both."""
    anchors = used[used["phase"] == Phase.ANCHOR]
    seconds = anchors["duration_s"] / anchors["iterations"]
    keys = ["run_id", "configuration_key", "process_index", "cell_id"]
    medians = (
        anchors.assign(seconds=seconds)
        .groupby(keys)
        .agg(seconds=("seconds", "median"), started=("started_utc", "min"))
        .reset_index()
        .sort_values([*keys[:3], "started"])
    )
    ends = medians.groupby(keys[:3]).agg(
        first=("seconds", "first"), last=("seconds", "last"),
        cell=("cell_id", "last"), cells=("cell_id", "nunique"),
    )  # fmt: skip
    ends = ends[ends["cells"] > 1].set_index("cell", append=True)
    return ends["last"] / ends["first"] - 1


def _drifts(used: pd.DataFrame) -> pd.DataFrame:
    """Change of the anchor from its first cell to its last in that process of a run where it was
    largest, on the last cell's row. One process that drifted is not hidden by those that stood."""
    changes = anchor_changes(used)
    largest = changes.iloc[np.argsort(-changes.abs().to_numpy(), kind="stable")]
    change = largest.groupby(level="cell").first()
    return pd.DataFrame({"change": change, "drift": change.abs()})


def _levels(used: pd.DataFrame) -> pd.DataFrame:
    """What each cell's run asked for and what its point met, where `levels.judged` has said."""
    if "level" not in used.columns:
        return pd.DataFrame()
    return used.groupby("cell_id").agg(
        asked=("profile", "first"), level=("level", "first"), why=("level_reason", "first"),
        asked_rank=("asked_rank", "first"), level_rank=("level_rank", "first"),
    )  # fmt: skip
