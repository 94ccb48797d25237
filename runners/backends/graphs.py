"""Whether decode steps can be captured as a CUDA graph here: tried at load, on a few tokens.

A capture can fail (a step that waits for the host, as many mixtures of experts do), and it can seem
to succeed and be wrong (a length counted on the host stands still in a replay). Either way decode
runs eagerly over a dynamic cache, as `generate` does, and the reason is kept with the run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from observatory.records import CellStatus
from runners.backends.base import BackendError
from runners.backends.failures import first_line, typed_failures
from runners.backends.operations import Loaded, Stream

CONTEXT, STEPS = 8, 3
#: Captured and eager steps run the same kernels; two roundings of bfloat16 apart is still the same.
CLOSE = 2e-2
#: How a capture, or a static cache that the model does not know, fails.
UNABLE = (RuntimeError, ValueError, TypeError, AttributeError)


def settle(loaded: Loaded) -> tuple[Loaded, str | None]:
    """How decode will run: `loaded` as it is, or eager with a dynamic cache, and why.

    Raises BackendError `oom` where there is no memory for the trial.
    """
    if loaded.compile_mode != "cuda_graph":
        return loaded, None
    try:
        with torch.inference_mode(), typed_failures("trying a CUDA graph"):
            reason = _fault(loaded)
    except BackendError as error:
        if error.status == CellStatus.OOM:
            raise
        reason = str(error)
    except UNABLE as error:
        reason = first_line(error)
    if reason is None:
        return loaded, None
    plain = replace(loaded, compile_mode="eager", kv_cache="dynamic")
    return plain, f"cuda_graph fell back to eager with a dynamic cache: {reason}"


def _fault(loaded: Loaded) -> str | None:
    """Why captured steps are not to be trusted; None where they fill the cache as eager ones do."""
    stream = Stream(loaded, CONTEXT + STEPS)
    try:
        tokens = loaded.tokens(1, CONTEXT + STEPS)[0]
        stream.restart()
        stream.forward(tokens[:, :CONTEXT])
        if stream.slides():
            return "a sliding layer counts its length on the host, which a replay does not run"
        mark = stream.mark()
        stream.accelerate(tokens[:, :1])
        captured = _fill(stream, stream.step, tokens)
        mark.restore()
        for keys in stream.key_tensors():
            keys[..., CONTEXT:, :].zero_()
        plain = _fill(stream, stream.forward, tokens)
    finally:
        stream.close()
    same = all(
        torch.allclose(a.float(), b.float(), rtol=CLOSE, atol=CLOSE)
        for a, b in zip(captured, plain, strict=True)
    )
    return None if same else "replayed steps fill the cache otherwise than eager ones"


def _fill(stream: Stream, step: Any, tokens: Any) -> list[Any]:
    """Run STEPS steps on given tokens; copies of every layer's keys afterwards."""
    for i in range(CONTEXT, CONTEXT + STEPS):
        step(tokens[:, i : i + 1])
    return [keys.clone() for keys in stream.key_tensors()]
