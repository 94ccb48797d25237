"""The same store on PostgreSQL: run with OBSERVATORY_TEST_POSTGRESQL=postgresql://user@host/name.

The database named there must be empty; its tables are dropped afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from observatory import answers
from observatory.errors import DatabaseError
from observatory.merging import merge
from observatory.records import Workload
from observatory.store import schema
from observatory.store.database import data_version, open_database, open_read_only
from observatory.store.views import drop_views
from tests import synthetic


@pytest.fixture
def url() -> Iterator[str]:
    value = os.environ.get("OBSERVATORY_TEST_POSTGRESQL")
    if not value:
        pytest.skip("OBSERVATORY_TEST_POSTGRESQL is not set")
    yield value
    with open_database(value).begin() as connection:
        drop_views(connection)
        schema.metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))


def test_a_run_gives_the_same_answers_as_on_sqlite(url: str, tmp_path: Path) -> None:
    local = tmp_path / "o.db"
    synthetic.record(local)
    assert merge(url, local).total > 0
    assert merge(url, local).total == 0
    request = Workload.request(100, 20)
    there = answers.estimate(open_read_only(url), request)
    here = answers.estimate(open_read_only(local), request)
    assert [e.to_json() for e in there] == [e.to_json() for e in here]
    assert len(answers.summary(open_read_only(url))) == len(answers.summary(open_read_only(local)))


def test_a_run_can_be_recorded_and_is_read_only_for_readers(url: str) -> None:
    synthetic.record(url)  # type: ignore[arg-type]
    engine = open_read_only(url)
    assert "None" not in data_version(engine).split("-")[0]
    assert set(answers.runs(engine)["status"]) == {"done"}
    with engine.connect() as connection, pytest.raises(Exception, match="read-only"):
        connection.execute(text("DELETE FROM run"))


def test_no_server_is_one_line() -> None:
    with pytest.raises(DatabaseError) as caught:
        open_database("postgresql://nobody:secret@127.0.0.1:1/none")
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_published_set_loads_and_is_published_again_byte_for_byte(
    url: str, tmp_path: Path
) -> None:
    from observatory.datasets.read import load
    from observatory.datasets.write import publish

    synthetic.record(tmp_path / "o.db", noise=0.01)
    folder, files = publish(tmp_path / "o.db", tmp_path / "set", names=())
    (done,) = load(url, [folder])
    assert (done.new_runs, load(url, [folder])[0].new_runs) == (1, 0)
    _, again = publish(url, tmp_path / "again", names=())
    assert again == files
