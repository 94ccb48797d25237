"""What the protocol asks of a backend. It knows neither sensors nor the store.

A backend lives in the measured process. `load` builds the model once; `prepare` returns an
operation whose `run` is one iteration of the workload, and nothing else: no allocation that a real
request would not make, no synchronisation, no clock. The protocol times `run` in windows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from observatory.records import Workload

BACKENDS: dict[str, str] = {
    "transformers": "runners.backends.transformers:TransformersBackend",
}


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """What to load. `model_config` is a Hugging Face config as a plain dict; `checkpoint` a folder
    with real weights (hub ids are resolved before), None for random ones."""

    model_name: str
    model_config: dict[str, Any]
    checkpoint: str | None = None
    device: str = "cpu"  #: `cpu`, `cuda`, `cuda:1`
    dtype: str = "bfloat16"
    attention: str = "sdpa"  #: `sdpa` or `eager`
    compile_mode: str = "eager"  #: `eager`, `compile`, `cuda_graph`
    kv_cache: str = "dynamic"  #: `dynamic` or `static`
    threads: int | None = None
    seed: int = 0
    max_context: int = 4096  #: longest context that will be asked for; a hint, see `prepare`
    expected_parameters: int | None = None  #: the catalogue's exact count; another one is a failure


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """What was loaded, as found in the process and not as asked for."""

    backend: str
    version: str
    parameters: int
    weight_bytes: int
    weights: str  #: `random_weights` or `checkpoint`
    dtype: str
    attention: str
    compile_mode: str
    kv_cache: str
    threads: int | None
    device: str
    device_name: str
    load_s: float
    libraries: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    peak_memory_method: str | None = None  #: what `peak_memory_bytes` reads


class Operation(Protocol):
    """One prepared workload."""

    tokens_per_iteration: int  #: work units of one `run`: B*p prompt, B*n decoded, B*(p+o) e2e

    def run(self) -> None:
        """One iteration. May return before the device has finished; see `Backend.synchronize`."""

    def close(self) -> None:
        """Free what was prepared."""


class DeviceTimer(Protocol):
    """A stopwatch in the device's own queue; start and stop cost no synchronisation."""

    def start(self) -> None:
        """Mark the start."""

    def stop(self) -> None:
        """Mark the end."""

    def seconds(self) -> float:
        """Seconds between the marks; waits until the device has passed the second."""


class Backend(Protocol):
    """One loaded model on one device set."""

    def load(self, request: BackendRequest) -> BackendFacts:
        """Build or load the model. Raises BackendError with a typed status."""

    def prepare(self, phase: str, workload: Workload) -> Operation:
        """Make a `prefill`, `decode` or `e2e` operation ready to run again and again.

        A static cache is sized for this workload alone (p+o-1, or c+n positions): a static step
        attends over every position there is. Raises BackendError `refused` or `oom`.
        """

    def synchronize(self) -> None:
        """Wait until the device has done all work; nothing on a CPU."""

    def device_timer(self) -> DeviceTimer | None:
        """A stopwatch of the device (CUDA events), None where the host's clock is exact (a CPU)."""

    def peak_memory_bytes(self, reset: bool = False) -> int | None:
        """Peak memory of the device (GPU) or of the process (CPU) since the last reset."""

    def close(self) -> None:
        """Free the model."""


class BackendError(Exception):
    """A failure with the cell status it becomes: `oom`, `refused`, `crashed`."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status
