"""Frozen records of the domain: what a benchmark measured, on what, and how.

A record is a plain value. Units stand in the names (SI inside: s, J, W, B; CO2e in g, water in L).
`None` means missing, and a field that may be missing has a reason beside it; 0.0 is a measurement.
Natural keys are content hashes (`key`), so that storing the same fact twice adds nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import Any


class Phase(StrEnum):
    """What a window measured."""

    PREFILL = "prefill"  #: prompt in, first token out
    DECODE = "decode"  #: steps after the first token, from a given context
    E2E = "e2e"  #: whole requests: prefill and o-1 decode steps
    SERVING = "serving"  #: steady load on a server; the prompt length may be unknown
    IDLE = "idle"  #: nothing runs
    ANCHOR = "anchor"  #: the fixed tiny workload at the start and end of a run


class Provenance(StrEnum):
    """Where a number comes from."""

    MEASURED = "measured"
    MODELLED = "modelled"
    ESTIMATED = "estimated"
    IMPORTED = "imported"


class Boundary(StrEnum):
    """What the joules cover; each contains the one before it."""

    DEVICE = "device"  #: the accelerator (or the CPU package on a machine without one)
    HOST = "host"  #: and CPU and DRAM
    WALL = "wall"  #: the node at its plug, idle included
    FACILITY = "facility"  #: times PUE


class CellStatus(StrEnum):
    """How a cell ended. `--resume` goes on with `PLANNED` ones and tries `TRIED_AGAIN` again."""

    PLANNED = "planned"
    OK = "ok"
    OOM = "oom"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    REFUSED = "refused"
    LOST = "lost"


#: Ends without a result that another try may not have. A refusal is the answer to a question about
#: sizes: it stays.
TRIED_AGAIN = (CellStatus.LOST, CellStatus.CRASHED, CellStatus.OOM, CellStatus.TIMEOUT)


class RunStatus(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "done_with_failures"
    INTERRUPTED = "interrupted"


class Weights(StrEnum):
    """What stood in the weight matrices. Runtime does not depend on it; a score would."""

    RANDOM = "random_weights"
    CHECKPOINT = "checkpoint"


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes. NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)


def content_hash(value: object, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


@dataclass(frozen=True, slots=True)
class Workload:
    """One point to measure or to price.

    `prompt_tokens` p, `output_tokens` o and `batch` B as in METHOD. The first output token belongs
    to prefill. For the decode phase `context_tokens` is the number of tokens in the KV cache before
    the first measured step and `output_tokens` the number of steps; p is then None.
    """

    prompt_tokens: int | None
    output_tokens: int | None
    batch: int = 1
    context_tokens: int | None = None

    @classmethod
    def prefill(cls, prompt_tokens: int, batch: int = 1) -> Workload:
        """Prompt in, one token out."""
        return cls(prompt_tokens, 1, batch)

    @classmethod
    def decode(cls, context_tokens: int, steps: int, batch: int = 1) -> Workload:
        """`steps` decode steps, the first of which finds `context_tokens` tokens in the cache."""
        return cls(None, steps, batch, context_tokens)

    @classmethod
    def request(cls, prompt_tokens: int, output_tokens: int, batch: int = 1) -> Workload:
        """A whole request: prefill and `output_tokens - 1` decode steps."""
        return cls(prompt_tokens, output_tokens, batch)

    def label(self) -> str:
        """Short text for tables and progress bars, such as `p=128 o=16 B=1`."""
        parts = [("p", self.prompt_tokens), ("c", self.context_tokens), ("o", self.output_tokens)]
        text = [f"{name}={value}" for name, value in parts if value is not None]
        return " ".join([*text, f"B={self.batch}"])


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator or processor as probed."""

    index: int
    kind: str  #: `cuda` or `cpu`
    name: str
    memory_bytes: int | None = None
    uuid: str | None = None
    driver: str | None = None
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None
    compute_capability: str | None = None
    mig: bool | None = None
    ecc: bool | None = None
    persistence: bool | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """A machine as probed once: its key is a content hash, so the same machine is one row."""

    cpu_model: str
    cpu_physical_cores: int | None
    cpu_logical_cores: int
    memory_bytes: int
    operating_system: str
    kernel: str
    python: str
    libraries: Mapping[str, str]  #: library -> version, of those that the measurement used
    devices: tuple[Device, ...] = ()
    virtualised: bool | None = None
    cpu_governor: str | None = None

    @property
    def key(self) -> str:
        """Content hash."""
        return content_hash(asdict(self))


@dataclass(frozen=True, slots=True)
class Model:
    """An architecture with its exact counts; `revision` is the hash of its configuration facts."""

    name: str
    revision: str
    model_type: str
    config: Mapping[str, Any]
    parameters: int
    active_parameters: int
    active_matmul_parameters: int
    kv_elements_per_token: int
    source: str  #: catalogue source, folder or hub id

    @property
    def key(self) -> str:
        """Content hash of name and revision."""
        return content_hash([self.name, self.revision])


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that must be equal for two rows to be repeats of each other (METHOD §1)."""

    model_key: str
    weights: str
    backend: str
    backend_version: str
    device_kind: str  #: device name as the driver or /proc/cpuinfo gives it
    device_count: int
    dtype: str
    attention: str
    kv_cache: str  #: `dynamic` or `static`
    compile_mode: str  #: `eager`, `compile`, `cuda_graph`, …
    threads: int | None  #: CPU threads of the backend; None where they do not matter
    quantization: str = "none"
    tensor_parallel: int = 1
    technique: str = "plain"  #: speculative decoding, prefix caching, …
    layer_scale: float = 1.0  #: >1 where fewer layers were profiled and the result is scaled

    @property
    def key(self) -> str:
        """Content hash."""
        return content_hash(asdict(self))


@dataclass(frozen=True, slots=True)
class Peak:
    """A ceiling of this machine measured in this run, by a short kernel of the stated kind."""

    device: str
    quantity: str  #: `matmul_flops_per_s` or `bandwidth_bytes_per_s`
    dtype: str
    threads: int | None
    value: float
    method: str


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation of a runner or of an importer that measured."""

    id: str
    command: str
    plan_hash: str
    plan: Mapping[str, Any]
    code_version: str
    environment_key: str
    profile: str
    seed: int
    started_utc: str
    status: str = RunStatus.RUNNING
    ended_utc: str | None = None
    sensor: str | None = None
    sensor_reason: str | None = None  #: why there is no energy, where there is none
    sampler_cpu_share: float | None = None  #: the sampler's own CPU seconds per wall second
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of a plan: configuration × phase × workload, and the role it plays in the fit."""

    run_id: str
    plan_key: str
    configuration_key: str
    phase: str
    workload: Workload
    role: str = "fit"  #: `fit`, `heldout`, `anchor`, `idle`
    status: str = CellStatus.PLANNED
    error: str | None = None
    expected_s: float | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules of one window by component, as one sensor saw them.

    A component that was not measured is None. `reason` says why there is no number at all.
    `device_j` covers the devices that were used; idle neighbours stand apart in `idle_devices_j`.
    """

    device_j: float | None = None
    cpu_j: float | None = None
    dram_j: float | None = None
    idle_devices_j: float | None = None
    method: str | None = None
    provenance: str | None = None
    boundary: str | None = None
    reason: str | None = None
    integral_j: float | None = None  #: trapezoid of power samples, the cross-check of the counter
    edge_bound_rel: float | None = None  #: tau * |dP| / E, the error from the sensor's tick
    systematic_rel: float | None = None  #: one standard deviation shared by all windows of a card
    power_max_w: float | None = None
    flags: tuple[str, ...] = ()

    @property
    def total_j(self) -> float | None:
        """Sum of the components that were measured; None where none was."""
        parts = [j for j in (self.device_j, self.cpu_j, self.dram_j) if j is not None]
        return sum(parts) if parts else None


@dataclass(frozen=True, slots=True)
class Window:
    """A fact: one measured stretch of wall time with `iterations` equal iterations inside."""

    process_index: int
    window_index: int
    iterations: int
    duration_s: float
    started_utc: str
    tokens: int | None  #: work units done in the whole window
    energy: Energy = Energy()
    process_id: str = ""  #: unique per process, so that windows of one process can be told apart
    failed_iterations: int = 0
    peak_memory_bytes: int | None = None
    cpu_time_s: float | None = None  #: CPU time of the measured process inside the window
    cpu_share: float | None = None  #: cpu_time / (duration * threads); a busy neighbour lowers it
    cpu_pressure: float | None = None  #: share of the window in which some task waited for a CPU
    clock_mhz: float | None = None
    temperature_start_c: float | None = None
    temperature_end_c: float | None = None
    throttle_reasons: str | None = None
    utilisation: float | None = None
    flags: tuple[str, ...] = ()
    window_target_s: float | None = None  #: length that the profile asked for
    reference_pass_s: float | None = None  #: the anchor's pass at the window's edges, mean (CPU)


@dataclass(frozen=True, slots=True)
class Source:
    """Provenance of rows that somebody else measured: one imported file."""

    key: str  #: content hash of the file's bytes
    name: str
    tool: str
    tool_version: str | None
    licence: str | None
    url: str | None
    retrieved_utc: str
    imported_utc: str
    rows_read: int = 0
    rows_stored: int = 0
    rows_rejected: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reported:
    """A fact: one value of somebody else's results, in SI units, with all that is known of it."""

    row: str  #: identity inside the source: line number, JSON path, …
    model_name: str
    phase: str
    quantity: str  #: `runtime_s`, `energy_j`, `power_w`, `ttft_s`, `tpot_s`, …
    value: float | None
    unit: str
    work_unit: str = "token"
    per: str = "request"  #: what the value is per: request, token, iteration, second
    prompt_tokens: float | None = None
    output_tokens: float | None = None
    batch: float | None = None
    device_kind: str | None = None
    device_count: int | None = None
    dtype: str | None = None
    quantization: str | None = None
    backend: str | None = None
    boundary: str | None = None
    method: str | None = None
    std: float | None = None
    n: int | None = None
    reason: str | None = None  #: why `value` is missing, where it is
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """Derived: one rule that a fact broke, with a sentence and a remedy."""

    subject: str  #: `window`, `cell`, `reported`
    subject_id: int
    rule: str
    rule_version: int
    severity: str  #: `exclude` leaves the row out of summaries, `warn` shows it, `info`
    sentence: str
    remedy: str
    value: float | None = None
    bound: float | None = None


def as_row(record: object) -> dict[str, Any]:
    """A record's own fields by name, nested values left as they are (shallow `asdict`)."""
    kind: Any = type(record)
    return {name: getattr(record, name) for name in _names(kind)}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


def utc_now() -> str:
    """The current time, ISO 8601 with microseconds, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
