"""What is announced and counted while a run lasts: a ceiling, a total that grows, time left."""

from __future__ import annotations

import io
import random
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from observatory.records import Window
from runners import ceiling, expect
from runners.ceiling import thoroughness
from runners.devices import Chosen
from runners.expect import Pace, Speed
from runners.models import resolve
from runners.plan import Plan
from runners.points import PATIENT, AgainWhenQuiet, FixedGrid, Quiet
from runners.progress import BarProgress, PlainProgress, expected_text
from runners.request import ModelRequest, Request, make_plan
from runners.session import Session
from tests.runners.test_run_benchmark import PLANNED, call

CPU = Chosen("cpu")
SPEED = Speed(200e9, 12e9, 0.3e-3)
MODEL = resolve("Pythia-160M").architecture
WINDOW_S = 0.3


def plan_of(**more: Any) -> Plan:
    models = (ModelRequest("Pythia-160M"),)
    return make_plan(Request(**{"models": models, **more}), CPU, 2, resolve)[0]


@pytest.mark.parametrize("busy_share", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_no_process_takes_longer_than_its_ceiling(busy_share: float, seed: int) -> None:
    """Each visit to a point, as often and as long as the rules of a run allow, on a machine that
    is disturbed in a share of all windows."""
    plan = plan_of(target_error=0.03)
    target = plan.targets[0]
    profile, patience = thoroughness(plan)
    assert patience is PATIENT and profile.max_windows == 12
    random_ = random.Random(seed)
    points = [p for p in (*target.points, *target.candidates) if p.role not in ("idle", "anchor")]
    source = AgainWhenQuiet(FixedGrid(points), lambda: True, Quiet(), patience)
    spent_s = 0.0
    while (point := source.propose()) is not None:
        each_s = expect.pass_s(MODEL, target, point, SPEED)
        spent_s += max(each_s, min(20 * each_s, 0.25))
        windows: list[Window] = []
        while len(windows) < profile.max_windows:
            flags = ("cpu_contended",) if random_.random() < busy_share else ()
            windows.append(Window(0, len(windows), 1, WINDOW_S, "", None, flags=flags))
            spent_s += max(WINDOW_S, each_s)
            if len(windows) >= profile.min_windows and source.better_later(point, windows):
                break
        source.update(point, windows)
    most_s = ceiling.process_s(plan, MODEL, target, target.points, True, SPEED, WINDOW_S)
    assert spent_s < most_s < 12 * spent_s


def test_a_ceiling_is_said_where_it_is_well_above_what_is_expected() -> None:
    architectures = {"Pythia-160M": MODEL}
    patient, fixed = plan_of(target_error=0.03), plan_of(fixed_grid=True)
    for plan in (patient, fixed):
        assert ceiling.plan_s(plan, architectures, SPEED) >= expect.plan_s(
            plan, architectures, SPEED
        )
    expected_s = expect.plan_s(patient, architectures, SPEED)
    assert ceiling.plan_s(patient, architectures, SPEED) > 3 * expected_s
    assert expected_text(46, 274) == ("about 0:46, up to 4:34 where neighbours disturb the machine")
    assert expected_text(46, 50) == "about 0:46" == expected_text(46, 0)


def test_near_its_budget_a_quick_run_is_not_patient() -> None:
    quick = make_plan(Request(), CPU, 2, resolve)[0]
    assert quick.budget_s is not None
    assert ceiling.within_budget(quick, 60, 400) == quick.budget_s
    assert ceiling.within_budget(quick, 100, 400) == 100
    assert ceiling.within_budget(plan_of(), 60, 400) == 400


def test_a_visit_again_makes_the_total_grow() -> None:
    """54 announced and 66 made was a count above its total."""
    plan = plan_of(target_error=0.03)
    target = plan.targets[0]
    points = [p for p in target.points if p.role == "heldout"][:3]
    stream = io.StringIO()
    session: Any = Session.__new__(Session)
    session.plan = plan
    session.progress = PlainProgress(stream)
    session.pace = Pace(3.0)
    session.forecast = SimpleNamespace(cell_s=lambda *_: 1.0, cells_s=lambda _, ps: float(len(ps)))
    session._visited, session._index, session._again = set(), 0, None
    session.progress.start(len(points), 3.0)
    session.progress._last = float("inf")  # no line but the last
    for point in (points[0], points[1], points[1], points[1], points[2]):
        session._advance(target, point)
    assert stream.getvalue().splitlines()[-1].startswith("[5/5] ")
    assert session.pace.remaining_s == 0
    session._index = 1  # another process: announced, so no growth
    session.progress.expect(1)
    session._advance(target, points[0])
    assert stream.getvalue().splitlines()[-1].startswith("[6/6] ")


def test_disturbed_points_are_in_the_time_left() -> None:
    plan = plan_of(target_error=0.03)
    target = plan.targets[0]
    point = next(p for p in target.points if p.role == "heldout")
    told: list[float] = []
    session: Any = Session.__new__(Session)
    session.plan, session._spent_before_s = plan, 0.0
    session.progress = SimpleNamespace(advance=lambda _, left_s: told.append(left_s))
    session.pace = Pace(1.0)
    session.pace._began -= 2.0
    session.forecast = SimpleNamespace(cell_s=lambda *_: 1.0, cells_s=lambda _, ps: float(len(ps)))
    session._visited, session._index = set(), 0
    session._again = SimpleNamespace(disturbed=lambda: [point, point, point])
    session._advance(target, point)
    assert told[0] == pytest.approx(6.0, rel=0.01)  # three of 1 s, at the pace of 2 s for 1 s
    session.plan, session._visited = replace(plan, budget_s=5.0), set()
    session._advance(target, point)
    assert told[1] == pytest.approx(3.0, rel=0.01)  # what is left of a budget is the most


def test_of_a_visit_under_way_only_the_rest_is_left() -> None:
    """Three visits of 30 s in 100 s: 10 s are to spare, in the middle of a visit too."""
    session: Any = Session.__new__(Session)
    session.plan = replace(plan_of(fixed_grid=True), budget_s=100.0)
    session.pace, session.progress = Pace(90.0), SimpleNamespace(note=lambda _: None)
    session._spent_before_s = session._visits_s = session._expected_visits_s = 0.0
    session._visit_began_s = session._visit_beyond_s = 0.0
    session._visit_expected_s, session.hurried, session.shortened = 30.0, False, False
    for under_way_s in (0.0, 20.0, 29.0):
        session.pace._began = time.monotonic() - under_way_s
        assert session._has_room(9.0) and not session._has_room(11.0)
    session.pace._began = time.monotonic() - 29.0
    assert session.has_spare(9.0)  # a window beyond the least, and then it is spent
    session.pace._began = time.monotonic() - 38.0
    assert not session.has_spare(9.0) and session.hurried
    assert not session.out_of_time()
    session.pace._began = time.monotonic() - 45.0  # slower than foreseen
    assert session.out_of_time() and session.shortened


def counted(text: str) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in re.findall(r"^\[(\d+)/(\d+)\]", text, re.M)]


def test_a_count_never_passes_its_total_nor_says_that_nothing_is_left() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(1, 10, 40)
    progress.advance("first", 0.0)
    progress.expect(1)
    progress._last = 0.0
    progress.advance("again", 0.0)
    progress._last = 0.0
    progress.advance("unannounced", 0.2)
    progress.expect(2)
    progress._last = 0.0
    progress.advance("more to come", 0.2)
    text = stream.getvalue()
    assert "up to 0:40" in text.splitlines()[0]
    assert counted(text) == [(1, 1), (2, 2), (3, 3), (4, 5)]
    assert text.endswith("left under 0:01\n") and "left 0:00" not in text


def test_the_bar_does_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = BarProgress()
    progress._bar.console.file = io.StringIO()
    progress.start(2, 0.2)
    try:
        for _ in range(3):
            progress.advance("x", 0.0)
            task = progress._bar.tasks[0]
            assert task.completed <= (task.total or 0)
            assert task.fields["left"] == "longer than expected"
        progress.advance("x", 90.4)
        assert progress._bar.tasks[0].fields["left"].endswith(" left")
        assert (progress._bar.tasks[0].completed, progress._bar.tasks[0].total) == (4, 4)
    finally:
        progress.stop()


@pytest.mark.slow
def test_a_patient_run_counts_to_its_end(tmp_path: Path) -> None:
    code, _, err = call(tmp_path, *PLANNED, "--target-error", "0.05", "--processes", "2")
    assert code == 0, err
    found = counted(err)
    assert found and all(done <= total for done, total in found) and found[-1][0] == found[-1][1]
    assert "left 0:00" not in err and "up to" in err.splitlines()[0]
