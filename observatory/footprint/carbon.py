"""Operational carbon and embodied carbon: formulas on plain values or arrays."""

from __future__ import annotations

from observatory.footprint.energy import J_PER_KWH, Value

S_PER_YEAR = 31_536_000.0  #: 365 days, as in EcoLogits


def operational_g(energy_j: Value, intensity_g_per_kwh: Value) -> Value:
    """gCO2e of `energy_j` joules at the boundary: E * CI."""
    return energy_j / J_PER_KWH * intensity_g_per_kwh


def embodied_g(
    embodied_kg: Value, device_s: float, lifetime_years: Value, active_share: Value
) -> Value:
    """gCO2e of manufacture charged to `device_s` device-seconds of use.

    `EF * t / (life * active share)`: dividing by the active share charges idle time to the
    requests, so idle time must not be charged again.
    """
    return embodied_kg * 1e3 * device_s / (lifetime_years * S_PER_YEAR * active_share)
