"""Making reported facts: what several quantities of one row have in common is said once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from typing import Any

from observatory.importers.reading import MAX_INTEGER, RowError
from observatory.records import Reported

MS, US, NS = 1e-3, 1e-6, 1e-9
MIB, MB = 2.0**20, 1e6
J_PER_KWH = 3.6e6
UNIT_OF = {
    "_j": "J", "_w": "W", "_s": "s", "_bytes": "B", "_usd": "USD", "_usd_per_mtok": "USD/Mtoken",
}  # fmt: skip
#: quantities that end like a unit they do not have
RATES = {
    "tokens_per_s": "token/s", "total_tokens_per_s": "token/s", "images_per_s": "image/s",
    "samples_per_s": "sample/s",
    "queries_per_s": "query/s", "requests_per_s": "request/s",
}  # fmt: skip


@lru_cache(maxsize=4096)
def unit_of(quantity: str) -> str:
    """The SI unit that a quantity's name ends with; '1' for a plain number."""
    if quantity in RATES:
        return RATES[quantity]
    ends = [end for end in UNIT_OF if quantity.endswith(end)]
    return UNIT_OF[max(ends, key=len)] if ends else "1"


@dataclass(frozen=True, slots=True)
class Common:
    """What all values of one row share; see `Reported` for the meaning of each field."""

    row: str
    model_name: str
    phase: str
    work_unit: str = "token"
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
    n: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def fact(
        self,
        quantity: str,
        value: float | None,
        per: str = "request",
        std: float | None = None,
        reason: str | None = None,
        phase: str | None = None,
    ) -> Reported:
        """One value of this row. Boundary and method are kept for energy and power alone.

        Raises RowError for a number that no store holds: what a reader computes from good numbers
        (watts over a rate, devices of a product) may still overflow.
        """
        if not isfinite(value or 0.0) or not isfinite(std or 0.0):
            raise RowError(f"{quantity} is {value}, its spread {std}: not finite numbers")
        if (self.device_count or 0) > MAX_INTEGER or (self.n or 0) > MAX_INTEGER:
            raise RowError(f"a count of {float(self.device_count or self.n or 0):g} is no count")
        joules = quantity.startswith(("energy", "power"))
        return Reported(
            self.row, self.model_name, phase or self.phase, quantity, value, unit_of(quantity),
            self.work_unit, per, self.prompt_tokens, self.output_tokens, self.batch,
            self.device_kind, self.device_count, self.dtype, self.quantization, self.backend,
            self.boundary if joules else None, self.method if joules else None, std, self.n, reason,
            self.extra,
        )  # fmt: skip

    def facts(self, values: Mapping[str, tuple[float | None, str]]) -> tuple[Reported, ...]:
        """Facts of quantity -> (value, per); a missing value makes none. Raises RowError without
        any value: such a row says nothing."""
        made = tuple(self.fact(q, v, per) for q, (v, per) in values.items() if v is not None)
        if not made:
            raise RowError("holds none of the values that this reader knows")
        return made
