"""A synthetic run, written through the real door in. Its numbers follow a law, not a machine.

T(p, o) = 10 ms + 0.2 ms * p + (o-1) * 12 ms + 1 us * S, S = (o-1)p + o(o-1)/2;
power 30 W of CPU and 2 W of DRAM.
"""

from __future__ import annotations

import random
from pathlib import Path

from observatory.catalog.architecture import Architecture
from observatory.ingest import Recorder, utc_now
from observatory.records import (
    Cell,
    Configuration,
    Energy,
    Environment,
    Model,
    Peak,
    Run,
    Window,
    Workload,
    content_hash,
)

PREFILLS = (16, 64, 256, 1024)
CONTEXTS = (16, 512, 1000)
STEPS = 16
REQUESTS = ((32, 16), (128, 32), (512, 8), (700, 4), (200, 9), (100, 100), (300, 30))
CPU_W, DRAM_W = 30.0, 2.0


def runtime_s(prompt: int, output: int) -> float:
    """The law."""
    contexts = (output - 1) * prompt + output * (output - 1) / 2
    return 0.010 + 2e-4 * prompt + (output - 1) * 0.012 + 1e-6 * contexts


def decode_s(context: int, steps: int) -> float:
    """Decode steps that find `context` tokens in the cache: a request's, less its prefill."""
    return runtime_s(context, steps + 1) - runtime_s(context, 1)


def energy_of(duration_s: float) -> Energy:
    """Joules at the stated powers, labelled as an estimate."""
    return Energy(cpu_j=duration_s * CPU_W, dram_j=duration_s * DRAM_W, method="synthetic",
                  provenance="estimated", boundary="host")  # fmt: skip


def no_energy(duration_s: float) -> Energy:
    """No joules, and why."""
    del duration_s
    return Energy(reason="no sensor on this synthetic machine")


ENVIRONMENT = Environment(
    "Synthetic CPU", 2, 2, 24 << 30, "Debian", "6.1", "3.11", {"torch": "2.13"}
)


def model_named(name: str = "SmolLM2-135M") -> Model:
    """A catalogue architecture as a record."""
    a = Architecture.lookup(name)
    return Model(
        a.name, content_hash(a.to_config()), a.model_type, a.to_config(), a.parameters,
        a.active_parameters, a.active_matmul_parameters, 1, "catalogue",
    )  # fmt: skip


def configuration_of(model: Model, threads: int = 2) -> Configuration:
    """A CPU configuration."""
    return Configuration(
        model.key, "random_weights", "transformers", "synthetic", "Synthetic CPU", 1, "bfloat16",
        "sdpa", "dynamic", "eager", threads,
    )  # fmt: skip


def points() -> list[tuple[str, Workload, str, float, int]]:
    """(phase, workload, role, seconds, tokens) of one iteration."""
    rows = [("prefill", Workload.prefill(p), "fit", runtime_s(p, 1), p) for p in PREFILLS]
    rows += [("decode", Workload.decode(c, STEPS), "fit", decode_s(c, STEPS), STEPS)
             for c in CONTEXTS]  # fmt: skip
    rows += [("e2e", Workload.request(p, o), "heldout", runtime_s(p, o), p + o)
             for p, o in REQUESTS]  # fmt: skip
    return rows


def record(
    path: Path,
    run_id: str = "synthetic-1",
    energy: object = energy_of,
    noise: float = 1e-5,
    process_shift: float = 0.0,
    model_name: str = "SmolLM2-135M",
    scale: float = 1.0,
) -> Recorder:
    """Write and close one run: two processes, three windows a cell. Without any `noise` the second
    process would be a copy of the first, and be found to be one."""
    rng = random.Random(7)
    model = model_named(model_name)
    configuration = configuration_of(model)
    run = Run(run_id, "synthetic", "hash", {}, "0.1.0", ENVIRONMENT.key, "quick", 0, utc_now())
    recorder = Recorder.start(path, run, ENVIRONMENT)
    recorder.add_models([model])
    recorder.add_configurations([configuration])
    recorder.add_peaks([
        Peak("Synthetic CPU", "matmul_flops_per_s", "bfloat16", 2, 5e12, "synthetic"),
        Peak("Synthetic CPU", "bandwidth_bytes_per_s", "float32", 2, 1e11, "synthetic"),
    ])  # fmt: skip
    for phase, workload, role, seconds, tokens in points():
        key = f"{phase} {workload.label()}"
        recorder.plan([Cell(run_id, key, configuration.key, phase, workload, role)])
        for process in range(2):
            for index in range(3):
                n = max(1, round(0.3 / seconds))
                factor = scale * (1 + rng.gauss(0, noise) + process_shift * process)
                duration = seconds * n * factor
                recorder.store(key, Window(
                    process, index, n, duration, utc_now(), tokens * n,
                    energy(duration),  # type: ignore[operator]
                    process_id=f"process {process}", peak_memory_bytes=10**9, cpu_share=0.99,
                ))  # fmt: skip
        recorder.finish(key, "ok")
    recorder.close("done")
    return recorder
