"""The expected time of a campaign against the one timeline of real hardware, phase by phase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from observatory.records import Phase
from runners import expect, foresight
from runners.campaign_expect import catalogue_device, expectations
from runners.campaign_file import read_campaign
from runners.foresight import Span
from runners.models import ResolvedModel, resolve
from runners.plan import Plan, Point, Target
from runners.profiles import profile_named

ROOT = Path(__file__).resolve().parents[2]
SET = ROOT / "results" / "published" / "nvidia-h100-80gb-hbm3-2026-11-27"
CARD, ROOM = catalogue_device("H100-SXM5")
SPEED = expect.nominal_speed(CARD, 1)


def timeline() -> pd.DataFrame:
    """Windows in order, each with the seconds since the one before it ended (`gap_s`) and whether
    it is the first of a visit."""
    rows = pd.read_csv(SET / "windows.csv").sort_values("started_utc", ignore_index=True)
    begin = pd.to_datetime(rows["started_utc"])
    end = begin + pd.to_timedelta(rows["duration_s"], unit="s")
    same_run = rows["run_id"] == rows["run_id"].shift()
    visit = rows[["run_id", "plan_key", "process_index"]]
    return rows.assign(
        gap_s=(begin - end.shift()).dt.total_seconds().where(same_run),
        first=(visit != visit.shift()).any(axis=1),
    )


ROWS = timeline()
RUNS: list[dict[str, Any]] = json.loads((SET / "runs.json").read_text())
PUBLISHABLE = next(run for run in RUNS if run["profile"] == "publishable")
PLAN = Plan.from_mapping(PUBLISHABLE["plan"])
MINE = ROWS[ROWS["run_id"] == PUBLISHABLE["id"]]


def measured(run: dict[str, Any]) -> list[tuple[Target, ResolvedModel, Point, pd.DataFrame]]:
    """Points of a run with their windows."""
    found = []
    for target in Plan.from_mapping(run["plan"]).targets:
        for point in target.points:
            key = (ROWS["run_id"] == run["id"]) & (ROWS["plan_key"] == target.plan_key(point))
            if key.any():
                found.append((target, resolve(target.model), point, ROWS[key]))
    return found


POINTS = [(run["profile"], *one) for run in RUNS for one in measured(run)]
WORKING = [one for one in POINTS if one[3].phase != Phase.IDLE]
NAMES = [f"{target.model} {point.label}" for _, target, _, point, _ in WORKING]


def holds(span: Span, seconds: float) -> bool:
    return span.low_s <= seconds <= span.high_s


def test_the_timeline_is_read_as_it_was() -> None:
    assert len(ROWS) == 126 and len(MINE) > 70
    assert len(WORKING) > 15 and ROWS["gap_s"].dropna().min() > 0


@pytest.mark.parametrize(("profile", "target", "model", "point", "rows"), WORKING, ids=NAMES)
def test_a_pass_lies_in_its_range(
    profile: str, target: Target, model: ResolvedModel, point: Point, rows: pd.DataFrame
) -> None:
    expected = expect.pass_s(model.architecture, target, point, SPEED)
    off = (rows["duration_s"] / rows["iterations"]).median() / expected
    assert holds(foresight.pass_off(point), off), off


@pytest.mark.parametrize(("profile", "target", "model", "point", "rows"), WORKING, ids=NAMES)
def test_warming_and_each_window_lie_in_theirs(
    profile: str, target: Target, model: ResolvedModel, point: Point, rows: pd.DataFrame
) -> None:
    rule = profile_named(profile)
    warming, windows = foresight.point_span(model, target, point, SPEED, rule)
    for gap_s in rows.loc[rows["first"], "gap_s"]:
        if rows["phase"].iloc[0] != "anchor":  # before the first anchor a process is loaded
            assert holds(warming, gap_s)
    each_s = (rows["duration_s"] + foresight.GAP_S).median()
    least_s, most_s = windows.low_s / rule.min_windows, windows.high_s / rule.min_windows
    assert 0.8 * least_s <= each_s <= 1.05 * most_s


def test_gaps_between_windows_are_as_long_as_foreseen() -> None:
    gaps = ROWS.loc[~ROWS["first"], "gap_s"]
    assert gaps.median() == pytest.approx(foresight.GAP_S, abs=0.06)


def test_a_process_is_ready_when_foreseen() -> None:
    """The second process of the publishable run, and the first ones of all runs, which also find
    the peaks and the tick."""
    later = MINE[MINE["process_index"] == 1].iloc[0]
    target = PLAN.targets[0]
    load_s = expect.load_s(resolve(target.model).architecture, target)
    loading = Span(load_s * foresight.LOAD_OFF.low_s, load_s * foresight.LOAD_OFF.high_s)
    assert holds(loading, later["gap_s"])
    resident = ROWS[ROWS["plan_key"].str.endswith("idle resident")]
    assert len(resident) == 4
    for _, row in resident.iterrows():
        run = next(run for run in RUNS if run["id"] == row["run_id"])
        (target,) = (
            t for t in Plan.from_mapping(run["plan"]).targets
            if row["plan_key"].startswith(t.label + " / ")
        )  # fmt: skip
        load_s = expect.load_s(resolve(target.model).architecture, target)
        probing_s = foresight.PROBING_S[run["profile"]]
        low_s = foresight.LOAD_OFF.low_s * load_s
        high_s = foresight.LOAD_OFF.high_s * load_s + foresight.PROBING_OFF.high_s * probing_s
        assert low_s < row["gap_s"] < high_s, (target.model, row["gap_s"])


def test_the_publishable_run_took_what_is_foreseen_but_for_rules_that_changed() -> None:
    """Then the anchor was small, and measured until its interval was narrow (65 windows in not
    quite two processes, for 9), and each window that began cool counted as heating (three times in
    each process)."""
    cells = MINE[MINE["phase"] == "decode"]
    heating = cells[cells["flags"].str.contains("temperature_rising")]
    anchors = MINE[MINE["phase"] == "anchor"]
    assert list(heating.groupby("process_index").size()) == [3, 3] and len(anchors) == 65
    spent = MINE.assign(s=MINE["duration_s"] + MINE["gap_s"].fillna(0))
    phases = foresight.part_phases(PLAN, {m: resolve(m) for m in _models()}, SPEED, ROOM)
    windows = spent[(spent["phase"] == "decode") & ~spent["first"]]
    each_s = windows["s"].median()
    assert holds(_padded(phases["windows"]), 9 * each_s)
    assert phases["heating"].low_s == pytest.approx(each_s, rel=0.05)
    assert phases["heating"].high_s == pytest.approx(4 * each_s, rel=0.05)
    assert phases["idle"] == Span(60, 60)
    idle = spent.loc[spent["phase"] == "idle", "duration_s"].sum()
    assert idle == pytest.approx(60, abs=0.1)
    warm = spent.loc[(spent["phase"] == "decode") & spent["first"], "gap_s"]
    assert holds(phases["warming"], 3 * warm.mean())
    loads = spent.loc[spent["plan_key"].str.endswith("idle resident"), "gap_s"].sum()
    later = spent.loc[(spent["process_index"] == 1) & spent["first"], "gap_s"].iloc[0]
    assert holds(phases["loading"] + phases["probing"], loads + 2 * later)


def _models() -> set[str]:
    return {target.model for target in PLAN.targets}


def _padded(span: Span) -> Span:
    return Span(0.98 * span.low_s, 1.02 * span.high_s)


def test_a_refused_model_costs_one_idle_baseline(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "profile: standard\nmodels:\n  - model: Llama-3.1-70B\n    cells:\n"
        "      - {phase: prefill, prompt: 64}\n      - {phase: decode, context: 200, steps: 8}\n"
    )
    found = expectations(read_campaign(file), "V100-SXM2-32GB")
    assert all(cell.refused for cell in found.cells) and len(found.cells) == 2
    assert found.total == Span(10, 10)
    plan = Plan.from_mapping(PLAN.to_mapping())
    architectures = {m: resolve(m).architecture for m in _models()}
    assert expect.plan_s(plan, architectures, SPEED, room=1 << 20) == 30
    assert expect.plan_s(plan, architectures, SPEED, room=ROOM) > 60


def test_a_range_is_said_in_minutes() -> None:
    assert Span(60, 90).sentence == "1.0 to 1.5 min" and Span(60, 61).sentence == "about 1.0 min"
    assert (Span(1, 2) + Span(3, 5)) == Span(4, 7) and Span(1, 2).middle_s == 1.5
