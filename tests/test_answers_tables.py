"""Tables that pages show: what was measured where, and measured beside idealized."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from observatory import answers
from observatory.errors import InputError
from observatory.footprint import Scenario
from observatory.records import Workload
from observatory.store.database import open_database, open_read_only
from tests import synthetic


def test_configurations_say_how_much_was_measured_and_when(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    synthetic.record(path, "synthetic-1")
    synthetic.record(path, "synthetic-2")
    rows = answers.configurations(open_read_only(path))
    assert len(rows) == 1
    row = rows.iloc[0]
    points = len(synthetic.points())
    assert row["runs"] == 2 and row["points"] == points and row["processes"] == 4
    assert row["windows"] == 2 * 2 * 3 * points and row["cells_ok"] == 2 * points
    assert row["first_utc"] < row["last_utc"]
    assert row["configuration"] == "Synthetic CPU, bfloat16, 2 threads, sdpa"


def test_idealized_stands_beside_every_measured_point(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    synthetic.record(path)
    rows = answers.idealized(open_read_only(path))
    assert len(rows) == len(synthetic.points())
    assert rows["idealized_s"].notna().all()
    assert rows["error_rel"].abs().max() < 0.05  # the data follow the law that is fitted
    decode = rows[(rows["phase"] == "decode") & (rows["context_tokens"] == 512)].iloc[0]
    assert decode["idealized_s"] == pytest.approx(
        synthetic.decode_s(512, synthetic.STEPS), rel=0.02
    )


def test_an_empty_database_gives_empty_tables(tmp_path: Path) -> None:
    open_database(tmp_path / "o.db").dispose()
    engine = open_read_only(tmp_path / "o.db")
    assert answers.configurations(engine).empty and answers.idealized(engine).empty


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic models; the second is 1.3 times as slow at the same power."""
    path = tmp_path_factory.mktemp("two") / "two.db"
    synthetic.record(path, "synthetic-1")
    synthetic.record(path, "synthetic-2", model_name="Pythia-160M", scale=1.3)
    return path


def key_of(path: Path, model: str) -> str:
    rows = answers.fits(open_read_only(path))
    return str(rows[rows["model"] == model]["configuration_key"].iloc[0])


def test_two_configurations_compare_on_shared_draws(two: Path) -> None:
    change = answers.compare(
        open_read_only(two), Workload.request(128, 32), Scenario(zone="FRA"),
        key_of(two, "Pythia-160M"), key_of(two, "SmolLM2-135M"),
    )  # fmt: skip
    energy = next(s for s in change.statements if s.quantity == "energy_wh")
    assert energy.change == pytest.approx(1 / 1.3 - 1, rel=0.01)
    assert energy.comparison.p_less > 0.95  # PUE and the sensor's gain are shared
    assert change.sentence.startswith("Moving from Pythia-160M to SmolLM2-135M saves")


def test_detail_adds_the_ladder_and_the_shares_of_variance(two: Path) -> None:
    made, rungs = answers.bill_in_detail(
        open_read_only(two), Workload.request(128, 32), Scenario(zone="FRA", pue=1.5),
        key_of(two, "SmolLM2-135M"),
    )  # fmt: skip
    assert [rung.boundary for rung in rungs] == ["device", "host", "wall", "facility"]
    joules = synthetic.runtime_s(128, 32) * (synthetic.CPU_W + synthetic.DRAM_W)
    assert rungs[1].energy_wh == pytest.approx(joules / 3600, rel=0.02)
    assert rungs[2].energy_wh is None and "idle" in str(rungs[2].reason)
    assert made.variance_shares["energy_wh"]


def test_rented_money_and_the_runtime_have_one_interval(two: Path) -> None:
    """The price is stated, so nothing but the runtime is uncertain in the money."""
    made = answers.estimate(
        open_read_only(two), Workload.request(128, 32),
        Scenario(zone="FRA", gpu_price_usd_per_h=3600.0),
    )  # fmt: skip
    for e in made:
        assert e.runtime_low_s is not None and e.runtime_high_s is not None
        money = e.footprints[0].cost_usd
        assert e.runtime_low_s < e.runtime_s < e.runtime_high_s
        assert (money.low, money.value, money.high) == pytest.approx(
            (e.runtime_low_s, e.runtime_s, e.runtime_high_s), rel=1e-3
        )


def test_bills_by_zone_differ_by_the_zone_alone(two: Path) -> None:
    rows = answers.bills_by_zone(
        open_read_only(two), Workload.request(128, 32), Scenario(), key_of(two, "SmolLM2-135M"),
        ["FRA", "POL"],
    )  # fmt: skip
    assert list(rows["zone"]) == ["FRA", "POL"] and rows["energy_wh"].nunique() == 1
    assert rows["co2e_operational_g"].iloc[1] > 5 * rows["co2e_operational_g"].iloc[0]


def test_an_unknown_key_is_an_input_error(two: Path) -> None:
    with pytest.raises(InputError, match="no configuration"):
        answers.bill_in_detail(
            open_read_only(two), Workload.request(8, 8), Scenario(zone="FRA"), "x"
        )


def test_chosen_configurations_alone_give_the_same_rows(two: Path) -> None:
    engine, key = open_read_only(two), key_of(two, "Pythia-160M")
    every = answers.idealized(engine)
    mine = every[every["configuration_key"] == key].reset_index(drop=True)
    pd.testing.assert_frame_equal(answers.idealized(engine, keys=[key]), mine)
    request = Workload.request(128, 32)
    (alone,) = answers.estimate(engine, request, keys=[key])
    assert alone in answers.estimate(engine, request)
