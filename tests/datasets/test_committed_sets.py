"""Every set that is committed: as it was published, measured, and it loads."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from observatory import answers
from observatory.datasets.read import find_sets, load, read_set
from observatory.store.database import open_read_only

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
SETS = find_sets(PUBLISHED)


@pytest.mark.parametrize("folder", SETS, ids=lambda folder: folder.name)
def test_it_is_measured_and_loads(folder: Path, tmp_path: Path) -> None:
    files = read_set(folder)  # checks every checksum
    assert sorted(files) == sorted({p.name for p in folder.iterdir()} - {"SHA256SUMS"})
    runs = json.loads(files["runs.json"])
    assert runs and all(
        run["status"] in ("done", "done_with_failures", "interrupted") for run in runs
    )
    broken = [run["id"] for run in runs if run["status"] == "interrupted"]
    assert all(f"run {run} (" in files["README.md"].decode() for run in broken)
    text = "".join(content.decode().casefold() for content in files.values())
    for word in ("synthetic", "stub gpu", "/home/", "/root/"):
        assert word not in text, word
    (done,) = load(tmp_path / "o.db", [folder])
    assert done.new_windows > 0
    said = pd.read_csv(folder / "summary.csv")
    here = answers.summary(open_read_only(tmp_path / "o.db"))
    assert len(here) == len(said)
    pd.testing.assert_series_equal(here["runtime_s"], said["runtime_s"], check_names=False)


def test_all_folders_of_published_are_sets() -> None:
    folders = [p for p in PUBLISHED.iterdir() if p.is_dir()] if PUBLISHED.is_dir() else []
    assert [p.name for p in SETS] == sorted(p.name for p in folders)
