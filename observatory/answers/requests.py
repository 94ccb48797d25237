"""Time and joules of a request on every measured configuration, before it is billed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Engine, select

from observatory.answers.estimates import Estimate
from observatory.answers.fitted import fits
from observatory.answers.tables import capabilities
from observatory.ceilings import MEASURED_HERE, Ceilings
from observatory.derive import plain_rows
from observatory.errors import InputError, UnknownNameError
from observatory.footprint import EnergyInput
from observatory.records import Workload
from observatory.runtime import roofline
from observatory.runtime.fit import Fit
from observatory.store import reader, schema

ENERGY_FITS = ("energy_device_j", "energy_cpu_j", "energy_dram_j")
NO_ENERGY = "no energy was recorded"
P90_OF_NORMAL = 1.645  #: 90th percentile of |x| of a standard normal


def energy_inputs(
    engine: Engine,
    workload: Workload,
    model: str | None = None,
    keys: Sequence[str] | None = None,
) -> list[tuple[Estimate, EnergyInput]]:
    """Each measured configuration's request before it is billed: times, and joules by component.

    Raises as `estimate` does.
    """
    if workload.prompt_tokens is None or workload.output_tokens is None:
        raise InputError("an estimate needs prompt and output tokens: give --prompt and --output")
    rows = _rows_for(engine, model, keys)
    energy = _energy_fits(engine, keys)
    known = capabilities(engine, [(row["model"], _precision(row)) for row in plain_rows(rows)])
    with engine.connect() as connection:
        ceilings = Ceilings(connection)
        reasons = _energy_reasons(engine)
        return [
            _estimate_one(row, workload, energy, ceilings, reasons, known)
            for row in plain_rows(rows)
        ]


def _energy_fits(
    engine: Engine, keys: Sequence[str] | None
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """(configuration, machine) -> its fits of joules by component."""
    rows = fits(engine, None, keys)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in plain_rows(rows[rows["quantity"].isin(ENERGY_FITS)]):
        found.setdefault((row["configuration_key"], row["environment_key"]), []).append(row)
    return found


def _rows_for(engine: Engine, model: str | None, keys: Sequence[str] | None = None) -> pd.DataFrame:
    rows = fits(engine, keys=keys)
    if rows.empty and keys:
        raise InputError(f"no configuration {keys[0]!r}: `observatory show fits` lists them")
    if rows.empty:
        raise InputError("the database holds no fit yet: run `run-benchmark` first")
    if model is None:
        return rows
    chosen = rows[rows["model"].str.casefold() == model.casefold()]
    if chosen.empty:
        raise UnknownNameError(
            "model", model, sorted(set(rows["model"])),
            f"measured are {', '.join(sorted(set(rows['model'])))}",
        )  # fmt: skip
    return chosen


def _energy_reasons(engine: Engine) -> dict[str, str]:
    s = schema.summary
    rows = reader.frame(
        engine,
        select(s.c.configuration_key, s.c.energy_reason).where(s.c.energy_reason.is_not(None)),
    )
    return dict(zip(rows["configuration_key"], rows["energy_reason"], strict=True))


def _estimate_one(
    row: dict[str, Any],
    workload: Workload,
    energy_fits: Mapping[tuple[str, str], list[dict[str, Any]]],
    ceilings: Ceilings,
    reasons: dict[str, str],
    known: Mapping[tuple[str, str | None], str],
) -> tuple[Estimate, EnergyInput]:
    p, o, b = int(workload.prompt_tokens or 0), int(workload.output_tokens or 0), workload.batch
    predicted = Fit.from_json(row["parameters"]).predict(p, o, b)
    error, basis = _error(row)
    mine = energy_fits.get((row["configuration_key"], row["environment_key"]), [])
    joules, facts = _joules(mine, p, o, b)
    ceiling = ceilings.of(row["configuration_key"], row["environment_key"])
    bound = None
    if ceiling is not None:
        bound = roofline.request_time(
            ceiling.architecture, ceiling.hardware, p, o, b, ceiling.dtype, ceiling.devices
        )
    reason = None if joules else reasons.get(row["configuration_key"], NO_ENERGY)
    count = int(row["device_count"])
    energy = EnergyInput(
        device_j=joules.get("device_j"),
        cpu_j=joules.get("cpu_j"),
        dram_j=joules.get("dram_j"),
        reasons=dict.fromkeys(("device", "cpu", "dram"), reason) if reason else {},
        provenance=facts.get("energy_provenance") or "measured",
        method=facts.get("energy_method"),
        device=str(row["device_kind"]),
        device_count=count,
        device_is_cpu="device_j" not in joules,
        busy_s=predicted.runtime_s,
        batch=b,
        repeat_rel_std=facts.get("repeat_rel_std"),
        prompt_tokens=p,
        output_tokens=o,
        label=f"{row['configuration_key']}/{row['environment_key']}/{p},{o},{b}",
    )
    made = Estimate(
        model=str(row["model"]),
        configuration=str(row["configuration"]),
        configuration_key=str(row["configuration_key"]),
        environment_key=str(row["environment_key"]),
        device=str(row["device_kind"]),
        weights=str(row["weights"]),
        precision=_precision(row),
        prompt_tokens=p,
        output_tokens=o,
        batch=b,
        runtime_s=predicted.runtime_s,
        runtime_low_s=None if error is None else predicted.runtime_s * max(0.0, 1 - error),
        runtime_high_s=None if error is None else predicted.runtime_s * (1 + error),
        ttft_s=predicted.ttft_s,
        tpot_s=predicted.tpot_s,
        prefill_s=predicted.prefill_s,
        decode_s=predicted.decode_s,
        error_rel=error,
        error_basis=basis,
        between_process_rel=row["between_process_rel"],
        extrapolated=predicted.extrapolated,
        extrapolation=predicted.reason,
        recipe=str(row["recipe"]),
        roofline_s=None if bound is None else float(bound.time_s),
        roofline_bound=None if bound is None else str(bound.bound),
        roofline_hardware=None if ceiling is None else _ceiling_name(ceiling),
        accelerator_s=predicted.runtime_s * count,
        energy_j=sum(joules.values()) if joules else None,
        energy_reason=reason,
        energy_method=facts.get("energy_method"),
        energy_provenance=facts.get("energy_provenance"),
        energy_boundary=facts.get("energy_boundary"),
        footprints=(),
        capability=known.get((row["model"], _precision(row))),
    )
    return made, energy


def _precision(row: Mapping[str, Any]) -> str:
    """The number format that a score has to share: of the quantized weights where they are."""
    plain = row["quantization"] in (None, "none")
    return str(row["dtype"] if plain else row["quantization"])


def _ceiling_name(ceiling: Any) -> str:
    name = ceiling.hardware.name
    return f"{name} ({MEASURED_HERE})" if ceiling.hardware.verified == "measured" else name


def _error(row: dict[str, Any]) -> tuple[float | None, str]:
    if row["heldout_p90_error"] is not None:
        return row["heldout_p90_error"], f"p90 of {row['n_heldout']:.0f} held-out points"
    if row["p95_error"] is not None:
        return row["p95_error"], "p95 of fitted points (none held out)"
    return None, "unknown"


def _joules(
    fitted_parts: Sequence[dict[str, Any]], p: int, o: int, b: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Joules per request by component (`device_j`, `cpu_j`, `dram_j`), and how they were seen.

    Repeatability: the 90th-percentile held-out error read as that of a normal error, or half the
    spread between processes where that is larger (ours); None where neither is known, never 0.
    """
    joules: dict[str, float] = {}
    facts: dict[str, Any] = {}
    for fitted in fitted_parts:
        name = str(fitted["quantity"]).removeprefix("energy_")
        joules[name] = Fit.from_json(fitted["parameters"]).predict(p, o, b).runtime_s / b
        error, _ = _error(fitted)
        spread = fitted["between_process_rel"]
        known = [
            *([] if error is None else [error / P90_OF_NORMAL]),
            *([] if spread is None else [spread / 2]),
        ]
        facts = {
            "energy_boundary": fitted["energy_boundary"],
            "energy_method": fitted["energy_method"],
            "energy_provenance": fitted["energy_provenance"],
            "repeat_rel_std": max(known, default=None),
        }
    return joules, facts
