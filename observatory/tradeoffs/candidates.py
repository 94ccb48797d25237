"""Costs before they meet scores: one candidate a measured configuration or imported row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Engine

from observatory import answers
from observatory.capability.scores import FULL_PRECISION
from observatory.decision.chance import Z90
from observatory.decision.frontier import Floats
from observatory.derive import none_if_nan, plain_rows
from observatory.errors import InputError
from observatory.footprint import EXAMPLE_ZONES, EnergyInput, Scenario, load_factors
from observatory.footprint.bills import draws as bill_draws
from observatory.footprint.bills import footprints
from observatory.footprint.energy import covered
from observatory.footprint.resolve import resolve
from observatory.footprint.result import COST_NAMES
from observatory.records import Workload
from observatory.store import reader

#: cost on the command line -> billed quantity; runtime_s is no bill
COSTS = {
    "runtime_s": None,
    "energy_j": "energy_wh",
    "co2e_g": "co2e_operational_g",
    "co2e_total_g": "co2e_total_g",
    "water_l": "water_l",
    "cost_usd": "cost_usd",
}
J_PER_WH = 3600.0
#: Relative standard deviation assumed of an imported cost whose source states none (ours): root
#: mean square over the three pairs of rows that ML.ENERGY v3 holds twice, 0.055, 0.066 and 0.12 a
#: request. Repeats within one session agree better (0.003 to 0.03 in quant_energy), but a row of
#: somebody else's was not measured in the session of the row beside it.
ASSUMED_REL = 0.085
WORK = ("request", "image", "token", "sample", "query")  #: what an imported energy may be per


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cost before it meets a score. `draws` shape (DRAWS,) or None where it has no spread."""

    model: str
    configuration: str
    dtype: str | None
    cost: float | None
    low: float | None = None
    high: float | None = None
    draws: Floats | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    memory_bytes: float | None = None
    reason: str | None = None
    assumed_rel: float | None = None  #: relative error that was assumed, where none was stated


# ---------------------------------------------------------------------- own measurements
def own_candidates(
    engine: Engine, cost: str, workload: Workload, scenario: Scenario
) -> dict[tuple[str, str], list[Candidate]]:
    """One group a zone; runtime needs none."""
    pairs = answers.energy_inputs(engine, workload)
    memory = _peak_memory(engine)
    bare = [
        Candidate(e.model, e.configuration, e.precision, None, ttft_s=e.ttft_s,
                  tpot_s=e.tpot_s, memory_bytes=memory.get(e.configuration_key))
        for e, _ in pairs
    ]  # fmt: skip
    if cost == "runtime_s":
        timed = [
            replace(c, cost=e.runtime_s, low=e.runtime_low_s, high=e.runtime_high_s)
            for c, (e, _) in zip(bare, pairs, strict=True)
        ]
        return {("measured here", workload.label()): timed}
    stated = scenario.zone is not None or scenario.carbon_intensity_g_per_kwh is not None
    zones = [scenario] if stated else [replace(scenario, zone=z) for z in EXAMPLE_ZONES]
    joules = [i for _, i in pairs]
    return {
        (_place(each, not stated), workload.label()): _billed(bare, joules, cost, each)
        for each in zones
    }


def _place(scenario: Scenario, example: bool) -> str:
    return f"{scenario.zone or 'stated intensity'}{' (example)' if example else ''}"


def _peak_memory(engine: Engine) -> dict[str, float]:
    rows = answers.summary(engine)[["configuration_key", "peak_memory_bytes"]].dropna()
    return {
        str(k): float(v)
        for k, v in rows.groupby("configuration_key")["peak_memory_bytes"].max().items()
    }


def _billed(
    bare: Sequence[Candidate], joules: Sequence[EnergyInput], cost: str, scenario: Scenario
) -> list[Candidate]:
    """The candidates with their bill, and draws that share what the scenario shares."""
    table, scale = load_factors(), J_PER_WH if cost == "energy_j" else 1.0
    quantity = COSTS[cost] or ""
    out = []
    for candidate, energy, made in zip(bare, joules, footprints(joules, scenario), strict=True):
        bill = made.bills()[quantity]
        if bill.value is None:
            out.append(replace(candidate, reason=bill.reason))
            continue
        name = COST_NAMES[made.cost_basis or "own"] if quantity == "cost_usd" else quantity
        within = [covered(energy, scenario.boundary, scenario.active_share)]
        drawn = bill_draws([energy], scenario, resolve(scenario, table, energy.device), within)
        low, high = (None if b is None else b * scale for b in (bill.low, bill.high))
        out.append(replace(candidate, cost=bill.value * scale, low=low, high=high,
                           draws=np.array(drawn[name][0]) * scale))  # fmt: skip
    return out


# ---------------------------------------------------------------------- imported rows
def imported_candidates(
    engine: Engine, cost: str, scenario: Scenario, error_rel: float = ASSUMED_REL
) -> dict[tuple[str, str], list[Candidate]]:
    """One group a source, task, device kind and unit of work; runs listed twice count once.

    A row whose source states no spread gets the relative standard deviation `error_rel`, marked
    assumed. Raises InputError for a negative one, or where no row holds the cost.
    """
    if not 0 <= error_rel < float("inf"):
        raise InputError(f"assumed error {error_rel}: give a relative error of 0 or more")
    rows = list(plain_rows(reader.reported(engine)))
    by_row: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if (row["extra"] or {}).get("twin_of") is None:
            by_row.setdefault((row["source_key"], row["row"]), {})[row["quantity"]] = row
    groups: dict[tuple[str, str], list[tuple[Candidate, EnergyInput | None]]] = {}
    for found in by_row.values():
        made = _imported(found, cost, error_rel)
        if made is not None:
            groups.setdefault(made[0], []).append(made[1])
    if not groups:
        raise InputError(f"no imported row has a {cost}: see `observatory import --help`")
    if cost in ("runtime_s", "energy_j"):
        return {key: [c for c, _ in group] for key, group in groups.items()}
    if scenario.zone is None and scenario.carbon_intensity_g_per_kwh is None:
        raise InputError(f"{cost} of imported rows needs a place: give --zone")
    return {
        (f"{name}, {_place(scenario, False)}", work): _billed(
            [c for c, _ in group], [e for _, e in group if e is not None], cost, scenario
        )
        for (name, work), group in groups.items()
    }


def _imported(
    found: Mapping[str, Mapping[str, Any]], cost: str, error_rel: float
) -> tuple[tuple[str, str], tuple[Candidate, EnergyInput | None]] | None:
    """(group, (candidate, its joules)) of one imported row; None where it lacks the cost."""
    wanted = ["runtime_s"] if cost == "runtime_s" else ["energy_j", "energy_per_token_j"]
    row = next((found[q] for q in wanted if q in found and found[q]["value"] is not None), None)
    if row is None or row["per"] not in WORK or row["value"] <= 0:
        return None
    task = (row["extra"] or {}).get("task") or (row["extra"] or {}).get("Scenario")
    place = ", ".join(str(p) for p in (row["tool"], task, row["device_kind"]) if p)
    batch = none_if_nan(row["batch"])
    parts = [f"{row['device_count']:.0f}×" if row["device_count"] else None, row["dtype"],
             f"B={batch:.3g}" if batch else None]  # fmt: skip
    label = " ".join(str(p) for p in parts if p) or "as reported"
    stated = _stated_rel(row)
    rel = error_rel if stated is None else stated
    down, up = (row["value"] * math.exp(sign * Z90 * math.sqrt(math.log1p(rel * rel)))
                for sign in (-1, 1)) if rel else (None, None)  # fmt: skip
    candidate = Candidate(
        row["model_name"], label, _number_format(row), row["value"], down, up,
        assumed_rel=error_rel if stated is None and error_rel else None,
    )  # fmt: skip
    if cost in ("runtime_s", "energy_j"):
        return (place, f"per {row['per']}"), (candidate, None)
    wide = {"wall": "wall_j", "facility": "facility_j", "host": "host_j"}
    name = wide.get(row["boundary"] or "", "device_j")
    power = found.get("power_w", {}).get("value")
    energy = EnergyInput(
        **{name: row["value"]}, provenance="imported", method=row["method"],
        device=row["device_kind"], device_count=int(row["device_count"] or 1),
        busy_s=row["value"] / power if power else None, repeat_rel_std=rel or None,
        label=f"{row['source_key']}/{row['row']}",
    )  # fmt: skip
    return (place, f"per {row['per']}"), (replace(candidate, cost=None), energy)


def _stated_rel(row: Mapping[str, Any]) -> float | None:
    """Relative standard error of a reported mean; None where the source states no spread."""
    std, n = none_if_nan(row["std"]), none_if_nan(row["n"])
    return None if std is None else float(std / row["value"] / math.sqrt(max(n or 1, 1)))


def _number_format(row: Mapping[str, Any]) -> str | None:
    """What a score must share: the quantization where the numbers themselves are full precision."""
    scheme: str | None = row["quantization"]
    full = (row["dtype"] or "").lower().removeprefix("torch.") in {"", *FULL_PRECISION}
    return scheme if full and scheme not in (None, "", "none") else row["dtype"]
