"""Cost beside capability: the door out for frontiers, over own measurements and imported rows.

A group holds points that may be compared: one request of one workload in one scenario, or the rows
of one source, task and device. Points of different groups never share a frontier. Costs are drawn
with the factors that a scenario shares moving all points together (METHOD §6).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from observatory import answers
from observatory.capability.known import Match, capability_rows, matches
from observatory.capability.names import model_name
from observatory.capability.scores import Scored, on_lane
from observatory.decision import chance, hull
from observatory.decision.frontier import (
    Option,
    cheapest,
    columns,
    cost_per_correct,
    frontier_mask,
)
from observatory.errors import InputError, UnknownNameError
from observatory.footprint import Scenario
from observatory.records import Workload
from observatory.tradeoffs.candidates import (
    ASSUMED_REL,
    COSTS,
    Lot,
    imported_lots,
    own_lots,
)
from observatory.tradeoffs.chances import Chances, Joined, shown
from observatory.tradeoffs.limits import Limits, beyond, none_meets

MOST_POINTS = 150  #: of a group, on a page or in a terminal


@dataclass(frozen=True, slots=True)
class Point:
    """One model in one configuration: cost, quality, and where it stands."""

    model: str
    configuration: str
    cost: float
    cost_low: float | None
    cost_high: float | None
    score: float
    score_low: float | None
    score_high: float | None
    on_frontier: bool
    p_on_frontier: float
    marker: str
    on_hull: bool
    lane: str
    inherited: bool  #: the score is of the model in another number format
    of_variant: str | None  #: the score is of this other checkpoint of the same architecture
    source: str
    licence: str
    cost_assumed_rel: float | None  #: relative error of the cost that was assumed, not stated
    cost_per_correct: float | None  #: with a quality floor, of a score that is a share
    extrapolation: str | None = None  #: why the fit that the cost rests on may not hold here


@dataclass(frozen=True, slots=True)
class Group:
    """A frontier over points that may be compared."""

    name: str
    workload: str
    points: tuple[Point, ...]
    steps: tuple[hull.Step, ...]  #: marginal cost along the hull
    hypervolume: float | None
    cost_reference: float | None
    score_reference: float | None
    cheapest: str | None  #: with the quality asked for
    cheapest_robust: str | None  #: and with its lower bound there
    left_out: tuple[tuple[str, str], ...]
    exact_costs: int  #: points whose cost has no known error, and is taken as exact
    exact_scores: int  #: points whose score has none
    assumed_costs: int  #: points whose cost has an assumed error (`cost_assumed_rel`)
    not_shown: int = 0  #: points that stand on no frontier and were left out of `points`
    score_unit: str = "fraction"  #: of the scores
    lower_is_better: bool = False  #: of the scores, as of a perplexity
    lower_bound: str | None = None  #: what the energy in the costs leaves out


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """The answer: one cost, one lane (or several, with a badge), groups of points."""

    cost: str
    lanes: tuple[str, ...]
    badge: str | None
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Nested plain values."""
        made = asdict(self)
        for group, plain in zip(self.groups, made["groups"], strict=True):
            plain["steps"] = [asdict(s) | {"cost_per_score": s.cost_per_quality}
                              for s in group.steps]  # fmt: skip
        return made


def frontier(
    engine: Engine,
    cost: str,
    lane: str,
    workload: Workload | None = None,
    scenario: Scenario | None = None,
    imported: bool = False,
    mix_lanes: bool = False,
    limits: Limits | None = None,
    quality: float | None = None,
    aliases: Mapping[str, str] | None = None,
    error_rel: float = ASSUMED_REL,
    floor: float | None = None,
    most: int | None = None,
    requests: pd.DataFrame | None = None,
    known: Sequence[Mapping[str, Any]] | None = None,
) -> Tradeoff:
    """Frontiers of `cost` against the scores of a lane.

    Own measurements are priced for one request of `workload`, in the scenario's zone or in three
    example zones; with `imported` the rows of each source stand for themselves, per unit of their
    own work; a cost without a stated error gets the relative standard deviation `error_rel`, marked
    assumed. With a quality `floor` points say their cost per correct answer. `most` points of a
    group are given with their intervals (`chances.shown` chooses them), all where it is None;
    `requests` (of `answers.request_table`, for the same workload) saves reading the fits again,
    `known` (of `capability_rows`) the scores. Raises InputError where nothing can be compared,
    UnknownNameError for cost or lane.
    """
    if cost not in COSTS:
        raise UnknownNameError("cost", cost, list(COSTS), f"one of {', '.join(COSTS)}")
    chosen = scenario or Scenario()
    scores, axes = on_lane(capability_rows(engine) if known is None else known, lane, mix_lanes)
    if len({s.quality == s.score for s in scores if s.score}) > 1:
        raise InputError(
            f"{lane!r} mixes scores of which more is better with some of which less is"
        )
    named = [replace(s, model=model_name(s.model, aliases)) for s in scores]
    find = _Matcher(named, aliases)
    if imported:
        lots = imported_lots(engine, cost, chosen, error_rel)
    else:
        lots = _own(engine, cost, workload, chosen, limits or Limits(), find, requests)
    drawn = Chances()
    made = [_group(lot, find, drawn, limits or Limits(), (quality, floor), most) for lot in lots]
    groups = [group for group in made if group.points]
    if not groups:
        nothing = f"no model has both {cost} and a score in {lane}: {_why(lots)}"
        raise InputError(none_meets([left for g in made for left in g.left_out]) or nothing)
    badge = f"{len(axes)} lanes on one axis: differences between protocols are in it"
    return Tradeoff(cost, tuple(axes), badge if len(axes) > 1 else None, tuple(groups),
                    _notes(imported, workload))  # fmt: skip


class _Matcher:
    """The scores beside a cost, found once for each model and number format."""

    def __init__(self, scores: Sequence[Scored], aliases: Mapping[str, str] | None) -> None:
        self._scores, self._aliases = scores, aliases
        self._known: dict[tuple[str, str | None], list[Match]] = {}

    def __call__(self, model: str, precision: str | None) -> list[Match]:
        key = (model, precision)
        if key not in self._known:
            name = model_name(model, self._aliases)
            self._known[key] = matches(name, precision, self._scores)
        return self._known[key]


def _own(
    engine: Engine,
    cost: str,
    workload: Workload | None,
    scenario: Scenario,
    limits: Limits,
    find: _Matcher,
    requests: pd.DataFrame | None,
) -> list[Lot]:
    """Own measurements; those without a score are not priced, where any has one."""
    asked = workload or Workload.request(*answers.covered_request(engine))
    rows = answers.request_table(engine, asked) if requests is None else requests
    pairs = list(zip(rows["model"], rows["precision"], strict=True))
    beside = {pair: bool(find(*pair)) for pair in set(pairs)}
    has = [beside[pair] for pair in pairs]
    scored = rows[has]
    lots = own_lots(engine, rows if scored.empty else scored, cost, asked, scenario,
                    limits.max_memory_bytes is not None)  # fmt: skip
    others = sorted(set(rows["model"]) - set(scored["model"])) if len(scored) else []
    return [replace(lot, unscored=tuple(others)) for lot in lots]


def _why(lots: Sequence[Lot]) -> str:
    found = sorted({
        c.model for lot in lots for c, cost in zip(lot.candidates, lot.costs, strict=True)
        if cost is not None
    })  # fmt: skip
    reasons = sorted({reason for lot in lots for reason in lot.reasons if reason})
    if not found:
        return reasons[0] if reasons else "no row holds that cost"
    return f"costs are known of {', '.join(found[:5])}"


def _notes(imported: bool, workload: Workload | None) -> tuple[str, ...]:
    if imported and workload is not None:
        return ("imported costs are of their source's own requests; --workload does not move them",)
    return ()


# ---------------------------------------------------------------------- points and their frontier
def _group(
    lot: Lot,
    find: _Matcher,
    drawn: Chances,
    limits: Limits,
    bars: tuple[float | None, float | None],
    most: int | None,
) -> Group:
    left: list[tuple[str, str]] = [(model, "no score in this lane") for model in lot.unscored]
    joined: list[Joined] = []
    for place, (candidate, cost) in enumerate(zip(lot.candidates, lot.costs, strict=True)):
        why = lot.reasons[place] or beyond(candidate, cost, limits)
        matched = find(candidate.model, candidate.dtype)
        if cost is None or why:
            left.append((candidate.model, why or "its cost is unknown"))
        elif not matched:
            left.append((candidate.model, "no score in this lane"))
        else:
            joined += [Joined(place, candidate, cost, match) for match in matched]
    options = [
        Option(f"{i}", j.cost, j.match.scored.quality,
               quality_low=j.match.scored.low, quality_high=j.match.scored.high)
        for i, j in enumerate(joined)
    ]  # fmt: skip
    quality, floor = bars
    down = any(j.match.scored.quality != j.match.scored.score for j in joined)
    sign = -1.0 if down else 1.0
    volume, cost_end, quality_end = _volume(options)
    score_end = None if quality_end is None else sign * quality_end
    bar = None if quality is None else sign * quality  # a score of at most Q, where less is better
    units = {j.match.scored.unit for j in joined}
    points = _points(lot, joined, options, drawn, floor, most)
    return Group(lot.name, lot.workload, points, tuple(_steps(options, joined)),
                 volume, cost_end, score_end, *_iso(options, joined, bar),
                 tuple(dict.fromkeys(left)), *_exact(joined), len(joined) - len(points),
                 units.pop() if len(units) == 1 else "mixed", down, lot.lower_bound)  # fmt: skip


def _exact(joined: Sequence[Joined]) -> tuple[int, int, int]:
    costs = sum(j.candidate.exact for j in joined)
    assumed = sum(j.candidate.assumed_rel is not None for j in joined)
    return costs, sum(j.match.scored.low is None for j in joined), assumed


def _points(
    lot: Lot,
    joined: Sequence[Joined],
    options: Sequence[Option],
    drawn: Chances,
    floor: float | None,
    most: int | None,
) -> tuple[Point, ...]:
    if not options:
        return ()
    mask = frontier_mask(*columns(options))
    corners = {o.name for o in hull.concave_hull(options)}
    sure = drawn(lot.spread, joined)
    at = shown(joined, mask, sure, most)
    bands = lot.spread.bands([joined[i].place for i in at])
    made = []
    for i, (cost_low, cost_high) in zip(at, bands, strict=True):
        c, match = joined[i].candidate, joined[i].match
        s = match.scored
        sign = 1.0 if s.quality == s.score else -1.0
        ends = sorted(sign * v for v in (s.low, s.high) if v is not None)
        low, high = (ends[0], ends[-1]) if ends else (None, None)
        made.append(Point(
            c.model, c.configuration, joined[i].cost, cost_low, cost_high, s.score, low, high,
            bool(mask[i]), float(sure[i]), chance.marker(float(sure[i])), str(i) in corners,
            s.lane, match.inherited, match.of_variant, s.source, s.licence, c.assumed_rel,
            _per_correct(options[i], s, floor), c.extrapolation,
        ))  # fmt: skip
    return tuple(sorted(made, key=lambda p: (p.cost, -p.score, p.model)))


def _per_correct(option: Option, score: Scored, floor: float | None) -> float | None:
    share = score.unit == "fraction" and score.quality == score.score
    return cost_per_correct(option, floor) if share and floor is not None else None


def _label(joined: Sequence[Joined], name: str) -> str:
    found = joined[int(name)]
    return f"{found.match.scored.model} ({found.candidate.configuration})"


def _steps(options: Sequence[Option], joined: Sequence[Joined]) -> Iterable[hull.Step]:
    for step in hull.marginal_costs(options):
        yield replace(step, cheaper=_label(joined, step.cheaper),
                      better=_label(joined, step.better))  # fmt: skip


def _volume(options: Sequence[Option]) -> tuple[float | None, float | None, float | None]:
    """Hypervolume, with its reference: the power of ten above the dearest cost, and a score of 0
    (the lowest score where one lies below 0)."""
    if not options or min(o.cost for o in options) <= 0:
        return None, None, None
    dearest = max(o.cost for o in options)
    reference = (
        10.0 ** (math.floor(math.log10(dearest)) + 1),
        min(0.0, *(o.quality for o in options)),
    )
    return hull.hypervolume(options, *reference), *reference


def _iso(
    options: Sequence[Option],
    joined: Sequence[Joined],
    quality: float | None,
) -> tuple[str | None, str | None]:
    if quality is None:
        return None, None
    found = [cheapest(options, quality, robust) for robust in (False, True)]
    plain, robust = (None if o is None else _label(joined, o.name) for o in found)
    return plain, robust
