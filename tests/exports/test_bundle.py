"""The artifact: complete, checked by its own sums, the same bytes twice."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import zipfile
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.exports.bundle import bundle
from observatory.exports.card import snippet
from observatory.store.database import open_database, open_read_only
from tests import synthetic


def test_two_bundles_are_byte_identical_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    synthetic.record(path)
    files = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for out in files:
        assert run(observatory, ["bundle", str(out), "--db", str(path), "--zone", "FRA"]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    archive = zipfile.ZipFile(io.BytesIO(files[0].read_bytes()))
    lines = archive.read("SHA256SUMS").decode().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(sums) == set(archive.namelist()) - {"SHA256SUMS"}
    assert all(hashlib.sha256(archive.read(n)).hexdigest() == s for n, s in sums.items())
    for name in ("tables/summary.csv", "tables/summary.tex", "factors.csv", "CITATION.cff",
                 "scenario.json", "README.md"):  # fmt: skip
        assert archive.read(name)
    assert "licence" in archive.read("factors.csv").decode().splitlines()[0]
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(archive.read("store.sql").decode())
        (n,) = connection.execute("select count(*) from v_summary").fetchone()
    assert n == len(synthetic.points())


def test_an_empty_database_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_database(tmp_path / "o.db").dispose()
    out = tmp_path / "x.zip"
    assert run(observatory, ["bundle", str(out), "--db", str(tmp_path / "o.db")]) == 2
    assert "no fit yet" in capsys.readouterr().err and not out.exists()
    with pytest.raises(InputError):
        bundle(open_read_only(tmp_path / "o.db"))


def test_a_card_of_nothing_is_refused() -> None:
    with pytest.raises(InputError):
        snippet([])
