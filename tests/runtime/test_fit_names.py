"""Joules are not published under names of seconds, and both names are read."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select

from observatory import answers
from observatory.datasets.write import publish
from observatory.runtime.fit import Fit
from observatory.runtime.fit_names import in_joules, in_seconds
from observatory.store import schema
from observatory.store.database import open_read_only
from tests import synthetic


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("names") / "o.db"
    synthetic.record(path)
    return path


def test_published_fits_of_energy_name_joules(database: Path, tmp_path: Path) -> None:
    _, files = publish(database, tmp_path / "set", names=())
    (tmp_path / "fits.csv").write_bytes(files["fits.csv"])
    rows = pd.read_csv(tmp_path / "fits.csv")
    assert set(rows["quantity"]) == {"runtime_s", "energy_cpu_j", "energy_dram_j"}
    for quantity, text in zip(rows["quantity"], rows["parameters"], strict=True):
        record = json.loads(text)
        own, other = ("_s", "_j") if quantity == "runtime_s" else ("_j", "_s")
        names = [*record["curve"], *record["step"], *record["parameter_names"], *record]
        costs = [name for name in names if name.endswith(own)]
        assert {"alpha" + own, "c0" + own, "overhead" + own} < set(costs)
        assert [name for name in names if name.endswith(other)] in ([], ["device_s"])


def test_a_fit_is_read_under_either_names(database: Path) -> None:
    engine = open_read_only(database)
    f = schema.fit
    with engine.connect() as connection:
        stored = dict(
            connection.execute(
                select(f.c.quantity, f.c.parameters)
            ).all()  # as `Fit.to_json` gave them, in this version and those before
        )
    assert len(stored) == 3
    for row in answers.fits(engine, None).to_dict("records"):
        kept = stored[row["quantity"]]
        assert "alpha_s" in kept["curve"]
        assert Fit.from_json(row["parameters"]) == Fit.from_json(kept)
        assert in_seconds(in_joules(kept)) == kept == in_seconds(kept)
    energy = Fit.from_json(stored["energy_cpu_j"])
    assert energy.b0_s == pytest.approx(30 * Fit.from_json(stored["runtime_s"]).b0_s, rel=1e-6)
