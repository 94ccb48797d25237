"""Whose joules make up a point's energy: one kind, chosen in a stated order, never an average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from observatory import answers
from observatory.audit.joules import each_kind, left_out
from observatory.records import Energy
from observatory.store.database import open_read_only
from tests import synthetic

DEVICE = ("device", "nvml_counter", "measured")
HOST = ("host", "nvml_counter+rapl", "measured")
GUESS = ("host", "codecarbon", "estimated")


def windows(*kinds: tuple[str, str, str] | None, **columns: Any) -> pd.DataFrame:
    """One window of each kind; None is a window without joules."""
    return pd.DataFrame([
        {"point": 1, "excluded": False, "energy_device_j": None if kind is None else 300.0,
         "energy_cpu_j": None, "energy_dram_j": None,
         **dict(zip(("energy_boundary", "energy_method", "energy_provenance"),
                    kind or (None, None, None), strict=True)), **columns}
        for kind in kinds
    ])  # fmt: skip


@pytest.mark.parametrize(("kinds", "expected"), [
    ([HOST, DEVICE, DEVICE], [True, False, False]),  # most windows
    ([HOST, HOST, DEVICE], [False, False, True]),
    ([HOST, DEVICE], [False, True]),  # equally many: the larger boundary
    ([GUESS, GUESS, DEVICE], [True, True, False]),  # a reading before a guess
    ([DEVICE, DEVICE, None], [False, False, False]),
    ([GUESS, GUESS], [False, False]),
    ([None], [False]),
])  # fmt: skip
def test_one_kind_counts(kinds: list[Any], expected: list[bool]) -> None:
    assert list(left_out(windows(*kinds), ["point"])) == expected


def test_windows_left_out_have_no_say_and_points_choose_for_themselves() -> None:
    rows = pd.concat([
        windows(HOST, HOST, DEVICE).assign(excluded=[True, True, False]),
        windows(DEVICE, HOST, HOST, point=2),
    ], ignore_index=True)  # fmt: skip
    assert list(left_out(rows, ["point"])) == [False, False, False, True, False, False]


def test_kinds_come_in_order() -> None:
    rows = windows(GUESS, GUESS, GUESS, HOST, DEVICE, DEVICE, None)
    found = [part["energy_method"].iloc[0] for part in each_kind(rows)]
    assert found == ["nvml_counter", "nvml_counter+rapl", "codecarbon"]
    assert [len(part) for part in each_kind(rows)] == [2, 1, 3]
    assert not list(each_kind(windows(None)))


def test_the_energy_of_a_summary_is_of_one_kind_and_its_times_of_all_windows(
    tmp_path: Path,
) -> None:
    path = tmp_path / "o.db"
    synthetic.record(
        path,
        energy=lambda s: Energy(
            device_j=300 * s, method="nvml_counter", provenance="measured", boundary="device"
        ),
    )
    synthetic.record(path, "synthetic-2", noise=0.02, energy=lambda s: Energy(
        device_j=300 * s, cpu_j=100 * s, method="nvml_counter+rapl", provenance="measured",
        boundary="host"))  # fmt: skip
    engine = open_read_only(path)
    rows = answers.summary(engine)
    assert set(rows["energy_boundary"]) == {"host"}
    assert set(rows["energy_method"]) == {"nvml_counter+rapl"}
    assert list(rows["power_w"]) == pytest.approx([400.0] * len(rows))
    assert set(rows["n_windows"]) == {12} and set(rows["n_processes"]) == {4}
    said = "the joules of 6 of 12 windows are left out (device, nvml_counter, measured)"
    assert set(rows["profile_reason"]) == {said}
    found = answers.findings(engine)
    mixed = found[found["rule"] == "mixed_boundary"]
    assert len(mixed) == len(rows), "on the cells of the run whose joules do not count"
