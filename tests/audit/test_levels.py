"""Protocol levels: a point that has all it asked for, and one case for each thing it can lack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from observatory.audit import audit_cells
from observatory.audit.levels import FAULTS, LEVELS, RANK, judged
from observatory.audit.window_rules import WINDOW_RULES
from observatory.records import Finding

ROW: dict[str, Any] = {
    "run_id": "r", "configuration_key": "c", "environment_key": "e", "prompt_tokens": 128.0,
    "output_tokens": 1.0, "context_tokens": np.nan, "batch": 1, "iterations": 10,
    "energy_device_j": 6000.0, "energy_cpu_j": np.nan, "energy_dram_j": np.nan,
    "energy_provenance": "measured", "excluded": False, "profile": "publishable",
}  # fmt: skip


def point(
    processes: int = 3, windows: int = 3, spread: float = 0.002, drift: float = 0.01,
    noise: float = 1e-4, **changes: Any,
) -> pd.DataFrame:  # fmt: skip
    """A prefill point in so many processes, with the anchors of each process. Processes differ by
    `spread`, windows of one by `noise`."""
    rows = []
    for process in range(processes):
        who = {"process_index": process, "process_id": f"p{process}"}
        for index in range(windows):
            factor = 1 + spread * (process - (processes - 1) / 2) + noise * index
            rows.append({
                **ROW, **who, "id": len(rows), "cell_id": 1, "phase": "prefill",
                "window_index": index, "started_utc": f"2026-01-01T00:0{process}:1{index}",
                "duration_s": 20 * factor, **changes,
                **({"energy_device_j": 6000 * factor} if "energy_device_j" not in changes else {}),
            })  # fmt: skip
        for cell, seconds in ((2, 1.0), (3, 1.0 + drift)):
            rows.append({
                **ROW, **who, "id": len(rows), "cell_id": cell, "phase": "anchor",
                "prompt_tokens": 16.0, "window_index": 0, "duration_s": seconds,
                "started_utc": f"2026-01-01T00:0{process}:{'00' if cell == 2 else '59'}",
                **{k: v for k, v in changes.items() if k == "profile"},
            })  # fmt: skip
    return pd.DataFrame(rows)


def met(table: pd.DataFrame, *findings: Finding) -> tuple[str, str | None]:
    rows = judged(table, findings)
    rows = rows[rows["phase"] == "prefill"]
    ((level, reason),) = rows[["level", "level_reason"]].drop_duplicates().to_numpy().tolist()
    return level, reason


def fault(rule: str, window: int = 0) -> Finding:
    return Finding("window", window, rule, 1, "warn", "", "")


def rules(table: pd.DataFrame, *findings: Finding) -> dict[str, str]:
    return {f.rule: f.sentence for f in audit_cells(judged(table, findings))}


@pytest.mark.parametrize("asked", list(RANK))
def test_a_sound_point_has_the_level_it_asked_for(asked: str) -> None:
    table = point(profile=asked)
    assert met(table) == (asked, None)
    assert "level_not_met" not in rules(table)


LACKS: list[tuple[Callable[[], pd.DataFrame], str, str]] = [
    (lambda: point(processes=2), "standard", "2 of 3 processes"),
    (lambda: point(processes=1), "standard", "1 of 3 processes"),
    (lambda: point(windows=2), "quick", "2 of 3 windows"),
    (lambda: point(spread=0.01), "standard", "interval of runtime is ±2.5%, above 2%"),
    (lambda: point(spread=0.1), "standard", "interval of runtime is ±24.8%, above 2%"),
    (lambda: point(noise=0.05), "quick", "interval of runtime"),
    (lambda: point(drift=0.04), "standard", "anchor drifted by 4.0%, above 3%"),
    (lambda: point().query("cell_id != 3"), "standard", "without an anchor at both ends"),
    (lambda: point(processes=1, windows=1), "quick", "1 of 3 processes"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "level", "why"), LACKS)
def test_what_lacks_something_is_labelled_with_what_it_has(
    made: Callable[[], pd.DataFrame], level: str, why: str
) -> None:
    table = made()
    found, reason = met(table)
    assert found == level
    assert reason is not None and why in reason
    sentence = rules(table)["level_not_met"]
    assert f"asked for `publishable`, the point met `{level}`" in sentence and why in sentence


def test_scattered_joules_alone_are_enough() -> None:
    table = point()
    joules = 6000 * (1 + 0.05 * table["process_index"])
    table["energy_device_j"] = joules
    level, reason = met(table)
    assert level == "standard" and "interval of energy is ±" in str(reason)


def test_standard_looks_at_each_process_and_more_of_them_cost_nothing() -> None:
    assert met(point(profile="standard", spread=0.2)) == ("standard", None)
    level, reason = met(point(profile="standard", noise=0.05))
    assert level == "quick" and "interval of runtime in a process is ±" in str(reason)
    assert met(point(profile="standard", processes=1)) == ("standard", None)


@pytest.mark.parametrize("rule", list(FAULTS))
def test_one_faulty_window_is_enough(rule: str) -> None:
    assert rule in {r.code for r in WINDOW_RULES}
    level, reason = met(point(), fault(rule))
    assert (level, reason) == ("standard", f"1 of 9 windows {FAULTS[rule]}")
    assert met(point(profile="standard"), fault(rule)) == ("standard", None)


def test_joules_missing_in_one_window_of_a_measured_point() -> None:
    table = point()
    table.loc[0, ["energy_device_j", "energy_provenance"]] = [np.nan, None]
    assert met(table) == ("standard", "1 of 9 windows without joules")


def test_joules_that_no_window_of_the_run_has_are_not_required() -> None:
    table = point().assign(energy_device_j=np.nan, energy_provenance=None)
    assert met(table) == ("publishable", None)


def test_a_point_without_joules_in_a_run_that_measured_others() -> None:
    table = point(energy_device_j=np.nan, energy_provenance=None)  # its anchors have some
    assert met(table) == ("standard", "9 of 9 windows without joules")


def test_left_out_windows_do_not_count() -> None:
    table = point(windows=4)
    table.loc[table["window_index"] == 3, "excluded"] = True
    table.loc[table["window_index"] == 3, "duration_s"] = 90.0
    assert met(table) == ("publishable", None)


def test_a_point_pooled_with_a_quick_run_is_quick_and_says_so() -> None:
    table = point()
    other = point(profile="quick").assign(run_id="q", cell_id=9, id=lambda t: t["id"] + 100)
    both = pd.concat([table, other], ignore_index=True)
    assert met(both) == ("quick", "pooled with windows of a `quick` run")
    fired = [f for f in audit_cells(judged(both, ())) if f.rule == "level_not_met"]
    assert [f.subject_id for f in fired] == [1]  # not the cell that asked for no more


def test_the_levels_are_those_of_the_profiles() -> None:
    from runners.profiles import PROFILES

    assert list(PROFILES) == [level.name for level in LEVELS]
    for level in LEVELS[1:]:
        profile = PROFILES[level.name]
        assert profile.min_windows >= level.windows
        assert profile.half_width_rel == level.half_width_rel
        assert min(profile.processes, profile.cpu_processes) >= level.processes


def test_a_summary_carries_the_level_and_the_reason(tmp_path: Path) -> None:
    from sqlalchemy import text

    from observatory import answers
    from observatory.derive import derive
    from observatory.store.database import open_database
    from tests import synthetic

    synthetic.record(tmp_path / "o.db")
    engine = open_database(tmp_path / "o.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE run SET profile = 'publishable'"))
    derive(engine)
    summary = answers.summary(engine)
    assert set(summary["profile"]) == {"standard"}
    assert set(summary["profile_reason"]) == {"2 of 3 processes"}
    assert "level_not_met" in set(answers.findings(engine)["rule"])
    with engine.begin() as connection:
        connection.execute(text("UPDATE run SET profile = 'quick'"))
    derive(engine)
    assert set(answers.summary(engine)["profile"]) == {"quick"}
    assert answers.summary(engine)["profile_reason"].isna().all()
    assert "level_not_met" not in set(answers.findings(engine)["rule"])
