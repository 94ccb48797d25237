"""Protocol levels: a point that has all it asked for, and one case for each thing it can lack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from observatory.audit import audit_cells
from observatory.audit.evidence import RunFacts, run_facts
from observatory.audit.levels import FAULTS, LEVELS, RANK, is_disturbed, judged
from observatory.audit.marking import mark_excluded
from observatory.audit.window_rules import WINDOW_RULES
from observatory.records import Finding

ROW: dict[str, Any] = {
    "run_id": "r", "configuration_key": "c", "environment_key": "e", "prompt_tokens": 128.0,
    "output_tokens": 1.0, "context_tokens": np.nan, "batch": 1, "iterations": 10,
    "energy_device_j": 6000.0, "energy_cpu_j": np.nan, "energy_dram_j": np.nan,
    "energy_provenance": "measured", "energy_method": "nvml_counter", "energy_boundary": "device",
    "window_target_s": 20.0, "temperature_start_c": 60.0, "temperature_end_c": 61.0,
    "excluded": False, "energy_left_out": False, "profile": "publishable",
}  # fmt: skip
#: A tick of 50 ms asks for no more than the 20 s do.
RUNS = {"r": RunFacts(tick_s=0.05, empty_idle_s=30.0)}


def point(
    processes: int = 3, windows: int = 3, spread: float = 0.002, drift: float = 0.01,
    noise: float = 1e-4, **changes: Any,
) -> pd.DataFrame:  # fmt: skip
    """A prefill point in so many processes, with the anchors of each process and an idle baseline
    of the first. Processes differ by `spread`, windows of one by `noise`."""
    rows = [{
        **ROW, "id": 900, "cell_id": 4, "phase": "idle", "prompt_tokens": np.nan, "iterations": 1,
        "process_index": 0, "process_id": "p0", "window_index": 0, "duration_s": 30.0,
        "started_utc": "2026-01-01T00:00:00", "profile": changes.get("profile", "publishable"),
    }]  # fmt: skip
    for process in range(processes):
        who = {"process_index": process, "process_id": f"p{process}"}
        for index in range(windows):
            factor = 1 + spread * (process - (processes - 1) / 2) + noise * index
            rows.append({
                **ROW, **who, "id": len(rows) - 1, "cell_id": 1, "phase": "prefill",
                "window_index": index, "started_utc": f"2026-01-01T00:0{process}:1{index}",
                "duration_s": 25 * factor, **changes,
                **({"energy_device_j": 6000 * factor} if "energy_device_j" not in changes else {}),
            })  # fmt: skip
        for cell, seconds in ((2, 1.0), (3, 1.0 + drift)):
            rows.append({
                **ROW, **who, "id": len(rows) - 1, "cell_id": cell, "phase": "anchor",
                "prompt_tokens": 16.0, "window_index": 0, "duration_s": seconds,
                "started_utc": f"2026-01-01T00:0{process}:{'00' if cell == 2 else '59'}",
                **{k: v for k, v in changes.items() if k == "profile"},
            })  # fmt: skip
    return pd.DataFrame(rows)


def met(
    table: pd.DataFrame, *findings: Finding, runs: Mapping[str, RunFacts] = RUNS
) -> tuple[str, str | None]:
    rows = judged(table, findings, runs)
    rows = rows[rows["phase"] == "prefill"]
    ((level, reason),) = rows[["level", "level_reason"]].drop_duplicates().to_numpy().tolist()
    return level, reason


def fault(rule: str, window: int = 0, severity: str = "warn") -> Finding:
    return Finding("window", window, rule, 1, severity, "", "")


def rules(table: pd.DataFrame, *findings: Finding) -> dict[str, str]:
    return {f.rule: f.sentence for f in audit_cells(judged(table, findings, RUNS))}


def changed(rows: str, **columns: Any) -> Callable[[], pd.DataFrame]:
    """A sound point with other values in the rows that a query finds."""

    def make() -> pd.DataFrame:
        table = point()
        at = table.query(rows).index
        for name, value in columns.items():
            table.loc[at, name] = value
        return table

    return make


WORK, IDLE = "phase == 'prefill'", "phase == 'idle'"


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
    (lambda: point(spread=0.1), "standard", "interval of runtime is ±25.2%, above 2%"),
    (lambda: point(noise=0.05), "quick", "interval of runtime"),
    (lambda: point(drift=0.04), "standard", "anchor drifted by 4.0%, above 3%"),
    (lambda: point().query("cell_id != 3"), "standard", "3 of 3 processes without an anchor at"),
    (lambda: point().query("cell_id == 1 or process_index == 0"), "standard",
     "2 of 3 processes without an anchor at both ends"),
    (changed("cell_id == 3 and process_index == 1", duration_s=1.3), "standard",
     "anchor drifted by 30.0%"),
    (lambda: point(processes=1, windows=1), "quick", "1 of 3 processes"),
    (changed("process_index >= 0", process_id="p0"), "standard", "1 of 3 processes"),
    (changed(WORK, duration_s=0.6, window_target_s=0.3), "quick",
     "9 of 9 windows shorter than 20 s"),
    (changed(WORK + " and window_index == 1", duration_s=15.0), "quick", "3 of 9 windows shorter"),
    (changed(WORK, window_target_s=np.nan), "quick", "9 of 9 windows without a target length"),
    (lambda: point().query("phase != 'idle'"), "quick", "no idle baseline of 30 s with the model"),
    (changed(IDLE, duration_s=10.0), "standard", "no idle baseline of 30 s with the model loaded"),
    (changed(IDLE, duration_s=2.0), "quick", "no idle baseline of 30 s with the model loaded"),
    (changed(IDLE, process_id=""), "quick", "no idle baseline of 30 s with the model loaded"),
    (changed(WORK + " and window_index == 2", temperature_start_c=71.0, temperature_end_c=71.0),
     "standard", "the temperature moved by 11.0 °C over the windows of a process, above 10 °C"),
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


SOUND: list[Callable[[], pd.DataFrame]] = [
    changed(WORK, duration_s=19.8),  # the clock's grain
    changed(IDLE, duration_s=29.9),
    changed("cell_id == 3 and process_index == 1", duration_s=1.029),
    changed(WORK, temperature_start_c=50.0, temperature_end_c=59.9),  # it cooled in between
    changed(WORK + " and window_index == 2", temperature_start_c=69.0, temperature_end_c=69.0),
    changed(WORK, temperature_start_c=np.nan, temperature_end_c=np.nan),
]


@pytest.mark.parametrize("made", SOUND)
def test_a_point_at_the_edge_of_what_is_asked_has_its_level(
    made: Callable[[], pd.DataFrame],
) -> None:
    assert met(made()) == ("publishable", None)


@pytest.mark.parametrize(("facts", "level", "why"), [
    (RunFacts(0.05, None), "quick", "no idle baseline of 30 s before a model was loaded"),
    (RunFacts(0.05, 10.0), "standard", "no idle baseline of 30 s before a model was loaded"),
    (RunFacts(None, 30.0), "quick",
     "9 of 9 windows with joules of a sensor whose tick is not known"),
    (RunFacts(0.15, 30.0), "standard", "9 of 9 windows shorter than 30 s"),  # 200 ticks
    (RunFacts(0.3, 30.0), "quick", "9 of 9 windows shorter than 60 s"),  # nor 100 of them
])  # fmt: skip
def test_what_the_run_does_not_say_is_not_met(facts: RunFacts, level: str, why: str) -> None:
    assert met(point(), runs={"r": facts}) == (level, why)


def test_where_no_joules_are_measured_the_length_in_time_is_enough() -> None:
    quiet = {"energy_device_j": np.nan, "energy_provenance": None, "iterations": 1}
    table = point(**quiet)
    table["energy_provenance"] = None
    table["energy_device_j"] = np.nan
    table.loc[table["phase"] == "prefill", "duration_s"] /= 10  # 2 s
    runs = {"r": RunFacts(None, 30.0)}
    assert met(table, runs=runs) == ("publishable", "energy is absent")
    table.loc[table["phase"] == "prefill", "duration_s"] /= 2
    assert met(table, runs=runs) == (
        "standard", "9 of 9 windows shorter than 2 s; energy is absent"
    )  # fmt: skip


def test_estimated_energy_costs_no_label_and_is_said() -> None:
    table = point().assign(energy_provenance="estimated", energy_method="codecarbon")
    said = "energy is estimated (codecarbon)"
    assert met(table) == ("publishable", said)
    assert "level_not_met" not in rules(table)
    assert met(table.assign(profile="standard")) == ("standard", said)
    assert met(table.assign(profile="quick")) == ("quick", None)


def test_windows_left_out_on_the_way_are_said() -> None:
    table = point(windows=6)
    table.loc[(table["window_index"] >= 3) & (table["phase"] == "prefill"), "excluded"] = True
    gone = [fault("foreign_process", int(i), "exclude") for i in table.loc[table["excluded"], "id"]]
    said = "9 of 18 windows left out (foreign_process)"
    assert met(table, *gone) == ("publishable", said)
    assert met(table.assign(profile="quick"), *gone) == ("quick", None)


@pytest.mark.parametrize("asked", list(RANK))
def test_a_point_without_an_undisturbed_window_is_quick_and_says_so(asked: str) -> None:
    table = point(profile=asked)
    work = [int(i) for i in table.loc[table["phase"] == "prefill", "id"]]
    all_slow = [fault("machine_slow", i, "avoid") for i in work]
    level, reason = met(table, *all_slow)
    assert (level, reason) == ("quick", "every window on a machine that neighbours slowed")
    assert is_disturbed(reason)
    assert ("level_not_met" in rules(table, *all_slow)) == (asked != "quick")
    level, reason = met(table, *all_slow[1:])
    assert level != "quick" or asked == "quick"
    assert not is_disturbed(reason)


def test_joules_of_another_kind_are_left_out_of_a_point_and_of_its_level() -> None:
    table = point()
    host = (table["phase"] == "prefill") & (table["process_index"] == 0)
    table.loc[host, "energy_boundary"] = "host"
    table.loc[host, "energy_device_j"] *= 1.33
    table = mark_excluded(table, ())
    assert list(table.index[table["energy_left_out"]]) == list(table.index[host])
    level, reason = met(table)
    assert level == "standard" and reason is not None
    said = "the joules of 3 of 9 windows are left out (host, nvml_counter, measured)"
    assert said in reason
    sentence = rules(table)["mixed_boundary"]
    assert "3 of 9 windows (host, nvml_counter, measured)" in sentence
    assert "mixed_boundary" not in rules(mark_excluded(point(), ()))
    assert met(mark_excluded(table.assign(profile="quick"), ())) == ("quick", said)


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
    table.loc[table["id"] == 0, ["energy_device_j", "energy_provenance"]] = [np.nan, None]
    assert met(table) == ("standard", "1 of 9 windows without joules of the point's kind")


def test_joules_that_no_window_of_the_run_has_are_not_required() -> None:
    table = point().assign(energy_device_j=np.nan, energy_provenance=None)
    assert met(table) == ("publishable", "energy is absent")


def test_a_point_without_joules_in_a_run_that_measured_others() -> None:
    table = point(energy_device_j=np.nan, energy_provenance=None)  # its anchors have some
    said = "9 of 9 windows without joules of the point's kind; energy is absent"
    assert met(table) == ("standard", said)


def test_left_out_windows_do_not_count() -> None:
    table = point(windows=4)
    table.loc[table["window_index"] == 3, "excluded"] = True
    table.loc[table["window_index"] == 3, "duration_s"] = 90.0
    assert met(table) == ("publishable", "3 of 12 windows left out ()")


def test_a_point_pooled_with_a_quick_run_is_quick_and_says_so() -> None:
    table = point()
    other = point(profile="quick").assign(run_id="q", cell_id=9, id=lambda t: t["id"] + 100)
    both = pd.concat([table, other], ignore_index=True)
    assert met(both) == ("quick", "pooled with windows of a `quick` run")
    fired = [f for f in audit_cells(judged(both, (), RUNS)) if f.rule == "level_not_met"]
    assert [f.subject_id for f in fired] == [1]  # not the cell that asked for no more


def test_the_levels_are_those_of_the_profiles() -> None:
    from runners.profiles import PROFILES

    assert list(PROFILES) == [level.name for level in LEVELS]
    for level in LEVELS[1:]:
        profile = PROFILES[level.name]
        assert profile.min_windows >= level.windows
        assert profile.half_width_rel == level.half_width_rel
        assert min(profile.processes, profile.cpu_processes) >= level.processes
    lengths = ("idle_s", "energy_window_s", "energy_ticks", "time_window_s")
    for level in LEVELS:
        for name in lengths:
            assert getattr(PROFILES[level.name], name) == getattr(level, name), (level.name, name)


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
    assert set(summary["profile"]) == {"quick"}  # no idle baseline, no target length
    assert set(summary["profile_reason"]) == {"2 of 3 processes"}
    assert "level_not_met" in set(answers.findings(engine)["rule"])
    with engine.begin() as connection:
        connection.execute(text("UPDATE run SET profile = 'quick'"))
    derive(engine)
    assert set(answers.summary(engine)["profile"]) == {"quick"}
    assert answers.summary(engine)["profile_reason"].isna().all()
    assert "level_not_met" not in set(answers.findings(engine)["rule"])


def test_a_run_says_its_tick_and_its_idle_baseline(tmp_path: Path) -> None:
    from observatory.records import Cell, Window, Workload, utc_now
    from observatory.store.database import open_read_only
    from tests import synthetic

    path = tmp_path / "o.db"
    recorder = synthetic.record(path)
    with open_read_only(path).connect() as connection:
        assert run_facts(connection) == {"synthetic-1": RunFacts(None, None)}
    key = synthetic.configuration_of(synthetic.model_named()).key
    recorder.plan([Cell("synthetic-1", "idle empty", key, "idle", Workload(None, None), "idle")])
    for index, (who, seconds, flags) in enumerate(
        (("", 10.0, ()), ("", 30.0, ("foreign_process",)), ("p", 60.0, ()))
    ):
        idle = Window(0, index, 1, seconds, utc_now(), None, synthetic.no_energy(1.0),
                      process_id=who, flags=flags)  # fmt: skip
        recorder.store("idle empty", idle)
    recorder.note(sensor={"method": "nvml_counter", "tick_s": 0.1})
    with open_read_only(path).connect() as connection:
        assert run_facts(connection) == {"synthetic-1": RunFacts(0.1, 10.0)}
