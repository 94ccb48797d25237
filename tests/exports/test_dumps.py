"""Dumps: SQL that sqlite3 and PostgreSQL both load with equal counts, and a trimmed SQLite file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from observatory import answers
from observatory.cli import observatory, run
from observatory.exports import trimming
from observatory.exports.trimming import Keep
from observatory.records import Workload
from observatory.store.database import open_read_only
from tests import synthetic


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dumps") / "o.db"
    synthetic.record(path, noise=0.01)
    synthetic.record(path, run_id="o'clock \\ \n二", model_name="Pythia-160M", noise=0.01)
    return path


def exported(database: Path, out: Path, *arguments: str) -> Path:
    call = ["export", "--what", "all", "--db", str(database), "--out", str(out)]
    assert run(observatory, [*call, *arguments]) == 0
    return out


def counted(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as connection:
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                for name in trimming.counts(open_read_only(path))}  # fmt: skip


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 program at hand")
def test_the_sqlite3_program_loads_the_dump_with_equal_counts(
    database: Path, tmp_path: Path
) -> None:
    script = exported(database, tmp_path / "all.sql", "--format", "sql")
    copy = tmp_path / "copy.db"
    with script.open() as stream:
        done = subprocess.run(["sqlite3", "-bail", str(copy)], stdin=stream, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert counted(copy) == trimming.counts(open_read_only(database))
    assert counted(copy)["window"] > 0
    pd.testing.assert_frame_equal(
        answers.summary(open_read_only(database)), answers.summary(open_read_only(copy))
    )


@pytest.fixture
def schema_url() -> Iterator[str]:
    """An empty schema of a real PostgreSQL server, dropped afterwards."""
    value = os.environ.get("OBSERVATORY_TEST_POSTGRESQL")
    if not value:
        pytest.skip("OBSERVATORY_TEST_POSTGRESQL is not set")
    psycopg = pytest.importorskip("psycopg")
    name = f"dump_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(value, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    yield f"{value}{'&' if '?' in value else '?'}options=-csearch_path%3D{name}"
    with psycopg.connect(value, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE")


def test_postgresql_loads_the_dump_with_equal_counts(
    database: Path, tmp_path: Path, schema_url: str
) -> None:
    import psycopg

    script = exported(database, tmp_path / "all.sql", "--format", "sql")
    with psycopg.connect(schema_url, autocommit=True) as connection:
        connection.execute(script.read_text())
        expected = trimming.counts(open_read_only(database))
        got = {}
        for name in expected:
            row = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()
            got[name] = row[0] if row else None
        assert got == expected
        ids = connection.execute("SELECT id FROM run ORDER BY id").fetchall()
        assert ("o'clock \\ \n二",) in ids
        total = connection.execute('SELECT sum(duration_s) FROM "window"').fetchone()
    with sqlite3.connect(database) as mine:
        (here,) = mine.execute('SELECT sum(duration_s) FROM "window"').fetchone()
    assert total is not None and total[0] == pytest.approx(here, rel=1e-12)


def test_postgresql_answers_from_the_dump_as_the_store_does(
    database: Path, tmp_path: Path, schema_url: str
) -> None:
    import psycopg

    script = exported(database, tmp_path / "all.sql", "--format", "sql")
    with psycopg.connect(schema_url, autocommit=True) as connection:
        connection.execute(script.read_text())
        shown = connection.execute("SELECT count(*) FROM v_summary").fetchone()
    assert shown == (len(answers.summary(open_read_only(database))),)


def test_a_trimmed_file_is_a_database_of_that_model_with_the_same_answers(
    database: Path, tmp_path: Path
) -> None:
    small = exported(
        database, tmp_path / "small.db", "--format", "sqlite", "--model", "Pythia-160M"
    )
    assert answers.models(open_read_only(small)) == ["Pythia-160M"]
    assert len(answers.runs(open_read_only(small))) == 1
    request = Workload.request(100, 20)
    mine = answers.estimate(open_read_only(small), request)
    there = answers.estimate(open_read_only(database), request, model="Pythia-160M")
    assert [replace(e, capability=None) for e in mine] == [
        replace(e, capability=None)
        for e in there  # shown is a lane that the models here share
    ]
    rows = answers.windows(open_read_only(small))
    assert 0 < len(rows) < len(answers.windows(open_read_only(database)))
    with sqlite3.connect(small) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not list(tmp_path.glob("small.db-*"))  # a single file


def test_without_windows_the_derived_rows_still_answer(database: Path, tmp_path: Path) -> None:
    small = exported(database, tmp_path / "s.db", "--format", "sqlite", "--without-windows")
    got = trimming.counts(open_read_only(small))
    assert got["window"] == 0
    assert got | {"window": 0, "finding": 0} == trimming.counts(
        open_read_only(database), Keep(windows=False)
    ) | {"finding": 0}
    whole = exported(database, tmp_path / "w.db", "--format", "sqlite")
    assert small.stat().st_size < whole.stat().st_size
    request = Workload.request(100, 20)
    assert answers.estimate(open_read_only(small), request) == answers.estimate(
        open_read_only(database), request
    )


def test_a_trimmed_dump_holds_what_the_trimmed_file_holds(database: Path, tmp_path: Path) -> None:
    only = ("--model", "Pythia-160M")
    script = exported(database, tmp_path / "x.sql", "--format", "sql", *only).read_text()
    file = exported(database, tmp_path / "x.db", "--format", "sqlite", *only)
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(script)
        got = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
               for name in counted(file)}  # fmt: skip
    assert got == counted(file)


def test_findings_follow_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    synthetic.record(path, energy=synthetic.no_energy)
    engine = open_read_only(path)
    key = str(answers.configurations(engine)["configuration_key"].iloc[0])
    whole, mine = trimming.counts(engine), trimming.counts(engine, Keep((key,)))
    assert mine == whole  # the only configuration
    none = trimming.counts(engine, Keep(("nothing",)))
    assert none["window"] == none["cell"] == none["run"] == none["finding"] == 0


def test_it_says_what_the_dump_holds(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(database, tmp_path / "x.sql", "--format", "sql", "--model", "Pythia-160M")
    held = trimming.counts(open_read_only(database))
    said = f"1 configuration, 1 run, {held['window'] // 2} windows"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "sqlite"], "with --out FILE"),
        (["--format", "csv"], "--format sql or sqlite, not csv"),
        (["--format", "sqlite", "--model", "nobody", "--out", "x.db"], "no row with model"),
        (["--format", "sqlite", "--out", "EXISTS"], "exists"),
    ],
)
def test_wrong_usage(
    database: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    if "EXISTS" in arguments:
        arguments = ["--format", "sqlite", "--out", str(database)]
    assert run(observatory, ["export", "--what", "all", "--db", str(database), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
