"""The one door out: questions about the store, answered as DataFrames and plain records.

The dashboard, the exports and the command line ask these functions and nothing else, so that they
all give the same numbers. Every function takes an engine opened read-only and computes nothing that
it could read; a page never reads `window` in bulk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
from sqlalchemy import Engine, Integer, bindparam, func, or_, select, text

from observatory.ceilings import MEASURED_HERE, Ceilings
from observatory.derive import none_if_nan, plain_rows
from observatory.errors import InputError, UnknownNameError
from observatory.footprint import (
    EXAMPLE_ZONES,
    EnergyInput,
    FactorTable,
    Footprint,
    Scenario,
    footprint,
    footprints,
    load_factors,
)
from observatory.footprint import comparison as footprint_comparison
from observatory.footprint.ladder import Rung, ladder
from observatory.footprint.resolve import resolve
from observatory.records import RunStatus, Workload
from observatory.runtime import roofline
from observatory.runtime.fit import Fit
from observatory.runtime.observations import PHASES, Observation, rows_of
from observatory.store import reader, schema

ENERGY_FITS = ("energy_device_j", "energy_cpu_j", "energy_dram_j")
NO_ENERGY = "no energy was recorded"
P90_OF_NORMAL = 1.645  #: 90th percentile of |x| of a standard normal
DEFAULT_REQUEST = (128, 64)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One request on one measured configuration: time, joules and bills, and how sure they are.

    `runtime_low_s` and `runtime_high_s` widen the prediction by its 90th-percentile held-out error
    (`error_rel`, `error_basis`). Joules are per request, the batch's divided by B. `footprints`
    holds one entry, or one for each example zone where no zone was given.
    """

    model: str
    configuration: str
    configuration_key: str
    environment_key: str
    device: str
    weights: str
    prompt_tokens: int
    output_tokens: int
    batch: int
    runtime_s: float
    runtime_low_s: float | None
    runtime_high_s: float | None
    ttft_s: float
    tpot_s: float | None
    prefill_s: float
    decode_s: float
    error_rel: float | None
    error_basis: str
    between_process_rel: float | None
    extrapolated: bool
    extrapolation: str | None
    recipe: str
    roofline_s: float | None
    roofline_bound: str | None
    roofline_hardware: str | None
    accelerator_s: float
    energy_j: float | None
    energy_reason: str | None
    energy_method: str | None
    energy_provenance: str | None
    energy_boundary: str | None
    footprints: tuple[Footprint, ...]
    capability: str | None

    @property
    def roofline_ratio(self) -> float | None:
        """Roofline over idealized runtime: 1 would be the best the hardware can do."""
        return None if self.roofline_s is None else self.roofline_s / self.runtime_s

    def rows(self) -> list[dict[str, Any]]:
        """Flat rows for a table, one for each scenario; bills as value, `_low` and `_high`."""
        own = asdict(replace(self, footprints=())) | {"roofline_ratio": self.roofline_ratio}
        own.pop("footprints")
        if not self.footprints:
            return [own]
        kept = ("method", "provenance")
        return [
            own | {f"footprint_{k}" if k in kept else k: v for k, v in made.row().items()}
            for made in self.footprints
        ]

    def to_json(self) -> dict[str, Any]:
        """Nested plain values."""
        own = asdict(replace(self, footprints=())) | {"roofline_ratio": self.roofline_ratio}
        return own | {"footprints": [made.to_json() for made in self.footprints]}


def runs(engine: Engine) -> pd.DataFrame:
    """Every run, newest first, with how many cells ended how."""
    r, c, w = schema.run, schema.cell, schema.window
    counts = (
        select(
            c.c.run_id,
            func.count().label("cells"),
            func.sum((c.c.status == "ok").cast(Integer)).label("cells_ok"),
            func.sum((c.c.status.notin_(["ok", "planned"])).cast(Integer)).label("cells_failed"),
        )
        .group_by(c.c.run_id)
        .subquery()
    )
    windows = (
        select(c.c.run_id, func.count().label("windows"))
        .join(w, w.c.cell_id == c.c.id)
        .group_by(c.c.run_id)
        .subquery()
    )
    query = (
        select(
            r.c.id, r.c.started_utc, r.c.ended_utc, r.c.status, r.c.profile, counts.c.cells,
            counts.c.cells_ok, counts.c.cells_failed, windows.c.windows, r.c.sensor,
            r.c.sensor_reason, r.c.sampler_cpu_share, r.c.code_version, r.c.command, r.c.seed,
            r.c.plan_hash, r.c.environment_key,
        )
        .join(counts, counts.c.run_id == r.c.id, isouter=True)
        .join(windows, windows.c.run_id == r.c.id, isouter=True)
        .order_by(r.c.started_utc.desc())
    )  # fmt: skip
    return reader.frame(engine, query)


def cells(engine: Engine, run_id: str | None = None) -> pd.DataFrame:
    """Cells of a run (or all) with their status and error."""
    return reader.cells(engine, run_id)


def windows(engine: Engine, run_id: str | None = None) -> pd.DataFrame:
    """Raw windows: for one run on a page, for all in an export."""
    return reader.windows(engine, run_id)


def summary(
    engine: Engine,
    model: str | None = None,
    phase: str | None = None,
    keys: Sequence[str] | None = None,
) -> pd.DataFrame:
    """`v_summary`, filtered."""
    query = text(
        "SELECT * FROM v_summary ORDER BY model, configuration_key, phase, batch, prompt_tokens, "
        "context_tokens, output_tokens"
    )
    if keys is not None:
        query = text(
            "SELECT * FROM v_summary WHERE configuration_key IN :keys ORDER BY model, "
            "configuration_key, phase, batch, prompt_tokens, context_tokens, output_tokens"
        ).bindparams(bindparam("keys", list(keys), expanding=True))
    rows = pd.read_sql_query(query, engine)
    if model is not None:
        rows = rows[rows["model"].str.casefold() == model.casefold()]
    return rows if phase is None else rows[rows["phase"] == phase]


def findings(engine: Engine) -> pd.DataFrame:
    """What is wrong with which row, why, and what to do."""
    return pd.read_sql_query(text("SELECT * FROM v_findings ORDER BY rule, subject_id"), engine)


def configurations(engine: Engine) -> pd.DataFrame:
    """What was measured on which machine: one row for each configuration × machine, by model.

    Columns: the configuration's facts, `configuration` (in words), `cells`, `cells_ok`,
    `cells_failed`, `runs`, `first_utc`, `last_utc`, `points`, `windows`, `excluded`, `processes`.
    """
    r, c, s = schema.run, schema.cell, schema.summary
    k, m = schema.configuration, schema.model
    by = (c.c.configuration_key, r.c.environment_key)
    asked = (
        select(
            *by,
            func.count().label("cells"),
            func.sum((c.c.status == "ok").cast(Integer)).label("cells_ok"),
            func.sum((c.c.status.notin_(["ok", "planned"])).cast(Integer)).label("cells_failed"),
            func.count(r.c.id.distinct()).label("runs"),
            func.min(r.c.started_utc).label("first_utc"),
            func.max(r.c.started_utc).label("last_utc"),
        )
        .join(r, c.c.run_id == r.c.id)
        .group_by(*by)
        .subquery()
    )
    got = (
        select(
            s.c.configuration_key,
            s.c.environment_key,
            func.count().label("points"),
            func.sum(s.c.n_windows).label("windows"),
            func.sum(s.c.n_excluded).label("excluded"),
            func.max(s.c.n_processes).label("processes"),
        )
        .group_by(s.c.configuration_key, s.c.environment_key)
        .subquery()
    )
    same = (got.c.configuration_key == asked.c.configuration_key) & (
        got.c.environment_key == asked.c.environment_key
    )
    facts = [column for column in k.c if column.key not in ("key", "model_key")]
    query = (
        select(
            m.c.name.label("model"), asked, got.c.points, got.c.windows, got.c.excluded,
            got.c.processes, m.c.parameters, m.c.active_parameters, *facts,
        )
        .select_from(asked)
        .join(k, asked.c.configuration_key == k.c.key)
        .join(m, k.c.model_key == m.c.key)
        .join(got, same, isouter=True)
        .order_by(m.c.name, asked.c.configuration_key, asked.c.environment_key)
    )  # fmt: skip
    rows = reader.frame(engine, query)
    rows.insert(1, "configuration", [label(row) for row in plain_rows(rows)])
    return rows


def idealized(
    engine: Engine, model: str | None = None, keys: Sequence[str] | None = None
) -> pd.DataFrame:
    """Measured beside idealized beside roofline: `summary` with the fit's time at each point.

    Of one model or of the configurations `keys`, where given.

    Adds `configuration` (in words), `idealized_s` (NaN without a fit) and `error_rel`
    (idealized / measured - 1).
    """
    rows = summary(engine, model, keys=keys).reset_index(drop=True)
    names = [label(row | {"device_kind": row["device"]}) for row in plain_rows(rows)]
    rows.insert(1, "configuration", names)
    rows["idealized_s"] = float("nan")
    stored = {
        (row["configuration_key"], row["environment_key"]): row["parameters"]
        for row in plain_rows(fits(engine, keys=keys))
    }
    usable = rows[rows["phase"].isin(PHASES)]
    for key, group in usable.groupby(["configuration_key", "environment_key"]):
        if key in stored:
            times = _times(Fit.from_json(stored[key]), list(plain_rows(group)))
            rows.loc[group.index, "idealized_s"] = times
    rows["error_rel"] = rows["idealized_s"] / rows["runtime_s"] - 1
    return rows


def _times(fitted: Fit, points: list[dict[str, Any]]) -> list[float]:
    """Idealized seconds of each measured point, in the order given (a fit sorts its rows)."""
    return [
        float(
            fitted.times(
                rows_of([
                    Observation(
                        int(row["prompt_tokens"] or 0), int(row["output_tokens"]),
                        int(row["batch"]), row["runtime_s"], str(row["phase"]),
                        context_tokens=None if row["context_tokens"] is None
                        else int(row["context_tokens"]),
                    )
                ])
            )[0]
        )
        for row in points
    ]  # fmt: skip


def fits(
    engine: Engine, quantity: str | None = "runtime_s", keys: Sequence[str] | None = None
) -> pd.DataFrame:
    """Fits with the names of their configurations (only those of `keys`, where given);
    `parameters` as a plain dict."""
    f, c, m = schema.fit, schema.configuration, schema.model
    facts = [column for column in c.c if column.key not in ("key", "model_key")]
    query = (
        select(m.c.name.label("model"), f, *facts)
        .join(c, f.c.configuration_key == c.c.key)
        .join(m, c.c.model_key == m.c.key)
        .order_by(m.c.name, c.c.device_kind, c.c.dtype, c.c.threads, f.c.id)
    )
    if quantity is not None:
        query = query.where(f.c.quantity == quantity)
    if keys is not None:
        query = query.where(f.c.configuration_key.in_(keys))
    rows = reader.frame(engine, query)
    rows.insert(1, "configuration", [label(row) for row in plain_rows(rows)])
    return rows


def label(row: dict[str, Any]) -> str:
    """A configuration in a few words: device, number format, threads, kernel, what else differs."""
    parts = [str(row["device_kind"])]
    if (row.get("device_count") or 1) > 1:
        parts[0] = f"{row['device_count']:.0f}× {parts[0]}"
    parts.append(str(row["dtype"]))
    if row.get("threads") is not None:
        parts.append(f"{row['threads']:.0f} thread{'s' if row['threads'] != 1 else ''}")
    parts.append(str(row["attention"]))
    usual = {"kv_cache": "dynamic", "compile_mode": "eager", "quantization": "none",
             "technique": "plain"}  # fmt: skip
    parts += [str(row[name]) for name, plain in usual.items() if row.get(name) not in (plain, None)]
    return ", ".join(parts)


def models(engine: Engine) -> list[str]:
    """Names of the models that have a fit."""
    return sorted(set(fits(engine)["model"]))


def capabilities(engine: Engine) -> dict[str, str]:
    """Model name -> a score in words, for models that have one."""
    rows = pd.read_sql_query(text("SELECT * FROM v_capability ORDER BY model, lane"), engine)
    return {
        str(row["model"]): f"{row['benchmark']} {row['score']:.3g} {row['unit']} ({row['lane']})"
        for row in rows.to_dict("records")
    }


def covered_request(engine: Engine) -> tuple[int, int]:
    """A request that every fit covers: 128 prompt and 64 output tokens, or less if need be."""
    rows = fits(engine)
    prompt, output = DEFAULT_REQUEST
    if rows.empty:
        return prompt, output
    prompt = max(min(prompt, int(rows["prompt_max"].min())), int(rows["prompt_min"].max()))
    room = int(rows["context_max"].min()) - prompt + 1
    return prompt, max(1, min(output, int(rows["output_max"].min()), room))


def estimate(
    engine: Engine,
    workload: Workload,
    scenario: Scenario | None = None,
    model: str | None = None,
    factors: FactorTable | None = None,
    keys: Sequence[str] | None = None,
) -> list[Estimate]:
    """What a request costs on each measured configuration (or those of `keys`), fastest first.

    `scenario` without a zone bills in three contrasting example zones. Raises InputError where
    nothing was measured yet, UnknownNameError for a model without a fit.
    """
    bare = energy_inputs(engine, workload, model, keys)
    table = load_factors() if factors is None else factors
    billed = _bill([e for e, _ in bare], [i for _, i in bare], scenario or Scenario(), table)
    return sorted(billed, key=lambda e: (e.runtime_s, e.model, e.configuration_key))


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
    known = capabilities(engine)
    with engine.connect() as connection:
        ceilings = Ceilings(connection)
        reasons = _energy_reasons(engine)
        return [
            _estimate_one(row, workload, energy, ceilings, reasons, known)
            for row in plain_rows(rows)
        ]


def compare(
    engine: Engine, workload: Workload, scenario: Scenario, a: str, b: str
) -> footprint_comparison.Change:
    """What moving one request from configuration `a` to `b` (their keys) saves, on shared draws.

    Raises InputError for an unknown key, or a scenario without a zone.
    """
    cases = [_one(engine, workload, key) for key in (a, b)]
    names = [f"{e.model} on {e.configuration}" for e, _ in cases]
    if cases[0][0].configuration == cases[1][0].configuration:
        names = [e.model for e, _ in cases]
    first, second = (
        footprint_comparison.Case(name, joules, scenario)
        for name, (_, joules) in zip(names, cases, strict=True)
    )
    return footprint_comparison.compare(first, second)


def bill_in_detail(
    engine: Engine, workload: Workload, scenario: Scenario, key: str
) -> tuple[Footprint, tuple[Rung, ...]]:
    """One configuration's bills with variance shares, and its ladder of boundaries.

    Raises InputError for an unknown key, or a scenario without a zone.
    """
    _, joules = _one(engine, workload, key)
    table = load_factors()
    pue = resolve(scenario, table, joules.device).factors["pue"].value
    return footprint(joules, scenario, table), ladder(joules, pue, scenario.active_share)


def bills_by_zone(
    engine: Engine, workload: Workload, scenario: Scenario, key: str, zones: Sequence[str]
) -> pd.DataFrame:
    """One configuration's bills in each of `zones`, all else as the scenario has it."""
    _, joules = _one(engine, workload, key)
    made = [footprints([joules], replace(scenario, zone=zone))[0] for zone in zones]
    return pd.DataFrame([{"zone_name": f.zone_name, **f.row()} for f in made])


def _one(engine: Engine, workload: Workload, key: str) -> tuple[Estimate, EnergyInput]:
    return energy_inputs(engine, workload, None, [key])[0]


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
    known: dict[str, str],
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
        capability=known.get(str(row["model"])),
    )
    return made, energy


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


def _bill(
    bare: Sequence[Estimate],
    energies: Sequence[EnergyInput],
    scenario: Scenario,
    table: FactorTable,
) -> list[Estimate]:
    stated = scenario.zone is not None or scenario.carbon_intensity_g_per_kwh is not None
    zones = [scenario] if stated else [replace(scenario, zone=z) for z in EXAMPLE_ZONES]
    made = [footprints(energies, each, table) for each in zones]
    return [
        replace(e, footprints=tuple(replace(column[i], example=not stated) for column in made))
        for i, e in enumerate(bare)
    ]


def estimate_frame(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """Estimates as a flat table, one row for each configuration and zone."""
    return pd.DataFrame([row for e in estimates for row in e.rows()])


def footprint_table(engine: Engine) -> pd.DataFrame:
    """`v_footprint`: the estimates kept in the store."""
    return pd.read_sql_query(
        text("SELECT * FROM v_footprint ORDER BY model, prompt_tokens, output_tokens, batch, "
             "zone, boundary, edition, bill"), engine,
    )  # fmt: skip


def capability_table(engine: Engine) -> pd.DataFrame:
    """`v_capability`: every score with its lane."""
    return pd.read_sql_query(
        text("SELECT * FROM v_capability ORDER BY model, lane, source"), engine
    )


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one run found, for its last lines and for `--json`."""

    run: dict[str, Any]
    cells: dict[str, int]
    failures: tuple[dict[str, Any], ...]
    models: tuple[dict[str, Any], ...]
    estimates: tuple[Estimate, ...]
    findings: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Nested plain values."""
        own = asdict(replace(self, estimates=()))
        return own | {"estimates": [e.to_json() for e in self.estimates]}


def run_report(
    engine: Engine, run_id: str, scenario: Scenario | None = None, workload: Workload | None = None
) -> RunReport:
    """The answer of one run: its cells, its fits with held-out error and spread, a priced request.

    Raises InputError for an unknown run.
    """
    known = runs(engine)
    mine = known[known["id"] == run_id]
    if mine.empty:
        raise InputError(f"no run {run_id!r}: see `observatory show runs`")
    own_cells = cells(engine, run_id)
    keys = set(own_cells["configuration_key"])
    fitted = fits(engine)
    fitted = fitted[fitted["configuration_key"].isin(keys)]
    request = workload or Workload.request(*covered_request(engine))
    priced = () if fitted.empty else estimate(engine, request, scenario)
    bad = own_cells[~own_cells["status"].isin(["ok", "planned"])]
    columns = [
        "model", "configuration", "configuration_key", "n_points", "n_heldout", "mape",
        "heldout_median_error", "heldout_p90_error", "heldout_max_error", "between_process_rel",
        "device_s", "prompt_min", "prompt_max", "output_max", "context_max",
    ]  # fmt: skip
    return RunReport(
        run={k: none_if_nan(v) for k, v in next(iter(plain_rows(mine))).items()},
        cells={str(k): int(v) for k, v in own_cells["status"].value_counts().items()},
        failures=tuple(plain_rows(bad[["model", "phase", "plan_key", "status", "error"]])),
        models=tuple(plain_rows(fitted[columns])),
        estimates=tuple(e for e in priced if e.configuration_key in keys),
        findings=_findings_of(engine, run_id),
    )


def _findings_of(engine: Engine, run_id: str) -> dict[str, int]:
    """Rule -> how many windows and cells of the run broke it."""
    f, w, c = schema.finding, schema.window, schema.cell
    mine = {
        "window": select(w.c.id).join(c, c.c.id == w.c.cell_id).where(c.c.run_id == run_id),
        "cell": select(c.c.id).where(c.c.run_id == run_id),
    }
    subjects = [(f.c.subject == name) & f.c.subject_id.in_(ids) for name, ids in mine.items()]
    query = select(f.c.rule, func.count()).where(or_(*subjects))
    with engine.connect() as connection:
        rows = connection.execute(query.group_by(f.c.rule).order_by(f.c.rule))
        return {str(rule): int(n) for rule, n in rows}


def overview(engine: Engine) -> dict[str, Any]:
    """Counts for the head of a page: runs, failed cells, windows, models, newest run."""
    known = runs(engine)
    return {
        "runs": len(known),
        "running": int((known["status"] == RunStatus.RUNNING.value).sum()),
        "cells_failed": int(known["cells_failed"].fillna(0).sum()),
        "windows": int(known["windows"].fillna(0).sum()),
        "newest_utc": None if known.empty else str(known["started_utc"].iloc[0]),
        "models": models(engine),
    }
