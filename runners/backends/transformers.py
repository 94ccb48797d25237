"""Hugging Face transformers on PyTorch: any causal language model it knows, on a CPU or one GPU.

What `load` reports was read from the process, not copied from the request: the attention that the
model really uses, its parameters counted, its threads. What runs is in `operations`.

The CUDA paths (graph capture, events, device memory) have run on an H100 with PyTorch 2.11 and
transformers 5.17; machines without a GPU do not test them. Everything else is tested on a CPU.
"""

from __future__ import annotations

import importlib.metadata
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from observatory.records import Weights, Workload
from runners.backends import building, checkpoints
from runners.backends.base import (
    BackendError,
    BackendFacts,
    BackendRequest,
    DeviceTimer,
    Operation,
)
from runners.backends.caches import bytes_for
from runners.backends.failures import require_memory, typed_failures
from runners.backends.graphs import settle
from runners.backends.importing import import_transformers
from runners.backends.memory import PeakMemory, available_bytes
from runners.backends.operations import (
    Loaded,
    last_logits_only,
    make_operation,
    positions_needed,
)

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_ATTENTION = ("sdpa", "eager")
_COMPILE = ("eager", "compile", "cuda_graph")
_CACHES = ("dynamic", "static")


class TransformersBackend:
    """One model of transformers, loaded once. See `runners.backends.base.Backend`."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None
        self._sample_cache: Any = None
        self._device = torch.device("cpu")
        self._peak: PeakMemory | None = None

    @property
    def model(self) -> Any:
        """The loaded model itself, for a check beside the protocol; None before `load`."""
        return self._loaded.model if self._loaded is not None else None

    def load(self, request: BackendRequest) -> BackendFacts:
        """Build or read the model. BackendError `refused`, `oom`, or `crashed` (unreal weights)."""
        started = time.perf_counter()
        self._device = device = _device(request)
        if request.threads is not None:
            torch.set_num_threads(request.threads)
        transformers = import_transformers()
        torch.manual_seed(request.seed)
        self._peak = PeakMemory(device)
        with typed_failures(f"loading {request.model_name}"):
            model = _make_model(transformers, request, device)
            config = model.config.get_text_config()
            vocabulary = min(config.vocab_size, model.get_input_embeddings().num_embeddings)
            self._sample_cache = building.check_logits(model, vocabulary)
        loaded = Loaded(
            transformers=transformers,
            model=model,
            device=device,
            vocabulary=vocabulary,
            kv_cache=request.kv_cache,
            compile_mode=request.compile_mode,
            seed=request.seed,
        )
        self._loaded, fallback = settle(loaded)
        self.synchronize()
        load_s = time.perf_counter() - started
        return _facts(request, self._loaded, self._peak.method, load_s, fallback)

    def prepare(self, phase: str, workload: Workload) -> Operation:
        """An operation ready to run. BackendError `refused` or `oom` before memory is taken."""
        loaded = self._loaded
        if loaded is None:
            raise BackendError("refused", "no model is loaded")
        positions = positions_needed(phase, workload)
        limit = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and positions > limit:
            raise BackendError(
                "refused", f"{workload.label()} takes {positions} positions, the model has {limit}"
            )
        tokens = self._sample_cache.get_seq_length()
        cache = workload.batch * bytes_for(self._sample_cache, tokens, positions)
        free = available_bytes(self._device)
        require_memory(f"keys and values of {workload.label()}", cache, free, self._device)
        return make_operation(loaded, phase, workload)

    def synchronize(self) -> None:
        """Wait for the device; a CPU has nothing to wait for."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def peak_memory_bytes(self, reset: bool = False) -> int | None:
        """Peak since the last reset; `BackendFacts.peak_memory_method` says of what."""
        return self._peak.read(reset) if self._peak is not None else None

    def device_timer(self) -> DeviceTimer | None:
        """A pair of CUDA events, or None on a CPU, where the monotonic clock is exact."""
        return CudaTimer() if self._device.type == "cuda" else None

    def close(self) -> None:
        """Free the model."""
        self._loaded = self._sample_cache = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


class CudaTimer:
    """Time between two points of the device's own queue."""

    def __init__(self) -> None:
        self._start = torch.cuda.Event(enable_timing=True)
        self._stop = torch.cuda.Event(enable_timing=True)

    def start(self) -> None:
        """Mark the start in the current stream."""
        self._start.record()

    def stop(self) -> None:
        """Mark the end in the current stream."""
        self._stop.record()

    def seconds(self) -> float:
        """Seconds between the marks, once the device has passed the second."""
        self._stop.synchronize()
        return float(self._start.elapsed_time(self._stop)) / 1e3


def _device(request: BackendRequest) -> torch.device:
    """The device asked for, after checks of all that can be refused without a model."""
    for name, value, known in (
        ("dtype", request.dtype, tuple(DTYPES)),
        ("attention", request.attention, _ATTENTION),
        ("compile mode", request.compile_mode, _COMPILE),
        ("KV cache", request.kv_cache, _CACHES),
    ):
        if value not in known:
            raise BackendError("refused", f"unknown {name} {value!r}: one of {', '.join(known)}")
    if request.threads is not None and request.threads < 1:
        raise BackendError("refused", f"threads must be at least 1, not {request.threads}")
    if request.compile_mode != "eager" and request.kv_cache != "static":
        raise BackendError(
            "refused",
            f"{request.compile_mode} needs a static KV cache: a dynamic one changes shape",
        )
    try:
        device = torch.device(request.device)
    except RuntimeError as error:
        raise BackendError("refused", f"unknown device {request.device!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise BackendError("refused", f"device {request.device!r}: only cpu and cuda are supported")
    if request.compile_mode == "cuda_graph" and device.type != "cuda":
        raise BackendError("refused", "cuda_graph needs a CUDA device")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise BackendError(
                "refused", f"no device {request.device!r}: PyTorch sees {count} GPUs"
            )
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    return device


def _make_model(transformers: Any, request: BackendRequest, device: torch.device) -> Any:
    dtype, attention = DTYPES[request.dtype], request.attention
    if request.checkpoint is not None:
        model = checkpoints.load_checkpoint(
            transformers, request.checkpoint, device=device, dtype=dtype, attention=attention
        )
        building.check_weights(model)
    else:
        model = building.build_random(
            transformers,
            building.parse_config(transformers, request.model_config),
            device=device,
            dtype=dtype,
            attention=attention,
            seed=request.seed,
            workers=torch.get_num_threads(),
        )
    count, expected = building.parameter_count(model), request.expected_parameters
    if expected is not None and count != expected:
        raise BackendError(
            "crashed", f"{request.model_name}: built {count:,} parameters, expected {expected:,}"
        )
    used = model.config._attn_implementation
    if used != attention:
        raise BackendError(
            "refused", f"{request.model_name} uses {used} attention, not {attention}"
        )
    return model


@dataclass(frozen=True)
class _Note:
    """A sentence about what was loaded, and whether it applies."""

    text: str
    applies: bool


def _facts(
    request: BackendRequest, loaded: Loaded, method: str, load_s: float, fallback: str | None
) -> BackendFacts:
    model, cuda = loaded.model, loaded.device.type == "cuda"
    notes = (
        _Note("logits of the last position only", bool(last_logits_only(model))),
        _Note("logits of all prompt positions", not last_logits_only(model)),
        _Note("prefill runs uncompiled, as in generate()", loaded.compile_mode != "eager"),
        _Note(fallback or "", fallback is not None),
        _Note(
            "the configuration's quantization was left out",
            request.checkpoint is None and "quantization_config" in request.model_config,
        ),
    )
    libraries = {
        name: importlib.metadata.version(name) for name in ("torch", "transformers", "safetensors")
    }
    if cuda and torch.version.cuda:
        libraries["cuda"] = torch.version.cuda
    return BackendFacts(
        backend="transformers",
        version=loaded.transformers.__version__,
        parameters=building.parameter_count(model),
        weight_bytes=building.weight_bytes(model),
        weights=Weights.CHECKPOINT if request.checkpoint else Weights.RANDOM,
        dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
        attention=model.config._attn_implementation,
        compile_mode=loaded.compile_mode,
        kv_cache=loaded.kv_cache,
        threads=None if cuda else torch.get_num_threads(),
        device=str(loaded.device),
        device_name=torch.cuda.get_device_name(loaded.device) if cuda else _cpu_name(),
        load_s=load_s,
        libraries=libraries,
        notes=tuple(note.text for note in notes if note.applies),
        peak_memory_method=method,
    )


def _cpu_name() -> str:
    """`model name` of /proc/cpuinfo, or `cpu`."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "cpu"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "cpu"
