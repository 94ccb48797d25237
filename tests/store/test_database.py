"""Opening, migrating and refusing databases."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from observatory.errors import DatabaseError
from observatory.store import schema
from observatory.store.database import (
    data_version,
    open_database,
    open_read_only,
    parse_url,
    shown,
)
from observatory.store.views import VIEWS


def test_a_new_database_has_every_table_and_view(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "new" / "o.db")
    with engine.connect() as connection:
        for view in VIEWS:
            assert connection.execute(text(f"SELECT count(*) FROM {view}")).scalar() == 0
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_migrations_end_at_the_schema(tmp_path: Path) -> None:
    with open_database(tmp_path / "o.db").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_opening_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    before = data_version(open_database(path))
    assert data_version(open_database(path)) == before


def test_every_column_is_documented() -> None:
    for table in schema.metadata.sorted_tables:
        assert table.comment, table.name
        for column in table.columns:
            assert column.comment or column.primary_key, f"{table.name}.{column.name}"


def test_a_window_without_joules_needs_a_reason(tmp_path: Path) -> None:
    with open_database(tmp_path / "o.db").begin() as connection:
        connection.execute(text("PRAGMA foreign_keys=OFF"))
        with pytest.raises(IntegrityError, match="energy_or_reason"):
            connection.execute(
                schema.window.insert().values(
                    cell_id=1,
                    process_index=0,
                    window_index=0,
                    process_id="x",
                    iterations=1,
                    duration_s=1.0,
                    started_utc="2026-01-01T00:00:00Z",
                    failed_iterations=0,
                    flags=[],
                )
            )


def test_read_only_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    open_database(path)
    with open_read_only(path).connect() as connection, pytest.raises(DBAPIError, match="readonly"):
        connection.execute(text("DELETE FROM run"))


def _newer(path: Path) -> None:
    open_database(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (title TEXT)")


BAD = {
    "text file": (
        lambda p: p.write_text("not a database, but long enough to be read"),
        "not a SQLite",
    ),
    "folder": (lambda p: p.mkdir(), "is a folder"),
    "newer schema": (_newer, "schema 9999, newer than this version"),
    "other program": (_foreign, "belongs to another program"),
}


@pytest.mark.parametrize("name", sorted(BAD))
@pytest.mark.parametrize("opener", [open_database, open_read_only])
def test_bad_databases_are_refused_in_one_line_and_left_alone(
    tmp_path: Path, name: str, opener: object
) -> None:
    path = tmp_path / "o.db"
    make, message = BAD[name]
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(DatabaseError, match=message) as caught:
        opener(path)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_reading_an_absent_database_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="run-benchmark"):
        open_read_only(tmp_path / "absent.db")
    assert not (tmp_path / "absent.db").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DatabaseError, match="not writable"):
        open_database(tmp_path / "o.db")


def test_a_database_in_a_closed_folder_is_read_without_files_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "o.db"
    open_database(path).dispose()
    real = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != tmp_path and real(p, mode))
    beside = set(tmp_path.iterdir())
    with open_read_only(path).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM v_footprint")).scalar() == 0
        assert set(tmp_path.iterdir()) == beside == {path}
        with pytest.raises(DBAPIError, match="readonly"):
            connection.execute(text("DELETE FROM source"))


def test_a_database_under_way_in_a_closed_folder_is_read_with_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "o.db"
    writer = open_database(path)
    with writer.begin() as connection:
        connection.execute(text(
            "INSERT INTO source (key, name, tool, retrieved_utc, imported_utc, rows_read, "
            "rows_stored, rows_rejected, notes) VALUES ('k', 'n', 't', 'r', 'i', 1, 1, 0, '{}')"
        ))  # fmt: skip
    assert (tmp_path / "o.db-wal").exists()
    real = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != tmp_path and real(p, mode))
    with open_read_only(path).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM source")).scalar() == 1


def test_a_path_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatabaseError, match="cannot create"):
        open_database(tmp_path / "file" / "o.db")


@pytest.mark.parametrize("url", ["mysql://localhost/x", "http://example.org/x", "://"])
def test_unknown_urls(url: str) -> None:
    with pytest.raises(DatabaseError):
        parse_url(url)


def test_passwords_are_never_shown() -> None:
    assert "secret" not in shown("postgresql://me:secret@localhost/observatory")
    assert parse_url("postgres://localhost/x").drivername == "postgresql+psycopg"


@pytest.mark.parametrize("start", ["0001", "0002", "0003"])
def test_an_old_database_is_brought_to_the_newest_schema(tmp_path: Path, start: str) -> None:
    from alembic import command

    from observatory.store import database as d

    path = tmp_path / "o.db"
    with d._engine(parse_url(path)).begin() as connection:
        config = d._config()
        config.attributes["connection"] = connection
        command.upgrade(config, start)
        connection.execute(text(
            "INSERT INTO source (key, name, tool, retrieved_utc, imported_utc, rows_read, "
            "rows_stored, rows_rejected, notes) VALUES ('k', 'n', 't', 'r', 'i', 1, 1, 0, '{}')"
        ))  # fmt: skip
    with pytest.raises(DatabaseError, match=f"has schema {start}"):
        open_read_only(path)
    with open_database(path).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert connection.execute(text("SELECT count(*) FROM source")).scalar() == 1
        assert connection.execute(text("SELECT count(*) FROM v_footprint")).scalar() == 0
    open_read_only(path)
