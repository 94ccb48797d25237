"""Tables that pages show: what was measured where, and measured beside idealized."""

from __future__ import annotations

from pathlib import Path

import pytest

from observatory import answers
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
