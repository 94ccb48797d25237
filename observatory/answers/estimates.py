"""One request on one measured configuration, as a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from observatory.footprint import Footprint


@dataclass(frozen=True, slots=True)
class Estimate:
    """One request on one measured configuration: time, joules and bills, and how sure they are.

    `runtime_low_s` and `runtime_high_s` widen the prediction by the factor 1 + `error_rel`: its
    90th-percentile held-out error, or what stands in for it (`error_basis`). Joules are per
    request, the batch's divided by B. `footprints` holds one entry, or one for each example zone
    where no zone was given. `precision` is the number format of the weights; `capability` is a
    score in words, with its lane and what it is not.
    """

    model: str
    configuration: str
    configuration_key: str
    environment_key: str
    device: str
    weights: str
    precision: str
    prompt_tokens: int
    output_tokens: int
    batch: int
    runtime_s: float
    runtime_low_s: float | None
    runtime_high_s: float | None
    ttft_s: float
    tpot_s: float | None
    prefill_s: float
    decode_s: float
    error_rel: float | None
    error_basis: str
    between_process_rel: float | None
    extrapolated: bool
    extrapolation: str | None
    recipe: str
    roofline_s: float | None
    roofline_bound: str | None
    roofline_hardware: str | None
    accelerator_s: float
    energy_j: float | None
    energy_reason: str | None
    energy_method: str | None
    energy_provenance: str | None
    energy_boundary: str | None
    footprints: tuple[Footprint, ...]
    capability: str | None

    @property
    def roofline_ratio(self) -> float | None:
        """Roofline over idealized runtime: 1 would be the best the hardware can do."""
        return None if self.roofline_s is None else self.roofline_s / self.runtime_s

    def rows(self) -> list[dict[str, Any]]:
        """Flat rows for a table, one for each scenario; bills as value, `_low` and `_high`."""
        own = asdict(replace(self, footprints=())) | {"roofline_ratio": self.roofline_ratio}
        own.pop("footprints")
        if not self.footprints:
            return [own]
        kept = ("method", "provenance")
        return [
            own | {f"footprint_{k}" if k in kept else k: v for k, v in made.row().items()}
            for made in self.footprints
        ]

    def to_json(self) -> dict[str, Any]:
        """Nested plain values."""
        own = asdict(replace(self, footprints=())) | {"roofline_ratio": self.roofline_ratio}
        return own | {"footprints": [made.to_json() for made in self.footprints]}


def estimate_frame(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """Estimates as a flat table, one row for each configuration and zone."""
    return pd.DataFrame([row for e in estimates for row in e.rows()])
