"""A synthetic store of any size, for benchmarks alone. Its numbers follow a law, not a machine.

Facts are inserted in bulk, in the columns that `Recorder` fills. Findings, summaries and fits of a
few prototypes come from the product's own `derive`; every other configuration repeats the windows
of a prototype with all times and joules scaled, so that its derived rows are the prototype's,
scaled. `check` derives a sample again and compares.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from observatory import answers
from observatory.capability.scores import shipped_rows
from observatory.catalog import hardware, models
from observatory.catalog.architecture import Architecture
from observatory.ceilings import Ceilings
from observatory.derive import derive, plain_rows
from observatory.errors import ObservatoryError
from observatory.ingest import Recorder, store_estimates
from observatory.records import (
    Cell,
    Configuration,
    Device,
    Energy,
    Environment,
    Model,
    Run,
    Window,
    Workload,
    content_hash,
)
from observatory.runtime.curves import scaled
from observatory.runtime.fit import Fit
from observatory.store import reader, schema, writer
from observatory.store.database import open_database

DEVICES = ("A100-SXM4-80GB", "H100-SXM5", "H200-SXM", "B200-SXM", "L4", "L40S")
STACKS = tuple(
    itertools.product(
        ("bfloat16", "float16"), (1, 2, 4), ("eager", "sdpa", "flash_attention_2"),
        ("eager", "compile"),
    )
)  # fmt: skip
PREFILLS, CONTEXTS, STEPS = (16, 128, 1024, 4096), (16, 1024, 4000), 16
REQUESTS = ((64, 32), (512, 64), (2000, 100))
PROCESSES, WINDOWS = 2, 5
PROTOTYPES = 40
PER_RUN = 50
BILLED_RUNS = 4  #: runs whose bills are kept in `estimate`
MEMORY = 80 << 30


@dataclass(frozen=True)
class Point:
    """One cell of every configuration, with its seconds under the unit law."""

    phase: str
    workload: Workload
    role: str
    seconds: float
    tokens: int

    @property
    def key(self) -> str:
        """Identity inside the run, without the configuration."""
        return f"{self.phase} {self.workload.label()}"


def _law(prompt: int, output: int) -> float:
    contexts = (output - 1) * prompt + output * (output - 1) / 2
    return 0.010 + 2e-4 * prompt + (output - 1) * 0.012 + 1e-6 * contexts


def points() -> list[Point]:
    """What is measured of each configuration."""
    made = [Point("prefill", Workload.prefill(p), "fit", _law(p, 1), p) for p in PREFILLS]
    made += [
        Point("decode", Workload.decode(c, STEPS), "fit", _law(c, STEPS + 1) - _law(c, 1), STEPS)
        for c in CONTEXTS
    ]
    made += [
        Point("e2e", Workload.request(p, o), "heldout", _law(p, o), p + o) for p, o in REQUESTS
    ]
    return made


@dataclass(frozen=True)
class Stack:
    """One configuration, where it ran, and by what its prototype is scaled."""

    configuration: Configuration
    device: str
    prototype: int
    seconds: float  #: times the unit law
    watts: float


class Builder:
    """Writes the store. Every random number comes from one seed."""

    def __init__(self, path: Path, configurations: int, seed: int = 0) -> None:
        self.path = path
        self.rng = np.random.default_rng(seed)
        self.points = points()
        self.models = _models()
        self.machines = {name: _machine(name) for name in DEVICES}
        self.engine = open_database(path)
        self.stacks = self._stacks(configurations)

    def _stacks(self, count: int) -> list[Stack]:
        every = list(itertools.product(self.models, DEVICES, STACKS))
        chosen = self.rng.permutation(len(every))[:count]
        made = []
        for i, at in enumerate(chosen):
            model, device, (dtype, devices, attention, compiled) = every[int(at)]
            configuration = Configuration(
                model.key, "random_weights", "transformers", "synthetic", device, devices, dtype,
                attention, "dynamic", compiled, None, tensor_parallel=devices,
            )  # fmt: skip
            watts = (hardware.lookup(device).tdp_w or 100.0) * devices
            made.append(Stack(configuration, device, i % PROTOTYPES, 1.0,
                              float(watts * self.rng.uniform(0.35, 0.85))))  # fmt: skip
        return made

    def build(self) -> None:
        """Facts, then what follows from them."""
        with self.engine.begin() as connection:
            for machine in self.machines.values():
                writer.add_environment(connection, machine)
            writer.add_models(connection, self.models)
            writer.add_configurations(connection, [s.configuration for s in self.stacks])
            writer.insert_new(connection, schema.capability, shipped_rows())
        self._rooflines()
        self._runs()
        self._windows()
        self._derived()

    def _rooflines(self) -> None:
        """The bound of each point, and a speed that no bound forbids."""
        with self.engine.connect() as connection:
            ceilings = Ceilings(connection)
        self.bounds: dict[tuple[object, ...], list[dict[str, Any]]] = {}
        for i, stack in enumerate(self.stacks):
            at = _shape(stack)
            if at not in self.bounds:
                self.bounds[at] = [ceilings.beside(self._identity(stack, p)) for p in self.points]
            least = max((b["roofline_s"] or 0.0) / b["runtime_s"] for b in self.bounds[at])
            by = float(max(least, 0.01) * self.rng.uniform(1.4, 8.0))
            self.stacks[i] = replace(stack, seconds=by)

    def _identity(self, stack: Stack, point: Point) -> dict[str, Any]:
        return {
            "configuration_key": stack.configuration.key,
            "environment_key": self.machines[stack.device].key, "phase": point.phase,
            "prompt_tokens": point.workload.prompt_tokens,
            "output_tokens": point.workload.output_tokens,
            "context_tokens": point.workload.context_tokens, "batch": point.workload.batch,
            "runtime_s": point.seconds,
        }  # fmt: skip

    def _runs(self) -> None:
        """Each run measures PER_RUN configurations on one machine."""
        self.runs: list[tuple[str, list[int]]] = []
        for device in DEVICES:
            mine = [i for i, s in enumerate(self.stacks) if s.device == device]
            for part in (
                itertools.batched(mine, PER_RUN)
                if hasattr(itertools, "batched")
                else (mine[k : k + PER_RUN] for k in range(0, len(mine), PER_RUN))
            ):
                self.runs.append((f"synthetic-{len(self.runs):04d}", list(part)))
        cells = []
        with self.engine.begin() as connection:
            for at, (run, mine) in enumerate(self.runs):
                stamp = f"2026-01-{at // 24 % 28 + 1:02d}T{at % 24:02d}:{at % 60:02d}:00+00:00"
                writer.add_run(connection, Run(
                    run, "synthetic", content_hash(run), {}, "synthetic",
                    self.machines[self.stacks[mine[0]].device].key, "quick", 0, stamp, "done",
                    stamp, "synthetic",
                ))  # fmt: skip
                cells += [
                    Cell(run, f"{i} {p.key}", self.stacks[i].configuration.key, p.phase,
                         p.workload, p.role, "ok", position=k)
                    for k, (i, p) in enumerate(itertools.product(mine, self.points))
                ]  # fmt: skip
            writer.add_cells(connection, cells)
            c = schema.cell
            self.cell_ids = dict(connection.execute(select(c.c.plan_key, c.c.id)).all())

    def _windows(self) -> None:
        """All windows in one bulk insert, under ids of their own."""
        template = self._template()
        columns = list(template[0][0])
        self.engine.dispose()
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        with sqlite3.connect(self.path) as connection:
            connection.executemany(
                f"INSERT INTO window ({names}) VALUES ({marks})",
                self._window_rows(template, columns),
            )
        connection.close()

    def _template(self) -> list[list[dict[str, Any]]]:
        """Of each prototype, the rows of its windows under the unit law and one watt."""
        made = []
        for k in range(PROTOTYPES):
            rows = []
            for point in self.points:
                for process in range(PROCESSES):
                    shift = 1 + self.rng.normal(0, 0.01)
                    for index in range(WINDOWS):
                        n = max(1, round(0.3 / point.seconds))
                        took = point.seconds * n * shift * (1 + self.rng.normal(0, 0.02))
                        joules = Energy(device_j=took, method="synthetic", provenance="estimated",
                                        boundary="device")  # fmt: skip
                        if k % 10 == 9:
                            joules = Energy(reason="no sensor on this synthetic machine")
                        reasons = "hw_thermal_slowdown" if self.rng.random() < 0.004 else None
                        rows.append(writer._window_row(0, Window(
                            process, index, n, took, "2026-01-01T00:00:00+00:00",
                            point.tokens * n, joules, f"process {process}",
                            throttle_reasons=reasons,
                        )) | {"flags": "[]"})  # fmt: skip
            made.append(rows)
        return made

    def _window_rows(
        self, template: list[list[dict[str, Any]]], columns: list[str]
    ) -> Iterator[tuple[Any, ...]]:
        took, joules, cell = (columns.index(n) for n in
                              ("duration_s", "energy_device_j", "cell_id"))  # fmt: skip
        plain = [[[row[c] for c in columns] for row in rows] for rows in template]
        each = PROCESSES * WINDOWS
        for i, stack in enumerate(self.stacks):
            ids = [self.cell_ids[f"{i} {p.key}"] for p in self.points]
            for k, row in enumerate(plain[stack.prototype]):
                own = row.copy()
                own[cell] = ids[k // each]
                own[took] = row[took] * stack.seconds
                if row[joules] is not None:
                    own[joules] = row[joules] * stack.seconds * stack.watts
                yield tuple(own)

    def _derived(self) -> None:
        """Prototypes by the product, the others scaled; bills of some runs by the product."""
        self.engine = open_database(self.path)
        firsts = [s.configuration.key for s in self.stacks[:PROTOTYPES]]
        derive(self.engine, firsts)
        with self.engine.begin() as connection:
            summaries = _by_key(reader.table(connection, schema.summary))
            fits = _by_key(reader.table(connection, schema.fit))
            found = list(plain_rows(reader.table(connection, schema.finding)))
            for start in range(PROTOTYPES, len(self.stacks), 1000):
                some = list(enumerate(self.stacks))[start : start + 1000]
                writer.insert_new(connection, schema.summary, [
                    row for _, s in some for row in self._summaries(s, summaries)
                ])  # fmt: skip
                writer.insert_new(connection, schema.fit, [
                    row for _, s in some for row in self._fits(s, fits)
                ])  # fmt: skip
                writer.insert_new(
                    connection,
                    schema.finding,
                    [row for i, s in some for row in _findings(i, s, found)],
                )
        billed = [
            self.stacks[i].configuration.key for _, mine in self.runs[-BILLED_RUNS:] for i in mine
        ]
        request = Workload.request(*answers.covered_request(self.engine))
        from observatory.footprint import Scenario

        chosen = Scenario()
        made = answers.estimate(self.engine, request, chosen, keys=billed)
        store_estimates(self.engine, made, chosen)

    def _ratios(self, stack: Stack) -> tuple[float, float]:
        """What times and joules of the prototype are multiplied with."""
        first = self.stacks[stack.prototype]
        return stack.seconds / first.seconds, stack.watts / first.watts

    def _summaries(
        self, stack: Stack, known: dict[str, list[dict[str, Any]]]
    ) -> Iterator[dict[str, Any]]:
        r, q = self._ratios(stack)
        bounds = {
            (b["phase"], b["prompt_tokens"], b["context_tokens"], b["output_tokens"]): b
            for b in self.bounds[_shape(stack)]
        }
        by = {"runtime_s": r, "runtime_low_s": r, "runtime_high_s": r, "runtime_mad_s": r,
              "runtime_p5_s": r, "runtime_p95_s": r, "tokens_per_s": 1 / r, "energy_j": r * q,
              "energy_low_j": r * q, "energy_high_j": r * q, "energy_device_j": r * q,
              "energy_per_token_j": r * q, "power_w": q}  # fmt: skip
        for row in known[self.stacks[stack.prototype].configuration.key]:
            own = _scaled_row(row, by) | self._keys(stack)
            at = bounds[row["phase"], row["prompt_tokens"], row["context_tokens"],
                        row["output_tokens"]]  # fmt: skip
            for name in ("roofline_s", "roofline_bound", "roofline_hardware"):
                own[name] = at[name]
            for name in ("mfu", "mbu"):
                ideal = at[name]
                own[name] = None if ideal is None else ideal * at["runtime_s"] / own["runtime_s"]
            yield own

    def _fits(
        self, stack: Stack, known: dict[str, list[dict[str, Any]]]
    ) -> Iterator[dict[str, Any]]:
        r, q = self._ratios(stack)
        for row in known.get(self.stacks[stack.prototype].configuration.key, ()):
            by = r if row["quantity"] == "runtime_s" else r * q
            parameters = _scaled_fit(row["parameters"], by, r)
            # seconds of device time, of a fit of joules too
            yield _scaled_row(row, {"device_s": r}) | self._keys(stack) | {
                "parameters": parameters, "data_hash": content_hash([stack.configuration.key, by]),
            }  # fmt: skip

    def _keys(self, stack: Stack) -> dict[str, str]:
        return {
            "configuration_key": stack.configuration.key,
            "environment_key": self.machines[stack.device].key,
        }


def _models() -> list[Model]:
    """Every architecture of the catalogue."""
    made = []
    for row in models.rows():
        try:
            a = Architecture.lookup(row["name"])
            a.to_config()
        except ObservatoryError:
            continue  # no class of its kind: it cannot have been measured
        made.append(Model(
            a.name, content_hash(a.to_config()), a.model_type, a.to_config(), a.parameters,
            a.active_parameters, a.active_matmul_parameters, 1, "catalogue",
        ))  # fmt: skip
    return made


def _machine(name: str) -> Environment:
    cards = tuple(Device(i, "cuda", name, MEMORY, f"synthetic-{name}-{i}") for i in range(4))
    return Environment(f"Synthetic host of {name}", 64, 128, 1 << 40, "Debian", "6.1", "3.11",
                       {"torch": "2.13"}, cards)  # fmt: skip


def _shape(stack: Stack) -> tuple[object, ...]:
    c = stack.configuration
    return (c.model_key, stack.device, c.dtype, c.device_count)


def _by_key(frame: Any) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in plain_rows(frame):
        row.pop("id")
        found.setdefault(row["configuration_key"], []).append(row)
    return found


def _scaled_row(row: dict[str, Any], by: dict[str, float]) -> dict[str, Any]:
    return row | {name: row[name] * k for name, k in by.items() if row[name] is not None}


def _scaled_fit(parameters: dict[str, Any], by: float, seconds_by: float) -> dict[str, Any]:
    fit = Fit.from_json(parameters)
    step = replace(fit.step, **{
        name: None if (value := getattr(fit.step, name)) is None else value * by
        for name in ("c0_s", "per_sequence_s", "per_context_token_s")
    })  # fmt: skip
    covariance = None
    if fit.covariance is not None:
        covariance = tuple(tuple(v * by * by for v in row) for row in fit.covariance)
    return replace(fit, curve=scaled(fit.curve, by), step=step, covariance=covariance,
                   device_s=fit.device_s * seconds_by).to_json()  # fmt: skip


def _findings(i: int, stack: Stack, known: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The prototype's findings on this configuration's windows: ids run on in bulk order."""
    each = len(points()) * PROCESSES * WINDOWS
    for row in known:
        if row["subject"] == "window" and (row["subject_id"] - 1) // each == stack.prototype:
            own = {k: v for k, v in row.items() if k != "id"}
            yield own | {"subject_id": i * each + (row["subject_id"] - 1) % each + 1}


def check(engine: Engine, keys: list[str], tolerance: float = 1e-6) -> None:
    """Derive these configurations with the product. Raises ValueError where a number differs."""
    before = _numbers(engine, keys)
    derive(engine, keys)
    after = _numbers(engine, keys)
    if before.shape != after.shape or not np.allclose(before, after, rtol=tolerance,
                                                      equal_nan=True):  # fmt: skip
        raise ValueError("the synthetic store does not hold what `derive` makes of its windows")


def _numbers(engine: Engine, keys: list[str]) -> Any:
    summary = answers.summary(engine, keys=keys).select_dtypes("number").to_numpy()
    fits = answers.fits(engine, None, keys).drop(columns="id").select_dtypes("number").to_numpy()
    asked = [answers.energy_inputs(engine, Workload.request(300, 40), keys=[key])[0][0]
             for key in keys]  # fmt: skip
    times = [[e.runtime_s, e.ttft_s, e.energy_j or 0.0] for e in asked]
    return np.concatenate([summary.ravel(), fits.ravel(), np.ravel(times)]).astype(float)


def build(path: Path, configurations: int = 10_000) -> None:
    """Make the store at `path` and check a sample of it."""
    unfinished = path.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    made = Builder(unfinished, configurations)
    made.build()
    last = [s.configuration.key for s in made.stacks[-PROTOTYPES:]]
    check(made.engine, last[:12])
    made.engine.dispose()
    unfinished.replace(path)


__all__ = ["Recorder", "build", "check"]
