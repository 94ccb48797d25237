"""`observatory fit` on a database: what is fitted again, filtered, priced and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from observatory import answers
from observatory.cli import observatory, run
from observatory.derive import derive
from observatory.importing import import_file
from observatory.runtime.fit import Fit
from observatory.store.database import open_database, open_read_only
from tests import synthetic

MINI = Path(__file__).resolve().parent.parent / "data" / "helm" / "mini.log"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two synthetic models, one without joules, and an imported synthetic log."""
    path = tmp_path_factory.mktemp("fit") / "store.db"
    synthetic.record(path, "synthetic-1", noise=0.01)
    synthetic.record(path, "synthetic-2", synthetic.no_energy, model_name="SmolLM2-360M", scale=1.5)
    import_file(path, MINI)
    return str(path)


def fitted(capsys: pytest.CaptureFixture[str], db: str, *extra: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(observatory, ["fit", "--db", db, "--json", *extra]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


def test_the_default_recipe_gives_the_fit_that_stands(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    standing = answers.fits(open_read_only(filled))
    rows = [row for row in fitted(capsys, filled) if row["provenance"] == "measured"]
    assert [row["model"] for row in rows] == ["SmolLM2-135M", "SmolLM2-360M"]
    for row in rows:
        (own,) = standing.loc[standing["configuration_key"] == row["configuration_key"]].to_dict(
            "records"
        )
        assert row["fit"] == own["parameters"]
        assert row["heldout"]["p90"] == own["heldout_p90_error"]
        assert row["n_heldout"] == 7 and row["fit"]["covariance"] is not None
        assert {e["name"] for e in row["fit"]["evidence"]} == {"batch", "context"}
        assert row["fit"]["errors"].keys() == {
            "mape", "p95", "max", "alpha1", "left_out_prefill", "left_out_step", "alone_prefill",
            "alone_step",
        }  # fmt: skip


def test_an_imported_log_is_fitted_beside_what_was_measured(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = fitted(capsys, filled, "--model", "mini")
    assert (row["provenance"], row["devices"], row["device"]) == ("imported", 2, None)
    assert row["fit"]["step"]["c0_s"] == pytest.approx(0.0155, rel=1e-3)
    capsys.readouterr()
    assert run(observatory, ["fit", str(MINI), "--json"]) == 0
    (of_file,) = json.loads(capsys.readouterr().out)
    assert of_file["fit"] == row["fit"]


@pytest.mark.parametrize(
    ("filters", "models"),
    [
        (["--model", "smollm2-360m"], ["SmolLM2-360M"]),
        (["--device", "synthetic"], ["SmolLM2-135M", "SmolLM2-360M"]),
        (["--dtype", "bf16"], ["SmolLM2-135M", "SmolLM2-360M"]),
        (["--dtype", "fp16"], ["megatron-24x2048"]),
    ],
)
def test_filters(
    filled: str, filters: list[str], models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [row["model"] for row in fitted(capsys, filled, *filters)] == models


def test_joules_are_the_powers_of_the_law_and_null_says_why(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--prompt", "64", "--output", "16")
    first, second, log = fitted(capsys, filled, "--quantity", "energy_j", *asked)
    expected = synthetic.runtime_s(64, 16) * (synthetic.CPU_W + synthetic.DRAM_W)
    assert first["prediction"]["energy_j"] == pytest.approx(expected, rel=0.02)
    assert first["unit"] == "J" and first["prediction"]["extrapolated"] is False
    assert second["fit"] is None and second["reason"] == "no sensor on this synthetic machine"
    assert log["fit"] is None and "times only" in log["reason"]
    (cpu, *_) = fitted(capsys, filled, "--quantity", "energy_cpu_j", *asked)
    share = cpu["prediction"]["energy_cpu_j"] / first["prediction"]["energy_j"]
    assert share == pytest.approx(30 / 32, rel=1e-6)
    (time, *_) = fitted(capsys, filled)
    assert cpu["fit"]["device_s"] == pytest.approx(time["fit"]["device_s"])  # seconds, not joules


def test_accelerator_seconds_and_dollars_are_the_runtime_times_a_constant(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--model", "mini", "--prompt", "100", "--output", "20")
    (time,) = fitted(capsys, filled, *asked)
    (used,) = fitted(capsys, filled, *asked, "--quantity", "accelerator_s")
    money = (*asked, "--quantity", "cost_usd", "--gpu-price", "1.8")
    (paid,) = fitted(capsys, filled, *money)
    seconds = time["prediction"]["runtime_s"]
    assert used["prediction"]["accelerator_s"] == pytest.approx(2 * seconds)
    assert paid["prediction"]["cost_usd"] == pytest.approx(2 * seconds * 1.8 / 3600)
    assert paid["fit"]["errors"] == time["fit"]["errors"]
    ratio = paid["fit"]["covariance"][0][0] / time["fit"]["covariance"][0][0]
    assert ratio == pytest.approx((2 * 1.8 / 3600) ** 2)
    assert "1.8 USD/h" in paid["price_source"]
    (unknown,) = fitted(capsys, filled, *asked, "--quantity", "cost_usd", "--gpu-price", "catalog")
    assert unknown["fit"] is None and "no price" in unknown["reason"]
    assert unknown["prediction"] is None


def test_a_recipe_is_stored_beside_the_one_that_stands_and_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.db"
    synthetic.record(path, "synthetic-1", noise=0.01)
    for _ in range(2):  # the second time adds nothing
        fitted(capsys, str(path), "--recipe", "smooth-roofline", "--store")
    engine = open_database(path)
    shown = answers.fits(engine, None, recipe=None)
    assert sorted(shown["recipe"]) == ["relative"] * 3 + ["smooth-roofline"]
    (kept,) = shown.loc[shown["recipe"] == "smooth-roofline"].to_dict("records")
    stored = Fit.from_json(kept["parameters"])
    assert stored.covariance is not None and kept["heldout_p90_error"] is not None
    assert set(answers.fits(engine)["recipe"]) == {"relative"}  # answers know one fit of each
    derive(engine)
    again = answers.fits(engine, None, recipe=None)
    assert sorted(again["recipe"]) == ["relative"] * 3 + ["smooth-roofline"]
    assert again.loc[again["recipe"] == "smooth-roofline", "parameters"].item() == stored.to_json()


def test_the_table_fits_100_columns_and_marks_what_lies_outside(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", "--db", filled, "--prompt", "64", "--output", "100"]
    assert run(observatory, arguments) == 0
    shown = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 100
    request = shown[shown.index("A request of") :]
    marks = {line.split()[0]: line.split()[-1] for line in request.splitlines() if " a " in line
             or " b " in line}  # fmt: skip
    assert marks["SmolLM2-135M"] == "inside" and marks["megatron-24x2048"] == "OUTSIDE"
    assert "output 100 (measured 1-32)" in request


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "SmolLM2-135"], "SmolLM2-135M"),
        (["--recipe", "relativ"], "relative"),
        (["--quantity", "energy"], "energy_j"),
        (["--dtype", "bf61"], "bf16"),
        (["--device", "A100"], "filters"),
        (["--quantity", "cost_usd"], "--gpu-price"),
        (["--quantity", "cost_usd", "--gpu-price", "dear"], "dear"),
        (["--quantity", "energy_j", "--recipe", "ols"], "negative"),
        (["--layer-scale", "3"], "--layer-scale"),
        ([str(MINI), "--model", "mini"], "--model"),
        ([str(MINI), "--store"], "--store"),
        (["--prompt", "5", "--output", "5", "--batch", "0"], "--batch 0"),
    ],
)
def test_bad_input_is_one_line(
    filled: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(observatory, ["fit", "--db", filled, *arguments]) == 2
    told = capsys.readouterr()
    assert words in told.err and not told.out


def test_an_empty_database_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_database(tmp_path / "empty.db").dispose()
    assert run(observatory, ["fit", "--db", str(tmp_path / "empty.db")]) == 2
    assert "run-benchmark" in capsys.readouterr().err
