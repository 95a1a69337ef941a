"""One rounding of the product, right but for a few accumulators, for processors that compute many at once.

XNNPACK rounds float32 products. One rounding of the exact product differs from that at the few accumulators
whose product comes near a half. Hosts look for those of each channel in a loop without branches;
microcontrollers have a list of them, in the order of channels.
"""

from dataclasses import dataclass

import numpy as np

from edgecifar.microcontroller.fixedpoint import Integers
from edgecifar.microcontroller.numerics import Requantization
from edgecifar.microcontroller.proving import LARGEST_SHIFT, Range, engine_thresholds, normalized

NEVER = (1 << 31) - 1
"""Stands where there is no such accumulator: beyond `_WIDEST`."""
_WIDEST = 1 << 30
"""Accumulators that the C can multiply and shift within 32 bits of the high word."""
_MOST = 8
"""Accumulators of a channel that are looked for, of either kind; more would cost more than they spare."""
_WEIGHT = 1 << 12
"""Of the longer list against the sum of both."""
_TRIES = (0, *(sign * size for size in range(8, 129, 8) for sign in (1, -1)))
"""Changes of a 31-bit multiplier that are tried: products move about as far as float32 rounds them."""


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """Constants of the form, proven to be the engine's for every accumulator in range."""

    multipliers: Integers
    """(channels,)"""
    shifts: Integers
    """(channels,): to the right, 33 at least."""
    more: Integers
    """(channels, n): accumulators at which the engine gives one more than that, then `NEVER`."""
    less: Integers
    """(channels, n): those at which it gives one less, with the same n, 1 at least."""

    def __call__(self, accumulators: Integers, range_: Range) -> Integers:
        """Returns the outputs that the C gives, (channels, any)."""
        shifts = self.shifts[:, None]
        total = accumulators * self.multipliers[:, None] + (np.int64(1) << (shifts - 1))
        steps = (total >> shifts) + range_.zero_point
        wide = accumulators[:, :, None]
        steps = steps + (wide == self.more[:, None]).sum(axis=-1) - (wide == self.less[:, None]).sum(axis=-1)
        corrected: Integers = np.clip(steps, range_.smallest, range_.largest)
        return corrected

    def listed(self) -> tuple[Integers, Integers]:
        """Returns the accumulators to correct in the order of channels, and where and how each is.

        Returns:
            (n,) accumulators, and (n,): twice the channel, and 1 more where the engine gives one less.
        """
        columns = np.concatenate([self.more, self.less], axis=1)
        channels, places = np.nonzero(columns != NEVER)
        is_less = places >= self.more.shape[1]
        return columns[channels, places], 2 * channels + is_less


def correct(engine: Requantization, range_: Range) -> Corrected | None:
    """Returns the constants, or None where a channel would need too many corrections.

    Args:
        engine: What the engine computes.
        range_: Of the accumulators and outputs.
    """
    normal = normalized(engine, 31)
    widest = max(int(np.max(np.abs(range_.low))), int(np.max(np.abs(range_.high))))
    if normal is None or widest >= _WIDEST:
        return None
    start, shifts = normal
    if np.any((shifts < 33) | (shifts > LARGEST_SHIFT)):
        return None
    wanted = engine_thresholds(engine, range_)
    multipliers, least = start, np.full_like(start, NEVER)
    for change in _TRIES:
        changed = np.clip(start + change, 1, NEVER)
        more, less = _needed(range_, changed, shifts, wanted)
        # Hosts spend most on the longer of a channel's two lists; then the sum of both counts.
        cost = np.maximum(more, less) * _WEIGHT + more + less
        multipliers, least = np.where(cost < least, changed, multipliers), np.minimum(cost, least)
    late = _rounded_thresholds(range_, multipliers, shifts) - wanted
    count = max(1, int(np.max(_needed(range_, multipliers, shifts, wanted))))
    if count > _MOST:
        return None
    # A threshold that comes late leaves accumulators one too low; one that comes early, one too high.
    more, less = _between(wanted, late, count), _between(wanted + late, -late, count)
    return Corrected(multipliers, shifts, more, less)


def _needed(
    range_: Range, multipliers: Integers, shifts: Integers, wanted: Integers
) -> tuple[Integers, Integers]:
    """Returns how many accumulators of each channel get one too little, and how many one too much."""
    late = _rounded_thresholds(range_, multipliers, shifts) - wanted
    return np.maximum(late, 0).sum(axis=1), np.maximum(-late, 0).sum(axis=1)


def _rounded_thresholds(range_: Range, multipliers: Integers, shifts: Integers) -> Integers:
    """Returns what `proving.thresholds` gives for products rounded once."""
    levels = np.arange(range_.smallest + 1, range_.largest + 1, dtype=np.int64)[None] - range_.zero_point
    half = np.int64(1) << (shifts[:, None] - 1)
    # The smallest v with v * multiplier + half >= level << shift.
    least = -(-((levels << shifts[:, None]) - half) // multipliers[:, None])
    return np.clip(least, range_.low[:, None], range_.high[:, None] + 1)


def _between(first: Integers, counts: Integers, length: int) -> Integers:
    """Returns the accumulators from each threshold on, as many as its count says, (channels, length)."""
    rows = []
    for starts, number in zip(first, counts, strict=True):
        found = [int(at) + k for at, count in zip(starts, number, strict=True) for k in range(count)]
        rows.append(found + [NEVER] * (length - len(found)))
    return np.array(rows, np.int64)
