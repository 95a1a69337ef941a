from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.microcontroller import fixedpoint

INT32 = st.integers(-(2**31), 2**31 - 1)


def away_from_zero(value: Fraction) -> int:
    """Returns the nearest integer, halves away from zero."""
    magnitude = int(abs(value) + Fraction(1, 2))
    return -magnitude if value < 0 else magnitude


@given(INT32, st.integers(1, 2**31 - 1))
def test_high_multiply_rounds_to_nearest(a: int, b: int) -> None:
    exact = Fraction(a * b, 2**31)
    # gemmlowp rounds halves up: its negative nudge is one less than a half.
    assert int(fixedpoint.high_multiply(a, b)) == int(np.floor(exact + Fraction(1, 2)))


@given(INT32, st.integers(0, 31))
def test_rounding_shift_rounds_halves_away_from_zero(x: int, exponent: int) -> None:
    assert int(fixedpoint.rounding_shift(x, exponent)) == away_from_zero(Fraction(x, 2**exponent))


@pytest.mark.parametrize(
    ("real", "expected"), [(1.0, (2**30, 1)), (0.5, (2**30, 0)), (0.75, (1610612736, 0)), (0.0, (0, 0))]
)
def test_quantize_multiplier_by_hand(real: float, expected: tuple[int, int]) -> None:
    assert fixedpoint.quantize_multiplier(real) == expected


def test_exponential_is_near_the_real_one() -> None:
    values = -np.arange(0, 5 * 2**26, 12_345_67, dtype=np.int64)
    result = fixedpoint.exp_on_negative_values(values, 5) / 2**31
    np.testing.assert_allclose(result, np.exp(values / 2**26), atol=2e-7)


def test_reciprocal_is_near_the_real_one() -> None:
    values = np.linspace(0, 2**31 - 1, 1000).astype(np.int64)
    result = fixedpoint.reciprocal_of_one_plus(values) / 2**31
    np.testing.assert_allclose(result, 1 / (1 + values / 2**31), atol=2e-8)
