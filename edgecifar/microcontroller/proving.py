"""Requantization in integers that is proven to be the engine's over every accumulator that can occur.

A requantization is a monotone step function of the accumulator, so it is given by its thresholds: for each
8-bit output, the smallest accumulator that gives it or more. Two are the same if their thresholds are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgecifar.errors import ExportError
from edgecifar.microcontroller import fixedpoint
from edgecifar.microcontroller.fixedpoint import Integers
from edgecifar.microcontroller.numerics import Requantization, Rounding

_LARGEST_MULTIPLIER = (1 << 31) - 1
LARGEST_SHIFT = 52
"""Keeps 8 bits of output and the shift within 63 bits."""
_FLOAT_BITS = 24
"""Significant bits of a float32."""


class Scheme(StrEnum):
    """A form of requantization in C."""

    LINE = "line"
    """(accumulator * multiplier + offset) >> shift: one multiplication, one shift."""
    DOUBLE = "double"
    """The engine's two roundings, one after the other."""
    AWAY = "away"
    """One rounding of the exact product, halves away from zero."""
    NEAR = "near"
    """One rounding of the exact product, and `FLOAT` where that comes near a half."""
    FLOAT = "float"
    """float32's multiplication and rounding to even, on integers."""
    TABLE = "table"
    """A search among the thresholds: for layers with one scale alone."""


_EXACT = {Rounding.DOUBLE: Scheme.DOUBLE, Rounding.FLOAT: Scheme.FLOAT, Rounding.ONCE: Scheme.AWAY}
HALF_WINDOW = 1 << 16
"""How near a half `NEAR` looks twice, in units of 2^-32: a float32 below 256 is rounded by 2^-17 at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """What an accumulator can be and what its output is clamped to; the bounds are (channels,)."""

    low: Integers
    high: Integers
    smallest: int
    largest: int
    zero_point: int


@dataclass(frozen=True, slots=True, eq=False)
class Proven:
    """Constants of a requantization in C, equal to the engine's for every accumulator in range."""

    scheme: Scheme
    multipliers: Integers
    """(channels,); of `TABLE` the thresholds instead."""
    offsets: Integers
    """(channels,): added to the product by `LINE`; it holds rounding and zero point. Others have zeros."""
    shifts: Integers
    """(channels,): to the right; to the left where negative, as `DOUBLE` alone may have it."""
    smallest: int
    largest: int
    zero_point: int

    def __call__(self, accumulators: Integers) -> Integers:
        """Returns the outputs that the C gives, (channels, any)."""
        multipliers, shifts = self.multipliers[:, None], self.shifts[:, None]
        steps: Integers
        if self.scheme is Scheme.TABLE:
            passed = np.searchsorted(self.multipliers, accumulators, side="right").astype(np.int64)
            return np.add(passed, self.smallest, dtype=np.int64)
        if self.scheme is Scheme.LINE:
            steps = (accumulators * multipliers + self.offsets[:, None]) >> shifts
            return np.clip(steps, self.smallest, self.largest)
        if self.scheme is Scheme.DOUBLE:
            steps = fixedpoint.multiply(accumulators, multipliers, -shifts)
        elif self.scheme is Scheme.AWAY:
            product = accumulators * multipliers
            steps = (product + (np.int64(1) << (shifts - 1)) + (product >> 63)) >> shifts
        else:
            steps = _float_product(accumulators, multipliers, shifts)
        if self.scheme is Scheme.NEAR:
            total = accumulators * multipliers + (np.int64(1) << (shifts - 1))
            fraction = (total >> (shifts - 32)) & 0xFFFFFFFF
            is_near = ((fraction + HALF_WINDOW) & 0xFFFFFFFF) < 2 * HALF_WINDOW
            steps = np.where(is_near, steps, total >> shifts)
        return np.clip(steps + self.zero_point, self.smallest, self.largest)


def prove(engine: Requantization, range_: Range, name: str) -> Proven:
    """Returns the cheapest form in C that gives the engine's output for every accumulator in range.

    Args:
        engine: What the engine computes.
        range_: Of the accumulators and outputs.
        name: Of the layer, for the error.

    Raises:
        ExportError: No form does.
    """
    wanted = engine_thresholds(engine, range_)
    for form in (_line, _near, _exact, _table):
        candidate = form(engine, range_, wanted)
        if candidate is not None and np.array_equal(thresholds(candidate, range_), wanted):
            return candidate
    raise ExportError(f"{name}: no requantization in integers is the engine's over all accumulators.")


def engine_thresholds(engine: Requantization, range_: Range) -> Integers:
    """Returns what `thresholds` gives for an engine's outputs."""

    def clamped(accumulators: Integers) -> Integers:
        return np.clip(engine(accumulators) + range_.zero_point, range_.smallest, range_.largest)

    return thresholds(clamped, range_)


def thresholds(function: Callable[[Integers], Integers], range_: Range) -> Integers:
    """Returns the smallest accumulator at which a step function gives at least each output.

    Args:
        function: (channels, n) accumulators to outputs; never falls as they rise.
        range_: Of the accumulators and outputs.

    Returns:
        (channels, outputs - 1): for the outputs from smallest + 1 to largest; high + 1 where none gives it.
    """
    levels = np.arange(range_.smallest + 1, range_.largest + 1, dtype=np.int64)[None]
    below = np.repeat(range_.low[:, None] - 1, levels.shape[1], axis=1)
    above = np.repeat(range_.high[:, None] + 1, levels.shape[1], axis=1)
    while np.any(above - below > 1):
        middle = (below + above) // 2
        # Where the search has ended, the middle may lie out of range; it changes nothing there.
        reached = function(np.clip(middle, range_.low[:, None], range_.high[:, None])) >= levels
        open_ = above - below > 1
        above = np.where(open_ & reached, middle, above)
        below = np.where(open_ & ~reached, middle, below)
    return above


def _line(engine: Requantization, range_: Range, wanted: Integers) -> Proven | None:
    """Returns multipliers and offsets that hit all thresholds; None: there are none.

    A threshold T of output k demands T * m + o >= k << s and (T - 1) * m + o < k << s. For a given m the
    offsets that do are an interval, whose width is a concave function of m.
    """
    normal = normalized(engine, 31)
    if normal is None or (engine.rounding is Rounding.DOUBLE and engine.count > 1):
        return None
    start, shifts = normal
    multipliers = _widest(wanted, range_, shifts, np.minimum(start, _LARGEST_MULTIPLIER))
    low, high = _offsets(wanted, range_, shifts, multipliers)
    if np.any(low > high):
        return None
    usual = (np.int64(range_.zero_point) << shifts) + (np.int64(1) << (shifts - 1))
    offsets = np.where((low <= usual) & (usual <= high), usual, low + (high - low) // 2)
    if _leaves_int32(range_, multipliers, offsets, shifts):
        return None
    return _proven(Scheme.LINE, range_, multipliers, offsets, shifts)


def _near(engine: Requantization, range_: Range, wanted: Integers) -> Proven | None:  # noqa: ARG001
    """Returns `Scheme.NEAR` for an engine that multiplies floats; None: it would round the accumulator."""
    normal = normalized(engine, _FLOAT_BITS) if engine.rounding is Rounding.FLOAT else None
    widest = np.max(np.maximum(np.abs(range_.low), np.abs(range_.high)))
    if normal is None or widest > 1 << _FLOAT_BITS:
        return None
    spare = 31 - _FLOAT_BITS
    multipliers, shifts = normal[0] << spare, normal[1] + spare
    offsets = np.zeros_like(multipliers)
    # The C adds the half to the high word of the product.
    if np.any((shifts < 33) | (shifts > LARGEST_SHIFT)) or _leaves_int32(
        range_, multipliers, offsets, shifts
    ):
        return None
    return _proven(Scheme.NEAR, range_, multipliers, offsets, shifts)


def normalized(engine: Requantization, bits: int) -> tuple[Integers, Integers] | None:
    """Returns multipliers of so many bits, and shifts, of the ratios; None where they do not fit.

    Args:
        engine: Of the ratios, (channels,).
        bits: 31 at most.
    """
    mantissas, exponents = np.frexp(engine.ratio)
    shifts = bits - exponents.astype(np.int64)
    if np.any(engine.ratio <= 0) or np.any(shifts < bits + 1) or np.any(shifts > LARGEST_SHIFT):
        return None
    return np.rint(mantissas * 2.0**bits).astype(np.int64), shifts


def _leaves_int32(range_: Range, multipliers: Integers, offsets: Integers, shifts: Integers) -> bool:
    ends = np.stack([range_.low, range_.high]) * multipliers + offsets
    return bool(np.any(np.abs(ends >> shifts) >= _LARGEST_MULTIPLIER // 2))


def _proven(
    scheme: Scheme, range_: Range, multipliers: Integers, offsets: Integers, shifts: Integers
) -> Proven:
    return Proven(scheme, multipliers, offsets, shifts, range_.smallest, range_.largest, range_.zero_point)


def _widest(wanted: Integers, range_: Range, shifts: Integers, start: Integers) -> Integers:
    """Returns each channel's `start` where an offset fits it, else the multiplier that leaves most room."""

    def room(multipliers: Integers) -> Integers:
        low, high = _offsets(wanted, range_, shifts, multipliers)
        return high - low

    reach = np.maximum(start >> 10, 64)
    left, right = np.maximum(start - reach, 1), np.minimum(start + reach, _LARGEST_MULTIPLIER)
    while np.any(right - left > 2):
        third = (right - left) // 3
        first, second = left + third, right - third
        rises = room(first) < room(second)
        left, right = np.where(rises, first, left), np.where(rises, right, second)
        stuck = third == 0
        left = np.where(stuck & (right - left > 2), left + 1, left)
    best = np.where(room(start) >= 0, start, left + 1)
    for candidate in (left, right):
        best = np.where((room(best) < 0) & (room(candidate) > room(best)), candidate, best)
    return best


def _offsets(
    wanted: Integers, range_: Range, shifts: Integers, multipliers: Integers
) -> tuple[Integers, Integers]:
    """Returns the smallest and largest offset of each channel that hit its thresholds with a multiplier."""
    levels = np.arange(range_.smallest + 1, range_.largest + 1, dtype=np.int64)[None] << shifts[:, None]
    slopes = multipliers[:, None]
    unbounded = np.int64(1) << 61
    least = np.where(wanted <= range_.high[:, None], levels - wanted * slopes, -unbounded)
    most = np.where(wanted > range_.low[:, None], levels - 1 - (wanted - 1) * slopes, unbounded)
    return least.max(axis=1, initial=-unbounded), most.min(axis=1, initial=unbounded)


def _exact(engine: Requantization, range_: Range, wanted: Integers) -> Proven | None:  # noqa: ARG001
    """Returns the engine's own steps in integers; None where its multiplier does not fit them."""
    if engine.rounding not in _EXACT:
        return None
    if engine.rounding is Rounding.DOUBLE:
        multipliers, exponents = engine.fixed()
        shifts = -exponents
    else:
        bits = _FLOAT_BITS if engine.rounding is Rounding.FLOAT else 31
        mantissas, binary = np.frexp(engine.ratio)
        multipliers = np.rint(mantissas * 2.0**bits).astype(np.int64)
        shifts = bits - binary.astype(np.int64)
        if np.any((shifts < 1) | (shifts > 62)):
            return None
    return _proven(_EXACT[engine.rounding], range_, multipliers, np.zeros_like(multipliers), shifts)


def _table(engine: Requantization, range_: Range, wanted: Integers) -> Proven | None:
    """Returns the thresholds themselves; None where channels have their own."""
    if len(engine.ratio) != 1:
        return None
    nothing = np.zeros(1, np.int64)
    return _proven(Scheme.TABLE, range_, wanted[0], nothing, nothing)


def _float_product(accumulators: Integers, mantissas: Integers, shifts: Integers) -> Integers:
    """Returns round(float(accumulator) * mantissa / 2^shift) with float32's roundings, on integers."""
    sign = np.where(accumulators < 0, -1, 1)
    magnitude = _to_float(np.abs(accumulators)) * mantissas
    return sign * _to_even(_to_float(magnitude), shifts)


def _to_float(values: Integers) -> Integers:
    """Returns not negative integers rounded to 24 significant bits, halves to even."""
    excess = np.maximum(_bit_length(values) - _FLOAT_BITS, 0)
    return _to_even(values, excess) << excess


def _to_even(values: Integers, shifts: Integers) -> Integers:
    """Returns not negative values / 2^shift, rounded halves to even."""
    half = (np.int64(1) << shifts) >> 1
    is_odd = (values >> shifts) & 1
    return np.where(shifts > 0, (values + half - 1 + is_odd) >> shifts, values)


def _bit_length(values: Integers) -> Integers:
    # frexp is exact for the high part of a split below 2^53.
    high, low = values >> 32, values & 0xFFFFFFFF
    return np.where(high > 0, np.frexp(high.astype(np.float64))[1] + 32, np.frexp(low.astype(np.float64))[1])


def accumulator_range(
    weights: Integers, bias: Integers, source: tuple[int, int], zero_point: int
) -> tuple[Integers, Integers]:
    """Returns the smallest and largest accumulators of each channel, (channels,) each.

    Args:
        weights: (channels, products).
        bias: (channels,).
        source: Smallest and largest input.
        zero_point: The input's.

    """
    low, high = source[0] - zero_point, source[1] - zero_point
    up, down = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
    # A padded input is its zero point, 0 here: between the two.
    return bias + up * min(low, 0) + down * max(high, 0), bias + up * max(high, 0) + down * min(low, 0)


def fits_int32(low: Integers, high: Integers) -> bool:
    """Returns whether no accumulator leaves 32 bits."""
    limit: NDArray[np.bool_] = (low >= -(1 << 31)) & (high < (1 << 31))
    return bool(np.all(limit))
