"""Shared fixtures. No test needs a GPU, a network or the reference data: it skips without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the reference data (`OBSERVATORY_REFERENCE`), or a skip that says why."""
    value = os.environ.get("OBSERVATORY_REFERENCE", "")
    if not value:
        pytest.skip("reference data: OBSERVATORY_REFERENCE is not set")
    path = Path(value)
    if not (path / "README.md").is_file():
        pytest.skip(f"reference data: no README.md under OBSERVATORY_REFERENCE={value}")
    return path


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with what a checkout ships: the published sets, rows of others, scores."""
    from observatory.datasets.read import find_sets, load
    from observatory.datasets.shipped import load_shipped

    path = tmp_path_factory.mktemp("published") / "observatory.db"
    load(path, find_sets(ROOT / "results" / "published"))
    load_shipped(str(path))
    return path
