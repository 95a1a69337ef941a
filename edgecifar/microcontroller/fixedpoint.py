"""TensorFlow Lite's fixed-point arithmetic on NumPy integers, exact.

Source: gemmlowp's fixedpoint.h and the TensorFlow Lite quantization specification. Values are int64 that
hold what the engines keep in int32.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

_INT32_MAX = (1 << 31) - 1


def integers(values: Any) -> Integers:
    """Returns values as int64."""
    return np.asarray(values, np.int64)


def high_multiply(a: Any, b: Any) -> Integers:
    """Returns gemmlowp's SaturatingRoundingDoublingHighMul: a * b / 2^31, rounded half away from zero."""
    wide_a, wide_b = integers(a), integers(b)
    product = wide_a * wide_b
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    total = product + nudge
    # C's division truncates towards zero.
    quotient = np.where(total >= 0, total >> 31, -((-total) >> 31))
    overflow = (wide_a == wide_b) & (wide_a == -(1 << 31))
    return np.where(overflow, _INT32_MAX, quotient)


def rounding_shift(x: Any, exponent: Any) -> Integers:
    """Returns gemmlowp's RoundingDivideByPOT: x / 2^exponent, rounded half away from zero."""
    wide, power = integers(x), integers(exponent)
    mask = (np.int64(1) << power) - 1
    threshold = (mask >> 1) + (wide < 0)
    return (wide >> power) + ((wide & mask) > threshold)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Returns (q, e) with real = q / 2^31 * 2^e and q from 2^30, as TensorFlow Lite's QuantizeMultiplier.

    Args:
        real: Not negative.
    """
    if real == 0:
        return 0, 0
    mantissa, exponent = math.frexp(real)
    # The engines round halves away from zero; mantissa is positive.
    quantized = math.floor(mantissa * (1 << 31) + 0.5)
    if quantized == 1 << 31:
        quantized, exponent = quantized // 2, exponent + 1
    if exponent < -31:
        return 0, 0
    if exponent > 30:
        return _INT32_MAX, 30
    return quantized, exponent


def multiply(x: Any, multiplier: Any, exponent: Any) -> Integers:
    """Returns MultiplyByQuantizedMultiplier with its two roundings: x * multiplier / 2^31 * 2^exponent."""
    power = integers(exponent)
    scaled = integers(x) << np.maximum(power, 0)
    return rounding_shift(high_multiply(scaled, multiplier), np.maximum(-power, 0))


def saturating_shift(x: Any, exponent: int) -> Integers:
    """Returns x * 2^exponent, exponent >= 0, saturated to int32."""
    shifted: Integers = integers(x) << exponent
    return np.clip(shifted, -_INT32_MAX - 1, _INT32_MAX)


def exp_on_negative_values(a: Any, integer_bits: int) -> Integers:
    """Returns gemmlowp's exp_on_negative_values: exp(a), a <= 0, in Q0.31.

    Args:
        a: int32 with `integer_bits` bits before the binary point.
        integer_bits: 1 to 26.
    """
    wide = integers(a)
    fractional_bits = 31 - integer_bits
    quarter = np.int64(1) << (fractional_bits - 2)
    below = (wide & (quarter - 1)) - quarter
    result = _exp_between_minus_quarter_and_zero(saturating_shift(below, integer_bits))
    remainder = below - wide
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for place, factor in enumerate(factors):
        exponent = place - 2
        if integer_bits > exponent:
            bit = np.int64(1) << (fractional_bits + exponent)
            result = np.where(remainder & bit, high_multiply(result, factor), result)
    if integer_bits > 5:
        result = np.where(wide < -(np.int64(1) << (fractional_bits + 5)), 0, result)
    return np.where(wide == 0, _INT32_MAX, result)


def _exp_between_minus_quarter_and_zero(a: Integers) -> Integers:
    """Returns exp(a) in Q0.31 for -1/4 <= a < 0, by Taylor's polynomial around -1/8."""
    constant, third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = high_multiply(x, x)
    x3 = high_multiply(x2, x)
    x4 = high_multiply(x2, x2)
    quarter_x4 = rounding_shift(x4, 2)
    inner = rounding_shift(high_multiply(quarter_x4 + x3, third) + x2, 1)
    return constant + high_multiply(constant, x + inner)


def reciprocal_of_one_plus(a: Any) -> Integers:
    """Returns gemmlowp's one_over_one_plus_x_for_x_in_0_1: 1 / (1 + a) in Q0.31.

    Args:
        a: Q0.31, not negative.
    """
    return saturating_shift(_reciprocal_of_half_sum(a), 1)


def _reciprocal_of_half_sum(a: Any) -> Integers:
    """Returns 2 / (1 + a) in Q2.29, by three steps of Newton and Raphson."""
    half = _half_sum(integers(a), integers(_INT32_MAX))
    x = 1515870810 + high_multiply(half, -1010580540)
    one = 1 << 29
    for _ in range(3):
        remainder = one - high_multiply(half, x)
        x = x + saturating_shift(high_multiply(x, remainder), 2)
    return x


def logistic(a: Any, integer_bits: int) -> Integers:
    """Returns gemmlowp's logistic: 1 / (1 + exp(-a)) in Q0.31.

    Args:
        a: int32 with `integer_bits` bits before the binary point.
        integer_bits: 1 to 26.
    """
    wide = integers(a)
    positive = reciprocal_of_one_plus(exp_on_negative_values(-np.abs(wide), integer_bits))
    return np.where(wide == 0, 1 << 30, np.where(wide > 0, positive, _INT32_MAX - positive))


def tanh(a: Any, integer_bits: int) -> Integers:
    """Returns gemmlowp's tanh in Q0.31.

    Args:
        a: int32 with `integer_bits` bits before the binary point.
        integer_bits: 1 to 25.
    """
    wide = integers(a)
    # exp(-2|a|): the same integer with one more bit before the point.
    decayed = exp_on_negative_values(-np.abs(wide), integer_bits + 1)
    size = saturating_shift(_reciprocal_of_half_sum(decayed) - (1 << 29), 2)
    return np.where(wide == 0, 0, np.where(wide > 0, size, -size))


def _half_sum(a: Integers, b: Integers) -> Integers:
    """Returns gemmlowp's RoundingHalfSum."""
    total = a + b
    sign = np.where(total >= 0, 1, -1)
    doubled = total + sign
    return np.where(doubled >= 0, doubled >> 1, -((-doubled) >> 1))
