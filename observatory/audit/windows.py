"""Own windows beside what bounds them: roofline, power, idle baselines, repeats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from observatory.audit.blocks import exact_multiples, labels
from observatory.audit.bounds import IDLE_TOLERANCE, PowerBounds, best_time
from observatory.audit.diagnoses import with_causes
from observatory.audit.repeats import LEAST_REPEATS
from observatory.audit.rule import Floats, apply_all, number
from observatory.audit.window_rules import WINDOW_RULES
from observatory.ceilings import Ceiling
from observatory.quietness import USUAL_QUANTILE
from observatory.records import Finding, Phase

SIZES = ("prompt_tokens", "context_tokens", "output_tokens", "batch")
POINT = ["phase", *SIZES]
STACK = ["configuration_key", "environment_key"]
PROCESS = ["run_id", "configuration_key", "process_id"]


class Bounds(Protocol):
    """`observatory.audit.bounds.StoreBounds`, as far as it is used here."""

    def ceiling(self, configuration_key: str, environment_key: str) -> Ceiling | None:
        """What the roofline of a configuration on a machine rests on; None for no roofline."""

    def power(self, configuration_key: str, environment_key: str) -> PowerBounds | None:
        """Watts that the accelerators of a configuration can draw; None where unknown."""


def audit_windows(windows: pd.DataFrame, bounds: Bounds | None = None) -> list[Finding]:
    """Findings on windows, a table as `observatory.store.reader.windows` gives it.

    Without `bounds` the rules that need the hardware's are not judged.
    """
    if windows.empty:
        return []
    return apply_all(WINDOW_RULES, evidence(windows, bounds), "window")


def evidence(windows: pd.DataFrame, bounds: Bounds | None = None) -> pd.DataFrame:
    """The windows with the columns that the physical rules read.

    `energy_j` is that of the part the sensor cross-checks: the devices, else the CPU packages.
    """
    duration = number(windows, "duration_s")
    device, cpu = number(windows, "energy_device_j"), number(windows, "energy_cpu_j")
    table = windows.assign(
        energy_j=np.where(np.isfinite(device), device, cpu),
        time_s=duration,
        nearest_s=duration,
        power_w=device / duration,
        power_stated_w=number(windows, "energy_integral_j") / duration,
        time_trusted=1.0,
    )
    table = table.assign(memory_bytes=number(windows, "peak_memory_bytes"))
    table = _beside_process(_beside_repeats(table))
    if bounds is not None:
        table = _with_rooflines(_with_power_bounds(table, bounds), bounds)
    return with_causes(table)


def _beside_repeats(table: pd.DataFrame) -> pd.DataFrame:
    """`repeats`, `repeats_median` of the energy in a cell; `factor` of a process to another.

    Times are compared, and joules, between the processes of a run and between runs, inside one
    configuration on one machine, so that findings on a configuration depend on its own facts alone.
    """
    energy = table["energy_j"].groupby(table["cell_id"])
    repeats = energy.transform("count")
    middle = energy.transform("median").where(repeats >= LEAST_REPEATS)
    factor, multiple_of = np.full(len(table), np.nan), np.full(len(table), "", dtype=object)
    what = np.full(len(table), "energy", dtype=object)
    points = [*POINT, "window_index"]
    process = ("run " + table["run_id"].astype(str) + " process "
               + table["process_index"].astype(str)).to_numpy()  # fmt: skip
    for places in table.groupby(STACK, sort=False).indices.values():
        blocks = process[places]
        if (blocks == blocks[0]).all():
            continue
        keys = list(table[points].iloc[places].itertuples(index=False, name=None))
        for column, quantity in (("energy_j", "energy"), ("time_s", "duration_s")):
            values = number(table, column)
            found = exact_multiples(values[places], blocks.tolist(), keys, same_points=True)
            made, origin = labels(found, len(places))
            at = places[np.isfinite(made)]
            factor[at], multiple_of[at] = made[np.isfinite(made)], origin[np.isfinite(made)]
            what[at] = quantity
    return table.assign(
        quantity=what, value=table["energy_j"],
        repeats=repeats, repeats_median=middle, factor=factor, multiple_of=multiple_of,
    )  # fmt: skip


def _beside_process(table: pd.DataFrame) -> pd.DataFrame:
    """`usual_pass_s`: the reference pass of a quiet machine, by process; NaN without one."""
    if "reference_pass_s" not in table.columns:
        return table
    passes = pd.Series(number(table, "reference_pass_s"), index=table.index)
    of_process = passes.groupby([table[name] for name in PROCESS])
    return table.assign(usual_pass_s=of_process.transform("quantile", q=USUAL_QUANTILE))


def _with_power_bounds(table: pd.DataFrame, bounds: Bounds) -> pd.DataFrame:
    """`most_w`, `least_w`: what the cards allow, and the idle power that the same run measured."""
    pairs = list(table[STACK].itertuples(index=False, name=None))
    known = {pair: bounds.power(*pair) for pair in dict.fromkeys(pairs)}
    found = [known[pair] for pair in pairs]
    idle = table[(table["phase"] == Phase.IDLE) & (table["power_w"] > 0)]
    baseline = idle.groupby(["run_id", "configuration_key"])["power_w"].min()
    place = pd.MultiIndex.from_frame(table[["run_id", "configuration_key"]])
    measured = baseline.reindex(place).to_numpy(dtype=float) * IDLE_TOLERANCE
    least = _watts([b.least_w if b else None for b in found])
    return table.assign(
        most_w=_watts([b.most_w if b else None for b in found]),
        least_w=np.where(np.isfinite(measured), measured, least),
        power_rests_on=[b.rests_on if b else "unknown" for b in found],
    )


def _watts(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _with_rooflines(table: pd.DataFrame, bounds: Bounds) -> pd.DataFrame:
    """`mfu`, `mbu`, `roofline_rel`, `hard_ceiling`; one roofline for each workload of a stack.

    Also `memory_most_bytes`, `memory_least_bytes`: a peak is that of one device or of all.
    """
    sizes = pd.DataFrame({name: number(table, name) for name in SIZES})
    keys = [table[name].reset_index(drop=True) for name in (*STACK, "phase")]
    beside, memory = np.full((len(table), 4), np.nan), np.full((len(table), 2), np.nan)
    for key, group in sizes.groupby(keys, sort=False):
        configuration, machine, phase = (str(part) for part in key)
        ceiling = bounds.ceiling(configuration, machine)
        if ceiling is None:
            continue
        unique, place = _unique_rows(group)
        best = [best_time(ceiling, phase, *sizes) for sizes in unique.tolist()]
        times = [[np.nan] * 3 if b is None else [b.compute_s, b.memory_s, b.time_s] for b in best]
        rows = group.index.to_numpy()
        beside[rows, :3] = np.array(times)[place]
        beside[rows, 3] = float(ceiling.hardware.verified != "measured")
        memory[rows] = (
            ceiling.devices * ceiling.hardware.memory_bytes,
            np.nan if phase == Phase.IDLE else _weights(ceiling) / ceiling.devices,
        )
    seconds = number(table, "duration_s") / number(table, "iterations")
    return table.assign(
        mfu=beside[:, 0] / seconds,
        mbu=beside[:, 1] / seconds,
        roofline_rel=beside[:, 2] / seconds,
        hard_ceiling=beside[:, 3],
        memory_most_bytes=memory[:, 0],
        memory_least_bytes=memory[:, 1],
    )


@cache
def _weights(ceiling: Ceiling) -> int:
    return ceiling.architecture.weight_bytes(ceiling.dtype)


def _unique_rows(group: pd.DataFrame) -> tuple[Floats, NDArray[np.intp]]:
    """Different rows, and which of them each row is; a missing cell equals a missing cell."""
    filled = group.fillna(-1.0).to_numpy()
    unique, place = np.unique(filled, axis=0, return_inverse=True)
    sizes: Floats = np.where(unique < 0, np.nan, unique)
    return sizes, place.ravel().astype(np.intp)
