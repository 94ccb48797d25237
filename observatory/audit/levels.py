"""Which protocol level a point met, whatever level its runs asked for (METHOD §3).

`publishable` is a label that readers trust: a point carries it only where its windows show all that
the level asks for. One that does not is labelled with the level that it did meet, and the reason;
what is not known (the tick of a sensor, a target length) is not met. `quick` asks for nothing that
a stored window could lack. Beside the reason stand words of caution that cost no label: energy that
is estimated or absent, windows and joules that were left out. Where every window of a point was
disturbed the words stand at any level, and the point is `quick`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from observatory.audit.cells import MOST_DRIFT
from observatory.audit.evidence import Evidence, RunFacts
from observatory.audit.joules import PARTS, kind_of
from observatory.audit.marking import GROUP, process_of
from observatory.audit.window_rules import LENGTH_TOLERANCE, TEMPERATURE_DRIFT_C
from observatory.records import Finding, Phase, Provenance
from observatory.statistics import process_interval

JUDGED = (Phase.PREFILL, Phase.DECODE, Phase.E2E, Phase.SERVING)
TEMPERATURES = ["temperature_start_c", "temperature_end_c"]


@dataclass(frozen=True, slots=True)
class Level:
    """What a level asks of a point, in the words of METHOD §3."""

    name: str
    processes: int  #: fresh processes, at least
    windows: int  #: in each of them, at least
    idle_s: float  #: of each idle baseline: on the empty machine, and with the model loaded
    energy_window_s: float  #: of a window with measured joules, at least
    energy_ticks: float  #: and so many ticks of the sensor's counter
    time_window_s: float  #: of a window without
    half_width_rel: float | None  #: of the 95 % interval of runtime, and of measured joules
    over_processes: bool = False  #: that interval is of processes × windows, else of each process
    faultless: bool = False  #: stable anchors and heat, no finding of FAULTS, joules in each window


#: METHOD §3, lowest first.
LEVELS: tuple[Level, ...] = (
    Level("quick", 1, 1, 2.0, 0.0, 20, 0.3, None),
    Level("standard", 1, 3, 10.0, 10.0, 100, 1.0, 0.05),
    Level("publishable", 3, 3, 30.0, 20.0, 200, 2.0, 0.02, over_processes=True, faultless=True),
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
    "counter_not_monotone": "with an energy counter that went backwards",
    "edge_bound": "too short for the sensor's tick",
    "device_clock_disagrees": "with device and wall clock apart",
    "copied_block": "with the very times of other windows",
}
DISTURBED = "every window "  #: how the words on a point begin that has no undisturbed window


def is_disturbed(reason: str | None) -> bool:
    """Whether a `profile_reason` says that every window of the point was disturbed."""
    return reason is not None and DISTURBED in reason


def judged(
    windows: pd.DataFrame, findings: Sequence[Finding], runs: Mapping[str, RunFacts]
) -> pd.DataFrame:
    """The windows with the columns `level` and `level_reason` of their point, and the places of
    what their run asked for and of what the point met among LEVELS (`asked_rank`, `level_rank`).

    `windows` are marked (`marking.mark_excluded`), `runs` as `evidence.run_facts` gives them;
    `level_reason` is None where the level asked for was met and there is no word of caution. Points
    without work (idle, anchor) carry the lowest level that was asked.
    """
    if windows.empty:
        return windows.assign(level=None, level_reason=None, asked_rank=None, level_rank=None)
    evidence = Evidence.of(windows, findings, runs)
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
    poor = windows["id"].isin(evidence.avoided) | windows["energy_left_out"]
    # the lowest level asks for nothing: its points are looked at where there is something to say
    asking = (work & ((lowest > 0) | (poor & lowest.notna()))).to_numpy()
    for places in groups.indices.values():
        if not asking[places].any():
            continue
        group = windows.iloc[places]
        used = group[~group["excluded"]]
        met, why = level_of(used, int(lowest.iloc[places[0]]), evidence)
        said = [reason[places[0]] or why]
        said += [words for words in _caution(group, used, RANK[met], evidence) if words != why]
        level[places] = met
        reason[places] = "; ".join(words for words in said if words) or None
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
        if level is LEVELS[0]:
            break  # it asks for nothing that a window could lack
        asks = reversed(LEVELS[1 : RANK[level.name] + 1])  # a level asks what the lower ones do
        reason = next((r for one in asks for r in _lacks(one, used, evidence)), None)
        if reason is None:
            return level.name, first
        first = first or reason
    return LEVELS[0].name, first


def _lacks(level: Level, used: pd.DataFrame, evidence: Evidence) -> Iterator[str]:
    """What a point lacks of a level, one sentence part each; nothing where it has all."""
    who = process_of(used)
    sizes = used.groupby(who).size()
    if len(sizes) < level.processes:
        yield f"{len(sizes)} of {level.processes} processes"
    if sizes.min() < level.windows:
        yield f"{sizes.min()} of {level.windows} windows in a process"
    yield from _disturbed(used, evidence)
    yield from _too_short(level, used, evidence)
    for idle_s, where in zip(
        evidence.idle_s(used), ("before a model was loaded", "with the model loaded"), strict=True
    ):
        if idle_s < LENGTH_TOLERANCE * level.idle_s:
            yield f"no idle baseline of {level.idle_s:g} s {where}"
    if level.half_width_rel is not None:
        yield from _too_wide(level.half_width_rel, level.over_processes, used, who)
    if level.faultless:
        yield from _faulty(used, evidence)
        yield from _heated(used, who)
        yield from _drifted(used, evidence)


def _disturbed(used: pd.DataFrame, evidence: Evidence) -> Iterator[str]:
    """What disturbed every window of a point: it has them because it has no better ones."""
    found = [evidence.avoided.get(int(i), ()) for i in used["id"]]
    if found and all(found):
        rules = sorted({rule for broken in found for rule in broken})
        yield DISTURBED + " or ".join(FAULTS.get(rule, rule) for rule in rules)


def _too_short(level: Level, used: pd.DataFrame, evidence: Evidence) -> Iterator[str]:
    """Windows shorter than the level asks, or of which that cannot be told."""
    measured, tick_s = _measured(used), evidence.ticks_s(used)
    unknown = int((measured & tick_s.isna()).sum())
    if unknown:
        yield f"{unknown} of {len(used)} windows with joules of a sensor whose tick is not known"
    untold = int(used["window_target_s"].isna().sum())
    if untold:
        yield f"{untold} of {len(used)} windows without a target length"
    by_ticks = (level.energy_ticks * tick_s).clip(lower=level.energy_window_s)
    least_s = by_ticks.where(measured, level.time_window_s).clip(lower=level.time_window_s)
    short = used["duration_s"] < LENGTH_TOLERANCE * least_s
    if short.any():
        yield f"{short.sum()} of {len(used)} windows shorter than {least_s[short].max():.3g} s"


def _measured(used: pd.DataFrame) -> pd.Series[bool]:
    """Windows with joules that were read from a sensor."""
    return (used["energy_provenance"] == Provenance.MEASURED) & used[PARTS].notna().any(axis=1)


def _too_wide(
    most: float, over_processes: bool, used: pd.DataFrame, who: pd.Series[str]
) -> Iterator[str]:
    """Intervals wider than the level allows. Within each process where one process would do: more
    of them make the interval of the summary honest, and must not cost the label."""
    joules = used[PARTS].astype(float).sum(axis=1, min_count=1)
    counted = _measured(used) & ~used["energy_left_out"]
    for name, values in (("runtime", used["duration_s"]), ("energy", joules.where(counted))):
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
    counts = Counter(rule for i in used["id"] for rule in evidence.rules.get(int(i), ()))
    for rule in sorted(counts.keys() & FAULTS.keys()):
        yield f"{counts[rule]} of {len(used)} windows {FAULTS[rule]}"
    missing = evidence.without_joules(used)
    if missing:
        yield f"{missing} of {len(used)} windows without joules of the point's kind"


def _heated(used: pd.DataFrame, who: pd.Series[str]) -> Iterator[str]:
    """A device that came to no steady temperature: the bound of one window (METHOD §3.9) holds over
    all of a process. Their rises are not added up: a card cools by some degrees in each pause."""
    start_c, end_c = (used[name].astype(float) for name in TEMPERATURES)
    ends = pd.concat([start_c, end_c]).groupby(pd.concat([who, who]).to_numpy())
    moved_c = (ends.max() - ends.min()).max()
    if moved_c > TEMPERATURE_DRIFT_C:
        yield (
            f"the temperature moved by {moved_c:.1f} °C over the windows of a process, above "
            f"{TEMPERATURE_DRIFT_C:.0f} °C"
        )


def _drifted(used: pd.DataFrame, evidence: Evidence) -> Iterator[str]:
    found = evidence.drift(used)
    if found.isna().any():
        yield f"{found.isna().sum()} of {len(found)} processes without an anchor at both ends"
    if found.max() > MOST_DRIFT:
        yield f"the anchor drifted by {found.max():.1%}, above {MOST_DRIFT:.0%}"


def _caution(
    group: pd.DataFrame, used: pd.DataFrame, met: int, evidence: Evidence
) -> Iterator[str]:
    """What a reader of the point must know whatever its level; above the lowest level, which claims
    little, also whether its joules were read, and what was left out on the way."""
    yield from _disturbed(used, evidence)
    other = used[used["energy_left_out"].astype(bool)]
    if len(other):
        kinds = "; ".join(sorted(set(kind_of(other))))
        yield f"the joules of {len(other)} of {len(used)} windows are left out ({kinds})"
    if met == 0:
        return
    counted = used[used[PARTS].notna().any(axis=1) & ~used["energy_left_out"].astype(bool)]
    if counted.empty:
        yield "energy is absent"
    elif not (counted["energy_provenance"] == Provenance.MEASURED).any():
        methods = ", ".join(sorted(set(counted["energy_method"].dropna())))
        yield f"energy is estimated ({methods or 'by no method that is told'})"
    gone = group[group["excluded"]]
    if len(gone):
        broken = (
            evidence.excluding.get(int(i)) or evidence.avoided.get(int(i), ()) for i in gone["id"]
        )
        rules = ", ".join(sorted({rule for found in broken for rule in found}))
        yield f"{len(gone)} of {len(group)} windows left out ({rules})"
