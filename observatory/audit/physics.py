"""Physical invariants of any row, own or reported (METHOD §8), on columns that both kinds have.

| column | what |
|---|---|
| `mfu`, `mbu`, `roofline_rel` | best possible time over the row's: compute, memory, whole |
| `hard_ceiling` | whether those rest on catalogue peaks, not on a kernel measured here |
| `energy_j`, `time_s` | joules, and the seconds of the same work |
| `nearest_s` | of all times that the row gives, the one numerically nearest to the joules |
| `power_w` | mean power of the devices used |
| `power_stated_w` | power as a second column of the source, or a second sensor, gives it |
| `most_w`, `least_w`, `power_rests_on` | what those devices can draw, and what says so |

A missing column or cell breaks no rule. Tolerances are ours and stand beside each rule.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from observatory.audit.rule import EXCLUDE, WARN, Breach, Floats, Rule, above, number, where
from observatory.runtime.plausibility import AGREEMENT, TOLERANCE

SPARSITY = 2.0  #: a structured-sparse peak is printed as twice the dense one
LEAST_SHARE = 0.01  #: no device that works draws less of what it can draw (ours)
EQUAL = 1e-6  #: joules this near to the seconds are the same number, whatever was printed
NEARLY_EQUAL = 1e-3  #: and this near, where stated power or idle power contradict the joules


def _hard(table: pd.DataFrame, column: str) -> Floats:
    """The column where its ceiling is a catalogue's; NaN elsewhere."""
    return np.where(number(table, "hard_ceiling") == 1, number(table, column), np.nan)


def _mfu(table: pd.DataFrame) -> Breach:
    found = above(_hard(table, "mfu"), TOLERANCE)
    return where(found.broken, found.value, 1.0)


def _mbu(table: pd.DataFrame) -> Breach:
    found = above(_hard(table, "mbu"), TOLERANCE)
    return where(found.broken, found.value, 1.0)


def _faster(table: pd.DataFrame) -> Breach:
    time, ratio = number(table, "time_s"), _hard(table, "roofline_rel")
    return where(above(ratio, TOLERANCE).broken, time, time * ratio)


def _sparse(table: pd.DataFrame) -> Breach:
    mfu = _hard(table, "mfu")
    with np.errstate(invalid="ignore"):
        broken = (mfu > TOLERANCE) & (mfu <= SPARSITY * TOLERANCE)
    return where(broken, mfu, 1.0)


def _above_measured(table: pd.DataFrame) -> Breach:
    soft = number(table, "hard_ceiling") == 0
    ratio = np.where(soft, number(table, "roofline_rel"), np.nan)
    found = above(ratio, TOLERANCE)
    return where(found.broken, found.value, 1.0)


def _power_above(table: pd.DataFrame) -> Breach:
    return above(number(table, "power_w"), number(table, "most_w"))


def _power_below(table: pd.DataFrame) -> Breach:
    power, least = number(table, "power_w"), number(table, "least_w")
    with np.errstate(invalid="ignore"):
        return where((power > 0) & (power < least), power, least)


def seconds_as_joules(table: pd.DataFrame) -> Breach:
    """The same number as a time of the row; a near one only where power speaks against it too."""
    energy, time = number(table, "energy_j"), number(table, "nearest_s")
    product = number(table, "power_stated_w") * number(table, "time_s")
    with np.errstate(invalid="ignore"):
        apart = np.abs(energy - time)
        sound = np.abs(energy - product) <= AGREEMENT * product
        unsound = np.isfinite(product) | (number(table, "power_w") < number(table, "least_w"))
        same = (apart <= EQUAL * time) | ((apart <= NEARLY_EQUAL * time) & unsound)
        return where((time > 0) & same & ~sound, energy, time)


PHYSICAL_RULES: tuple[Rule, ...] = (
    Rule(
        "mfu_above_one", EXCLUDE,
        "The row does {value:.2f} times the operations that its devices' dense peak allows.",
        "Check the device, its count, the batch and the time; a cached prompt does no work.",
        "METHOD §8; PaLM (arXiv 2204.02311) appendix B; tolerance 5 % (boost above rated clock)",
        ("mfu", "hard_ceiling"), _mfu,
    ),
    Rule(
        "mbu_above_one", EXCLUDE,
        "The row moves {value:.2f} times the bytes that its devices' memory bandwidth allows.",
        "Check the number format, the device and its count, and the time of one step.",
        "METHOD §8; not judged where the weights fit in a 256 MiB cache; tolerance 5 %",
        ("mbu", "hard_ceiling"), _mbu,
    ),
    Rule(
        "faster_than_roofline", EXCLUDE,
        "The row takes {value:.3g} s; its devices need {bound:.3g} s at their peaks.",
        "Check what the time covers (a batch, a step, a request), its unit, and the device.",
        "METHOD §4, §8: max(compute, memory) without communication; tolerance 5 %",
        ("roofline_rel", "time_s", "hard_ceiling"), _faster,
    ),
    Rule(
        "sparse_peak_as_dense", EXCLUDE,
        "Utilisation is {value:.2f} of the dense peak: only the sparse one fits it.",
        "Count on the dense peak: these weights are dense, and a sparse peak speeds none of them.",
        "METHOD §8; utilisation between 1 and 2 of the dense peak",
        ("mfu", "hard_ceiling"), _sparse,
    ),
    Rule(
        "power_above_limit", EXCLUDE,
        "Mean power is {value:.4g} W; the devices can draw {bound:.4g} W ({power_rests_on}).",
        "Check the unit of the joules, what they cover, and how many devices were used.",
        "METHOD §3.9 (own rows: 1.05 × enforced limit), §8 (others: 1.15 × TDP)",
        ("power_w", "most_w", "power_rests_on"), _power_above, words=("power_rests_on",),
    ),
    Rule(
        "power_below_idle", EXCLUDE,
        "Mean power is {value:.3g} W, below the {bound:.3g} W of devices that do nothing.",
        "Check the unit, whether all devices are counted, and whether the window was cut short.",
        "METHOD §3.9, §8: 0.95 × idle measured in the run; else half the catalogue's idle power, "
        "or 2 % of TDP (ours)",
        ("power_w", "least_w"), _power_below,
    ),
    Rule(
        "seconds_as_joules", EXCLUDE,
        "The energy, {value:.6g} J, is numerically a time of the same row, {bound:.6g} s.",
        "Read the file's unit again: a duration was taken for an energy.",
        "METHOD §8, §9: seconds labelled joules; within 1e-6, or 0.1 % where power contradicts too",
        ("energy_j", "nearest_s"), seconds_as_joules,
    ),
)  # fmt: skip
#: Nobody else's machine has ceilings that were measured here.
MEASURED_RULES: tuple[Rule, ...] = (
    Rule(
        "above_measured_ceiling", WARN,
        "The row reaches {value:.2f} times the ceiling that a short kernel measured on this "
        "machine.",
        "Measure the ceilings again on an idle machine; a ceiling measured is no hard bound.",
        "METHOD §3.14, §4; tolerance 5 %",
        ("roofline_rel", "hard_ceiling"), _above_measured,
    ),
)  # fmt: skip
