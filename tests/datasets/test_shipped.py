"""The shipped reference rows: open licences, the same rows as their files, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from observatory.datasets.shipped import from_lines, load_shipped, shipped_sets, to_lines
from observatory.importing import import_file
from observatory.records import Reported
from observatory.store import schema
from observatory.store.database import open_read_only
from tools import reference_rows


def count(path: Path, table: object) -> int:
    with open_read_only(path).connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def test_every_source_is_openly_licensed_and_named() -> None:
    sets = shipped_sets()
    assert len(sets) == len(reference_rows.FILES)
    for one in sets:
        assert one.source["licence"] in reference_rows.OPEN
        assert one.source["url"].startswith("https://") and one.source["tool"]
        assert one.rows


def test_what_is_written_comes_back_equal() -> None:
    rows = [
        (Reported("1", "m", "decode", "energy_j", 2.5, "J", extra={"a": 1}),
         Reported("1", "m", "decode", "power_w", None, "W", reason="no meter", extra={"a": 1})),
        (Reported("2", "m", "decode", "energy_j", 1.0, "J", batch=8.0, std=0.1, n=3),),
    ]  # fmt: skip
    source = dict.fromkeys(("key", "name", "tool", "tool_version", "licence", "url"))
    lines = list(to_lines({**source, "notes": {}}, rows))
    assert from_lines(lines).rows == tuple(v for row in rows for v in row)


def test_loading_is_idempotent_and_audited(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    values, scores = load_shipped(path)
    assert values == sum(len(one.rows) for one in shipped_sets()) == count(path, schema.reported)
    assert scores > 0
    assert load_shipped(path) == (0, 0)


def test_the_files_are_those_of_the_reference_data(reference: Path) -> None:
    for file, name in reference_rows.FILES.items():
        ours = reference_rows.OUT / f"{name}.jsonl"
        assert ours.read_text("utf-8") == reference_rows.text_of(reference / file), name


@pytest.mark.parametrize("file", list(reference_rows.FILES))
def test_importing_the_original_beside_it_adds_nothing(
    reference: Path, tmp_path: Path, file: str
) -> None:
    load_shipped(tmp_path / "o.db")
    report = import_file(tmp_path / "o.db", reference / file)
    assert report.values_new == 0
