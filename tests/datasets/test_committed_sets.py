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
#: What is compared of each summary with what the facts of the set give again.
NAMES = (
    "model", "phase", "role", "profile", "profile_reason", "energy_boundary", "energy_method",
    "energy_provenance", "configuration_key", "environment_key",
)  # fmt: skip
NUMBERS = (
    "prompt_tokens", "context_tokens", "output_tokens", "batch", "runtime_s", "runtime_low_s",
    "runtime_high_s", "tokens_per_s", "energy_j", "energy_low_j", "energy_high_j",
    "energy_per_token_j", "power_w", "n_runs", "n_processes", "n_windows", "n_excluded",
    "between_process_rel", "peak_memory_bytes", "mfu", "mbu",
)  # fmt: skip


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
    said = pd.read_csv(folder / "summary.csv", dtype={"backend_version": str})
    here = answers.summary(open_read_only(tmp_path / "o.db")).reset_index(drop=True)
    assert len(here) == len(said) and said["runtime_s"].notna().all()
    for name in (*NAMES, *NUMBERS):
        same = here[name].astype(float) if name in NUMBERS else here[name].where(here[name].notna())
        pd.testing.assert_series_equal(
            same, said[name], check_names=False, check_dtype=False, rtol=1e-12, obj=name
        )


def test_the_summaries_hold_what_is_compared() -> None:
    """Else the comparison above could not fail."""
    said = pd.concat(pd.read_csv(folder / "summary.csv") for folder in SETS)
    for name in ("energy_j", "energy_per_token_j", "power_w", "n_windows", "n_excluded"):
        assert said[name].nunique() > 1, name
    assert said["profile"].notna().all() and said["profile_reason"].notna().any()


def test_all_folders_of_published_are_sets() -> None:
    folders = [p for p in PUBLISHED.iterdir() if p.is_dir()] if PUBLISHED.is_dir() else []
    assert [p.name for p in SETS] == sorted(p.name for p in folders)


@pytest.mark.parametrize(("least_s", "most_s", "count", "median", "p95", "largest"), [
    (1.3, 4.0, 114, 0.007, 0.020, 0.064), (15.0, 40.0, 12, 0.0012, 0.0026, 0.0027),
])  # fmt: skip
def test_counter_and_integral_of_the_h100_as_docs_sensors_says(
    least_s: float, most_s: float, count: int, median: float, p95: float, largest: float
) -> None:
    windows = pd.read_csv(PUBLISHED / "nvidia-h100-80gb-hbm3-2026-11-27" / "windows.csv")
    windows = windows[windows["duration_s"].between(least_s, most_s)]
    off = (windows["energy_integral_j"] / windows["energy_device_j"] - 1).abs()
    assert len(off) == count
    found = (off.median(), off.quantile(0.95), off.max())
    assert found == pytest.approx((median, p95, largest), abs=6e-4)
