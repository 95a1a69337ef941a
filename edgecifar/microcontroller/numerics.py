"""How each engine turns an accumulator into 8 bits, as exact functions on integers.

Measured operator by operator against the engines; the tests repeat that on random networks.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecifar.choices import Numerics
from edgecifar.microcontroller import fixedpoint
from edgecifar.microcontroller.fixedpoint import Integers, integers

_FAR = float(1 << 30)
"""Beyond every 8-bit output, and safe to add a zero point to in 32 bits."""


class Rounding(StrEnum):
    """The order of roundings in a requantization."""

    DOUBLE = "double"
    """A 31-bit multiplier: the high product rounded, then the shift rounded, halves away from zero."""
    FLOAT = "float"
    """The float32 product of accumulator and scale, rounded to the nearest integer, halves to even."""
    ONCE = "once"
    """The float64 product of accumulator and scale, rounded to nearest, halves away from zero."""
    SHIFTED = "shifted"
    """The float32 product of the sum of raw inputs and scale, plus an offset, rounded halves to even."""


class Products(StrEnum):
    """What sums of products belong to: the reference kernels round them differently."""

    CONVOLUTION = "convolution"
    """Also of depthwise convolutions, and products of two tensors."""
    DENSE = "dense"


@dataclass(frozen=True, slots=True, eq=False)
class Requantization:
    """An engine's step function from accumulators to steps of the output, zero point not yet added."""

    rounding: Rounding
    ratio: NDArray[np.float64]
    """(channels,): steps of the output per unit of the accumulator, as precise as the engine has it."""
    count: int = 1
    """Of a mean: how many values are averaged."""
    zero_points: tuple[int, int] = (0, 0)
    """Of `SHIFTED`: the input's and the output's, which are in its float32 arithmetic."""

    def __call__(self, accumulators: Any) -> Integers:
        """Returns the engine's integers.

        Args:
            accumulators: (channels, any) integers.
        """
        wide = integers(accumulators)
        ratio = self.ratio[:, None]
        if self.rounding is Rounding.FLOAT:
            product = wide.astype(np.float32) * ratio.astype(np.float32)
            return np.clip(np.rint(product), -_FAR, _FAR).astype(np.int64)
        if self.rounding is Rounding.SHIFTED:
            source, result = (np.float32(zero_point) for zero_point in self.zero_points)
            scale = ratio.astype(np.float32)
            offset = result - (source * np.float32(self.count)) * scale
            raw = wide + self.zero_points[0] * self.count
            steps: Integers = np.rint(raw.astype(np.float32) * scale + offset).astype(np.int64)
            return steps - self.zero_points[1]
        if self.rounding is Rounding.ONCE:
            product = np.clip(wide.astype(np.float64) * ratio, -_FAR, _FAR)
            # Adding a half would round up what is just below a half.
            whole = np.trunc(product)
            away = np.sign(product) * (np.abs(product - whole) >= 0.5)
            rounded: Integers = (whole + away).astype(np.int64)
            return rounded
        multipliers, exponents = self.fixed()
        return fixedpoint.multiply(wide, multipliers[:, None], exponents[:, None])

    def fixed(self) -> tuple[Integers, Integers]:
        """Returns the 31-bit multipliers and exponents of the ratios, (channels,) each."""
        pairs = [fixedpoint.quantize_multiplier(float(ratio)) for ratio in self.ratio]
        if self.count > 1:
            pairs = [_divided(multiplier, exponent, self.count) for multiplier, exponent in pairs]
        return integers([pair[0] for pair in pairs]), integers([pair[1] for pair in pairs])


def _divided(multiplier: int, exponent: int, count: int) -> tuple[int, int]:
    """Returns a multiplier and exponent over a count, as TensorFlow Lite's integer mean has them."""
    # As many bits as fit are kept of the quotient.
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    return (multiplier << shift) // count, exponent - shift


def of_products(
    numerics: Numerics,
    source: np.float32,
    weights: NDArray[np.float32],
    result: np.float32,
    products: Products,
) -> Requantization:
    """Returns the requantization of sums of products: convolutions, dense layers, products of tensors.

    Args:
        numerics: The engine.
        source: The input's scale.
        weights: (channels,) scales of the weights.
        result: The output's scale.
        products: What is summed.
    """
    if numerics is Numerics.XNNPACK:
        ratio = (np.float32(source) * weights.astype(np.float32)) / np.float32(result)
        return Requantization(Rounding.FLOAT, ratio.astype(np.float64))
    once = products is Products.DENSE and numerics is Numerics.REFERENCE
    product = np.float64(source) * weights.astype(np.float64)
    return Requantization(Rounding.ONCE if once else Rounding.DOUBLE, product / np.float64(result))


def of_mean(
    numerics: Numerics, source: tuple[np.float32, int], result: tuple[np.float32, int], count: int
) -> Requantization:
    """Returns the requantization of MEAN, from sums of inputs less their zero point.

    Args:
        numerics: The engine.
        source: The input's scale and zero point.
        result: The output's.
        count: How many values are averaged.
    """
    if numerics is Numerics.XNNPACK:
        ratio = float(np.float32(source[0] / result[0]) / np.float32(count))
        rounding = Rounding.SHIFTED
    else:
        # `fixed` divides by the count, in integers.
        ratio = float(source[0]) / float(result[0])
        rounding = Rounding.DOUBLE
    return Requantization(rounding, np.array([ratio], np.float64), count, (source[1], result[1]))
