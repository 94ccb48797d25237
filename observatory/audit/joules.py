"""Whose joules make up a point's energy: those of one boundary, method and provenance (METHOD §1).

Joules of a device and joules of a whole host are different quantities, and so are a reading and a
guess: a median over both is neither. Of the kinds that the windows of a point have, its energy is
that of one (ours): measured before estimated; of those the one that most windows have; of equally
many the larger boundary. A host window holds its device's joules too, but by a sensor that says
another method: it is not cut down to fit. The windows of other kinds keep their times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from observatory.records import Boundary, Provenance

PARTS = ["energy_device_j", "energy_cpu_j", "energy_dram_j"]
KIND = ["energy_boundary", "energy_method", "energy_provenance"]
_BOUNDARIES = {str(boundary): place for place, boundary in enumerate(Boundary)}


def kind_of(rows: pd.DataFrame) -> pd.Series[str]:
    """What the joules of each window are, such as `device, nvml_counter, measured`."""
    boundary, method, provenance = (rows[name].astype(object).fillna("unknown") for name in KIND)
    return boundary + ", " + method + ", " + provenance


def left_out(rows: pd.DataFrame, by: Sequence[str]) -> pd.Series[bool]:
    """Which windows have joules of another kind than the first of their group (`by`).

    `rows` have the column `excluded`; a window that is left out altogether has no say.
    """
    other = pd.Series(False, index=rows.index)
    used = rows[~rows["excluded"] & rows[PARTS].notna().any(axis=1)]
    if used[KIND].drop_duplicates().shape[0] < 2:
        return other
    kinds = kind_of(used)
    for _, group in used.groupby(list(by), dropna=False, sort=False):
        mine = kinds[group.index]
        if mine.nunique() > 1:
            other[group.index] = mine != next(_ordered(group))
    return other


def each_kind(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The windows of each kind of joules, the preferred kind first; none where none has joules.

    `rows` have the column `excluded`; windows that are left out are in no part.
    """
    used = rows[~rows["excluded"] & rows[PARTS].notna().any(axis=1)]
    for kind in _ordered(used):
        yield used[kind_of(used) == kind]


def _ordered(rows: pd.DataFrame) -> Iterator[str]:
    """The kinds of windows with joules, the preferred one first."""
    found = []
    for kind, windows in rows.groupby(kind_of(rows), sort=True):
        first = windows.iloc[0]
        guessed = bool(first["energy_provenance"] != Provenance.MEASURED)
        boundary = _BOUNDARIES.get(str(first["energy_boundary"]), -1)
        found.append((guessed, -len(windows), -boundary, str(kind)))
    yield from (kind for *_, kind in sorted(found))
