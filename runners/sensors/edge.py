"""Energy up to one edge of a window, between two steps of a counter, and how wrong it can be. Pure.

Power changes at the edge and not evenly between the steps: what is known of it on either side
decides (docs/sensors.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from runners.sensors.steps import Change

_INSIDE = 0.95  #: share of a stretch that lies in the window where its power is the window's
_HELD_TICKS = 2.5  #: for so long the power inside is held up to an edge
_LEAST_SHARE = 0.2  #: least share of an edge's stretch from which power beyond it is inferred


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of a window, between two changes, with the slopes of the stretches beside these:
    `outside` the window, and `inside` it where that stretch lies in the window."""

    a: Change
    b: Change
    at: float
    ends: bool  #: whether it is the window's end
    inside: float | None
    outside: float | None

    @classmethod
    def of(cls, changes: Sequence[Change], t: Sequence[float], at: float, duration: float) -> Edge:
        """The edge at a time; beyond the last change it belongs to the last stretch."""
        right = min(max(bisect_left(t, at), 1), len(t) - 1)
        ends = at > 0.0
        inward, outward = (right - 1, right + 1) if ends else (right + 1, right - 1)
        overlap_s = 0.0
        if 1 <= inward < len(t):
            overlap_s = min(t[inward], duration) - max(t[inward - 1], 0.0)
        inner = overlap_s > 0 and overlap_s >= _INSIDE * (t[inward] - t[inward - 1])
        return cls(
            changes[right - 1], changes[right], at, ends,
            _slope(changes, inward) if inner else None, _slope(changes, outward),
        )  # fmt: skip

    @property
    def length_s(self) -> float:
        """Between the two changes."""
        return self.b.t_s - self.a.t_s

    @property
    def here(self) -> float | None:
        """Mean power between the two changes."""
        return (self.b.energy_j - self.a.energy_j) / self.length_s if self.length_s > 0 else None

    @property
    def share(self) -> float:
        """Where between them the edge lies."""
        return (self.at - self.a.t_s) / self.length_s if self.length_s > 0 else 0.0

    def linear_j(self) -> float:
        """Energy up to the edge, evenly between the two changes."""
        if self.here is None:
            return self.b.energy_j
        return self.a.energy_j + (self.at - self.a.t_s) * self.here

    def energy_j(self, tick_s: float) -> float:
        """Energy up to the edge of a counter that steps.

        Power changes at the edge, and not evenly between the two steps around it: each side of it
        weighs as much as the power beside it. Where one is not known, the other one holds up to the
        edge, the one inside for a few ticks at most.
        """
        rise, share = self.b.energy_j - self.a.energy_j, self.share
        if not 0.0 <= share <= 1.0:  # continued, by a tick at most
            return self.linear_j()
        inner_s = (share if self.ends else 1.0 - share) * self.length_s
        outer_s = self.length_s - inner_s
        near = inner_s <= _HELD_TICKS * tick_s
        if self.inside is not None and self.outside is not None:
            weights = self.inside * inner_s, self.outside * outer_s
            inner_j = rise * weights[0] / sum(weights) if sum(weights) > 0 else share * rise
        elif self.outside is not None:
            inner_j = rise - min(rise, self.outside * outer_s)
        elif self.inside is not None and near:
            inner_j = min(rise, self.inside * inner_s)
        else:
            return self.linear_j()
        return self.a.energy_j + inner_j if self.ends else self.b.energy_j - inner_j

    def error_and_spread(
        self, mean_w: float, energy_j: float, power_w: Sequence[tuple[float, float]]
    ) -> tuple[float, float]:
        """(largest error of the energy up to the edge in J, range of power in W) around it.

        Where no step beyond the edge is known, the power there follows from the edge's own stretch:
        its slope mixes inside and outside in the known shares. That says nothing when the stretch
        lies nearly all inside, but then little can be wrong: hence the floor under the share.
        Samples of power show what no step does: power that changed between two of them.
        """
        inside = mean_w if self.inside is None else self.inside
        here = inside if self.here is None else self.here
        within = self.share if self.ends else 1 - self.share
        outside, guessed = self.outside, self.outside is None
        if outside is None:
            beyond = max(1 - within, _LEAST_SHARE) if 0 <= self.share <= 1 else _LEAST_SHARE
            outside = max(0.0, inside + (here - inside) / beyond)
        sampled = [w for t, w in power_w if self.a.t_s <= t <= self.b.t_s]
        powers = (mean_w, inside, here, outside, *sampled)
        spread = max(powers) - min(powers)
        error = abs(self.share * (1 - self.share)) * self.length_s * spread
        if 0.0 <= self.share <= 1.0:
            before_s, after_s = self.at - self.a.t_s, self.b.t_s - self.at
            rise, risen = self.b.energy_j - self.a.energy_j, energy_j - self.a.energy_j
            low = max(min(powers) * before_s, rise - max(powers) * after_s)
            high = min(max(powers) * before_s, rise - min(powers) * after_s)
            error = max(error, risen - low, high - risen)
        if guessed and self.inside is not None:
            error = max(error, abs(within) * self.length_s * abs(here - inside))
        unsure = max(self.a.uncertainty_s, self.b.uncertainty_s)
        return error + unsure * max(powers), spread


def _slope(changes: Sequence[Change], k: int) -> float | None:
    """Mean power between step k-1 and step k; None where there is no such stretch."""
    if not 1 <= k < len(changes) or changes[k].t_s <= changes[k - 1].t_s:
        return None
    rise = changes[k].energy_j - changes[k - 1].energy_j
    return rise / (changes[k].t_s - changes[k - 1].t_s)
