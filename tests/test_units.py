"""Numbers as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.units import UNITS, largest, show, show_interval, significant


@pytest.mark.parametrize(
    ("value", "quantity", "text"),
    [
        (0.0123, "runtime_s", "12.3 ms"),
        (0.9999, "runtime_s", "1.00 s"),
        (None, "energy_j", "–"),
        (float("nan"), "energy_j", "–"),
        (0.0, "energy_j", "0 J"),
        (1536, "memory_bytes", "1.50 KiB"),
        (2.5e-9, "co2e_g", "2.50 ngCO2e"),
        (-0.02, "runtime_s", "-20.0 ms"),
        (1e-15, "water_l", "1.00e-06 nL"),
    ],
)
def test_show(value: float | None, quantity: str, text: str) -> None:
    assert show(value, quantity) == text


def test_a_column_shares_its_unit() -> None:
    values = [4e-6, 4e-3, None]
    like = largest(values)
    assert [show(v, "co2e_g", like=like) for v in values] == ["0.00400 mgCO2e", "4.00 mgCO2e", "–"]
    assert largest([None]) is None


def test_intervals() -> None:
    assert show_interval(0.9, 1.0, 1.2, "runtime_s") == "1.00 [0.900–1.20] s"
    assert show_interval(None, 1.0, None, "runtime_s") == "1.00 s"
    assert show_interval(1.0, None, 2.0, "runtime_s") == "–"


@given(st.floats(min_value=1e-12, max_value=1e12), st.sampled_from(sorted(UNITS)))
def test_reading_back_gives_the_value_to_three_digits(value: float, quantity: str) -> None:
    number, symbol = show(value, quantity).split(" ")
    factor = next(f for f, s in UNITS[quantity].scales if s == symbol)
    assert float(number) * factor == pytest.approx(value, rel=6e-3)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_significant_never_fails(value: float) -> None:
    assert float(significant(value)) == pytest.approx(value, rel=6e-3, abs=1e-300)
