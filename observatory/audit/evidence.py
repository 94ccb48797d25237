"""What is known beside the windows of a point, by which its protocol level is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from observatory.audit.cells import anchor_changes
from observatory.audit.rule import AVOID, EXCLUDE, has_flag
from observatory.records import Finding, Phase, Provenance
from observatory.store import reader

STACK = ["run_id", "configuration_key"]
PROCESS = [*STACK, "process_index"]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts of a run that its windows do not carry; None where the run does not say."""

    tick_s: float | None = None  #: of the sensor's counter
    empty_idle_s: float | None = None  #: longest idle baseline before any model was loaded


def run_facts(connection: Connection) -> dict[str, RunFacts]:
    """Facts of every run in the store.

    The idle baseline of the empty machine is measured once a run and stands with the first
    configuration of it; it serves them all. One beside a foreign process serves none.
    """
    idle = reader.empty_idles(connection)
    sound = idle[~has_flag(idle, {"foreign_process"})]
    longest = sound.groupby("run_id")["duration_s"].max()
    return {
        run: RunFacts(_tick_s(notes), None if run not in longest else float(longest[run]))
        for run, notes in reader.run_notes(connection).items()
    }


def _tick_s(notes: Mapping[str, object]) -> float | None:
    sensor = notes.get("sensor")
    tick = sensor.get("tick_s") if isinstance(sensor, Mapping) else None
    return float(tick) if isinstance(tick, int | float) else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside the windows of a point."""

    runs: Mapping[str, RunFacts]
    rules: Mapping[int, Sequence[str]]  #: window id -> rules that it broke
    avoided: Mapping[int, Sequence[str]]  #: those of severity `avoid`
    excluding: Mapping[int, Sequence[str]]  #: and those of severity `exclude`
    drifts: pd.Series[float]  #: largest change of the anchor, by run, configuration and process
    resident_idle_s: pd.Series[float]  #: longest idle baseline with the model loaded, by stack
    measuring: pd.MultiIndex  #: (run, configuration) in which some window has measured joules

    @classmethod
    def of(
        cls, windows: pd.DataFrame, findings: Sequence[Finding], runs: Mapping[str, RunFacts]
    ) -> Evidence:
        """From marked windows, the findings on them and the facts of their runs."""
        rules: dict[str | None, dict[int, list[str]]] = {None: {}, AVOID: {}, EXCLUDE: {}}
        for finding in (f for f in findings if f.subject == "window"):
            for severity in {None, finding.severity} & set(rules):
                rules[severity].setdefault(finding.subject_id, []).append(finding.rule)
        kept = windows[~windows["excluded"]]
        loaded = kept[(kept["phase"] == Phase.IDLE) & (kept["process_id"] != "")]
        measured = windows["energy_provenance"] == Provenance.MEASURED
        return cls(
            runs, rules[None], rules[AVOID], rules[EXCLUDE],
            anchor_changes(kept).abs().groupby(level=PROCESS).max(),
            loaded.groupby(STACK)["duration_s"].max(),
            pd.MultiIndex.from_frame(windows.loc[measured, STACK].drop_duplicates()),
        )  # fmt: skip

    def ticks_s(self, used: pd.DataFrame) -> pd.Series[float]:
        """The tick of each window's sensor; NaN where its run does not say."""
        ticks = {run: facts.tick_s for run, facts in self.runs.items()}
        return used["run_id"].map(ticks).astype(float)

    def idle_s(self, used: pd.DataFrame) -> tuple[float, float]:
        """The shortest of the idle baselines that the runs of a point have: on the empty machine,
        and with the model loaded. 0 where one has none."""
        runs = [self.runs.get(str(run), RunFacts()) for run in used["run_id"].unique()]
        stacks = pd.MultiIndex.from_frame(used[STACK].drop_duplicates())
        resident = self.resident_idle_s.reindex(stacks).fillna(0.0)
        return min(run.empty_idle_s or 0.0 for run in runs), float(resident.min())

    def drift(self, used: pd.DataFrame) -> pd.Series[float]:
        """The anchor's change in each process of a point; NaN without one at both ends."""
        processes = pd.MultiIndex.from_frame(used[PROCESS].drop_duplicates())
        return self.drifts.reindex(processes)

    def without_joules(self, used: pd.DataFrame) -> int:
        """Windows without measured joules in their point's energy, though their run has some."""
        due = pd.MultiIndex.from_frame(used[STACK]).isin(self.measuring)
        there = (used["energy_provenance"] == Provenance.MEASURED) & ~used["energy_left_out"]
        return int(np.sum(due & ~there.to_numpy()))
