"""Costs before they meet scores: one candidate a measured configuration or imported row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine, func, select

from observatory import answers
from observatory.capability.scores import FULL_PRECISION
from observatory.decision.chance import Z90
from observatory.derive import none_if_nan, plain_rows
from observatory.errors import InputError
from observatory.footprint import EXAMPLE_ZONES, EnergyInput, Scenario, load_factors
from observatory.footprint.result import lower_bound_of
from observatory.records import Workload
from observatory.store import reader, schema
from observatory.tradeoffs.spreads import Alike, Priced, Spread, Stated, alike

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
    """What a cost belongs to; the cost itself stands in its lot."""

    model: str
    configuration: str
    dtype: str | None
    ttft_s: float | None = None
    tpot_s: float | None = None
    memory_bytes: float | None = None
    exact: bool = False  #: no error of the cost is known
    assumed_rel: float | None = None  #: relative error that was assumed, where none was stated
    extrapolation: str | None = None  #: why the fit may not hold for this request


@dataclass(frozen=True)
class Lot:
    """Candidates that may be compared: their costs (None for a reason) and how sure those are."""

    name: str
    workload: str
    candidates: Sequence[Candidate]
    costs: Sequence[float | None]
    reasons: Sequence[str | None]
    spread: Spread
    lower_bound: str | None = None  #: what the energy in these costs leaves out
    unscored: tuple[str, ...] = ()  #: models that were not priced, for want of a score


# ---------------------------------------------------------------------- own measurements
def own_lots(
    engine: Engine,
    rows: pd.DataFrame,
    cost: str,
    workload: Workload,
    scenario: Scenario,
    memory: bool = False,
) -> list[Lot]:
    """Configurations of `answers.request_table`, one lot a zone; runtime needs none, and joules are
    the same in all example zones: a country has no PUE of its own.

    `memory` asks for the peak memory of each, which takes a look at every summary.
    """
    known = _peak_memory(engine) if memory else {}
    plain = list(plain_rows(rows[[*_FACTS]]))
    bare = [
        Candidate(row["model"], row["configuration"], row["precision"], row["ttft_s"],
                  row["tpot_s"], known.get(row["configuration_key"]),
                  extrapolation=row["extrapolation"])
        for row in plain
    ]  # fmt: skip
    if cost == "runtime_s":
        return [_timed(plain, bare, workload)]
    reasons = answers.energy_reasons(
        engine, [row["configuration_key"] for row in plain if row["energy_j"] is None]
    )
    joules = [
        answers.energy_input(
            row, workload, None if row["energy_j"] is not None
            else reasons.get(row["configuration_key"], answers.NO_ENERGY)
        )
        for row in plain
    ]  # fmt: skip
    stated = scenario.zone is not None or scenario.carbon_intensity_g_per_kwh is not None
    zones = [scenario] if stated else [replace(scenario, zone=z) for z in EXAMPLE_ZONES]
    groups = alike(joules, scenario)
    if cost == "energy_j" and not stated:
        return [_billed(ANY_ZONE, workload.label(), bare, groups, cost, zones[0])]
    return [
        _billed(_place(each, not stated), workload.label(), bare, groups, cost, each)
        for each in zones
    ]


#: Name of the one lot of a cost that no example zone moves.
ANY_ZONE = "every zone"
_FACTS = (
    "model", "configuration", "precision", "configuration_key", "environment_key", "device_kind",
    "device_count", "ttft_s", "tpot_s", "runtime_s", "runtime_low_s", "runtime_high_s",
    "device_j", "cpu_j", "dram_j", "energy_j", "energy_method", "energy_provenance",
    "repeat_rel_std", "error_rel", "extrapolation",
)  # fmt: skip


def _timed(
    plain: Sequence[Mapping[str, Any]], bare: Sequence[Candidate], workload: Workload
) -> Lot:
    bounds = np.array(
        [[row[f"runtime{end}_s"] for end in ("", "_low", "_high")] for row in plain], dtype=float
    ).reshape(-1, 3)
    names = [f"{row['configuration_key']}/{row['environment_key']}" for row in plain]
    marked = [
        replace(c, exact=True) if row["runtime_low_s"] is None else c
        for c, row in zip(bare, plain, strict=True)
    ]
    return Lot("measured here", workload.label(), marked, [row["runtime_s"] for row in plain],
               [None] * len(plain), Stated(names, *bounds.T))  # fmt: skip


def _place(scenario: Scenario, example: bool) -> str:
    return f"{scenario.zone or 'stated intensity'}{' (example)' if example else ''}"


def _peak_memory(engine: Engine) -> dict[str, float]:
    s = schema.summary
    query = (
        select(s.c.configuration_key, func.max(s.c.peak_memory_bytes))
        .where(s.c.peak_memory_bytes.is_not(None))
        .group_by(s.c.configuration_key)
    )
    with engine.connect() as connection:
        return {str(key): float(most) for key, most in connection.execute(query)}


def _billed(
    name: str,
    workload: str,
    candidates: Sequence[Candidate],
    groups: Sequence[Alike],
    cost: str,
    scenario: Scenario,
) -> Lot:
    """The candidates with their bill; its draws share what the scenario shares."""
    scale = J_PER_WH if cost == "energy_j" else 1.0
    priced = Priced(groups, COSTS[cost] or "", scenario, load_factors(), scale)
    costs = [
        None if reason else float(mid)
        for mid, reason in zip(priced.mid, priced.reasons, strict=True)
    ]
    return Lot(name, workload, candidates, costs, priced.reasons, priced,
               lower_bound_of(priced.leave_out()))  # fmt: skip


# ---------------------------------------------------------------------- imported rows
def imported_lots(
    engine: Engine, cost: str, scenario: Scenario, error_rel: float = ASSUMED_REL
) -> list[Lot]:
    """One lot a source, task, device kind and unit of work; runs listed twice count once.

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
    groups: dict[tuple[str, str], list[_Reported]] = {}
    for found in by_row.values():
        made = _imported(found, cost, error_rel)
        if made is not None:
            groups.setdefault(made[0], []).append(made[1])
    if not groups:
        raise InputError(f"no imported row has a {cost}: see `observatory import --help`")
    if cost in ("runtime_s", "energy_j"):
        return [_as_reported(*key, group) for key, group in groups.items()]
    if scenario.zone is None and scenario.carbon_intensity_g_per_kwh is None:
        raise InputError(f"{cost} of imported rows needs a place: give --zone")
    return [
        _billed(
            f"{name}, {_place(scenario, False)}", work, [r.candidate for r in group],
            alike([r.energy for r in group if r.energy is not None], scenario), cost, scenario,
        )
        for (name, work), group in groups.items()
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Reported:
    """One imported row: its cost with bounds, or the joules to be billed."""

    candidate: Candidate
    cost: float | None
    low: float | None
    high: float | None
    energy: EnergyInput | None = None


def _as_reported(name: str, work: str, group: Sequence[_Reported]) -> Lot:
    candidates = [r.candidate for r in group]
    cost, low, high = np.array([[r.cost, r.low, r.high] for r in group], dtype=float).T
    names = [f"{name}/{c.model}/{c.configuration}/{i}" for i, c in enumerate(candidates)]
    return Lot(name, work, candidates, [r.cost for r in group], [None] * len(group),
               Stated(names, cost, low, high))  # fmt: skip


def _imported(
    found: Mapping[str, Mapping[str, Any]], cost: str, error_rel: float
) -> tuple[tuple[str, str], _Reported] | None:
    """(group, its row) of one imported row; None where it lacks the cost."""
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
        row["model_name"], label, _number_format(row), exact=down is None,
        assumed_rel=error_rel if stated is None and error_rel else None,
    )  # fmt: skip
    if cost in ("runtime_s", "energy_j"):
        return (place, f"per {row['per']}"), _Reported(candidate, row["value"], down, up)
    wide = {"wall": "wall_j", "facility": "facility_j", "host": "host_j"}
    name = wide.get(row["boundary"] or "", "device_j")
    power = found.get("power_w", {}).get("value")
    energy = EnergyInput(
        **{name: row["value"]}, provenance="imported", method=row["method"],
        device=row["device_kind"], device_count=int(row["device_count"] or 1),
        busy_s=row["value"] / power if power else None, busy_error_rel=Z90 * rel or None,
        repeat_rel_std=rel or None,
        label=f"{row['source_key']}/{row['row']}",
    )  # fmt: skip
    billed = replace(candidate, exact=False)
    return (place, f"per {row['per']}"), _Reported(billed, None, None, None, energy)


def _stated_rel(row: Mapping[str, Any]) -> float | None:
    """Relative standard error of a reported mean; None where the source states no spread."""
    std, n = none_if_nan(row["std"]), none_if_nan(row["n"])
    return None if std is None else float(std / row["value"] / math.sqrt(max(n or 1, 1)))


def _number_format(row: Mapping[str, Any]) -> str | None:
    """What a score must share: the quantization where the numbers themselves are full precision."""
    scheme: str | None = row["quantization"]
    full = (row["dtype"] or "").lower().removeprefix("torch.") in {"", *FULL_PRECISION}
    return scheme if full and scheme not in (None, "", "none") else row["dtype"]
