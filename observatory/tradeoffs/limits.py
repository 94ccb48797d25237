"""What a service must hold: limits that a point must meet before it may stand on a frontier."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from observatory.tradeoffs.candidates import Candidate
from observatory.units import show

UNKNOWN, OVER = "is unknown, and limited", " is over "


@dataclass(frozen=True, slots=True)
class Limits:
    """What a point must meet before it may stand on the frontier. None: no limit.

    A point of which a limited quantity is unknown does not meet the limit, and says so.
    """

    max_ttft_s: float | None = None
    max_tpot_s: float | None = None
    max_memory_bytes: float | None = None
    max_cost: float | None = None


def beyond(candidate: Candidate, cost: float | None, limits: Limits) -> str | None:
    """Which limit a point does not meet, in words; None where it meets all."""
    checks = (
        ("TTFT", "ttft_s", candidate.ttft_s, limits.max_ttft_s),
        ("TPOT", "tpot_s", candidate.tpot_s, limits.max_tpot_s),
        ("memory", "memory_bytes", candidate.memory_bytes, limits.max_memory_bytes),
        ("cost", None, cost, limits.max_cost),
    )  # fmt: skip
    for name, quantity, value, limit in checks:
        if limit is not None and value is None:
            return f"its {name} {UNKNOWN}"
        if limit is not None and value is not None and value > limit:
            return f"{name} {_amount(value, quantity)}{OVER}{_amount(limit, quantity)}"
    return None


def none_meets(left_out: Iterable[tuple[str, str]]) -> str | None:
    """What to say where no point is left: the models that a limit left out; None where none did."""
    found = dict.fromkeys(
        f"{model}: {why}" for model, why in left_out if OVER in why or why.endswith(UNKNOWN)
    )
    return f"no model meets the limits: {'; '.join(list(found)[:4])}" if found else None


def _amount(value: float, quantity: str | None) -> str:
    return f"{value:.4g}" if quantity is None else show(value, quantity)
