"""How much memory a configuration will need, before anything is loaded.

An estimate, and called one: weights and KV cache are exact, what a forward pass holds beside them
is a bound on the largest tensors that live at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from observatory.catalog.architecture import Architecture
from observatory.units import show
from runners.plan import Point, Target

#: Bytes of one element.
DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

#: Libraries, code and allocator beside the model, in the measured process.
RUNTIME_BYTES = {"cpu": 600 * 2**20, "cuda": 700 * 2**20}


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes at the peak, by part."""

    weights: int
    kv_cache: int
    activations: int
    runtime: int

    @property
    def total(self) -> int:
        """All parts together."""
        return self.weights + self.kv_cache + self.activations + self.runtime

    def sentence(self, available: int) -> str:
        """What is needed, of what, and how much there is."""
        parts = ("weights", self.weights), ("KV cache", self.kv_cache), (
            "activations", self.activations,
        )  # fmt: skip
        listed = " + ".join(f"{name} {_show(value)}" for name, value in parts)
        return f"estimated need {_show(self.total)} ({listed}), available {_show(available)}"


def _show(value: int) -> str:
    return show(float(value), "memory_bytes")


def estimate(architecture: Architecture, target: Target, point: Point | None) -> MemoryEstimate:
    """Peak memory of one point; without a point, of the loaded model alone.

    Activations of a pass over T tokens: the residual stream and a block's projections (6 d + 3 f
    values a token), the scores of one layer where attention is eager (4 bytes for each of H p² per
    sequence), and the logits of the last tokens in 4 bytes.
    """
    width = DTYPE_BYTES[target.dtype]
    kv = activations = 0
    if point is not None:
        work = point.workload
        batch, prompt = work.batch, work.prompt_tokens or work.context_tokens or 1
        kv = round(batch * architecture.kv_cache_bytes(max(1, point.longest_context), width))
        a = architecture
        per_token = (6 * a.hidden + 3 * a.intermediate) * width
        activations = batch * prompt * per_token + batch * a.vocab * 4
        if target.attention == "eager":
            activations += batch * a.heads * prompt**2 * 4
    kind = target.device.partition(":")[0]
    weights = architecture.parameters * width
    return MemoryEstimate(weights, kv, activations, RUNTIME_BYTES.get(kind, RUNTIME_BYTES["cpu"]))


def refusal(
    architecture: Architecture, target: Target, point: Point | None, available: int | None
) -> str | None:
    """Why the point cannot be run, with the estimate; None where it fits or nobody knows."""
    if available is None:
        return None
    needed = estimate(architecture, target, point)
    if needed.total <= available:
        return None
    return f"not enough memory: {needed.sentence(available)}"
