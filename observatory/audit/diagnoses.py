"""What may have happened to a row that contradicts itself: units and shares taken for others.

An invariant says that joules, seconds and watts of a row cannot all be right. Each cause here says
what one of them would be without one mistake; it fits where the row is then possible in all that is
known of it. Where one cause alone fits, its code is found; where several fit, `unit_unclear` names
them all, and none is asserted. Joules are judged where energy over time is outside what the devices
can draw, or contradicts a stated power that is itself possible (METHOD §8).

| column | what |
|---|---|
| `energy_j`, `time_s`, `power_w` | joules, the seconds of the same work, one over the other |
| `power_stated_w`, `most_w`, `least_w` | as the physical rules have them |
| `requests` | how many requests the joules may be the total of |
| `time_shared` | 1 where `time_s` is a request's time over `requests` |
| `time_rel` | the roofline's time over `time_s`, as far as it is known |
| `time_trusted` | 1 where something else in the row agrees with time and power |
| `power_implied_w` | of a stated power: energy over time beside it |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from observatory.audit.physics import LEAST_SHARE, seconds_as_joules
from observatory.audit.rule import EXCLUDE, WARN, Booleans, Breach, Floats, Rule, number, where
from observatory.runtime.plausibility import AGREEMENT, TOLERANCE

SLOWEST = 1000.0  #: a time of more rooflines than this is no reading of a row's (ours)
LEAST_REQUESTS = 2.0


@dataclass(frozen=True, slots=True)
class Cause:
    """One mistake, and what turns the wrong number into the right one."""

    code: str
    phrase: str
    energy: float = 1.0
    time: float = 1.0
    power: float = 1.0


CAUSES = (
    Cause("millijoules_as_joules", "mJ taken for J", energy=1e-3),
    Cause("kilojoules_as_joules", "kJ taken for J", energy=1e3),
    Cause("watt_hours_as_joules", "Wh taken for J", energy=3600.0),
    Cause("kilowatt_hours_as_joules", "kWh taken for J", energy=3.6e6),
    Cause("batch_total_as_request", "the joules of a batch taken for those of a request"),
    Cause("kilowatts_as_watts", "kW taken for W", power=1e3),
    Cause("milliwatts_as_watts", "mW taken for W", power=1e-3),
    Cause("milliseconds_as_seconds", "ms taken for s", time=1e-3),
    Cause("time_divided_twice", "a time divided by 1000 once too often", time=1e3),
)
POWER_FACTORS = {cause.power for cause in CAUSES} - {1.0}
UNCLEAR = "unit_unclear"


@dataclass(frozen=True, slots=True)
class _Row:
    """Columns of the table, as floats."""

    energy: Floats
    time: Floats
    stated: Floats
    most: Floats
    least: Floats
    rel: Floats

    @classmethod
    def of(cls, table: pd.DataFrame) -> _Row:
        energy, power = number(table, "energy_j"), number(table, "power_w")
        with np.errstate(divide="ignore", invalid="ignore"):
            time = np.where(energy > 0, energy / power, np.nan)
        return cls(energy, time, number(table, "power_stated_w"), number(table, "most_w"),
                   number(table, "least_w"), number(table, "time_rel"))  # fmt: skip

    def possible(self, watts: Floats, least: Floats) -> Booleans:
        return ~(watts > self.most) & ~(watts < least)

    def agrees(self, energy: Floats, time: Floats, stated: Floats) -> Booleans:
        """Joules with stated power, where that is possible itself; else it says nothing."""
        sound = self.possible(stated, self.least) & np.isfinite(stated)
        return ~sound | (np.abs(energy - stated * time) <= AGREEMENT * stated * time)

    def fits(self, energy: Floats, time: Floats, stated: Floats, change: float) -> Booleans:
        """Whether these would be possible in all that is known; `change` is that of the time."""
        rel, floor = self.rel / change, np.fmax(self.least, LEAST_SHARE * self.most)
        plausible = ~(rel > TOLERANCE) & ~(rel < 1 / SLOWEST)
        return plausible & self.possible(energy / time, floor) & self.agrees(energy, time, stated)


def with_causes(table: pd.DataFrame) -> pd.DataFrame:
    """`cause`: the code of the one cause that fits, UNCLEAR where several do, '' where none;
    `causes`: what fits, in words; `without_it`: the wrong number as it would be without it."""
    with np.errstate(all="ignore"):
        fits, mended = _of_energy(table)
        of_power, watts = _of_power(table)
    fits, mended = fits | of_power, np.where(of_power, watts, mended)
    count = fits.sum(axis=0)
    first = fits.argmax(axis=0)
    codes = np.array([cause.code for cause in CAUSES], dtype=object)
    cause = np.where(count > 1, UNCLEAR, np.where(count == 1, codes[first], ""))
    words = np.full(len(table), "", dtype=object)
    for place in np.flatnonzero(count):
        words[place] = ", or ".join(CAUSES[i].phrase for i in np.flatnonzero(fits[:, place]))
    return table.assign(cause=cause, causes=words, without_it=mended[first, np.arange(len(table))])


def _of_energy(table: pd.DataFrame) -> tuple[Booleans, Floats]:
    """(causes, rows): which fit the joules of each row, and the number that each would mend."""
    row, requests = _Row.of(table), number(table, "requests")
    trusted = number(table, "time_trusted") == 1
    shared = np.where(number(table, "time_shared") == 1, requests, np.nan)
    contradicted = np.isfinite(row.time) & ~seconds_as_joules(table).broken & ~(
        row.possible(row.energy / row.time, row.least)
        & row.agrees(row.energy, row.time, row.stated)
    )  # fmt: skip
    together = np.abs(row.energy - row.stated * row.time) <= AGREEMENT * row.energy
    fits, mended = [], []
    for cause in CAUSES:
        energy, time = row.energy * cause.energy, row.time * cause.time
        stated = row.stated * cause.power
        possible = row.fits(energy, time, stated, cause.time)
        if cause.code == "batch_total_as_request":
            energy = row.energy / requests
            possible = row.fits(energy, time, stated, 1.0)
            possible |= np.isfinite(shared) & row.fits(energy, time * shared, stated, 1.0)
            possible &= requests >= LEAST_REQUESTS
        if cause.power != 1:
            possible &= np.isfinite(stated) & row.possible(stated, row.least)
        elif cause.energy not in POWER_FACTORS:  # joules and watts that agree are wrong together
            possible &= ~together
        if cause.power != 1 or cause.time != 1:
            possible &= ~trusted
        fits.append(contradicted & possible)
        changed = stated if cause.power != 1 else time if cause.time != 1 else energy
        mended.append(np.broadcast_to(changed, row.energy.shape))
    return np.array(fits), np.array(mended)


def _of_power(table: pd.DataFrame) -> tuple[Booleans, Floats]:
    """The same for a stated power: impossible, and possible in another unit."""
    watts, implied = number(table, "power_w"), number(table, "power_implied_w")
    most, least = number(table, "most_w"), number(table, "least_w")
    known = np.isfinite(implied) & ~(implied > most) & ~(implied < least)
    own = np.isnan(number(table, "energy_j")) & (watts > 0) & ((watts > most) | (watts < least))
    fits, mended = [], []
    for cause in CAUSES:
        made = watts * cause.power
        possible = ~(made > most) & ~(made < np.fmax(least, LEAST_SHARE * most))
        agrees = ~known | (np.abs(made - implied) <= AGREEMENT * implied)
        fits.append(own & possible & agrees & (cause.power != 1))
        mended.append(made)
    return np.array(fits), np.array(mended)


# ---------------------------------------------------------------------- rules
def _judged(table: pd.DataFrame) -> tuple[Floats, Floats]:
    """What is wrong (joules, else watts), and what it would be."""
    energy = number(table, "energy_j")
    return np.where(np.isnan(energy), number(table, "power_w"), energy), number(table, "without_it")


def _found(code: str, table: pd.DataFrame) -> Breach:
    value, mended = _judged(table)
    return where((table["cause"] == code).to_numpy(dtype=bool), value, mended)


def _rule(
    code: str, sentence: str, remedy: str, source: str, severity: str = EXCLUDE,
    words: tuple[str, ...] = (), version: int = 1,
) -> Rule:  # fmt: skip
    check: Callable[[pd.DataFrame], Breach] = partial(_found, code)
    return Rule(code, severity, sentence, remedy, source, ("cause",), check, words, version)


_ENERGY = "The energy, {{value:.4g}} J, contradicts the row; {{bound:.4g}} J does not: {0} fits."
MILLIJOULES = _rule(
    "millijoules_as_joules", _ENERGY.format("mJ taken for J"),
    "Look the unit up, and divide by 1000 at the source; NVML's counter is in millijoules.",
    "METHOD §8: mJ that are J; NVML, nvmlDeviceGetTotalEnergyConsumption; no other cause fits",
    version=2,
)  # fmt: skip
UNIT_RULES: tuple[Rule, ...] = (
    MILLIJOULES,
    _rule(
        "kilojoules_as_joules", _ENERGY.format("kJ taken for J"),
        "Look the unit up, and multiply by 1000 at the source.", "METHOD §8; no other cause fits",
    ),
    _rule(
        "watt_hours_as_joules", _ENERGY.format("Wh taken for J"),
        "Look the unit up: 1 Wh is 3600 J.", "METHOD §8; no other cause fits",
    ),
    _rule(
        "kilowatt_hours_as_joules", _ENERGY.format("kWh taken for J"),
        "Look the unit up: 1 kWh is 3.6e6 J, and CodeCarbon writes kWh.",
        "METHOD §8; no other cause fits",
    ),
    _rule(
        "batch_total_as_request", _ENERGY.format("the joules of a batch taken for a request's"),
        "Divide by the requests that the joules cover, or say `per` batch.",
        "METHOD §8; no other cause fits",
    ),
    _rule(
        "kilowatts_as_watts",
        "The power, {value:.4g} W, is impossible; {bound:.4g} W is not: kW taken for W fits.",
        "Look the unit of the power up; joules beside it may be sound.",
        "METHOD §8; agrees with energy over time where that is known",
    ),
    _rule(
        "milliwatts_as_watts",
        "The power, {value:.4g} W, is impossible; {bound:.4g} W is not: mW taken for W fits.",
        "Look the unit of the power up: NVML's is mW; joules beside it may be sound.",
        "METHOD §8; agrees with energy over time where that is known",
    ),
    _rule(
        "milliseconds_as_seconds",
        "The energy, {value:.4g} J, contradicts the time beside it and not {bound:.4g} s: ms taken "
        "for s fits.",
        "Look the unit of the time up; the joules may be sound.", "METHOD §8; no other cause fits",
        WARN,
    ),
    _rule(
        "time_divided_twice",
        "The energy, {value:.4g} J, contradicts the time beside it and not {bound:.4g} s: a "
        "conversion from ms made twice fits.",
        "Look the unit of the time up; the joules may be sound.", "METHOD §8; no other cause fits",
        WARN,
    ),
    _rule(
        UNCLEAR,
        "The energy, {value:.4g} J, contradicts the row's time or power; each of these would "
        "explain it: {causes}.",
        "Look up the units of all three at the source; none of them is accused here.",
        "METHOD §8; more than one cause fits", WARN, ("causes",),
    ),
)  # fmt: skip
