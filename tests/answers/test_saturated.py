"""A fit with as many parameters as points says nothing of its own error, and no page pretends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from observatory import answers
from observatory.cli import observatory, run
from observatory.derive import derive
from observatory.exports.card import snippet
from observatory.footprint import Scenario
from observatory.headline import headline
from observatory.records import Workload
from observatory.store import schema
from observatory.store.database import open_database
from tests import synthetic

REQUEST = Workload.request(100, 10)


def stored(path: Path, monkeypatch: pytest.MonkeyPatch, prompts: tuple[int, ...],
           requests: tuple[tuple[int, int], ...] = ()) -> Any:  # fmt: skip
    """A synthetic store of one process, whose fit has one parameter a prompt and one a step."""
    monkeypatch.setattr(synthetic, "PREFILLS", prompts)
    monkeypatch.setattr(synthetic, "CONTEXTS", (16,))
    monkeypatch.setattr(synthetic, "REQUESTS", requests)
    synthetic.record(path, noise=0.01)
    engine = open_database(path)
    with engine.begin() as connection:
        connection.execute(schema.window.delete().where(schema.window.c.process_index == 1))
    derive(engine)
    return engine


@pytest.fixture
def saturated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "saturated.db"
    stored(path, monkeypatch, (16, 256)).dispose()
    return path


def test_a_saturated_fit_has_no_interval_and_no_error(saturated: Path) -> None:
    engine = open_database(saturated)
    fits = answers.fits(engine, None)
    assert list(fits["n_points"]) == [3] * len(fits)
    assert fits[["mape", "p95_error", "max_error"]].isna().all().all()
    assert set(fits["error_reason"]) == {
        "the fit has as many parameters as points, and no point was held out"
    }
    (e,) = answers.estimate(engine, REQUEST)
    assert (e.runtime_low_s, e.runtime_high_s, e.error_rel) == (None, None, None)
    assert e.error_basis == (
        "not known: the fit has as many parameters as points, and no point was held out"
    )
    assert "[" not in headline([e]).split(" on ")[0]
    assert "[" not in snippet([e]).splitlines()[4].split("|")[3]
    (pair,) = answers.energy_inputs(engine, REQUEST)
    assert pair[1].repeat_rel_std is None  # unknown, never a repeatability of 0
    assert pair[1].busy_error_rel is None
    rented = Scenario(zone="FRA", gpu_price_usd_per_h=3.0)
    (bill,) = answers.estimate(engine, REQUEST, rented)[0].footprints
    assert any("leave out the error of the runtime" in note for note in bill.notes)


def test_the_terminal_says_why_there_is_none(
    saturated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (["report"], ["estimate", "--prompt", "100", "--output", "10"]):
        assert run(observatory, [*verb, "--db", str(saturated)]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "no point was held out" in said and "no interval:" in said
        assert "0.0 %" not in said and "interval: not known" not in said
    assert run(observatory, ["estimate", "--json", "--db", str(saturated)]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["runtime_low_s"] is None and row["runtime_high_s"] is None


def test_held_out_points_or_one_more_point_give_an_interval_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = stored(tmp_path / "held.db", monkeypatch, (16, 256), ((64, 8),))
    (e,) = answers.estimate(engine, REQUEST)
    assert e.error_basis == "p90 of 1 held-out points" and e.runtime_low_s is not None
    assert answers.fits(engine)["mape"].isna().all()  # still no evidence, and says why
    assert "residuals are 0" in answers.fits(engine)["error_reason"].iloc[0]
    monkeypatch.setattr(synthetic, "CONTEXTS", (16, 512))
    synthetic.record(tmp_path / "more.db", noise=0.01)
    more = open_database(tmp_path / "more.db")
    (e,) = answers.estimate(more, REQUEST)
    assert e.runtime_low_s is not None and answers.fits(more)["error_reason"].isna().all()
