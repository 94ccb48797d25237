"""What a fresh process is asked before its first point: model, the machine's peaks, the tick."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from observatory.ingest import Recorder
from observatory.records import Phase
from runners.backends.base import BackendFacts, BackendRequest
from runners.executors.local import LocalProcess
from runners.forecast import Forecast
from runners.plan import Target
from runners.progress import Progress
from runners.protocol import Protocol

#: Time for one process to import its libraries and build a model, at least.
LEAST_LOAD_TIMEOUT_S = 600.0
PEAKS_BUDGET_S = {"quick": 1.2, "standard": 4.0, "publishable": 8.0}


@dataclass
class Starting:
    """Starts the processes of one run; `loaded` says what came up, by target label."""

    forecast: Forecast
    recorder: Recorder
    protocol: Protocol
    progress: Progress
    loaded: dict[str, Any] = field(default_factory=dict)
    _peaks_done: set[tuple[str, str, int | None]] = field(default_factory=set)
    _tick_done: bool = False

    def load(self, process: LocalProcess, target: Target) -> BackendFacts:
        """The target's model in a fresh process. Raises WorkerError."""
        plan = self.forecast.plan
        model = self.forecast.models[target.model]
        card = self.forecast.machine.device.accelerator
        request = BackendRequest(
            model_name=model.name,
            model_config=model.config,
            checkpoint=model.checkpoint,
            device=target.device if card is None else "cuda",  # the only one that it is shown
            dtype=target.dtype,
            attention=target.attention,
            compile_mode=target.compile_mode,
            kv_cache=target.kv_cache,
            threads=target.threads,
            seed=plan.seed,
            max_context=target.max_context,
            expected_parameters=model.architecture.parameters,
        )
        limit = max(LEAST_LOAD_TIMEOUT_S, plan.timeout_s)
        facts = process.load(target.backend, request, limit)
        self.loaded[target.label] = {
            "load_s": facts.load_s,
            "weight_bytes": facts.weight_bytes,
            "libraries": facts.libraries,
            "peak_memory_method": facts.peak_memory_method,
            "notes": list(facts.notes),
        }
        return facts

    def peaks(self, process: LocalProcess, target: Target) -> None:
        """This machine's ceilings, once for each number format and thread count."""
        what = (target.device, target.dtype, target.threads)
        if what in self._peaks_done:
            return
        self._peaks_done.add(what)
        self.progress.doing(f"{target.model}: measuring this machine's peaks")
        budget_s = PEAKS_BUDGET_S[self.forecast.plan.profile]
        self.recorder.add_peaks(process.peaks(budget_s))

    def tick(self, process: LocalProcess, target: Target) -> None:
        """The sensor's tick, once a run, while the device works (METHOD §3.1)."""
        if self._tick_done or not self.protocol.counts_joules():
            return
        self._tick_done = True
        work = [p for p in target.points if p.phase in (Phase.PREFILL, Phase.ANCHOR)]
        if work:
            self.protocol.measure_tick(process, work[0])
            self.forecast.window_s = self.protocol.target_s()
