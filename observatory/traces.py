"""What a log of requests costs on every measured configuration, exactly and by its moments.

Time and joules of a request are linear in its steps and its context sum, and alpha is averaged over
the prompts; the means of prompt and output plugged in are shown beside them with their bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Engine

from observatory import answers
from observatory.answers import ENERGY_FITS, Estimate
from observatory.derive import plain_rows
from observatory.footprint import (
    EXAMPLE_ZONES,
    EnergyInput,
    FactorTable,
    Footprint,
    Scenario,
    footprints,
    load_factors,
)
from observatory.records import Workload
from observatory.runtime.fit import Fit
from observatory.runtime.requests import Requests, RequestsEstimate, estimate_requests


@dataclass(frozen=True)
class TraceEstimate:
    """The mean request of a trace on one measured configuration.

    `time` is in s; `energy` the same in J, of each component, divided by the batch; `footprints`
    bill the mean request. `error_rel` is the fit's own (`error_basis`).
    """

    model: str
    configuration: str
    configuration_key: str
    environment_key: str
    batch: int
    recipe: str
    error_rel: float | None
    error_basis: str
    time: RequestsEstimate
    accelerator_s: float
    energy: dict[str, RequestsEstimate]
    energy_reason: str | None
    energy_method: str | None
    energy_provenance: str | None
    energy_boundary: str | None
    footprints: tuple[Footprint, ...]

    @property
    def energy_j(self) -> float | None:
        """Joules of the mean request; None where no component was seen."""
        if not self.energy:
            return None
        return sum(part.exact_s for part in self.energy.values()) / self.batch

    @property
    def energy_plug_in_bias(self) -> float | None:
        """Relative error of the joules at mean prompt and mean output."""
        parts = self.energy.values()
        if not parts:
            return None
        return sum(p.plug_in_s for p in parts) / sum(p.exact_s for p in parts) - 1

    def to_json(self) -> dict[str, Any]:
        """Nested plain values; of the joules the mean, its total and its bias alone."""
        own = asdict(replace(self, footprints=(), energy={}))
        del own["energy"]
        n, joules = self.time.requests, self.energy_j
        return own | {
            "total_s": self.time.exact_s * n,
            "energy_j": joules,
            "energy_total_j": None if joules is None else joules * n,
            "energy_plug_in_bias": self.energy_plug_in_bias,
            "footprints": [made.to_json() for made in self.footprints],
        }


def estimate_trace(
    engine: Engine,
    requests: Requests,
    scenario: Scenario | None = None,
    model: str | None = None,
    batch: int = 1,
    factors: FactorTable | None = None,
) -> list[TraceEstimate]:
    """The trace on every measured configuration (of one model), fastest first.

    Requests of a batch are taken to be alike. Without a zone in `scenario` the mean request is
    billed in the example zones. Raises InputError where nothing was measured yet, UnknownNameError
    for a model without a fit.
    """
    prompt, output = (max(1, round(requests.mean(v))) for v in (requests.prompt, requests.output))
    bare = answers.energy_inputs(engine, Workload.request(prompt, output, batch), model)
    keys = sorted({e.configuration_key for e, _ in bare})
    laws: dict[tuple[str, str], dict[str, Fit]] = {}
    for row in plain_rows(answers.fits(engine, None, keys)):
        own = laws.setdefault((row["configuration_key"], row["environment_key"]), {})
        own[str(row["quantity"])] = Fit.from_json(row["parameters"])
    made = [
        _one(e, joules, laws[e.configuration_key, e.environment_key], requests)
        for e, joules in bare
    ]
    billed = _billed(made, scenario or Scenario(), factors or load_factors())
    return sorted(billed, key=lambda e: (e.time.exact_s, e.model, e.configuration_key))


def _one(
    e: Estimate, joules: EnergyInput, laws: dict[str, Fit], requests: Requests
) -> tuple[TraceEstimate, EnergyInput]:
    """The trace, and the joules of its mean request as they are billed."""
    time = estimate_requests(laws["runtime_s"], requests, e.batch)
    parts = {
        name: estimate_requests(laws[name], requests, e.batch)
        for name in ENERGY_FITS
        if name in laws
    }
    seen: dict[str, Any] = {
        name.removeprefix("energy_"): part.exact_s / e.batch for name, part in parts.items()
    }
    made = TraceEstimate(
        e.model, e.configuration, e.configuration_key, e.environment_key, e.batch, e.recipe,
        e.error_rel, e.error_basis, time, time.exact_s * joules.device_count, parts,
        e.energy_reason, e.energy_method, e.energy_provenance, e.energy_boundary, (),
    )  # fmt: skip
    return made, replace(
        joules, busy_s=time.exact_s, prompt_tokens=time.mean_prompt, output_tokens=time.mean_output,
        label=f"{e.configuration_key}/{e.environment_key}/trace", **seen,
    )  # fmt: skip


def _billed(
    made: Sequence[tuple[TraceEstimate, EnergyInput]], scenario: Scenario, table: FactorTable
) -> list[TraceEstimate]:
    stated = scenario.zone is not None or scenario.carbon_intensity_g_per_kwh is not None
    zones = [scenario] if stated else [replace(scenario, zone=zone) for zone in EXAMPLE_ZONES]
    columns = [footprints([joules for _, joules in made], each, table) for each in zones]
    return [
        replace(one, footprints=tuple(replace(column[i], example=not stated) for column in columns))
        for i, (one, _) in enumerate(made)
    ]
