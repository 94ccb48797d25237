"""Intervals: closed forms, common random numbers, determinism, and what shares what."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from observatory.footprint import EnergyInput, Scenario, footprint, footprints
from observatory.footprint.comparison import Case, case_draws, compare
from observatory.footprint.factors import Factor, load_factors
from observatory.footprint.uncertainty import (
    LEAST_P5,
    Z95,
    _cached,
    busy_draws,
    compare_draws,
    draws_of,
    normals,
    quantiles,
    repeat_draws,
    sensor_draws,
    variance_shares,
)


def _factor(name: str, value: float, gsd: float) -> Factor:
    return Factor("ewif.test", name, value, "L/kWh", "synthetic", "user",
                  low=value * gsd**-Z95, high=value * gsd**Z95, verified=True)  # fmt: skip


@pytest.mark.parametrize(("n", "seeds"), [(10_000, range(5)), (1_000_000, range(1))])
def test_products_of_log_normals_have_their_closed_form(n: int, seeds: range) -> None:
    gsds = {"a": 1.1, "b": 2.0, "c": 1.4}
    sigma = math.sqrt(sum(math.log(g) ** 2 for g in gsds.values()))
    closed = sigma * Z95  # ln p95 of the product of medians 1
    density = math.exp(-(Z95**2) / 2) / math.sqrt(2 * math.pi) / sigma  # of ln Y at its p95
    error = math.sqrt(0.05 * 0.95 / n) / density
    for seed in seeds:
        product = np.ones(n)
        for name, gsd in gsds.items():
            product = product * draws_of(_factor(name, 1.0, gsd), n, seed)
        low, mid, high = quantiles(product[None, :].copy())[:, 0]
        assert abs(math.log(high) - closed) <= 4 * error
        assert abs(math.log(low) + closed) <= 4 * error
        if n == 1_000_000:
            assert abs(math.log(high) - closed) <= 0.01 * closed
            assert abs(math.log(mid)) <= 0.01


def test_low_and_high_are_p5_and_p95_on_either_side() -> None:
    lopsided = Factor("wue", "x", 0.5, "L/kWh", "synthetic", "user", low=0.4, high=2.0)
    low, mid, high = quantiles(np.array(draws_of(lopsided, 20_000))[None, :])[:, 0]
    assert (low, mid, high) == pytest.approx((0.4, 0.5, 2.0), rel=2e-3)


def test_quantiles_agree_with_numpy() -> None:
    rows = np.random.default_rng(0).normal(size=(7, 1234))
    assert np.allclose(quantiles(rows.copy()), np.quantile(rows, [0.05, 0.5, 0.95], axis=1))


def test_pue_never_falls_below_one_and_shares_never_exceed_one() -> None:
    pue = Factor("pue", "x", 1.02, "1", "synthetic", "user", evidence="assumed")
    assert np.min(draws_of(pue)) > 1
    share = Factor("active_share", "x", 0.7, "1", "synthetic", "user", low=0.5, high=1.0)
    assert np.max(draws_of(share)) <= 1


def test_draws_belong_to_a_name() -> None:
    assert np.array_equal(normals("pue:industry"), normals("pue:industry"))
    assert not np.array_equal(normals("pue:industry"), normals("wue:industry"))
    assert not np.array_equal(normals("a", seed=0), normals("a", seed=1))
    assert abs(np.corrcoef(normals("a"), normals("b"))[0, 1]) < 0.05
    assert normals("a").mean() == pytest.approx(0, abs=1e-12)


def _bytes(seed: int) -> str:
    energies = [EnergyInput(device_j=100.0 + i, label=str(i), repeat_rel_std=0.02)
                for i in range(70)]  # fmt: skip
    made = footprints(energies, Scenario(zone="FRA", seed=seed))
    text = json.dumps([m.to_json() for m in made], allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_same_seed_gives_the_same_bytes() -> None:
    _cached.cache_clear()
    first = _bytes(0)
    _cached.cache_clear()
    assert _bytes(0) == first
    assert _bytes(1) != first


def test_a_ten_percent_saving_is_decided_with_shared_draws() -> None:
    """METHOD §6: shared PUE, intensity and sensor gain cancel in the ratio."""
    scenario = Scenario(zone="USA")
    a = EnergyInput(
        device_j=100.0, host_j=0.0, idle_j=0.0, repeat_rel_std=0.01, label="a", card="x"
    )
    b = EnergyInput(device_j=90.0, host_j=0.0, idle_j=0.0, repeat_rel_std=0.01, label="b", card="x")
    change = compare(Case("a", a, scenario), Case("b", b, scenario))
    carbon = next(s for s in change.statements if s.quantity == "co2e_operational_g")
    assert carbon.verdict == "B is lower"
    shared = carbon.comparison
    assert 0.87 < shared.ratio_low < shared.ratio_high < 0.93

    # the same two with draws of their own: another seed for B
    table = load_factors()
    own_a = case_draws(a, scenario, table)["co2e_operational_g"]
    own_b = case_draws(b, Scenario(zone="USA", seed=1), table)["co2e_operational_g"]
    independent = compare_draws(own_b, own_a)
    assert independent.verdict == "undecided"
    band = math.log(shared.ratio_high / shared.ratio_low)
    assert math.log(independent.ratio_high / independent.ratio_low) >= 3 * band


def test_two_cards_do_not_share_their_gain() -> None:
    one, same, other = (EnergyInput(device_j=1.0, card=c) for c in ("u1", "u1", "u2"))
    assert np.array_equal(sensor_draws(one), sensor_draws(same))
    assert not np.array_equal(sensor_draws(one), sensor_draws(other))
    assert np.std(sensor_draws(one)) == pytest.approx(0.055, rel=0.01)
    guess = sensor_draws(EnergyInput(device_j=1.0, provenance="estimated"))
    assert np.std(np.log(guess)) == pytest.approx(math.log(2), rel=0.01)


def test_repeatability_has_median_one() -> None:
    draws = repeat_draws(EnergyInput(device_j=1.0, repeat_rel_std=0.1))
    assert np.median(draws) == pytest.approx(1, abs=1e-4)
    assert repeat_draws(EnergyInput(device_j=1.0)) == 1.0


H100 = "NVIDIA H100 80GB HBM3"


def test_rented_time_has_the_interval_of_the_time() -> None:
    """A stated price is exact, so that money is the runtime's interval times the price."""
    energy = EnergyInput(device_j=100.0, busy_s=36.0, busy_error_rel=0.55, repeat_rel_std=0.4)
    bill = footprint(energy, Scenario(zone="FRA", gpu_price_usd_per_h=100.0)).cost_usd
    assert (bill.low, bill.value, bill.high) == pytest.approx((0.45, 1.0, 1.55), abs=2e-3)
    exact = replace(energy, busy_error_rel=None)
    bill = footprint(exact, Scenario(zone="FRA", gpu_price_usd_per_h=100.0)).cost_usd
    assert bill.low == bill.value == bill.high


def test_a_time_that_may_be_off_by_more_than_itself_stays_above_zero() -> None:
    draws = busy_draws(EnergyInput(busy_s=1.0, busy_error_rel=1.4))
    low, mid, high = quantiles(np.array(draws)[None, :])[:, 0]
    assert (low, mid, high) == pytest.approx((LEAST_P5, 1.0, 2.4), rel=0.01)
    assert np.min(draws) > 0


def test_embodied_carbon_and_money_share_the_error_of_the_runtime() -> None:
    energy = EnergyInput(
        device_j=100.0, busy_s=1.0, busy_error_rel=0.3, repeat_rel_std=0.2, device=H100, label="a"
    )
    scenario, table = Scenario(zone="FRA", gpu_price_usd_per_h=3.0), load_factors()
    drawn = case_draws(energy, scenario, table, "cloud")
    exact = case_draws(replace(energy, busy_error_rel=None), scenario, table, "cloud")
    ratio = {name: drawn[name] / exact[name] for name in ("co2e_embodied_g", "cost_usd")}
    assert np.allclose(ratio["cost_usd"], busy_draws(energy))
    assert np.allclose(ratio["co2e_embodied_g"], ratio["cost_usd"])
    assert np.array_equal(drawn["energy_wh"], exact["energy_wh"])
    # a fit that is slow is also hungry: its joules err the same way (docs/footprint.md)
    own = repeat_draws(energy)
    assert np.corrcoef(np.log(own), np.log(ratio["cost_usd"]))[0, 1] > 0.97


def test_money_of_two_rows_is_as_undecided_as_their_runtimes() -> None:
    scenario = Scenario(zone="FRA", gpu_price_usd_per_h=3.0)
    fast = EnergyInput(device_j=1.0, busy_s=1.0, busy_error_rel=0.5, device=H100, label="fast")
    slow = replace(fast, busy_s=1.3, label="slow")
    change = compare(Case("fast", fast, scenario), Case("slow", slow, scenario))
    verdicts = {s.quantity: s.verdict for s in change.statements}
    assert verdicts["cost_usd"] == verdicts["co2e_embodied_g"] == "undecided"
    sure = [replace(e, busy_error_rel=0.02) for e in (fast, slow)]
    change = compare(Case("fast", sure[0], scenario), Case("slow", sure[1], scenario))
    verdicts = {s.quantity: s.verdict for s in change.statements}
    assert verdicts["cost_usd"] == verdicts["co2e_embodied_g"] == "A is lower"


def test_the_error_of_the_runtime_is_among_the_inputs_and_the_layers() -> None:
    energy = EnergyInput(device_j=1.0, busy_s=1.0, busy_error_rel=0.4, device=H100, label="a")
    made = footprint(energy, Scenario(zone="FRA", gpu_price_usd_per_h=3.0))
    name, share = made.variance_shares["cost_usd"][0]
    assert name == "error of runtime and joules" and share == pytest.approx(1.0)
    assert name in dict(made.variance_shares["co2e_embodied_g"])
    assert dict(made.variance_shares["energy_wh"]).get(name, 0.0) < 0.01  # its joules are exact
    low, high = made.layers["cost_usd.repeatability"]
    assert (low, high) == pytest.approx((made.cost_usd.low, made.cost_usd.high))
    low, high = made.layers["cost_usd.systematic"]
    assert low == high == made.cost_usd.value
    blind = replace(energy, device_j=None, reasons={"device": "no sensor"})
    alone = footprint(blind, Scenario(zone="FRA", gpu_price_usd_per_h=3.0))
    assert alone.energy_wh.value is None and alone.variance_shares["cost_usd"][0][0] == name


def test_an_unknown_error_of_the_runtime_is_said() -> None:
    energy = EnergyInput(device_j=1.0, busy_s=1.0, reasons={"busy_error_rel": "one point"})
    (note,) = [n for n in footprint(energy, Scenario(gpu_price_usd_per_h=3.0, pue=1.1)).notes
               if "runtime" in n]  # fmt: skip
    assert note == "embodied carbon and money leave out the error of the runtime (one point)"
    assert not any("runtime" in n for n in footprint(energy, Scenario(zone="FRA")).notes)


def test_layers_are_kept_apart() -> None:
    energy = EnergyInput(device_j=100.0, host_j=0.0, idle_j=0.0, repeat_rel_std=0.02)
    made = footprint(energy, Scenario(zone="FRA", pue=1.1))
    repeat = made.layers["energy_wh.repeatability"]
    shared = made.layers["energy_wh.systematic"]
    assert math.log(repeat[1] / repeat[0]) == pytest.approx(2 * Z95 * 0.02, rel=0.02)
    assert math.log(shared[1] / shared[0]) == pytest.approx(2 * Z95 * 0.055, rel=0.02)
    assert made.energy_wh.low is not None
    assert made.energy_wh.low < min(repeat[0], shared[0])


def test_stated_numbers_have_no_spread() -> None:
    from observatory.footprint.matrix import stated_energy

    scenario = Scenario(pue=1.17, wue_l_per_kwh=0.55, ewif_l_per_kwh=3.142,
                        carbon_intensity_g_per_kwh=367.0)  # fmt: skip
    made = footprint(stated_energy(4.0), scenario)
    for name in ("energy_wh", "co2e_operational_g", "water_l"):
        bill = getattr(made, name)
        assert bill.low == pytest.approx(bill.value) == bill.high
    assert made.co2e_g.value == pytest.approx(4 * 1.17 * 0.367)


def test_variance_shares_of_a_product() -> None:
    a, b = np.exp(0.3 * normals("a")), np.exp(0.1 * normals("b"))
    shares = dict(variance_shares(a * b, {"a": a, "b": b, "fixed": np.ones(a.shape)}))
    assert shares["a"] == pytest.approx(0.9, abs=0.02)
    assert shares["b"] == pytest.approx(0.1, abs=0.02)
    assert "fixed" not in shares
    made = footprint(EnergyInput(device_j=1.0), Scenario(zone="SWE"))
    assert made.variance_shares["water_off_site_l"][0][0] == "ewif.zero.mid:SWE"


def test_value_of_a_product_is_its_median() -> None:
    made = footprint(EnergyInput(device_j=100.0, host_j=1.0, idle_j=1.0), Scenario(zone="FRA"))
    for name in ("energy_wh", "co2e_operational_g", "water_on_site_l", "water_off_site_l"):
        bill = getattr(made, name)
        assert bill.p50 == pytest.approx(bill.value, rel=0.05)
        assert bill.low < bill.value < bill.high


def test_ties_and_zeros_are_undecided() -> None:
    zero = np.zeros(100)
    assert compare_draws(zero, zero).p_less == 0.5
    assert compare_draws(zero, zero).ratio_mid == 1.0
    assert compare_draws(zero, np.ones(100)).verdict == "A is lower"
    assert compare_draws(np.ones(100), zero).verdict == "B is lower"
