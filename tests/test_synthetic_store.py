"""The store that the dashboard's benchmark asks is made by the product: its rules hold there."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks import synthetic_store


@pytest.mark.slow
def test_no_rule_of_the_audit_empties_it(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.db"
    synthetic_store.build(path, 60)
    with synthetic_store.open_database(path).connect() as connection:
        count = text("select count(distinct configuration_key) from summary")
        excluded = text("select rule from finding where severity = 'exclude'")
        assert connection.execute(count).scalar() == 60
        assert not connection.execute(excluded).all()
