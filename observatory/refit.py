"""Fitting what the store holds again: by another recipe, of another quantity.

What was measured here is fitted from the same audited windows as the fit that stands; what others
profiled, from their imported points. Accelerator-seconds and dollars are the runtime's fit times a
constant: the devices used, and the price of one for a second (Narayanan et al., 2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine

from observatory import answers
from observatory.catalog.named import meant
from observatory.catalog.weights import weight_format
from observatory.ceilings import Ceilings
from observatory.derive import audited_windows, plain_rows
from observatory.errors import InputError, UnknownNameError
from observatory.fitting import (
    DEFAULT_RECIPE,
    QUANTITIES,
    Fitted,
    check_non_negative,
    fit_group,
)
from observatory.footprint import Scenario, load_factors
from observatory.footprint.resolve import resolve
from observatory.profiling_logs import ProfilingLog, stored_logs
from observatory.runtime.fit import Fit, fit
from observatory.runtime.recipes import recipe_named
from observatory.store import schema, writer

#: what can be fitted -> the unit of its parameters; the stored quantities among them come first
UNITS = {
    "runtime_s": "s", "energy_device_j": "J", "energy_cpu_j": "J", "energy_dram_j": "J",
    "energy_j": "J", "accelerator_s": "s", "cost_usd": "USD",
}  # fmt: skip
_COMPONENTS = ["energy_device_j", "energy_cpu_j", "energy_dram_j"]
S_PER_H = 3600.0


@dataclass(frozen=True)
class Choice:
    """What to fit: a recipe and a quantity, of the configurations that every filter lets through.

    `model` is a name as stored (of an imported log its file's too), `device` a part of the
    device's name, `dtype` a number format. `price_usd_per_h` is of one accelerator, or `catalog`.
    """

    recipe: str = DEFAULT_RECIPE
    quantity: str = "runtime_s"
    model: str | None = None
    device: str | None = None
    dtype: str | None = None
    price_usd_per_h: float | str | None = None


@dataclass(frozen=True)
class Refit:
    """One configuration: its fit, or why there is none. `provenance` is `measured` or `imported`.

    `fitted` is there where the fit can be stored, `price_source` where money was asked for.
    """

    model: str
    configuration: str
    configuration_key: str | None
    environment_key: str | None
    source_key: str | None
    device: str | None
    devices: int
    dtype: str | None
    provenance: str
    quantity: str
    unit: str
    fit: Fit | None
    reason: str | None
    fitted: Fitted | None = None
    price_source: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Nested plain values; the held-out errors without their list."""
        own = {
            name: getattr(self, name)
            for name in Refit.__dataclass_fields__
            if name not in ("fit", "fitted")
        }
        own["recipe"] = None if self.fit is None else self.fit.recipe
        own["fit"] = None if self.fit is None else self.fit.to_json()
        own["degrees_of_freedom"] = None if self.fit is None else self.fit.degrees_of_freedom
        own["error_unknown"] = None if self.fit is None else self.fit.error_unknown
        made = self.fitted
        own["n_heldout"] = 0 if made is None else made.n_heldout
        held = None if made is None else made.heldout
        own["heldout"] = None if held is None else {
            "median": held.median, "mean": held.mean, "p90": held.p90, "max": max(held.all),
        }  # fmt: skip
        own["between_process_rel"] = None if made is None else made.between_process_rel
        return own


def refit(engine: Engine, choice: Choice) -> list[Refit]:
    """Fits of what was measured here, then of imported logs.

    Raises InputError where the store holds nothing to fit or nothing that the filters let through,
    UnknownNameError for an unknown recipe, quantity, model or number format.
    """
    check(choice)
    known = list(plain_rows(answers.configurations(engine)))
    with engine.connect() as connection:
        logs = stored_logs(connection)
        models = _models(choice.model, known, logs)
        rows = [row for row in known if _wanted(choice, models, row)]
        found = list(_measured(connection, choice, rows))
    found += [of_log(choice, log) for log in logs if _wanted_log(choice, models, log)]
    if not found:
        what = "that the filters let through" if known or logs else "yet: run `run-benchmark` first"
        raise InputError(f"the database holds nothing to fit {what}")
    return found


def check(choice: Choice) -> None:
    """Raises UnknownNameError for a recipe, quantity or number format that nobody knows, InputError
    for joules of a recipe that may go below zero and for money without a price."""
    recipe_named(choice.recipe)
    if choice.quantity not in UNITS:
        names = ", ".join(UNITS)
        raise UnknownNameError("quantity", choice.quantity, list(UNITS), f"use one of {names}")
    if choice.quantity.startswith("energy"):
        check_non_negative(choice.recipe)
    if choice.quantity == "cost_usd" and choice.price_usd_per_h is None:
        raise InputError("cost_usd: no accelerator price: --gpu-price gives it (USD/h)")
    if choice.dtype is not None:
        weight_format(choice.dtype)


def store(engine: Engine, found: list[Refit]) -> int:
    """Keep fits in the table `fit`, under their recipe. Returns how many are new.

    A fit of an imported log has no configuration and cannot be kept, nor one that is another fit
    times a constant: they are passed over.
    """
    rows = [
        made.fitted.row() for made in found
        if made.fitted is not None and made.quantity in QUANTITIES
    ]  # fmt: skip
    with engine.begin() as connection:
        return writer.insert_new(connection, schema.fit, rows)


def _models(
    model: str | None, known: list[dict[str, Any]], logs: list[ProfilingLog]
) -> set[str] | None:
    """Stored names, in lower case, that `model` means (a log has two); None for all."""
    names = {str(row["model"]) for row in known} | {
        n for log in logs for n in (log.model, log.name)
    }
    if model is None:
        return None
    found = {name.casefold() for name in meant(model, sorted(names))}
    if not found:
        raise UnknownNameError("model", model, sorted(names), f"stored are {sorted(names)}")
    return found


def _wanted(choice: Choice, models: set[str] | None, row: dict[str, Any]) -> bool:
    model, device = str(row["model"]).casefold(), str(row["device_kind"]).casefold()
    if models is not None and model not in models:
        return False
    if choice.device is not None and choice.device.casefold() not in device:
        return False
    return choice.dtype is None or weight_format(choice.dtype) == weight_format(str(row["dtype"]))


def _wanted_log(choice: Choice, models: set[str] | None, log: ProfilingLog) -> bool:
    """A log names no device, so a filter of devices lets none through."""
    names = {log.model.casefold(), log.name.casefold()}
    if choice.device is not None or (models is not None and not models & names):
        return False
    if choice.dtype is None:
        return True
    return log.dtype is not None and weight_format(choice.dtype) == weight_format(log.dtype)


def _measured(
    connection: Connection, choice: Choice, rows: list[dict[str, Any]]
) -> Iterator[Refit]:
    """One configuration at a time, so that a large store is never in memory as a whole."""
    roofline = Ceilings(connection)
    mixtures = roofline.mixtures()
    for key in dict.fromkeys(str(row["configuration_key"]) for row in rows):
        windows, _ = audited_windows(connection, roofline, [key])
        for row in rows:
            if row["configuration_key"] != key:
                continue
            mine = windows[windows["environment_key"] == row["environment_key"]]
            blank = Refit(
                str(row["model"]), str(row["configuration"]), key, str(row["environment_key"]),
                None, str(row["device_kind"]), int(row["device_count"]), str(row["dtype"]),
                "measured", choice.quantity, UNITS[choice.quantity], None, None,
            )  # fmt: skip
            try:
                made = _fit_windows(mine, choice, mixtures.get(key))
                yield _priced(replace(blank, fit=made.fit, fitted=made), choice)
            except InputError as error:
                yield replace(blank, reason=str(error))


def _fit_windows(windows: pd.DataFrame, choice: Choice, experts: Any) -> Fitted:
    quantity = choice.quantity
    if quantity in ("accelerator_s", "cost_usd"):
        return fit_group(windows, "runtime_s", choice.recipe, experts)
    columns = _COMPONENTS if quantity == "energy_j" else [QUANTITIES[quantity]]
    if quantity != "runtime_s" and not windows[columns].notna().any(axis=None):
        raise InputError(_no_joules(windows))
    if quantity == "energy_j":
        total = windows[_COMPONENTS].astype(float).sum(axis=1, min_count=1)
        windows = windows.assign(energy_j=total)
    return fit_group(windows, quantity, choice.recipe, experts)


def _no_joules(windows: pd.DataFrame) -> str:
    reasons = windows["energy_reason"].dropna()
    return str(reasons.mode().iloc[0]) if len(reasons) else answers.NO_ENERGY


def of_log(choice: Choice, log: ProfilingLog) -> Refit:
    """The fit of one profiling log."""
    blank = Refit(
        log.model, log.words, None, None, log.source_key or None, None, log.devices, log.dtype,
        "imported", choice.quantity, UNITS[choice.quantity], None, None,
    )  # fmt: skip
    if choice.quantity.startswith("energy"):
        return replace(blank, reason="a profiling log holds times only")
    try:
        return _priced(replace(blank, fit=fit(log.observations, choice.recipe)), choice)
    except InputError as error:
        return replace(blank, reason=str(error))


def _priced(made: Refit, choice: Choice) -> Refit:
    """The runtime's fit times devices, and times the price of one for a second.

    Raises InputError where there is no price: an unknown one is never 0.
    """
    if made.fit is None or choice.quantity not in ("accelerator_s", "cost_usd"):
        return made
    factor, source = float(made.devices), None
    if choice.quantity == "cost_usd":
        asked = Scenario(gpu_price_usd_per_h=choice.price_usd_per_h)  # type: ignore[arg-type]
        resolved = resolve(asked, load_factors(), made.device)
        if "price" not in resolved.factors:
            device = made.device or "a device that the log does not name"
            raise InputError(f"the catalogue has no price of {device}: give --gpu-price in USD/h")
        price = resolved.factors["price"]
        factor, source = factor * price.value / S_PER_H, f"{price.value:g} USD/h: {price.source}"
    return replace(made, fit=made.fit.scaled(factor), price_source=source)
