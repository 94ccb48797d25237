"""Memory planner: what fits, how many sequences at once, and what swapping one out costs.

concurrency = (n·HBM·utilisation - weights) / KV(context) (METHOD §4); HBM in bytes = GiB·2³⁰.
The share of memory that a server may use defaults to 0.923, which reproduces the profiled capacity
of DistServe (METHOD §4); the rest holds activations, kernels and fragments. Where activations need
more than that reserve, the excess is taken from the cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.catalog.weights import weight_format
from observatory.errors import InputError
from observatory.runtime.roofline import kv_bytes_of

UTILISATION = 0.923
PREFILL_CHUNK = 8192  # tokens a server reads at once; longer prompts are read in pieces (ours)


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes over all devices together, and the sequences of one context that they hold.

    kv_copies: how often tensor parallelism stores the cache (n/K where n devices share K kv heads;
    a latent cache is kept whole on every device). switch_s: seconds to swap one sequence's cache
    out and another's in over PCIe; None where the device's PCIe rate is not known.
    """

    total_bytes: float
    usable_bytes: float
    weight_bytes: float
    activation_bytes: float
    kv_bytes_per_sequence: float
    kv_copies: float
    concurrency: int
    switch_s: float | None

    @property
    def free_bytes(self) -> float:
        """Bytes left for KV caches; negative where the weights do not fit."""
        reserve = self.total_bytes - self.usable_bytes
        return self.usable_bytes - self.weight_bytes - max(self.activation_bytes - reserve, 0.0)

    @property
    def fits(self) -> bool:
        """Whether the weights and one sequence fit."""
        return self.concurrency >= 1


def kv_copies(arch: Architecture, devices: int) -> float:
    """How often tensor parallelism over `devices` stores a token's cache."""
    heads = 1 if arch.mla else arch.kv_heads
    return max(devices / heads, 1.0)


def activation_bytes(arch: Architecture, tokens: float, sequences: float = 1) -> float:
    """Largest activations of a fused forward pass over `tokens`, over all devices together.

    Residual and normed input (2·d), the MLP's inner values (one more matrix than it maps back),
    16 bits each, and float32 logits of the last token of each sequence. An order of magnitude that
    depends on the server (ours).
    """
    inner = arch.intermediate
    if arch.moe:
        inner = max(arch.moe.top_k * arch.moe.expert_ff + arch.moe.shared_ff, inner)
    width = 2 * arch.hidden + (2 if arch.gated else 1) * inner
    return 2 * tokens * width + 4 * sequences * arch.vocab


def plan(
    arch: Architecture, hw: Hardware, context: float, devices: int = 1, dtype: str = "bf16",
    kv_dtype: str | None = None, utilisation: float = UTILISATION,
    pcie_bytes_per_s: float | None = None,
) -> MemoryPlan:  # fmt: skip
    """How `devices` devices hold the model and sequences of `context` tokens.

    pcie_bytes_per_s: per device, in place of the catalogue's. Raises InputError on a utilisation
    outside (0, 1] or fewer than one device or token.
    """
    if not 0 < utilisation <= 1:
        raise InputError(f"utilisation is {utilisation}; it must be above 0 and at most 1")
    if devices < 1 or context < 1:
        raise InputError(f"devices is {devices}, context {context}; both must be at least 1")
    weight_format(dtype)
    copies = kv_copies(arch, devices)
    each = copies * arch.kv_cache_bytes(context, kv_bytes_of(kv_dtype, dtype))
    total = devices * hw.memory_bytes
    rate = pcie_bytes_per_s or hw.pcie_bytes_per_s
    found = MemoryPlan(
        total_bytes=total,
        usable_bytes=total * utilisation,
        weight_bytes=arch.weight_bytes(dtype),
        activation_bytes=activation_bytes(arch, min(context, PREFILL_CHUNK)),
        kv_bytes_per_sequence=each,
        kv_copies=copies,
        concurrency=0,
        # Devices swap their shares at the same time, each over its own PCIe.
        switch_s=None if rate is None else 2 * each / (devices * rate),
    )
    count = max(math.floor(found.free_bytes / each), 0)
    return MemoryPlan(**{**found.__dict__, "concurrency": count})
