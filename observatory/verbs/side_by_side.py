"""What one run measured of two configurations side by side, for `observatory compare`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from observatory.units import show
from observatory.verbs.billing import print_lines
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from observatory.pairs import PairedPoint

SHOWN = 12  #: points that a person is shown; `--json` has all


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Paired points of two configurations; empty where no run measured both."""

    points: tuple[PairedPoint, ...]
    asked: bool  #: whether both sides are configurations of the store

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values."""
        return [asdict(p) | {"verdict": p.verdict} for p in self.points]

    def show(self) -> None:
        """A table of the points, and what a pair is."""
        if not self.asked:
            return
        if not self.points:
            print_lines(["measured side by side: no run measured both"])
            return
        from observatory.figures.runtime import point_label

        rows = [
            [point_label(asdict(p)), p.quantity.rpartition("_")[0], show(p.value_a, p.quantity),
             show(p.value_b, p.quantity), _ratio(p), str(p.pairs), p.verdict]
            for p in self.points[:SHOWN]
        ]  # fmt: skip
        click.echo()
        print_table("Measured side by side", ["point", "", "#A", "#B", "#B / A, 95 %", "#pairs",
                                              "verdict"], rows)  # fmt: skip
        more = len(self.points) - SHOWN
        lines = [f"and {more} more points: --json has them"] if more > 0 else []
        print_lines([*lines, "a pair is a process of each in one round of one run; a difference is "
                             "claimed where the interval excludes 1"])  # fmt: skip


def _ratio(point: PairedPoint) -> str:
    if point.ratio_low is None or point.ratio_high is None:
        return f"{point.ratio:.3f}"
    return f"{point.ratio:.3f} [{point.ratio_low:.3f} – {point.ratio_high:.3f}]"


def of(db: str, a: str | None, b: str | None) -> SideBySide:
    """The paired points of two configurations by key; nothing for the same one or for none."""
    if a is None or b is None or a == b:
        return SideBySide((), False)
    from observatory.pairs import paired_points
    from observatory.store.database import open_read_only

    return SideBySide(paired_points(open_read_only(db), a, b), True)
