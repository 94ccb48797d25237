"""The KV cache of an operation: made for a length, and set back to a marked state cheaply.

A dynamic layer never changes its tensors (each step concatenates into new ones), so its state is
the references it holds. A static layer writes into tensors of fixed address; positions beyond its
length are masked, so setting back the length is enough, except where a sliding window has moved
entries: those are copied back.

Sizes: a static cache gets exactly the positions of its workload, as `generate` does, because a
static step attends over every position there is. A tail that is never written would also stay on
the zero page.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

from runners.backends.base import BackendError

#: Layers whose state is understood here (subclasses add states of their own and are refused).
_DYNAMIC = ("DynamicLayer", "DynamicSlidingWindowLayer")
_STATIC = ("StaticLayer", "StaticSlidingWindowLayer")
_ABSENT = ("DummyLayer",)  # layers without attention


#: What the KV cache is called in a model's arguments and outputs, newest name first.
_NAMES = ("cache", "past_key_values")


def cache_name(model: Any) -> str:
    """The argument of `model.forward` that takes the cache: `cache` from transformers 5.24 on."""
    known = inspect.signature(model.forward).parameters
    return next((name for name in _NAMES if name in known), _NAMES[-1])


def returned_cache(output: Any) -> Any | None:
    """The cache that a forward pass returned; None where there is none."""
    return next((output[name] for name in _NAMES if name in output), None)


def new_cache(transformers: Any, config: Any, kind: str, positions: int) -> Any:
    """An empty cache: `dynamic`, or `static` with room for `positions` tokens."""
    if kind == "dynamic":
        return transformers.DynamicCache(config=config)
    return transformers.StaticCache(config=config, max_cache_len=positions)


def bytes_for(cache: Any, tokens: int, positions: int) -> int:
    """Bytes of K and V at `positions` tokens per sequence, scaled from a batch-1 cache of `tokens`.

    A sliding layer holds no more than its window.
    """
    total = 0
    for layer in cache.layers:
        if getattr(layer, "keys", None) is None:
            continue
        per_token = (layer.keys.nbytes + layer.values.nbytes) / tokens
        window = getattr(layer, "sliding_window", None) or positions
        total += int(per_token * min(positions, window))
    return total


class CacheMark:
    """The state of a cache at one moment; `restore` brings it back, any number of times."""

    def __init__(self, cache: Any) -> None:
        self._layers = [_LayerMark(layer) for layer in cache.layers]

    def restore(self) -> None:
        """Set every layer back. Launches a copy per static layer, allocates nothing."""
        for layer in self._layers:
            layer.restore()


class _LayerMark:
    """One layer: `held` is put back by reference, `copied` into the tensor that is there."""

    def __init__(self, layer: Any) -> None:
        kind = type(layer).__name__
        if kind not in (*_DYNAMIC, *_STATIC, *_ABSENT):
            raise BackendError(
                "refused", f"a cache of {kind} cannot be set back: decode is not measured for it"
            )
        self._layer = layer
        self._held = dict(vars(layer))
        self._copied: list[tuple[Any, Any]] = []
        if kind in _STATIC:
            moved = kind == "StaticSlidingWindowLayer"
            for name, value in vars(layer).items():
                if isinstance(value, torch.Tensor) and (moved or name not in ("keys", "values")):
                    self._copied.append((value, value.clone()))

    def restore(self) -> None:
        vars(self._layer).update(self._held)
        for target, saved in self._copied:
            target.copy_(saved)
