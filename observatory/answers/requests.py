"""Time and joules of a request on every measured configuration, before it is billed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine, select

from observatory.answers.estimates import Estimate
from observatory.answers.fitted import SATURATED
from observatory.answers.laws import ENERGY_FITS, P90_OF_NORMAL, Laws, read_laws
from observatory.answers.tables import capabilities
from observatory.catalog.named import one_of
from observatory.ceilings import MEASURED_HERE, Ceiling, Ceilings
from observatory.derive import plain_rows
from observatory.errors import InputError
from observatory.footprint import EnergyInput
from observatory.records import Workload
from observatory.runtime import roofline
from observatory.runtime.fit import is_saturated
from observatory.runtime.plausibility import beats_roofline
from observatory.store import reader, schema

NO_ENERGY = "no energy was recorded"
#: what an error says where no point was held out, and why there is none
LEFT_OUT = "p95 of fitted points, each left out, or what lone points scatter (none held out)"
UNCHECKED = "not known: it rests on points that no other checks, and no point was held out"
_BOTH = (
    "prefill_s", "decode_s", "runtime_s", "runtime_low_s", "runtime_high_s", "ttft_s", "tpot_s",
    "error_rel", "between_process_rel", "extrapolated", "extrapolation", "recipe",
    "accelerator_s", "weights", "energy_j", "energy_method", "energy_provenance",
    "energy_boundary", "precision",
)  # fmt: skip


def request_table(
    engine: Engine,
    workload: Workload,
    model: str | None = None,
    keys: Sequence[str] | None = None,
    laws: Laws | None = None,
) -> pd.DataFrame:
    """Times and joules of one request on every configuration × machine, fastest first.

    The columns are those of `Laws.requests`, and `faster_than_roofline`: the fit does not hold
    there, which `extrapolated` and `extrapolation` then say too. `laws` saves reading the fits
    again. Raises InputError where nothing was measured or `model` may be several, UnknownNameError
    for one without a fit.
    """
    rows = _chosen(read_laws(engine, keys) if laws is None else laws, workload, model, keys)
    rows = _flagged(engine, rows, workload, keys)
    return rows.sort_values(["runtime_s", "model", "configuration_key"], ignore_index=True)


def energy_inputs(
    engine: Engine,
    workload: Workload,
    model: str | None = None,
    keys: Sequence[str] | None = None,
    known: Mapping[tuple[str, str | None], str] | None = None,
) -> list[tuple[Estimate, EnergyInput]]:
    """Each measured configuration's request before it is billed: times, and joules by component.

    `known` are the scores to show beside them, as `capabilities` gives them: read where it is None.
    Raises as `estimate` does.
    """
    rows = _chosen(read_laws(engine, keys), workload, model, keys)
    costs = zip(rows["model"], rows["precision"], strict=True)
    known = capabilities(engine, costs) if known is None else known
    only = None if keys is None else set(rows["configuration_key"])
    with engine.connect() as connection:
        bounds = _Bounds(Ceilings(connection, only), workload)
    reasons = energy_reasons(engine, keys)
    return [_pair(row, workload, bounds, reasons, known) for row in plain_rows(rows)]


def energy_input(row: Mapping[str, Any], workload: Workload, reason: str | None) -> EnergyInput:
    """Joules and device time of one row of `Laws.requests`, with the errors of their fits; `reason`
    says why there are no joules."""
    p, o, b = workload.prompt_tokens, workload.output_tokens, workload.batch
    missing = dict.fromkeys(("device", "cpu", "dram"), reason) if reason else {}
    if row["error_rel"] is None:
        missing["busy_error_rel"] = SATURATED
    return EnergyInput(
        device_j=row["device_j"],
        cpu_j=row["cpu_j"],
        dram_j=row["dram_j"],
        reasons=missing,
        provenance=row["energy_provenance"] or "measured",
        method=row["energy_method"],
        device=str(row["device_kind"]),
        device_count=int(row["device_count"]),
        device_is_cpu=row["device_j"] is None,
        busy_s=row["runtime_s"],
        busy_error_rel=row["error_rel"],
        batch=b,
        repeat_rel_std=row["repeat_rel_std"],
        prompt_tokens=p,
        output_tokens=o,
        label=f"{row['configuration_key']}/{row['environment_key']}/{p},{o},{b}",
    )


def _chosen(
    laws: Laws, workload: Workload, model: str | None, keys: Sequence[str] | None
) -> pd.DataFrame:
    rows = laws.requests(workload)
    if keys is not None:
        rows = rows[rows["configuration_key"].isin(list(keys))]
    if rows.empty and keys:
        raise InputError(f"no configuration {keys[0]!r}: `observatory show fits` lists them")
    if rows.empty:
        raise InputError("the database holds no fit yet: run `run-benchmark` first")
    if model is None:
        return rows
    measured = sorted(set(rows["model"]))
    return rows[rows["model"] == one_of(model, measured, f"measured are {', '.join(measured)}")]


def energy_reasons(engine: Engine, keys: Sequence[str] | None = None) -> dict[str, str]:
    """Configuration -> why it has no joules, of those (among `keys`) that have none somewhere."""
    s = schema.summary
    query = (
        select(s.c.configuration_key, s.c.energy_reason)
        .where(s.c.energy_reason.is_not(None))
        .distinct()
    )
    if keys is not None:
        query = query.where(s.c.configuration_key.in_(keys))
    rows = reader.frame(engine, query)
    return dict(zip(rows["configuration_key"], rows["energy_reason"], strict=True))


def _flagged(
    engine: Engine, rows: pd.DataFrame, workload: Workload, keys: Sequence[str] | None
) -> pd.DataFrame:
    """The rows with `faster_than_roofline`, told apart by peaks of the catalogue alone."""
    with engine.connect() as connection:
        ceilings = Ceilings(connection, keys)
    bounds = _Bounds(ceilings, workload)
    columns = ("configuration_key", "environment_key", "device_kind", "runtime_s", "extrapolation")
    said: dict[int, dict[str, Any]] = {}
    for i, values in enumerate(zip(*(rows[c].tolist() for c in columns), strict=True)):
        row = dict(zip(columns, values, strict=True))
        if ceilings.catalogued(str(row["device_kind"])) is not None:
            found = _too_fast(row, bounds.of(row["configuration_key"], row["environment_key"]))
            said |= {i: found} if found else {}
    fast = np.isin(np.arange(len(rows)), list(said))
    made = rows.assign(faster_than_roofline=fast, extrapolated=rows["extrapolated"] | fast)
    if said:
        reasons = rows["extrapolation"].tolist()
        for i, found in said.items():
            reasons[i] = found["extrapolation"]
        made["extrapolation"] = np.array(reasons, dtype=object)
    return made


class _Bounds:
    """The roofline of the request; of equal architecture, hardware, format and devices once."""

    def __init__(self, ceilings: Ceilings, workload: Workload) -> None:
        self._ceilings, self._workload = ceilings, workload
        self._known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def of(self, configuration_key: str, environment_key: str) -> dict[str, Any]:
        """`roofline_s`, `roofline_bound`, `roofline_hardware`; None where there is no ceiling."""
        ceiling = self._ceilings.of(configuration_key, environment_key)
        if ceiling is None:
            return dict.fromkeys(("roofline_s", "roofline_bound", "roofline_hardware"))
        at = (id(ceiling.architecture), id(ceiling.hardware), ceiling.dtype, ceiling.devices)
        if at not in self._known:
            self._known[at] = self._bound(ceiling)
        return self._known[at]

    def _bound(self, ceiling: Ceiling) -> dict[str, Any]:
        w = self._workload
        made = roofline.request_time(
            ceiling.architecture, ceiling.hardware, w.prompt_tokens or 0, w.output_tokens or 0,
            w.batch, ceiling.dtype, ceiling.devices,
        )  # fmt: skip
        name = ceiling.hardware.name
        return {
            "roofline_s": float(made.time_s),
            "roofline_bound": str(made.bound),
            "roofline_hardware": f"{name} ({MEASURED_HERE})"
            if ceiling.hardware.verified == "measured" else name,
        }  # fmt: skip


def _pair(
    row: dict[str, Any],
    workload: Workload,
    bounds: _Bounds,
    reasons: Mapping[str, str],
    known: Mapping[tuple[str, str | None], str],
) -> tuple[Estimate, EnergyInput]:
    p, o, b = int(workload.prompt_tokens or 0), int(workload.output_tokens or 0), workload.batch
    key, machine = row["configuration_key"], row["environment_key"]
    reason = None if row["energy_j"] is not None else reasons.get(key, NO_ENERGY)
    bound = bounds.of(key, machine)
    row |= _too_fast(row, bound)
    made = Estimate(
        model=row["model"],
        configuration=row["configuration"],
        configuration_key=key,
        environment_key=machine,
        device=str(row["device_kind"]),
        prompt_tokens=p,
        output_tokens=o,
        batch=b,
        error_basis=_basis(row),
        energy_reason=reason,
        footprints=(),
        capability=known.get((row["model"], row["precision"])),
        **{name: row[name] for name in _BOTH},
        **bound,
    )
    return made, energy_input(row, workload, reason)


def _too_fast(row: Mapping[str, Any], bound: Mapping[str, Any]) -> dict[str, Any]:
    """The flag of a prediction that peaks of a catalogue rule out; nothing for any other. Ceilings
    measured here are no hard bound, and rule nothing out."""
    least, hardware = bound["roofline_s"], bound["roofline_hardware"]
    if least is None or MEASURED_HERE in hardware or not beats_roofline(row["runtime_s"], least):
        return {}
    said = f"faster than its roofline, {least:.3g} s: the fit does not hold here"
    told = (row["extrapolation"], said)
    return {"extrapolated": True, "extrapolation": "; ".join(t for t in told if t)}


def _basis(row: Mapping[str, Any]) -> str:
    if row["heldout_p90_error"] is not None:
        return f"p90 of {row['n_heldout']:.0f} held-out points"
    if row["p95_error"] is not None and is_saturated(row["n_points"], row["n_parameters"]):
        return f"not known: {SATURATED}"
    if row["left_out_step"] is not None:
        return UNCHECKED if row["error_rel"] is None else LEFT_OUT
    return "unknown" if row["p95_error"] is None else "p95 of fitted points (none held out)"


__all__ = ["ENERGY_FITS", "NO_ENERGY", "P90_OF_NORMAL", "energy_input", "energy_inputs",
           "request_table"]  # fmt: skip
