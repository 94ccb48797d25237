"""Without held-out points an error is that of points left out, or the scatter of lone points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from observatory import answers
from observatory.answers.laws import read_laws
from observatory.derive import derive
from observatory.records import Workload
from observatory.runtime.fit import Fit, Observation, fit
from observatory.runtime.observations import Point, observed
from observatory.store import schema
from observatory.store.database import open_database
from tests import synthetic

LEFT_OUT = "p95 of fitted points, each left out, or what lone points scatter (none held out)"


def points(scatter: float | None = 0.5) -> list[Observation]:
    """Prefills measured once each, steps at one context in four lengths, 4 % apart."""
    rows = [
        observed(Point("prefill", p, 1), s, interval_rel=rel)
        for p, s, rel in ((128, 0.014, scatter), (2048, 0.016, 0.1), (8192, 0.052, 0.01))
    ]
    for n, off in ((8, 0.98), (16, 1.02), (24, 0.98), (32, 1.02)):
        rows.append(observed(Point("decode", 0, n, 1, 64), 0.003 * n * off, interval_rel=0.001))
    return rows


def test_each_point_is_predicted_without_itself() -> None:
    """The leverage's formula is the refit without the point, exactly."""
    rows = points()
    whole = fit(rows)
    misses = []
    for i in range(3, 7):
        left = fit(rows[:i] + rows[i + 1 :])
        seconds = left.step.c0_s * rows[i].output_tokens
        misses.append(abs(seconds / rows[i].runtime_s - 1))
    assert whole.errors.left_out_step == pytest.approx(np.quantile(misses, 0.95))
    assert whole.errors.left_out_step > whole.errors.max  # what a fit has seen, it misses by less
    assert (whole.errors.left_out_prefill, whole.errors.alone_step) == (0.0, 0.0)
    assert whole.errors.alone_prefill == (0.5, 0.1, 0.01)
    assert fit(points(None)).errors.alone_prefill == (None, 0.1, 0.01)


def test_a_repeated_prefill_is_checked_by_its_repeats() -> None:
    rows = [*points(), observed(Point("prefill", 128, 1), 0.0147)]
    errors = fit(rows).errors
    assert errors.alone_prefill == (0.0, 0.1, 0.01)
    assert errors.left_out_prefill == pytest.approx(0.05, abs=0.003)


def test_a_law_through_its_points_tells_no_error_of_its_steps() -> None:
    """Two batches, two parameters: the line is met at both, and between them nobody knows."""
    rows = [observed(Point("prefill", 128, 1), s, interval_rel=0.01) for s in (0.014, 0.0142)]
    for batch, seconds in ((1, 0.3), (64, 2.5)):
        rows.append(observed(Point("decode", 0, 32, batch, 64), seconds, interval_rel=0.001))
    errors = fit(rows).errors
    assert errors.left_out_step == 0.0 and errors.alone_step is None
    alone = fit(
        [*rows[:2], rows[2]]
    ).errors  # one constant from one point has that point's interval
    assert alone.alone_step == 0.001


@pytest.mark.parametrize("recipe", ["relative", "ols", "smooth-roofline", "denoised"])
def test_recipes_know_it_and_their_json_keeps_it(recipe: str) -> None:
    made = fit(points(), recipe)
    assert made.errors.left_out_step is not None
    assert Fit.from_json(made.to_json()) == made
    old = made.to_json()
    for name in ("left_out_prefill", "left_out_step", "alone_prefill", "alone_step"):
        del old["errors"][name]
    assert Fit.from_json(old).errors.left_out_step is None  # stored before there was any


def stored(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One process, no held-out point: prefills stand alone, steps check each other."""
    monkeypatch.setattr(synthetic, "PREFILLS", (16, 256))
    monkeypatch.setattr(synthetic, "CONTEXTS", (16, 512))
    monkeypatch.setattr(synthetic, "REQUESTS", ())
    synthetic.record(path, noise=0.05)
    engine, w = open_database(path), schema.window
    with engine.begin() as connection:
        connection.execute(w.delete().where(w.c.process_index == 1))
    derive(engine)
    return engine


def test_an_answer_is_as_unsure_as_the_points_that_it_rests_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = stored(tmp_path / "alone.db", monkeypatch)
    errors = Fit.from_json(answers.fits(engine)["parameters"].iloc[0]).errors
    assert errors.alone_prefill is not None and errors.alone_prefill[0] is not None
    (short,) = answers.estimate(engine, Workload.request(16, 1))
    assert short.error_basis == LEFT_OUT
    assert short.error_rel == pytest.approx(errors.alone_prefill[0])
    rows = answers.summary(engine).set_index(["phase", "prompt_tokens"])
    measured = rows.loc["prefill", 16]
    assert short.runtime_high_s == pytest.approx(measured["runtime_high_s"])
    assert short.runtime_low_s == pytest.approx(measured["runtime_low_s"])
    (between,) = answers.estimate(engine, Workload.request(100, 1))
    assert between.error_rel == pytest.approx(max(e or 0 for e in errors.alone_prefill))
    (long,) = answers.estimate(engine, Workload.request(16, 200))
    assert long.error_rel is not None and errors.left_out_step is not None
    shares = short.error_rel * long.prefill_s + errors.left_out_step * long.decode_s
    assert long.error_rel == pytest.approx(shares / long.runtime_s)
    (pair,) = answers.energy_inputs(engine, Workload.request(16, 1))
    assert pair[1].repeat_rel_std is not None and pair[1].repeat_rel_std > 0.005


def test_a_lone_point_of_one_window_leaves_the_error_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, w, c = stored(tmp_path / "one.db", monkeypatch), schema.window, schema.cell
    cells = select(c.c.id).where(c.c.phase == "prefill", c.c.prompt_tokens == 16)
    with engine.begin() as connection:
        connection.execute(w.delete().where(w.c.cell_id.in_(cells), w.c.window_index > 0))
    derive(engine)
    (short,) = answers.estimate(engine, Workload.request(16, 1))
    assert short.error_rel is None and short.runtime_low_s is None
    assert short.error_basis == (
        "not known: it rests on points that no other checks, and no point was held out"
    )
    (far,) = answers.estimate(engine, Workload.request(256, 1))
    assert far.error_basis == LEFT_OUT and far.error_rel is not None


def test_a_fit_stored_before_tells_its_residuals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, f = stored(tmp_path / "old.db", monkeypatch), schema.fit
    with engine.begin() as connection:
        for row in connection.execute(f.select()).mappings().all():
            law = dict(row["parameters"])
            law["errors"] = {k: law["errors"][k] for k in ("mape", "p95", "max", "alpha1")}
            connection.execute(f.update().where(f.c.id == row["id"]).values(parameters=law))
    (e,) = answers.estimate(engine, Workload.request(100, 8))
    assert e.error_basis == "p95 of fitted points (none held out)"
    p95 = read_laws(engine).runtime.rows["p95_error"].iloc[0]
    assert e.error_rel == pytest.approx(p95)
