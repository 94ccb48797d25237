"""Other people's arithmetic, reproduced so that a paper can be checked and a difference explained.

Each mode computes what its source computes, constants included, and says in one sentence where it
departs from ours. None of them is used for a bill. Units: kWh, kg, L as in the sources' outputs
converted to Wh, g, L.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from observatory.errors import InputError, UnknownNameError

DEPARTURES = {
    "li-2023": (
        "It bills point values without intervals or embodied carbon; its water arithmetic, with "
        "WUE on IT energy and EWIF on facility energy, is ours."
    ),
    "jegham-2025": (
        "It estimates energy from public latency and a share of nameplate power instead of "
        "measuring it, and never counts embodied carbon; its water arithmetic is ours."
    ),
    "ecologits-0.11.3": (
        "It predicts energy from parameter counts at a fixed batch of 64 and amortises hardware "
        "over three years of constant use, where ours takes measured joules and an active share."
    ),
    "codecarbon-3.3.2": (
        "It multiplies on-site WUE, which is per kWh of IT energy, by PUE as well, and bills no "
        "off-site water."
    ),
}


@dataclass(frozen=True, slots=True)
class CompatResult:
    """What a tool or paper would print. None where it does not compute that quantity."""

    mode: str
    energy_wh: float  #: at the boundary the source reports
    co2e_operational_g: float | None = None
    co2e_embodied_g: float | None = None
    water_on_site_l: float | None = None
    water_off_site_l: float | None = None
    runtime_s: float | None = None

    @property
    def water_l(self) -> float | None:
        """Sum of the parts that the source has."""
        parts = [w for w in (self.water_on_site_l, self.water_off_site_l) if w is not None]
        return sum(parts) if parts else None

    @property
    def departure(self) -> str:
        """One sentence on where the mode departs from ours."""
        return DEPARTURES[self.mode]


def departure(mode: str) -> str:
    """The sentence of a mode. Raises UnknownNameError."""
    if mode not in DEPARTURES:
        raise UnknownNameError("compat mode", mode, list(DEPARTURES))
    return DEPARTURES[mode]


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} = {value!r}: needs a finite number, zero or more")


def li_2023(
    it_energy_kwh: float,
    pue: float,
    wue_l_per_kwh: float,
    ewif_l_per_kwh: float,
    carbon_intensity_g_per_kwh: float | None = None,
) -> CompatResult:
    """Li et al., arXiv 2304.03271v5: `e * (WUE + PUE * EWIF)`."""
    _positive(it_energy_kwh=it_energy_kwh, pue=pue, wue=wue_l_per_kwh, ewif=ewif_l_per_kwh)
    facility_kwh = it_energy_kwh * pue
    intensity = carbon_intensity_g_per_kwh
    return CompatResult(
        "li-2023",
        facility_kwh * 1e3,
        None if intensity is None else facility_kwh * intensity,
        water_on_site_l=it_energy_kwh * wue_l_per_kwh,
        water_off_site_l=facility_kwh * ewif_l_per_kwh,
    )


def jegham_2025(
    output_tokens: float,
    tokens_per_s: float,
    ttft_s: float,
    power_kw: float,
    pue: float,
    wue_l_per_kwh: float,
    ewif_l_per_kwh: float,
    carbon_intensity_kg_per_kwh: float,
) -> CompatResult:
    """Jegham et al., arXiv 2505.09598: `E = (o/TPS + TTFT)/3600 * kW * PUE` (facility kWh),
    `W = E/PUE * WUE + E * EWIF`, `C = E * CI`. `power_kw` is the power charged to the request; the
    published table takes the mean of the low and high power of the hardware class."""
    _positive(output_tokens=output_tokens, ttft_s=ttft_s, power_kw=power_kw)
    if not tokens_per_s > 0:
        raise InputError(f"tokens_per_s = {tokens_per_s!r}: must be above 0")
    return jegham_2025_from_time(
        output_tokens / tokens_per_s + ttft_s,
        power_kw,
        pue,
        wue_l_per_kwh,
        ewif_l_per_kwh,
        carbon_intensity_kg_per_kwh,
    )


def jegham_2025_from_time(
    runtime_s: float,
    power_kw: float,
    pue: float,
    wue_l_per_kwh: float,
    ewif_l_per_kwh: float,
    carbon_intensity_kg_per_kwh: float,
) -> CompatResult:
    """The same equations from a total time."""
    facility_kwh = runtime_s / 3600 * power_kw * pue
    return CompatResult(
        "jegham-2025",
        facility_kwh * 1e3,
        facility_kwh * carbon_intensity_kg_per_kwh * 1e3,
        water_on_site_l=facility_kwh / pue * wue_l_per_kwh,
        water_off_site_l=facility_kwh * ewif_l_per_kwh,
        runtime_s=runtime_s,
    )


# constants of EcoLogits 0.11.3 (impacts/llm.py); parameters in 1e9
_BATCH = 64
_WH_PER_TOKEN = (1.1665273170451914e-06, -0.011205921025579175, 4.052928146734005e-05)
_S_PER_TOKEN = (0.0006785088094353663, 0.0003119310311688259, 0.019473717579473387)
_GPU_GB, _OVERHEAD, _BITS = 80.0, 1.2, 16.0
_SERVER_KW, _SERVER_GPUS = 1.2, 8
_SERVER_KG, _GPU_KG, _LIFE_S = 5700.0, 273.0, 3 * 31_536_000.0


def ecologits_0_11_3(
    active_params_b: float,
    total_params_b: float,
    output_tokens: float,
    carbon_intensity_kg_per_kwh: float,
    ewif_l_per_kwh: float,
    pue: float,
    wue_l_per_kwh: float,
) -> CompatResult:
    """EcoLogits 0.11.3: regression of energy and latency on active parameters at batch 64."""
    _positive(active=active_params_b, total=total_params_b, tokens=output_tokens)
    slope, decay, base = _WH_PER_TOKEN
    gpu_kwh = output_tokens * (slope * math.exp(decay * _BATCH) * active_params_b + base) / 1e3
    per_active, per_batch, constant = _S_PER_TOKEN
    runtime_s = output_tokens * (per_active * active_params_b + per_batch * _BATCH + constant)
    memory_gb = _OVERHEAD * total_params_b * _BITS / 8
    gpus = 2 ** math.ceil(math.log2(math.ceil(memory_gb / _GPU_GB))) if memory_gb > 0 else 1
    server_kwh = runtime_s / 3600 * _SERVER_KW * gpus / _SERVER_GPUS / _BATCH
    it_kwh = server_kwh + gpus * gpu_kwh
    embodied_kg = (
        runtime_s / (_BATCH * _LIFE_S) * (gpus / _SERVER_GPUS * _SERVER_KG + gpus * _GPU_KG)
    )
    facility_kwh = pue * it_kwh
    return CompatResult(
        "ecologits-0.11.3",
        facility_kwh * 1e3,
        facility_kwh * carbon_intensity_kg_per_kwh * 1e3,
        embodied_kg * 1e3,
        water_on_site_l=it_kwh * wue_l_per_kwh,
        water_off_site_l=facility_kwh * ewif_l_per_kwh,
        runtime_s=runtime_s,
    )


def codecarbon_3_3_2(
    it_energy_kwh: float, pue: float, wue_l_per_kwh: float, carbon_intensity_g_per_kwh: float
) -> CompatResult:
    """CodeCarbon 3.3.2: energy, carbon and water all after PUE: `W = PUE * e * WUE`."""
    _positive(it_energy_kwh=it_energy_kwh, pue=pue, wue=wue_l_per_kwh)
    kwh = pue * it_energy_kwh
    return CompatResult(
        "codecarbon-3.3.2",
        kwh * 1e3,
        kwh * carbon_intensity_g_per_kwh,
        water_on_site_l=kwh * wue_l_per_kwh,
    )
