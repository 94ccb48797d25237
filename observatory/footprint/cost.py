"""Money three ways: own hardware and electricity, rented accelerators, a provider's list price."""

from __future__ import annotations

from observatory.footprint.carbon import S_PER_YEAR
from observatory.footprint.energy import J_PER_KWH, Value

BASES = ("own", "cloud", "api", "electricity")


def electricity_usd(energy_j: Value, tariff_usd_per_kwh: Value) -> Value:
    """Electricity at the boundary times its tariff."""
    return energy_j / J_PER_KWH * tariff_usd_per_kwh


def amortised_usd(
    capex_usd: Value, device_s: float, lifetime_years: Value, active_share: Value
) -> Value:
    """Purchase price of one device charged to `device_s` device-seconds of use."""
    return capex_usd * device_s / (lifetime_years * S_PER_YEAR * active_share)


def rented_usd(price_usd_per_h: Value, device_s: float) -> Value:
    """Device-hours times the price of one device for an hour."""
    return price_usd_per_h * device_s / 3600.0


def break_even_active_share(
    capex_usd: float, lifetime_years: float, price_usd_per_h: float, power_usd_per_h: float
) -> float | None:
    """Active share above which an own device is cheaper than a rented one; None if it never is.

    Solves `capex/(life u) + power = price` for u; `power_usd_per_h` is the electricity of one
    device-hour of use. A share above 1 cannot be reached.
    """
    margin = price_usd_per_h - power_usd_per_h
    if margin <= 0:
        return None
    share = capex_usd * 3600.0 / (lifetime_years * S_PER_YEAR * margin)
    return share if share <= 1 else None


def api_usd(
    prompt_tokens: Value,
    output_tokens: Value,
    input_usd_per_mtok: float,
    output_usd_per_mtok: float,
) -> Value:
    """Tokens times list prices per million tokens."""
    return (prompt_tokens * input_usd_per_mtok + output_tokens * output_usd_per_mtok) / 1e6
