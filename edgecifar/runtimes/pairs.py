"""Pairs of weights whose products a CPU adds in 16 bits, and what keeps them from saturating.

On x86 CPUs with AVX2 and without VNNI, ONNX Runtime multiplies uint8 activations by int8 weights with
`vpmaddubsw`, which adds the products of two neighbours along the reduced axis and saturates the sum to 16
bits (Intel, Software Developer's Manual, PMADDUBSW). With 255, the largest activation, 255 * (w + v) fits if
|w + v| <= 128. Smaller weights on a larger scale are nearly the same weights and keep to that.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

LARGEST_PAIR = 128
"""floor(32767 / 255) and floor(32768 / 255): largest magnitude of the sum of two neighbouring weights."""
UNIT = 1 << 16
"""Growths are whole numbers of 1 / UNIT, so that the arithmetic is exact."""
_LIMITS = np.iinfo(np.int16)


def largest_pair(weights: NDArray[np.integer[Any]]) -> int:
    """Returns the largest magnitude of the sum of two neighbours.

    Args:
        weights: (channels, reduced axis), integers.
    """
    return int(np.max(_pairs(weights.astype(np.int64)), initial=0))


def count_unsafe(weights: NDArray[np.integer[Any]]) -> tuple[int, int]:
    """Returns how many of the pairs that the CPU adds can saturate, and how many pairs there are.

    Args:
        weights: (channels, reduced axis), integers. Pairs begin at even places; a last one alone has none.
    """
    wide = weights.astype(np.int64)
    width = wide.shape[1] // 2 * 2
    first, second = wide[:, :width:2], wide[:, 1:width:2]
    return int(np.count_nonzero(np.abs(first + second) > LARGEST_PAIR)), first.size


def count_saturated(activations: NDArray[np.uint8], weights: NDArray[np.integer[Any]]) -> int:
    """Returns how many sums of two products leave 16 bits, in exact integer arithmetic.

    Args:
        activations: (positions, reduced axis), as they lie in memory: the zero point is not taken off.
        weights: (channels, reduced axis), integers.
    """
    wide = weights.astype(np.int32)
    width = wide.shape[1] // 2 * 2
    first, second = wide[:, :width:2], wide[:, 1:width:2]
    saturated = 0
    # Only these can, whatever the activations: one in many thousands where weights are trained.
    for channel, pair in np.argwhere(np.abs(first + second) > LARGEST_PAIR):
        left, right = (activations[:, 2 * pair + place].astype(np.int32) for place in (0, 1))
        sums = left * first[channel, pair] + right * second[channel, pair]
        saturated += int(np.count_nonzero((sums > _LIMITS.max) | (sums < _LIMITS.min)))
    return saturated


def growths(weights: NDArray[np.number[Any]]) -> Integers:
    """Returns the smallest growth of each channel's scale that makes its weights safe: int64 (channels,).

    The unit is 1 / 65536: 0 leaves the scale, 65536 doubles it. Rounded weights shrink in magnitude as the
    scale grows, so that a bisection finds the smallest.

    Args:
        weights: (channels, reduced axis), integers from -128 to 127, or the real numbers of steps that round
            to them.
    """
    low = np.full(len(weights), -1, np.int64)  # not safe, but for -1 itself, which is never tried
    high = np.full(len(weights), UNIT, np.int64)  # safe: two halves of 128 sum to 128
    while np.any(high - low > 1):
        middle = (low + high) // 2
        shrunk = shrink(weights, np.maximum(middle, 0)[:, None])
        is_safe = _pairs(shrunk).max(axis=1, initial=0) <= LARGEST_PAIR
        low, high = np.where(is_safe, low, middle), np.where(is_safe, middle, high)
    return high


def shrink(values: NDArray[np.number[Any]], growth: Integers) -> Integers:
    """Returns numbers of a scale in one that is 1 + growth / 65536 as large: nearest, halves away from zero.

    Args:
        values: Integers of int8 or int32 range, or real numbers of steps; any shape.
        growth: Broadcast against `values`.
    """
    if np.issubdtype(values.dtype, np.floating):
        steps = values.astype(np.float64) * UNIT / (UNIT + growth)
        rounded: Integers = (np.sign(steps) * np.floor(np.abs(steps) + 0.5)).astype(np.int64)
        return rounded
    wide = values.astype(np.int64)
    divisor = UNIT + growth
    result: Integers = np.sign(wide) * ((2 * UNIT * np.abs(wide) + divisor) // (2 * divisor))
    return result


def _pairs(weights: Integers) -> Integers:
    """Returns the magnitudes of the sums of neighbours: (channels, reduced axis - 1)."""
    result: Integers = np.abs(weights[:, :-1] + weights[:, 1:])
    return result
