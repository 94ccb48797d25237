"""How uncertain many costs are, drawn only for those whose draws can matter.

Of 10,000 configurations a few hundred can ever be on a frontier. A spread therefore answers three
questions of different price: between which values every draw of a cost lies (`reach`: exact bounds,
for all at once), what the draws are, and which band they span (both for the asked ones alone).

Draws and reaches are *relative*: each draw is divided by what all costs of a group share in that
draw (grid, site), which changes no order among them. Bands are absolute, and equal to those of
`footprint.bills.footprints`, whose formulas and draws these are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from observatory.decision.chance import DRAWS, Z90
from observatory.decision.frontier import Floats
from observatory.footprint import EnergyInput, FactorTable, Scenario
from observatory.footprint.bills import footprints
from observatory.footprint.energy import Covered, covered
from observatory.footprint.formulas import NO_JOULES, PER_DEVICE_SECOND, Amount, Use, outputs
from observatory.footprint.resolve import Resolved, resolve
from observatory.footprint.result import COST_NAMES
from observatory.footprint.uncertainty import (
    busy_draws,
    busy_quantile,
    draws_of,
    normals,
    quantiles,
    repeat_draws,
    sensor_draws,
)

Places = Sequence[int] | np.ndarray
FARTHEST = float(np.abs(normals("any")).max())  #: of the stratified normals, whatever their order
BLOCK = 32  #: costs drawn together
ROLES = ("ci", "pue", "wue", "ewif", "tariff", "price", "embodied", "server", "life", "active")
_SAMPLE_DRAWS = 100


class Spread(Protocol):
    """Costs of one group, by place."""

    def reach(self, draws: int) -> tuple[Floats, Floats]:
        """Least and greatest relative draw of every cost, each (n,); NaN where there is none."""

    def kin(self) -> tuple[np.ndarray, Floats, Floats]:
        """(family, least, greatest), each (n,): as `reach`, divided by what a family shares too.

        Only costs of one family (the same sensor and formula) may be compared by these.
        """

    def drawn(self, at: Places, draws: int) -> Floats:
        """The first `draws` relative draws of the costs `at`, shape (draws, len(at))."""

    def bands(self, at: Places) -> list[tuple[float | None, float | None]]:
        """(p5, p95) of each of the costs `at`; None where no error is known."""


@dataclass(frozen=True)
class Stated:
    """Costs with stated bounds, independent of one another; `names` tell whose draws they are.

    Log-normal where the lower bound is positive, else normal, as `chance.normal_draws` has it.
    """

    names: Sequence[str]
    cost: Floats
    low: Floats  #: NaN: no error is known, the cost is taken as exact
    high: Floats

    def _sides(self) -> tuple[np.ndarray, Floats]:
        """(is log-normal, standard deviation of the cost or of its logarithm), 0 where unknown."""
        with np.errstate(invalid="ignore", divide="ignore"):
            log = (self.low > 0) & (self.cost > 0)
            wide = np.where(log, np.log(self.high / self.low), self.high - self.low) / (2 * Z90)
        return log, np.where(np.isnan(wide), 0.0, wide)

    def reach(self, draws: int) -> tuple[Floats, Floats]:
        """See `Spread`."""
        del draws
        log, wide = self._sides()
        far = FARTHEST * wide
        least, greatest = (
            np.where(log, self.cost * np.exp(sign * far), self.cost + sign * far)
            for sign in (-1.0, 1.0)
        )
        return least, greatest

    def kin(self) -> tuple[np.ndarray, Floats, Floats]:
        """See `Spread`: they share nothing, so all of them are one family."""
        return np.zeros(len(self.cost), dtype=int), *self.reach(0)

    def drawn(self, at: Places, draws: int) -> Floats:
        """See `Spread`."""
        log, wide = self._sides()
        out = np.empty((draws, len(at)))
        for k, i in enumerate(at):
            z = wide[i] * normals(f"cost:{self.names[i]}")[:draws] if wide[i] else np.zeros(draws)
            out[:, k] = self.cost[i] * np.exp(z) if log[i] else self.cost[i] + z
        return out

    def bands(self, at: Places) -> list[tuple[float | None, float | None]]:
        """See `Spread`."""
        return [
            (None, None) if math.isnan(self.low[i]) else (float(self.low[i]), float(self.high[i]))
            for i in at
        ]


@dataclass(frozen=True)
class _Part:
    """Requests whose bills share device, sensor, formula and reason."""

    places: np.ndarray
    energies: Sequence[EnergyInput]
    joules: Floats  #: (k, 1), NaN where unknown
    device_s: Floats | None
    tokens: tuple[Floats, Floats] | None
    resolved: Resolved
    pue_inside: bool
    quantity: str  #: name among the outputs of the formulas
    reason: str | None  #: why there is no such bill

    def made(
        self,
        scenario: Scenario,
        joules: Amount,
        draws: int | None,
        rows: Places,
        times: Amount = 1.0,
    ) -> Floats:
        """The bill at the median of every factor (`draws` None), or at its first draws; `times`
        multiplies the device time."""
        n, seed = scenario.draws, scenario.seed
        roles = [role for role in ROLES if role in self.resolved.factors]
        values: dict[str, Amount] = {}
        for role in roles:
            factor = self.resolved.factors[role]
            drawn = factor.value if draws is None else draws_of(factor, n, seed)
            values[role] = drawn[:draws] if isinstance(drawn, np.ndarray) else drawn
        use = Use(
            joules=joules,
            device_s=None if self.device_s is None else self.device_s[rows] * times,
            tokens=None if self.tokens is None else (self.tokens[0][rows], self.tokens[1][rows]),
            pue_inside=self.pue_inside,
        )
        needed = _needed(values, self.quantity)
        return np.asarray(outputs(use, needed, scenario)[self.quantity], dtype=float)

    def drawn(self, scenario: Scenario, rows: Places, draws: int) -> Floats:
        """The first `draws` draws of the bills `rows` of this part, (len(rows), draws)."""
        n, seed = scenario.draws, scenario.seed
        if math.isnan(self.joules[0, 0]):
            gains: Amount = 1.0
        else:
            shared = sensor_draws(self.energies[0], n, seed)[:draws]
            gains = np.stack([
                shared * own[:draws] if isinstance(own, np.ndarray) else shared * own
                for own in (repeat_draws(self.energies[i], n, seed) for i in rows)
            ])  # fmt: skip
        times: Amount = 1.0
        if self.timed:
            times = np.stack([
                np.broadcast_to(busy_draws(self.energies[i], n, seed), (n,))[:draws] for i in rows
            ])  # fmt: skip
        made = self.made(scenario, self.joules[rows] * gains, draws, rows, times)
        return np.broadcast_to(made, (len(rows), draws))

    def unit(self, scenario: Scenario, draws: int) -> tuple[Floats, Floats]:
        """Draws of one joule without its private error, and of the rest for each row.

        A bill is `joules * private error * first + private error of time * second`; shapes (draws,)
        and (k, draws) or (k, 1).
        """
        every = np.arange(len(self.joules))
        rest = self.made(scenario, 0.0, draws, every)
        if math.isnan(self.joules[0, 0]):
            return np.zeros(draws), np.atleast_2d(rest)
        shared = sensor_draws(self.energies[0], scenario.draws, scenario.seed)[:draws]
        one = np.arange(1)
        first = self.made(scenario, shared[None, :], draws, one) - self.made(
            scenario, 0.0, draws, one
        )
        return np.broadcast_to(first, (1, draws))[0], np.atleast_2d(rest)

    def joules_reach(self) -> tuple[Floats, Floats]:
        """Least and greatest joules that the private error makes of each row; 0 where unknown."""
        sigma = np.array([
            math.sqrt(math.log1p((e.repeat_rel_std or 0.0) ** 2)) for e in self.energies
        ])  # fmt: skip
        own = np.where(np.isnan(self.joules[:, 0]), 0.0, self.joules[:, 0])
        far = np.exp(FARTHEST * sigma)
        return own / far, own * far

    @property
    def timed(self) -> bool:
        """Whether the bill charges device time of which an error is known."""
        return self.quantity in PER_DEVICE_SECOND and any(e.busy_error_rel for e in self.energies)

    def time_reach(self) -> tuple[Floats, Floats]:
        """Least and greatest factor that the private error of device time is for each row."""
        if not self.timed:
            return np.ones(len(self.energies)), np.ones(len(self.energies))
        least, greatest = (
            np.array([float(busy_quantile(e, z)) for e in self.energies])
            for z in (-FARTHEST, FARTHEST)
        )
        return least, greatest


def _needed(values: dict[str, Amount], quantity: str) -> dict[str, Amount]:
    """The roles that a quantity is made of, so that nothing else is computed."""
    uses = {
        "energy_wh": ("pue",),
        "co2e_operational_g": ("pue", "ci"),
        "water_l": ("pue", "wue", "ewif"),
        "cost_electricity_usd": ("pue", "tariff"),
        "cost_cloud_usd": ("pue", "price"),
        "cost_api_usd": ("pue",),
    }.get(quantity, ROLES)
    return {role: values[role] for role in uses if role in values}


class Priced:
    """One bill of many requests (`alike` groups them) in one scenario.

    `mid` (n,) is the value at the median of every input, NaN where there is none, for the reason
    in `reasons`.
    """

    def __init__(
        self,
        groups: Sequence[Alike],
        quantity: str,
        scenario: Scenario,
        table: FactorTable,
        scale: float = 1.0,
    ) -> None:
        # a scenario of few draws would leave the chance to be on a frontier without enough of them
        self.scenario = replace(scenario, draws=max(scenario.draws, DRAWS))
        self.scale = scale
        n = sum(len(group.places) for group in groups)
        self.mid = np.full(n, np.nan)
        self.reasons: list[str | None] = [None] * n
        self._parts = [_part(group, quantity, scenario, table) for group in groups]
        self._part_of = np.zeros(n, dtype=int)
        self._row_of = np.zeros(n, dtype=int)
        for number, part in enumerate(self._parts):
            self._part_of[part.places] = number
            self._row_of[part.places] = np.arange(len(part.places))
            if part.reason is not None:
                for i in part.places:
                    self.reasons[i] = part.reason
                continue
            made = part.made(scenario, part.joules, None, np.arange(len(part.places)))
            self.mid[part.places] = np.broadcast_to(made, (len(part.places), 1))[:, 0] * scale

    def leave_out(self) -> list[tuple[str | None, tuple[str, ...]]]:
        """(device, parts of the boundary that its energy leaves out) of the bills with energy."""
        boundary, share = self.scenario.boundary, self.scenario.active_share
        return [
            (p.energies[0].device, tuple(covered(p.energies[0], boundary, share).missing))
            for p in self._parts
            if p.reason is None and p.quantity not in NO_JOULES
        ]

    @property
    def same_everywhere(self) -> bool:
        """Whether another zone changes all of these bills by one factor in each draw."""
        known = [p for p in self._parts if p.reason is None]
        alike = len({p.pue_inside for p in known}) <= 1
        return alike and all(p.quantity in _PER_JOULE for p in known)

    def _shared(self, draws: int) -> Floats:
        """What relative draws are divided by: the draws of one joule on the first device."""
        for part in self._parts:
            if part.reason is None:
                joule, rest = part.unit(self.scenario, draws)
                found = joule if joule.any() else rest[0]
                return np.broadcast_to(found, (draws,)) if np.all(found > 0) else np.ones(draws)
        return np.ones(draws)

    def reach(self, draws: int) -> tuple[Floats, Floats]:
        """See `Spread`."""
        least, greatest = np.full((2, len(self.mid)), np.nan)
        shared = self._shared(draws)
        for part in self._parts:
            if part.reason is not None:
                continue
            joule, rest = part.unit(self.scenario, draws)
            first, second = joule / shared, rest / shared
            low, high = part.joules_reach()
            short, long = part.time_reach()
            low = low * first.min() + short * second.min(axis=1)
            high = high * first.max() + long * second.max(axis=1)
            least[part.places], greatest[part.places] = low * self.scale, high * self.scale
        return least, greatest

    def kin(self) -> tuple[np.ndarray, Floats, Floats]:
        """See `Spread`. A bill that is not proportional to joules has no family but itself."""
        family = np.arange(len(self.mid))
        least, greatest = np.full((2, len(self.mid)), np.nan)
        for number, part in enumerate(self._parts):
            if part.reason is None:
                least[part.places], greatest[part.places] = part.joules_reach()
                if part.quantity in _PER_JOULE:
                    family[part.places] = len(self.mid) + number
        return family, least, greatest

    def drawn(self, at: Places, draws: int) -> Floats:
        """See `Spread`."""
        out = np.empty((draws, len(at)))
        for columns, block in self._blocks(at, draws):
            out[:, columns] = block.T
        return np.asarray(out / self._shared(draws)[:, None] * self.scale)

    def bands(self, at: Places) -> list[tuple[float | None, float | None]]:
        """See `Spread`."""
        out: list[tuple[float | None, float | None]] = [(None, None)] * len(at)
        for columns, block in self._blocks(at, self.scenario.draws):
            low, _, high = quantiles(np.array(block))
            for k, one, other in zip(columns, low, high, strict=True):
                out[k] = (float(one) * self.scale, float(other) * self.scale)
        return out

    def _blocks(self, at: Places, draws: int) -> Iterable[tuple[list[int], Floats]]:
        """(columns, draws of their bills) in blocks of one part."""
        wanted: dict[int, list[int]] = {}
        for k, i in enumerate(at):
            wanted.setdefault(int(self._part_of[i]), []).append(k)
        for number, columns in wanted.items():
            for start in range(0, len(columns), BLOCK):
                some = columns[start : start + BLOCK]
                rows = np.array([self._row_of[at[k]] for k in some])
                yield some, self._parts[number].drawn(self.scenario, rows, draws)


_PER_JOULE = ("energy_wh", "co2e_operational_g", "water_l", "cost_electricity_usd")


@dataclass(frozen=True)
class Alike:
    """Requests that every scenario of one boundary bills by the same formula on the same sensor."""

    places: np.ndarray
    energies: Sequence[EnergyInput]
    joules: Floats
    device_s: Floats | None
    tokens: tuple[Floats, Floats] | None
    pue_inside: bool


def alike(energies: Sequence[EnergyInput], scenario: Scenario) -> list[Alike]:
    """Groups of requests that may be billed together, in any zone."""
    inside = [covered(e, scenario.boundary, scenario.active_share) for e in energies]
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, (e, part) in enumerate(zip(energies, inside, strict=True)):
        tokens = e.prompt_tokens is not None and e.output_tokens is not None
        key = (e.device, e.sensor_id, e.systematic_rel, part.joules is None, part.pue_inside,
               e.busy_s is None, tokens, tuple(part.missing.items()))  # fmt: skip
        groups.setdefault(key, []).append(i)
    return [_alike(energies, inside, places) for places in groups.values()]


def _alike(energies: Sequence[EnergyInput], inside: Sequence[Covered], places: list[int]) -> Alike:
    mine = [energies[i] for i in places]
    joules = np.array([np.nan if inside[i].joules is None else inside[i].joules for i in places])
    busy = [e.device_count * e.busy_s / e.batch for e in mine if e.busy_s is not None]
    tokens = [(e.prompt_tokens, e.output_tokens) for e in mine
              if e.prompt_tokens is not None and e.output_tokens is not None]  # fmt: skip
    columns = np.array(tokens, dtype=float).T[:, :, None] if tokens else None
    return Alike(
        places=np.array(places),
        energies=mine,
        joules=joules[:, None],
        device_s=np.array(busy)[:, None] if busy else None,
        tokens=None if columns is None else (columns[0], columns[1]),
        pue_inside=inside[places[0]].pue_inside,
    )


def _part(group: Alike, quantity: str, scenario: Scenario, table: FactorTable) -> _Part:
    first = group.energies[0]
    sample = footprints([first], replace(scenario, draws=_SAMPLE_DRAWS), table)[0]
    bill = sample.bills()[quantity]
    name = COST_NAMES[sample.cost_basis or "own"] if quantity == "cost_usd" else quantity
    return _Part(
        places=group.places,
        energies=group.energies,
        joules=group.joules,
        device_s=group.device_s,
        tokens=group.tokens,
        resolved=resolve(scenario, table, first.device),
        pue_inside=group.pue_inside,
        quantity=name,
        reason=None if bill.value is not None else bill.reason or "no such bill can be made",
    )
