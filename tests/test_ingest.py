"""Facts in, derived rows out: through the real door, on a synthetic run with a known law."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from observatory import answers
from observatory.derive import derive
from observatory.errors import InputError
from observatory.footprint import EXAMPLE_ZONES, Scenario
from observatory.ingest import Recorder, latest_resumable, utc_now
from observatory.merging import merge
from observatory.records import Cell, Energy, Window, Workload
from observatory.store import reader
from observatory.store.database import open_database, open_read_only
from tests import synthetic


def count(path: Path, table: str) -> int:
    with sqlite3.connect(path) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "o.db"
    synthetic.record(path)
    return path


def test_the_fit_recovers_the_law(database: Path) -> None:
    fit = answers.fits(open_read_only(database)).iloc[0]
    assert fit["n_heldout"] == len(synthetic.REQUESTS)
    assert fit["heldout_max_error"] < 0.05  # alpha is linear in p, and interpolated as such
    assert fit["mape"] < 1e-3


def test_energy_is_fitted_by_component(database: Path) -> None:
    engine = open_read_only(database)
    found = answers.estimate(engine, Workload.request(128, 32), Scenario(zone="FRA"))[0]
    expected = synthetic.runtime_s(128, 32) * (synthetic.CPU_W + synthetic.DRAM_W)
    assert found.energy_j == pytest.approx(expected, rel=0.02)
    assert found.runtime_s == pytest.approx(synthetic.runtime_s(128, 32), rel=0.02)
    assert found.ttft_s == pytest.approx(synthetic.runtime_s(128, 1), rel=0.02)
    assert found.energy_provenance == "estimated"
    (made,) = found.footprints
    assert made.zone == "FRA" and made.cost_usd.value is None
    assert "--tariff" in str(made.cost_usd.reason)


def test_without_a_zone_three_examples_stand_side_by_side(database: Path) -> None:
    found = answers.estimate(open_read_only(database), Workload.request(64, 8))[0]
    assert [made.zone for made in found.footprints] == list(EXAMPLE_ZONES)
    assert all(made.example for made in found.footprints)
    carbon = [made.co2e_g.value for made in found.footprints]
    assert carbon == sorted(carbon)  # type: ignore[type-var]
    energy = {made.energy_wh.value for made in found.footprints}
    assert len(energy) <= 2, "a zone changes carbon and water, energy only through its PUE"


def test_missing_energy_is_null_with_a_reason_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    synthetic.record(path, energy=synthetic.no_energy)
    engine = open_read_only(path)
    rows = answers.summary(engine)
    assert rows["energy_j"].isna().all()
    assert set(rows["energy_reason"]) == {"no sensor on this synthetic machine"}
    found = answers.estimate(engine, Workload.request(64, 8))[0]
    assert found.energy_j is None and "no sensor" in str(found.energy_reason)
    for made in found.footprints:
        for name, bill in made.bills().items():
            assert bill.value is None and bill.reason, name
    with sqlite3.connect(path) as connection:
        zeros = connection.execute(
            "SELECT count(*) FROM v_footprint WHERE mid = 0 OR (mid IS NULL AND reason IS NULL)"
        ).fetchone()[0]
    assert zeros == 0


def test_deriving_again_gives_the_same_rows(database: Path) -> None:
    def dump() -> list[tuple[object, ...]]:
        with sqlite3.connect(database) as connection:
            rows = connection.execute("SELECT * FROM summary ORDER BY phase, prompt_tokens, "
                                      "context_tokens, output_tokens").fetchall()  # fmt: skip
            rows += connection.execute("SELECT * FROM fit ORDER BY quantity").fetchall()
        return [row[1:] for row in rows]

    before = dump()
    derive(open_database(database))
    assert dump() == before


def test_deriving_one_configuration_leaves_the_others(database: Path) -> None:
    synthetic.record(database, run_id="synthetic-2", model_name="Pythia-160M")
    engine = open_read_only(database)
    before = answers.summary(engine)
    keys = set(before["configuration_key"])
    assert len(keys) == 2
    derive(open_database(database), {keys.pop()})
    after = answers.summary(engine)
    assert before.equals(after)


def test_a_second_run_is_kept_beside_the_first(database: Path) -> None:
    cells, windows = count(database, "cell"), count(database, "window")
    synthetic.record(database, run_id="synthetic-2")
    assert (count(database, "cell"), count(database, "window")) == (2 * cells, 2 * windows)
    rows = answers.summary(open_read_only(database))
    assert set(rows["n_runs"]) == {2} and set(rows["n_processes"]) == {4}


def test_storing_a_window_twice_adds_nothing(database: Path) -> None:
    recorder = Recorder.resume(database, "synthetic-1")
    key = recorder.cells()[0].plan_key
    window = Window(0, 0, 1, 1.0, utc_now(), 1, Energy(reason="again"))
    assert recorder.store(key, window) == 0
    assert recorder.store(key, replace(window, window_index=99)) == 1
    assert (0, 99) in recorder.windows_done(key)


def test_an_interrupted_run_can_be_found_again(database: Path) -> None:
    assert latest_resumable(database) is None
    Recorder.resume(database, "synthetic-1").update_run(status="interrupted")
    assert latest_resumable(database) == "synthetic-1"
    assert latest_resumable(database, "another plan") is None
    with open_read_only(database).connect() as connection:
        machine = reader.run_record(connection, "synthetic-1").environment_key  # type: ignore[union-attr]
    assert latest_resumable(database, None, {machine, "another"}) == "synthetic-1"
    assert latest_resumable(database, None, {"another machine"}) is None


def test_windows_need_a_planned_cell(database: Path) -> None:
    recorder = Recorder.resume(database, "synthetic-1")
    with pytest.raises(InputError, match="never planned"):
        recorder.store("no such cell", Window(0, 0, 1, 1.0, utc_now(), 1))
    with pytest.raises(InputError, match="no run 'absent'"):
        Recorder.resume(database, "absent")


def test_a_short_window_is_kept_found_and_left_out(database: Path) -> None:
    recorder = Recorder.resume(database, "synthetic-1")
    cell = next(c for c in recorder.cells() if c.phase == "prefill")
    short = Window(
        0, 50, 1, 5.0, utc_now(), cell.workload.prompt_tokens, Energy(reason="x"),
        window_target_s=10.0,
    )  # fmt: skip
    recorder.store(cell.plan_key, short)
    recorder.close("done")
    engine = open_read_only(database)
    found = answers.findings(engine)
    assert list(found["rule"]) == ["window_too_short"]
    assert found["value"].iloc[0] == 5.0 and found["bound"].iloc[0] == 10.0
    rows = answers.summary(engine, phase="prefill")
    assert sorted(rows["n_excluded"]) == [0, 0, 0, 1]
    assert set(rows["n_windows"]) == {6}


def test_a_contended_window_serves_only_where_there_is_no_better_one(database: Path) -> None:
    recorder = Recorder.resume(database, "synthetic-1")
    cell = next(c for c in recorder.cells() if c.phase == "prefill")
    tokens = cell.workload.prompt_tokens
    for index in range(50, 60):
        recorder.store(cell.plan_key, Window(0, index, 1, 99.0, utc_now(), tokens,
                                             Energy(reason="x"), cpu_share=0.5))  # fmt: skip
    alone = Cell("synthetic-1", "alone", cell.configuration_key, "prefill", Workload.prefill(77))
    recorder.plan([alone])
    recorder.store("alone", Window(0, 0, 1, 9.0, utc_now(), 77, Energy(reason="x"), cpu_share=0.5))
    recorder.close("done")
    rows = answers.summary(open_read_only(database), phase="prefill").set_index("prompt_tokens")
    beside = rows.loc[cell.workload.prompt_tokens]
    assert beside["n_excluded"] == 10 and beside["runtime_s"] < 1
    assert rows.loc[77, "n_excluded"] == 0 and rows.loc[77, "runtime_s"] == 9.0


def test_processes_make_the_interval(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    synthetic.record(path, noise=0.005, process_shift=0.2)
    rows = answers.summary(open_read_only(path))
    assert rows["between_process_rel"].median() == pytest.approx(0.2 / 1.1, rel=0.1)
    assert (rows["runtime_high_s"] > 1.5 * rows["runtime_s"]).all(), "t with df=1 is wide"
    with sqlite3.connect(path) as connection:
        methods = {row[0] for row in connection.execute("SELECT runtime_interval FROM summary")}
    assert methods == {"t on 2 log process means"}


def test_merging_twice_adds_nothing(database: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    synthetic.record(other, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    first = merge(database, other)
    assert first.added["run"] == 1 and first.added["window"] == count(other, "window")
    assert merge(database, other).total == 0
    assert answers.models(open_read_only(database)) == ["Pythia-160M", "SmolLM2-135M"]
    with pytest.raises(InputError, match="itself"):
        merge(database, database)


def test_roofline_stands_beside_every_phase(database: Path) -> None:
    rows = answers.summary(open_read_only(database))
    assert rows["roofline_s"].notna().all()
    assert (rows["roofline_s"] < rows["runtime_s"]).all()
    assert rows.loc[rows["phase"] == "decode", "roofline_bound"].eq("memory").all()
    assert rows.loc[rows["phase"] != "e2e", "mbu"].between(0, 1).all()


def test_planning_a_cell_twice_keeps_its_status(database: Path) -> None:
    recorder = Recorder.resume(database, "synthetic-1")
    cell = recorder.cells()[0]
    assert recorder.plan([replace(cell, status="planned")]) == 0
    assert recorder.cells()[0].status == "ok"
    assert recorder.plan([Cell("synthetic-1", "new", cell.configuration_key, "prefill",
                               Workload.prefill(7))]) == 1  # fmt: skip


def test_outside_the_measured_range_is_flagged(database: Path) -> None:
    engine = open_read_only(database)
    inside, outside = (
        answers.estimate(engine, Workload.request(*pair))[0] for pair in ((100, 20), (5000, 20))
    )
    assert not inside.extrapolated and inside.extrapolation is None
    assert outside.extrapolated and "5000" in str(outside.extrapolation)


def test_a_run_report_names_failures(database: Path) -> None:
    recorder = Recorder.resume(database, "synthetic-1")
    key = recorder.cells()[0].plan_key
    recorder.finish(key, "oom", "needs 99 GiB, 24 GiB are free")
    recorder.close("done_with_failures")
    report = answers.run_report(open_read_only(database), "synthetic-1")
    assert report.cells["oom"] == 1
    assert report.failures[0]["error"] == "needs 99 GiB, 24 GiB are free"
    with pytest.raises(InputError, match="no run"):
        answers.run_report(open_read_only(database), "absent")
