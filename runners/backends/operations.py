"""Prefill, decode and whole requests, each as an iteration that can be run again and again.

What one iteration does is what `generate` with greedy search does for a batch of equal prompts,
without its logits processors: the model is called with the token ids and the cache alone, and
derives positions and masks itself. Logits are made for the last position only (`logits_to_keep=1`,
as `generate` does), and the argmax stays on the device: it is the next step's input, so steps are
truly one after the other and nothing waits for the host.

Prompts are random tokens, drawn once; iterations take turns among `_VARIANTS` of them, so that a
mixture of experts does not always route the same way. No iteration reuses what an earlier one
computed: a prefill starts with an empty cache, a decode stretch with the prompt's entries only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import torch

from observatory.records import Phase, Workload
from runners.backends.base import BackendError, Operation
from runners.backends.caches import CacheMark, cache_name, new_cache
from runners.backends.failures import typed_failures

_VARIANTS = 4  #: different prompts (or first tokens) that iterations take turns with


@dataclass(frozen=True)
class Loaded:
    """A model in memory and how it is to be run."""

    transformers: Any
    model: Any
    device: torch.device
    vocabulary: int
    kv_cache: str
    compile_mode: str
    seed: int

    def tokens(self, batch: int, length: int) -> list[Any]:
        """`_VARIANTS` tensors of random token ids, shape (batch, length)."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (_VARIANTS, batch, length)
        drawn = torch.randint(0, self.vocabulary, shape, generator=generator)
        return list(drawn.to(self.device))


class Stream:
    """One batch of sequences: a cache, the forward over new tokens and the step that decodes one.

    `forward` takes token ids (B, n) and returns the greedy next token (B, 1); `step` does the same
    for n = 1, compiled or replayed from a CUDA graph where that was asked for.
    """

    def __init__(self, loaded: Loaded, positions: int) -> None:
        self._loaded = loaded
        self._positions = positions
        self._model = loaded.model
        self._keep = last_logits_only(loaded.model)
        self._cache_name = cache_name(loaded.model)
        self._empty: CacheMark | None = None
        self._cache: Any = None
        self.step: Callable[[Any], Any] = self.forward

    def forward(self, tokens: Any) -> Any:
        """Append `tokens` to the cache; the greedy next token, on the device."""
        output = self._model(
            input_ids=tokens, use_cache=True, **{self._cache_name: self._cache}, **self._keep
        )
        return output.logits[:, -1].argmax(-1, keepdim=True)

    def restart(self) -> None:
        """An empty cache: a new dynamic one, or the static one set back to length 0."""
        if self._empty is not None:
            self._empty.restore()
            return
        loaded = self._loaded
        self._cache = new_cache(
            loaded.transformers, loaded.model.config, loaded.kv_cache, self._positions
        )

    def reserve(self, tokens: Any) -> None:
        """Have a static cache allocate its tensors (its first use does), to keep from now on."""
        if self._loaded.kv_cache == "static":
            self.restart()
            self.forward(tokens)
            self._cache.reset()
            self._empty = CacheMark(self._cache)

    def close(self) -> None:
        """Let go of the cache and of the step, which refer back to this object: memory is free at
        once, not at the next garbage collection."""
        self._cache = self._empty = None
        del self.step

    def mark(self) -> CacheMark:
        """The present state of the cache."""
        return CacheMark(self._cache)

    def key_tensors(self) -> list[Any]:
        """The key tensors of the layers that hold some."""
        kept = [getattr(layer, "keys", None) for layer in self._cache.layers]
        return [keys for keys in kept if keys is not None]

    def slides(self) -> bool:
        """Whether a layer keeps a window of the context alone."""
        return any("Sliding" in type(layer).__name__ for layer in self._cache.layers)

    def accelerate(self, token: Any) -> None:
        """Make `step` the compiled or captured one. The cache must have room for one more token."""
        mode = self._loaded.compile_mode
        if mode == "compile":
            self.step = compiled_step(self.forward, token, self.mark())
        elif mode == "cuda_graph":
            self.step = CapturedStep(self.forward, token, self.mark())


def last_logits_only(model: Any) -> dict[str, int]:
    """`{"logits_to_keep": 1}` where the model's forward knows it, else nothing."""
    known = inspect.signature(model.forward).parameters
    return {"logits_to_keep": 1} if "logits_to_keep" in known else {}


def compiled_step(
    forward: Callable[[Any], Any], token: Any, mark: CacheMark
) -> Callable[[Any], Any]:
    """`forward` for one token through `torch.compile`, compiled before it returns.

    Earlier operations' code is dropped first: past `recompile_limit` shapes dynamo goes back to
    eager without an error, and the label would lie.
    """
    torch._dynamo.reset()
    step: Callable[[Any], Any] = torch.compile(forward, dynamic=False)
    for _ in range(2):
        step(token)
        mark.restore()
    return step


class CapturedStep:
    """One decode step captured as a CUDA graph, replayed on a fixed token buffer.

    Static caches of full attention only: a sliding layer counts its length on the host, which a
    replay does not run. Needs a GPU: exercised on an H100, and by no test on a machine without one.
    """

    def __init__(self, forward: Callable[[Any], Any], token: Any, mark: CacheMark) -> None:
        self._token = token.clone()
        self._graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose kernels and workspaces before the capture
            for _ in range(3):
                forward(self._token)
                mark.restore()
        torch.cuda.current_stream().wait_stream(side)
        try:
            with torch.cuda.graph(self._graph):
                self._token.copy_(forward(self._token))
        except RuntimeError as error:
            raise BackendError(
                "refused", "this decode step cannot be captured: it waits for the host"
            ) from error
        mark.restore()

    def __call__(self, token: Any) -> Any:
        """One replay; the returned buffer is overwritten by the next call."""
        if token is not self._token:
            self._token.copy_(token)
        self._graph.replay()
        return self._token


class PrefillOperation:
    """B prompts of p tokens in, B first tokens out."""

    def __init__(self, loaded: Loaded, prompt_tokens: int, batch: int) -> None:
        self.tokens_per_iteration = batch * prompt_tokens
        self.token: Any = None  #: result of the last iteration, shape (B, 1)
        self._stream = Stream(loaded, prompt_tokens)
        prompts = loaded.tokens(batch, prompt_tokens)
        self._stream.reserve(prompts[0])
        self._prompts = cycle(prompts)

    def run(self) -> None:
        """One prefill from an empty cache."""
        with torch.inference_mode(), typed_failures("prefill"):
            self._stream.restart()
            self.token = self._stream.forward(next(self._prompts))

    def close(self) -> None:
        """Free cache and prompts."""
        self._stream.close()
        del self._stream, self._prompts, self.token


class DecodeOperation:
    """n greedy steps of B sequences from a cache that holds c tokens."""

    def __init__(self, loaded: Loaded, context_tokens: int, steps: int, batch: int) -> None:
        self.tokens_per_iteration = batch * steps
        self.token: Any = None
        self._steps = steps
        self._stream = Stream(loaded, context_tokens + steps)
        self._stream.restart()
        self._stream.forward(loaded.tokens(batch, context_tokens)[0])
        self._mark = self._stream.mark()
        starts = loaded.tokens(batch, 1)
        self._stream.accelerate(starts[0])
        self._starts = cycle(starts)

    def run(self) -> None:
        """Back to c entries, then n steps, each fed with the token before."""
        with torch.inference_mode(), typed_failures("decode"):
            self._mark.restore()
            token = next(self._starts)
            for _ in range(self._steps):
                token = self._stream.step(token)
            self.token = token

    def close(self) -> None:
        """Free cache and tokens."""
        self._stream.close()
        del self._stream, self._mark, self._starts, self.token


class RequestOperation:
    """B whole requests: prefill of p tokens and o-1 decode steps."""

    def __init__(self, loaded: Loaded, prompt_tokens: int, output_tokens: int, batch: int) -> None:
        self.tokens_per_iteration = batch * (prompt_tokens + output_tokens)
        self.token: Any = None
        self._steps = output_tokens - 1
        self._stream = Stream(loaded, prompt_tokens + self._steps)
        prompts = loaded.tokens(batch, prompt_tokens)
        self._stream.reserve(prompts[0])
        if self._steps and loaded.compile_mode != "eager":
            self._stream.restart()
            self._stream.accelerate(self._stream.forward(prompts[0]))
        self._prompts = cycle(prompts)

    def run(self) -> None:
        """One request from an empty cache to its last token."""
        with torch.inference_mode(), typed_failures("request"):
            self._stream.restart()
            token = self._stream.forward(next(self._prompts))
            for _ in range(self._steps):
                token = self._stream.step(token)
            self.token = token

    def close(self) -> None:
        """Free cache and prompts."""
        self._stream.close()
        del self._stream, self._prompts, self.token


def positions_needed(phase: str, workload: Workload) -> int:
    """Positions of one sequence that the operation fills; BackendError `refused` for nonsense."""
    p, o, c = workload.prompt_tokens, workload.output_tokens, workload.context_tokens
    if workload.batch < 1 or (o or 0) < 1:
        raise BackendError("refused", f"batch and output must be at least 1: {workload.label()}")
    if phase == Phase.DECODE:
        if c is None or c < 1:
            raise BackendError(
                "refused", f"decode needs a context of at least 1: {workload.label()}"
            )
        return c + int(o or 0)
    if phase not in (Phase.PREFILL, Phase.E2E):
        raise BackendError("refused", f"no operation for phase {phase!r}")
    if p is None or p < 1:
        raise BackendError("refused", f"{phase} needs a prompt of at least 1: {workload.label()}")
    return p + (int(o or 0) - 1 if phase == Phase.E2E else 0)


def make_operation(loaded: Loaded, phase: str, workload: Workload) -> Operation:
    """The operation of a phase, allocated, and compiled or captured where asked."""
    batch, output = workload.batch, int(workload.output_tokens or 1)
    with torch.inference_mode(), typed_failures(f"preparing {phase} {workload.label()}"):
        if phase == Phase.DECODE:
            return DecodeOperation(loaded, int(workload.context_tokens or 0), output, batch)
        prompt = int(workload.prompt_tokens or 0)
        if phase == Phase.PREFILL:
            return PrefillOperation(loaded, prompt, batch)
        return RequestOperation(loaded, prompt, output, batch)
