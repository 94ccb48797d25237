"""The boundary ladder: one run under each boundary, beside the published figures of that rung."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache

from observatory.footprint.energy import BOUNDARIES, J_PER_WH, EnergyInput, covered
from observatory.footprint.factors import shipped_text


@dataclass(frozen=True, slots=True)
class ReferencePoint:
    """A published per-request figure with its boundary. `value` is None where only a range is."""

    subject: str
    workload: str
    quantity: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    boundary: str  #: device, host, wall, facility, `life cycle` or `unstated`
    boundary_as_published: str
    source: str
    note: str

    @property
    def is_increment(self) -> bool:
        """Whether the figure is one rung's own part and not the sum up to it."""
        return self.workload.startswith("increment")


@dataclass(frozen=True, slots=True)
class Rung:
    """Energy up to one boundary, what it adds to the rung below, and what it may be compared with.

    `energy_wh` is None with a reason where a part of this rung was not measured.
    """

    boundary: str
    energy_wh: float | None
    added_wh: float | None
    covers: tuple[str, ...]
    reason: str | None
    comparable: tuple[ReferencePoint, ...]


@cache
def reference_points() -> tuple[ReferencePoint, ...]:
    """Published figures per request, each with its source."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    return tuple(
        ReferencePoint(
            row["subject"], row["workload"], row["quantity"],
            number(row["value"]), number(row["low"]), number(row["high"]),
            row["unit"], row["boundary"], row["boundary_as_published"], row["source"], row["note"],
        )
        for row in csv.DictReader(shipped_text("reference_points.csv").splitlines())
    )  # fmt: skip


def comparable(boundary: str, quantity: str = "energy_wh") -> tuple[ReferencePoint, ...]:
    """Published figures of exactly this boundary; parts of a sum are left out."""
    return tuple(
        point
        for point in reference_points()
        if point.boundary == boundary and point.quantity == quantity and not point.is_increment
    )


def ladder(energy: EnergyInput, pue: float, active_share: float | None = None) -> tuple[Rung, ...]:
    """The four rungs of one request, narrowest first.

    A rung whose parts were not all measured has no number: a sum that leaves parts out would sit
    on the wrong rung.
    """
    out: list[Rung] = []
    below: float | None = None
    for boundary in BOUNDARIES:
        inside = covered(energy, boundary, active_share)
        joules = None if inside.missing else inside.joules
        if joules is not None and boundary == "facility" and not inside.pue_inside:
            joules *= pue
        reason = None
        if joules is None:
            reason = "; ".join(f"{part}: {why}" for part, why in inside.missing.items())
        energy_wh = None if joules is None else joules / J_PER_WH
        added = None if energy_wh is None or (below is None and out) else energy_wh - (below or 0.0)
        out.append(Rung(boundary, energy_wh, added, inside.covers, reason, comparable(boundary)))
        below = energy_wh
    return tuple(out)
