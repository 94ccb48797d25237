"""P(on frontier) of points of one lot, without drawing those that can be on none.

Scores are drawn once for each score, not once for each point: two stacks that run the same model
share whatever is uncertain about its score, as they share the grid (METHOD §6). A point is left
undrawn where another is cheaper in every draw and no worse in score: its chance is exactly 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from observatory.capability.known import Match
from observatory.capability.scores import Scored
from observatory.decision import chance
from observatory.decision.chance import DRAWS, Z90, hopeless
from observatory.decision.frontier import Floats, Mask
from observatory.footprint.uncertainty import normals
from observatory.tradeoffs.candidates import Candidate
from observatory.tradeoffs.spreads import Priced, Spread


@dataclass(frozen=True, slots=True)
class Joined:
    """A candidate and its cost beside a score; `place` is its place in the lot."""

    place: int
    candidate: Candidate
    cost: float
    match: Match


class Chances:
    """`chances` of lot after lot; lots that differ by one shared factor are drawn once."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, Match], ...], Floats] = {}

    def __call__(self, spread: Spread, joined: Sequence[Joined]) -> Floats:
        if not (isinstance(spread, Priced) and spread.same_everywhere):
            return chances(spread, joined)
        key = tuple((j.place, j.match) for j in joined)
        if key not in self._known:
            self._known[key] = chances(spread, joined)
        return self._known[key]


def chances(spread: Spread, joined: Sequence[Joined], draws: int = DRAWS) -> Floats:
    """Share of draws in which each point is on the frontier, shape (n,)."""
    place = np.array([j.place for j in joined])
    names, quality = _scores(joined, draws)
    live = _live(spread, place, names, quality, draws)
    result = np.zeros(len(joined))
    at, column = np.unique(place[live], return_inverse=True)
    cost = spread.drawn(at, draws)[:, column]
    result[live] = chance.probability_on_frontier(cost, quality[:, names[live]])
    return result


def _scores(joined: Sequence[Joined], draws: int) -> tuple[np.ndarray, Floats]:
    """(which score each point has, draws of every score (draws, scores))."""
    known: dict[tuple[str, str, str, float], int] = {}
    columns: list[Floats] = []
    names = []
    for j in joined:
        s = j.match.scored
        key = (s.model, s.lane, s.source, s.quality)
        if key not in known:
            known[key] = len(columns)
            columns.append(_drawn_score(s, draws))
        names.append(known[key])
    return np.array(names), np.array(columns).T


def _drawn_score(s: Scored, draws: int) -> Floats:
    """Normal, with the standard deviation that the 90 % bounds imply; fixed without bounds."""
    if s.low is None or s.high is None or s.low == s.high:
        return np.full(draws, s.quality)
    z = normals(f"score:{s.model}/{s.lane}/{s.source}")[:draws]
    return np.asarray(s.quality + (s.high - s.low) / (2 * Z90) * z)


def _live(
    spread: Spread, place: np.ndarray, names: np.ndarray, quality: Floats, draws: int
) -> Mask:
    """Points that are not beaten in every draw, as far as bounds can tell."""
    family, least, greatest = spread.kin()
    live = ~_beaten_by_kin(names, family[place], least[place], greatest[place])
    least, greatest = (bound[place] for bound in spread.reach(draws))
    live &= ~_beaten_by_kin(names, np.zeros(len(place), dtype=int), least, greatest)
    best, worst = quality.max(axis=0)[names], quality.min(axis=0)[names]
    return np.asarray(live & ~hopeless(least, greatest, worst, best))


def _beaten_by_kin(names: np.ndarray, family: np.ndarray, least: Floats, greatest: Floats) -> Mask:
    """Points that another with the very same score, of the same family, always undercuts."""
    _, group = np.unique(np.stack([names, family]), axis=1, return_inverse=True)
    group = group.reshape(-1)
    ceiling = np.full(group.max() + 1, np.inf)
    np.minimum.at(ceiling, group, greatest)
    return np.asarray(least > ceiling[group])


def shown(joined: Sequence[Joined], mask: Mask, sure: Floats, most: int | None) -> list[int]:
    """The points that a chart or a table holds: all, or the `most` that say most.

    First those on the frontier, then those that may be on it, likeliest first; then of each model
    the cheapest, then the next cheapest, and so on.
    """
    every = range(len(joined))
    if most is None or len(joined) <= most:
        return list(every)
    order = sorted(every, key=lambda i: joined[i].cost)
    seen: dict[tuple[str, str], int] = {}
    rank = {}
    for i in order:
        name = (joined[i].match.scored.model, joined[i].match.scored.lane)
        rank[i] = seen[name] = seen.get(name, 0) + 1
    cost = [j.cost for j in joined]
    return sorted(every, key=lambda i: (not mask[i], -sure[i], rank[i], cost[i]))[:most]
