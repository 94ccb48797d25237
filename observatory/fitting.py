"""Fits from windows: one observation for each process and cell, one fit for each quantity.

Windows come audited, with the column `excluded` (`audit.marking`). Every quantity that adds up over
prefill and steps follows the same model: seconds, and joules by component (METHOD §3.6). Joules
take only recipes whose parameters cannot be negative, and windows of one boundary, method and
provenance (`audit.joules`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from observatory.audit import joules
from observatory.audit.marking import GROUP, process_of
from observatory.errors import InputError
from observatory.runtime.fit import Fit, HeldOutErrors, Observation, fit, heldout_errors
from observatory.runtime.terms import Experts
from observatory.statistics import Floats, between_process_spread, median, process_interval

FIT_PHASES = ("prefill", "decode", "e2e")
RECIPE_VERSION = "2"
DEFAULT_RECIPE = "relative"  #: of the fit that answers read; others stand beside it when asked for
NON_NEGATIVE = ("relative", "smooth-roofline", "denoised")

#: quantity -> the column of windows that holds it, in the order they are fitted
QUANTITIES = {
    "runtime_s": "duration_s",
    "energy_device_j": "energy_device_j",
    "energy_cpu_j": "energy_cpu_j",
    "energy_dram_j": "energy_dram_j",
}
ENERGY_FACTS = ("energy_boundary", "energy_method", "energy_provenance")

Asked = Mapping[tuple[str, str, str], Collection[str]]


@dataclass(frozen=True)
class Fitted:
    """One fit with what it was held against. Keys are of the tables configuration, environment."""

    configuration_key: str
    environment_key: str
    quantity: str
    fit: Fit
    n_heldout: int
    heldout: HeldOutErrors | None
    between_process_rel: float | None
    energy_boundary: str | None = None
    energy_method: str | None = None
    energy_provenance: str | None = None

    def row(self) -> dict[str, Any]:
        """The fit as a row of the table `fit`."""
        fitted, errors, ranges = self.fit, self.heldout, self.fit.ranges
        return {
            "configuration_key": self.configuration_key,
            "environment_key": self.environment_key,
            "quantity": self.quantity,
            "recipe": fitted.recipe,
            "recipe_version": RECIPE_VERSION,
            "data_hash": fitted.data_hash,
            "parameters": fitted.to_json(),
            "mape": fitted.errors.mape,
            "p95_error": fitted.errors.p95,
            "max_error": fitted.errors.max,
            "n_points": fitted.points_used,
            "n_heldout": self.n_heldout,
            "heldout_mean_error": None if errors is None else float(np.mean(np.abs(errors.all))),
            "heldout_median_error": None if errors is None else errors.median,
            "heldout_p90_error": None if errors is None else errors.p90,
            "heldout_max_error": None if errors is None else float(np.max(np.abs(errors.all))),
            "between_process_rel": self.between_process_rel,
            "device_s": fitted.device_s,
            "prompt_min": int(ranges.prompt[0]),
            "prompt_max": int(ranges.prompt[1]),
            "output_max": int(ranges.output[1]),
            "batch_min": int(ranges.batch[0]),
            "batch_max": int(ranges.batch[1]),
            "context_max": int(ranges.context[1]),
            **{name: getattr(self, name) for name in ENERGY_FACTS},
        }


def fit_all(
    rows: pd.DataFrame, asked: Asked | None = None, experts: Mapping[str, Experts] | None = None
) -> Iterator[Fitted]:
    """The idealized runtime, and joules by component, of each configuration × machine.

    `asked` names further recipes by (configuration, machine, quantity); `experts` the mixtures
    among the configurations. What has too few points is left out.
    """
    if rows.empty:
        return
    for (key, machine), group in rows.groupby(["configuration_key", "environment_key"], sort=True):
        for quantity in QUANTITIES:
            further = (asked or {}).get((str(key), str(machine), quantity), ())
            for recipe in (DEFAULT_RECIPE, *sorted(set(further) - {DEFAULT_RECIPE})):
                try:
                    yield fit_group(group, quantity, recipe, (experts or {}).get(str(key)))
                except InputError:
                    continue  # too few points: a run under way, or no prefill, or no decode


def fit_group(
    group: pd.DataFrame,
    quantity: str = "runtime_s",
    recipe: str = DEFAULT_RECIPE,
    experts: Experts | None = None,
) -> Fitted:
    """One quantity of one configuration on one machine.

    Raises InputError where points are too few for the recipe, or joules are asked of a recipe that
    may go below zero; UnknownNameError for an unknown recipe.
    """
    column, device_s = QUANTITIES.get(quantity, quantity), None
    first, of_energy = group.iloc[0], quantity != "runtime_s"
    if of_energy:
        check_non_negative(recipe)
        group = of_one_kind(group)
    points = observations(group, "fit", column)
    if of_energy:
        seen = group[group[column].astype(float) > 0]
        device_s = sum(point.runtime_s for point in observations(seen, "fit"))
    fitted = fit(points, recipe, experts=experts, device_s=device_s)
    held = pool_processes(observations(group, "heldout", column))
    facts = {name: only(seen[name]) for name in ENERGY_FACTS} if of_energy else {}
    return Fitted(
        str(first["configuration_key"]), str(first["environment_key"]), quantity, fitted, len(held),
        heldout_errors(fitted, held) if held else None, process_spread(points), **facts,
    )  # fmt: skip


def of_one_kind(group: pd.DataFrame) -> pd.DataFrame:
    """The windows of a configuration from which its joules are fitted, all of one kind.

    The preferred kind (`audit.joules`), unless it has too few points for any component and another
    has enough: a few readings do not take away the estimate that stood before. No rows where no
    window has joules.
    """
    kinds = list(joules.each_kind(group[group["phase"].isin(FIT_PHASES)]))
    if not kinds:
        return group.iloc[:0]
    if len(kinds) == 1:
        return kinds[0]
    return next((rows for rows in kinds if _can_be_fitted(rows)), kinds[0])


def _can_be_fitted(rows: pd.DataFrame) -> bool:
    for column in joules.PARTS:
        try:
            fit(observations(rows, "fit", column), DEFAULT_RECIPE)
        except InputError:
            continue
        return True
    return False


def check_non_negative(recipe: str) -> None:
    """Raises InputError for a recipe whose parameters may be negative: joules cannot be."""
    if recipe not in NON_NEGATIVE:
        allowed = ", ".join(NON_NEGATIVE)
        raise InputError(f"recipe {recipe}: its parameters may be negative, joules take {allowed}")


def observations(rows: pd.DataFrame, role: str, column: str = "duration_s") -> list[Observation]:
    """One observation for each process and cell of this role: the median of its windows.

    `column` is the additive cost that is fitted: seconds, or the joules of one component.
    """
    used = rows[
        ~rows["excluded"] & (rows["role"] == role) & rows["phase"].isin(FIT_PHASES)
        & (rows[column].astype(float) > 0)
    ]  # fmt: skip
    result: list[Observation] = []
    if used.empty:
        return result
    per_iteration = used.assign(seconds=used[column] / used["iterations"], who=process_of(used))
    for key, group in per_iteration.groupby([*GROUP[2:], "who"], dropna=False, sort=True):
        phase, prompt, output, context, batch, who = (_none_if_nan(value) for value in key)
        seconds = group["seconds"]
        result.append(
            Observation(
                prompt_tokens=0 if prompt is None else int(prompt),
                output_tokens=int(output),
                batch=int(batch),
                runtime_s=median(seconds),
                phase=str(phase),
                std_s=float(seconds.std(ddof=1)) if len(seconds) > 1 else None,
                process=str(who),
                context_tokens=None if context is None else int(context),
                interval_rel=_interval_rel(seconds.to_numpy(dtype=float)),
            )
        )
    return result


def _interval_rel(seconds: Floats) -> float | None:
    """How far the interval of one process's windows reaches above their median, as a share."""
    interval = process_interval([seconds])
    return None if interval.high is None else interval.high / interval.mid - 1


def pool_processes(points: Sequence[Observation]) -> list[Observation]:
    """The same points with the median over processes as their time: what a fit is held against."""
    groups: dict[tuple[Any, ...], list[Observation]] = {}
    for o in points:
        key = (o.phase, o.prompt_tokens, o.output_tokens, o.batch, o.context_tokens)
        groups.setdefault(key, []).append(o)
    return [
        Observation(
            first.prompt_tokens, first.output_tokens, first.batch,
            median([o.runtime_s for o in group]), first.phase, context_tokens=first.context_tokens,
        )
        for group in groups.values()
        for first in group[:1]
    ]  # fmt: skip


def process_spread(points: Sequence[Observation]) -> float | None:
    """Median over points of (slowest - fastest process) / median; None with one process."""
    groups: dict[tuple[Any, ...], list[list[float]]] = {}
    for o in points:
        key = (o.phase, o.prompt_tokens, o.output_tokens, o.batch, o.context_tokens)
        groups.setdefault(key, []).append([o.runtime_s])
    spreads = [s for g in groups.values() if (s := between_process_spread(g)) is not None]
    return median(spreads) if spreads else None


def _none_if_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def only(values: pd.Series[str]) -> str | None:
    """The one value, several joined by `+`, or None."""
    found = sorted(set(values.dropna()))
    return "+".join(found) if found else None
