"""Which protocol level a point met, whatever level its runs asked for (METHOD §3).

`publishable` is a label that readers trust: a point carries it only where its windows show all that
the level asks for. One that does not is labelled with the level that it did meet, and the reason.
`quick` asks for nothing that a stored window could lack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from observatory.audit.cells import MOST_DRIFT, anchor_changes
from observatory.audit.marking import GROUP
from observatory.records import Finding, Phase, Provenance
from observatory.statistics import process_interval

JUDGED = (Phase.PREFILL, Phase.DECODE, Phase.E2E, Phase.SERVING)
STACK = ["run_id", "configuration_key"]
ENERGY = ("energy_device_j", "energy_cpu_j", "energy_dram_j")


@dataclass(frozen=True, slots=True)
class Level:
    """What a level asks of a point. Window length is asked of each window when it is measured."""

    name: str
    processes: int  #: fresh processes, at least
    windows: int  #: in each of them, at least
    half_width_rel: float | None  #: of the 95 % interval of runtime, and of measured joules
    over_processes: bool = False  #: that interval is of processes × windows, else of each process
    faultless: bool = False  #: stable anchors, no finding of FAULTS, joules in every window


#: METHOD §3, lowest first.
LEVELS: tuple[Level, ...] = (
    Level("quick", 1, 1, None),
    Level("standard", 1, 3, 0.05),
    Level("publishable", 3, 3, 0.02, over_processes=True, faultless=True),
)
RANK = {level.name: rank for rank, level in enumerate(LEVELS)}
#: Findings on a used window that a publishable point cannot have, and the words for them.
FAULTS: dict[str, str] = {
    "throttled": "throttled",
    "foreign_process": "beside a foreign process",
    "cpu_contended": "beside a busy neighbour",
    "machine_slow": "on a machine that neighbours slowed",
    "temperature_rising": "while the device warmed up",
    "temperature_drift": "in a drift of temperature",
    "warm_up_not_stable": "after an unstable warm-up",
    "sensor_disagreement": "with counter and power integral apart",
    "edge_bound": "too short for the sensor's tick",
    "device_clock_disagrees": "with device and wall clock apart",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside the windows of a point."""

    faults: Mapping[int, Sequence[str]]  #: window id -> rules of FAULTS that it broke
    drifts: pd.Series[float]  #: change of the anchor, by run and configuration
    measuring: pd.MultiIndex  #: (run, configuration) in which some window has measured joules

    @classmethod
    def of(cls, windows: pd.DataFrame, findings: Sequence[Finding]) -> Evidence:
        """From marked windows and the findings on them."""
        faults: dict[int, list[str]] = {}
        for finding in findings:
            if finding.subject == "window" and finding.rule in FAULTS:
                faults.setdefault(finding.subject_id, []).append(finding.rule)
        changes = anchor_changes(windows[~windows["excluded"]]).abs()
        measured = windows["energy_provenance"] == Provenance.MEASURED
        return cls(
            faults, changes.groupby(level=STACK).median(),
            pd.MultiIndex.from_frame(windows.loc[measured, STACK].drop_duplicates()),
        )  # fmt: skip


def judged(windows: pd.DataFrame, findings: Sequence[Finding]) -> pd.DataFrame:
    """The windows with the columns `level` and `level_reason` of their point, and the places of
    what their run asked for and of what the point met among LEVELS (`asked_rank`, `level_rank`).

    `windows` are marked (`marking.mark_excluded`); `level_reason` is None where the level asked for
    was met. Points without work (idle, anchor) carry the lowest level that was asked.
    """
    if windows.empty:
        return windows.assign(level=None, level_reason=None, asked_rank=None, level_rank=None)
    evidence = Evidence.of(windows, findings)
    ranks = windows["profile"].map(RANK).fillna(0.0).astype(float)
    groups = windows.groupby(GROUP, dropna=False, sort=False)
    lowest, highest = (
        ranks.where(~windows["excluded"]).groupby(groups.ngroup()).transform(which)
        for which in ("min", "max")
    )
    work = windows["phase"].isin(JUDGED)
    names = pd.Series([level.name for level in LEVELS], dtype=object)
    level = names.reindex(lowest.to_numpy()).to_numpy(dtype=object, copy=True)  # asked, or none
    level[lowest.isna().to_numpy()] = None
    reason = np.full(len(windows), None, dtype=object)
    pooled = (work & (highest > lowest)).to_numpy()
    reason[pooled] = [f"pooled with windows of a `{name}` run" for name in level[pooled]]
    asking = (work & (lowest > 0)).to_numpy()  # the lowest level asks for nothing
    for places in groups.indices.values():
        if asking[places[0]]:
            group = windows.iloc[places]
            used = group[~group["excluded"]]
            met, why = level_of(used, int(lowest.iloc[places[0]]), evidence)
            level[places] = met
            reason[places] = reason[places[0]] or why
    met_rank = pd.Series(level, index=windows.index).map(RANK).astype(float)
    # a point without work is not held to a level
    return windows.assign(
        level=level, level_reason=reason, asked_rank=ranks.where(work),
        level_rank=met_rank.where(work),
    )  # fmt: skip


def level_of(used: pd.DataFrame, asked: int, evidence: Evidence) -> tuple[str, str | None]:
    """(level met, why not the one of rank `asked`) of the used windows of one point."""
    first: str | None = None
    for level in reversed(LEVELS[: asked + 1]):
        asks = reversed(LEVELS[: RANK[level.name] + 1])  # a level asks what the lower ones do, too
        reason = next((r for one in asks for r in _lacks(one, used, evidence)), None)
        if reason is None:
            return level.name, first
        first = first or reason
    return LEVELS[0].name, first


def _lacks(level: Level, used: pd.DataFrame, evidence: Evidence) -> Iterator[str]:
    """What a point lacks of a level, one sentence part each; nothing where it has all."""
    who = used["run_id"] + "/" + used["process_index"].astype(str) + "/" + used["process_id"]
    sizes = used.groupby(who).size()
    if len(sizes) < level.processes:
        yield f"{len(sizes)} of {level.processes} processes"
    if sizes.min() < level.windows:
        yield f"{sizes.min()} of {level.windows} windows in a process"
    if level.half_width_rel is not None:
        yield from _too_wide(level.half_width_rel, level.over_processes, used, who)
    if level.faultless:
        yield from _faulty(used, evidence)
        yield from _drifted(used, evidence.drifts)


def _too_wide(
    most: float, over_processes: bool, used: pd.DataFrame, who: pd.Series[str]
) -> Iterator[str]:
    """Intervals wider than the level allows. Within each process where one process would do: more
    of them make the interval of the summary honest, and must not cost the label."""
    joules = used[list(ENERGY)].astype(float).sum(axis=1, min_count=1)
    measured = (used["energy_provenance"] == Provenance.MEASURED) & joules.notna()
    for name, values in (("runtime", used["duration_s"]), ("energy", joules.where(measured))):
        each = (values.astype(float) / used["iterations"]).dropna()
        if each.empty:
            continue
        groups = [g.to_numpy(dtype=float) for _, g in each.groupby(who[each.index], sort=True)]
        sets = [groups] if over_processes else [[group] for group in groups]
        widths = [process_interval(one).half_width_rel for one in sets]
        where = "" if over_processes else " in a process"
        if any(width is None for width in widths):
            yield f"no interval of {name} from one window{where}"
            continue
        widest = max(width for width in widths if width is not None)
        if widest > most:
            yield f"the 95 % interval of {name}{where} is ±{widest:.1%}, above {most:.0%}"


def _faulty(used: pd.DataFrame, evidence: Evidence) -> Iterator[str]:
    counts = Counter(rule for i in used["id"] for rule in evidence.faults.get(int(i), ()))
    for rule, count in sorted(counts.items()):
        yield f"{count} of {len(used)} windows {FAULTS[rule]}"
    due = pd.MultiIndex.from_frame(used[STACK]).isin(evidence.measuring)
    missing = int((due & (used["energy_provenance"] != Provenance.MEASURED)).sum())
    if missing:
        yield f"{missing} of {len(used)} windows without joules"


def _drifted(used: pd.DataFrame, drifts: pd.Series[float]) -> Iterator[str]:
    pairs = used[STACK].drop_duplicates()
    found = drifts.reindex(pd.MultiIndex.from_frame(pairs))
    if found.isna().any():
        yield "a run without an anchor at both ends"
    elif found.max() > MOST_DRIFT:
        yield f"the anchor drifted by {found.max():.1%}, above {MOST_DRIFT:.0%}"
