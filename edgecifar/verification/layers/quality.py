"""Quality: figures of one tensor against another, added up over batches."""

import math

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts.layers import ChannelQuality, WeightQuality
from edgecifar.protocol import Array, Layer

LIMIT_DB = 150.0
"""Beyond what float32 can tell from equal: equal tensors have this many, and pure noise the same below 0."""
LARGEST_WEIGHT = 127.0
"""Of symmetric 8-bit weights."""


class Noise:
    """Signal and noise of a tensor against another, by channel, over all batches that were added."""

    def __init__(self) -> None:
        self._signal: NDArray[np.float64] = np.zeros(1)
        self._noise: NDArray[np.float64] = np.zeros(1)
        self._other = self._product = 0.0

    def add(self, signal: Array, other: Array) -> None:
        """Adds a batch; both of one shape, channels last."""
        signal = signal.astype(np.float64).reshape(-1, signal.shape[-1])
        other = other.astype(np.float64).reshape(signal.shape)
        self._signal = self._signal + (signal**2).sum(axis=0)
        self._noise = self._noise + ((other - signal) ** 2).sum(axis=0)
        self._other += float((other**2).sum())
        self._product += float((signal * other).sum())

    @property
    def sqnr_db(self) -> float:
        """10 log10 of the signal's energy over that of the difference, within ±LIMIT_DB."""
        return decibels(float(self._signal.sum()), float(self._noise.sum()))

    @property
    def typical_db(self) -> float:
        """The lower of `sqnr_db` and that of the median channel among those that are not silent.

        One loud channel hides in the sum what the quiet ones lose.
        """
        loud = self._signal > 0
        if not loud.any():
            return self.sqnr_db
        channels = [decibels(*pair) for pair in zip(self._signal[loud], self._noise[loud], strict=True)]
        return min(self.sqnr_db, float(np.median(channels)))

    @property
    def cosine(self) -> float:
        """Cosine of the angle between both as vectors; 1 where both are zero, 0 where one is."""
        signal = float(self._signal.sum())
        if not signal or not self._other:
            return float(signal == self._other)
        return self._product / math.sqrt(signal * self._other)


class Range:
    """Which of its integers a quantized tensor uses, and how much of the reference they cannot say."""

    def __init__(self, layer: Layer) -> None:
        info = layer.output
        if info.scale is None or info.zero_point is None:
            raise ValueError(f"{layer.name} is not quantized")
        limits = np.iinfo(np.dtype(info.dtype))
        low, high = -math.inf, math.inf
        if layer.geometry is not None:
            low, high = layer.geometry.low, layer.geometry.high
        # ReLU's zero and ReLU6's six bound the integers that can occur.
        self._floor = max(
            limits.min, round(low / info.scale) + info.zero_point if low > -math.inf else limits.min
        )
        self._ceiling = min(
            limits.max, round(high / info.scale) + info.zero_point if high < math.inf else limits.max
        )
        # Half a step beyond the last integer still rounds to it.
        self._bounds = (
            (self._floor - info.zero_point - 0.5) * info.scale,
            (self._ceiling - info.zero_point + 0.5) * info.scale,
        )
        self._bounded_below = low > -math.inf
        self._smallest, self._largest = limits.max, limits.min
        self._beyond = self._count = 0

    def add(self, integers: Array, reference: Array) -> None:
        """Adds a batch of the candidate's integers and of the reference's real values."""
        self._smallest = min(self._smallest, int(integers.min()))
        self._largest = max(self._largest, int(integers.max()))
        beyond = reference > self._bounds[1]
        if not self._bounded_below:
            beyond |= reference < self._bounds[0]
        self._beyond += int(np.count_nonzero(beyond))
        self._count += reference.size

    @property
    def use(self) -> float:
        """Share of the integers from floor to ceiling that lie between the smallest and the largest seen."""
        return (self._largest - self._smallest + 1) / (self._ceiling - self._floor + 1)

    @property
    def clipped(self) -> float:
        """Share of the reference's values beyond the outermost integers."""
        return self._beyond / self._count


def decibels(signal: float, noise: float) -> float:
    """Returns 10 log10(signal / noise) of two energies, within ±LIMIT_DB."""
    if noise == 0:
        return LIMIT_DB
    if signal == 0:
        return -LIMIT_DB
    return max(-LIMIT_DB, min(LIMIT_DB, 10 * math.log10(signal / noise)))


def weigh(layer: Layer, weights: NDArray[np.float32], reference: NDArray[np.float32]) -> WeightQuality:
    """Returns a layer's weights against the reference's, whole and by output channel.

    Args:
        layer: Of the candidate, for its scales.
        weights: Its weights, output channels first.
        reference: Those of the reference, in the same units and shape.
    """
    rows, expected = weights.reshape(len(weights), -1), reference.reshape(len(reference), -1)
    scales = layer.weight_scales
    by_channel = None if scales is None else np.broadcast_to(scales, len(rows))
    whole, channels = Noise(), []
    whole.add(expected, rows)
    for index, (row, wanted) in enumerate(zip(rows, expected, strict=True)):
        one = Noise()
        one.add(wanted, row)
        use = None
        if by_channel is not None:
            use = float(np.abs(row).max() / by_channel[index] / LARGEST_WEIGHT)
        channels.append(ChannelQuality(sqnr_db=one.sqnr_db, cosine=one.cosine, range_use=use))
    ranges = np.abs(expected).max(axis=1)
    median = float(np.median(ranges))
    rounding = None
    if by_channel is not None:
        # A uniform quantizer's noise is step²/12 (Bennett 1948).
        noise = float((by_channel.astype(np.float64) ** 2).sum()) / 12 * rows.shape[1]
        rounding = decibels(float((expected.astype(np.float64) ** 2).sum()), noise)
    return WeightQuality(
        sqnr_db=whole.sqnr_db,
        cosine=whole.cosine,
        scales=0 if scales is None else len(scales),
        channel_spread=float(ranges.max()) / median if median else 1.0,
        expected_sqnr_db=rounding,
        channels=tuple(channels),
    )
