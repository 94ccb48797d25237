"""Two configurations measured side by side in one run, as paired ratios of what was measured.

A run measures its configurations in rounds, a fresh process each; what drifts from round to round
(temperature, neighbours) is shared by a pair and cancels in its ratio. Energy and time here are of
the windows themselves: no fit, no factor (METHOD §3.8, Kalibera and Jones 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Engine, select

from observatory.audit.marking import mark_excluded
from observatory.audit.rule import AVOID, EXCLUDE
from observatory.records import Finding
from observatory.statistics import Interval, paired_ratio
from observatory.store import reader, schema

POINT = ["phase", "prompt_tokens", "context_tokens", "output_tokens", "batch"]
PAIR = ["environment_key", "run_id", "process_index"]
UNKNOWN = -1.0  #: in place of a missing part of a point, so that it can be a key
PHASES = ("prefill", "decode", "e2e")
SENSED = ["energy_method", "energy_boundary", "parts"]  #: joules that may be compared
ENERGY = ["energy_device_j", "energy_cpu_j", "energy_dram_j"]


@dataclass(frozen=True, slots=True)
class PairedPoint:
    """One point that both configurations measured: B over A, of one quantity.

    `value_a` and `value_b` are medians of one iteration over the paired processes; `ratio_low` and
    `ratio_high` are None for a single pair.
    """

    phase: str
    prompt_tokens: int | None
    context_tokens: int | None
    output_tokens: int
    batch: int
    quantity: str  #: `runtime_s` or `energy_j`
    value_a: float
    value_b: float
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    pairs: int
    method: str

    @property
    def verdict(self) -> str:
        """`B is lower` or `A is lower` where the interval excludes 1, else `undecided`."""
        if self.ratio_low is None or self.ratio_high is None:
            return "undecided"
        if self.ratio_high < 1:
            return "B is lower"
        return "A is lower" if self.ratio_low > 1 else "undecided"


def paired_points(engine: Engine, a: str, b: str) -> tuple[PairedPoint, ...]:
    """Ratios of configuration `b` to `a` (their keys) at every point that runs measured with both.

    A pair is one process of each in the same round of one run on one machine; of each the median of
    its windows, those left out that a finding leaves out. Empty where no run measured both.
    """
    windows = _windows(engine, (a, b))
    made: list[PairedPoint] = []
    for quantity, column in (("runtime_s", "seconds"), ("energy_j", "joules")):
        known = windows[windows[column].notna()]
        if known.empty:
            continue
        same = [*PAIR, *POINT, *(SENSED if quantity == "energy_j" else [])]
        medians = known.groupby(["configuration_key", *same])[column].median().unstack(level=0)
        if not {a, b} <= set(medians.columns):
            continue
        both = medians[[a, b]].dropna()
        for point, rows in both.groupby(level=POINT):
            made.append(_point(quantity, point, rows[a], rows[b]))
    return tuple(made)


def _windows(engine: Engine, keys: Sequence[str]) -> pd.DataFrame:
    """Usable windows of the configurations with seconds and joules of one iteration."""
    rows = reader.windows(engine, configurations=keys)
    rows = rows[rows["phase"].isin(PHASES)]
    used = mark_excluded(rows, _findings(engine, keys))
    used = used[~used["excluded"]]
    whole = [name for name in POINT if name != "phase"]
    return used.assign(
        **{name: used[name].astype(float).fillna(UNKNOWN) for name in whole},
        **{name: used[name].astype(object).fillna("") for name in SENSED[:2]},
        seconds=used["duration_s"] / used["iterations"],
        parts=used[ENERGY].notna().astype(int).astype(str).agg("".join, axis=1),
        joules=used[ENERGY].astype(float).sum(axis=1, min_count=1) / used["iterations"],
    )


def _findings(engine: Engine, keys: Sequence[str]) -> list[Finding]:
    """What leaves windows of these configurations out."""
    f, w, c = schema.finding, schema.window, schema.cell
    mine = (
        select(w.c.id).join(c, w.c.cell_id == c.c.id).where(c.c.configuration_key.in_(keys))
    )  # fmt: skip
    fields = [column for column in f.c if column.key != "id"]
    query = select(*fields).where(
        f.c.subject == "window", f.c.severity.in_([EXCLUDE, AVOID]), f.c.subject_id.in_(mine)
    )
    with engine.connect() as connection:
        return [Finding(**row) for row in connection.execute(query).mappings()]


def _point(
    quantity: str, point: tuple[Any, ...], a: pd.Series[float], b: pd.Series[float]
) -> PairedPoint:
    whole = [None if v == UNKNOWN else int(v) for v in point[1:]]
    ratio: Interval = paired_ratio(b, a)
    return PairedPoint(
        str(point[0]), whole[0], whole[1], whole[2] or 0, whole[3] or 1, quantity,
        float(a.median()), float(b.median()), ratio.mid, ratio.low, ratio.high, ratio.n,
        ratio.method,
    )  # fmt: skip


def frame_of(points: Sequence[PairedPoint]) -> pd.DataFrame:
    """One row a point and quantity, with the verdict."""
    columns = [*PairedPoint.__dataclass_fields__, "verdict"]
    return pd.DataFrame([asdict(p) | {"verdict": p.verdict} for p in points], columns=columns)
