"""A convolution that computes several columns of its result at once, as so many times its output channels.

The same products and sums as of the plain one. In (N, height, width, channels) order both results are the
same bytes, and a reshape turns the one into the other. The image can be read so, too: in blocks, each of as
many columns side by side, which are one column of so many times the channels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def join_columns(weights: NDArray[Any], columns: int) -> NDArray[Any]:
    """Returns the weights with which a convolution of stride 1 takes steps of `columns` columns.

    Args:
        weights: (out, height, width, in).
        columns: How many; 1 leaves the weights as they are.

    Returns:
        (columns x out, height, width + columns - 1, in): for each column the weights in its place, beside
        zeros.
    """
    count, height, width, channels = weights.shape
    joined = np.zeros((columns, count, height, width + columns - 1, channels), weights.dtype)
    for column in range(columns):
        joined[column, :, :, column : column + width] = weights
    return joined.reshape(-1, *joined.shape[2:])


def part_columns(joined: NDArray[Any], columns: int) -> NDArray[Any] | None:
    """Returns the weights of which `join_columns` made these; None where it made none such.

    Args:
        joined: (columns x out, height, width + columns - 1, in).
        columns: How many.
    """
    width = joined.shape[2] - columns + 1
    if len(joined) % columns or width < 1:
        return None
    weights = joined[: len(joined) // columns, :, :width]
    return weights if np.array_equal(join_columns(weights, columns), joined) else None


@dataclass(frozen=True, slots=True)
class Blocks:
    """An image, padded to a multiple of `columns` at its sides and read in blocks of them."""

    columns: int
    left: int
    right: int
    """Columns of padding."""

    def open(self, blocks: NDArray[Any]) -> NDArray[Any]:
        """Returns the image: (N, height, blocks, columns x channels) -> (N, height, width, channels)."""
        padded = blocks.reshape(*blocks.shape[:2], blocks.shape[2] * self.columns, -1)
        return padded[:, :, self.left : padded.shape[2] - self.right]


def block_weights(joined: NDArray[Any], columns: int) -> NDArray[Any]:
    """Returns joined weights as those of a convolution of stride 1 that reads the image in blocks.

    Args:
        joined: (columns x out, height, width, in), of `join_columns`.
        columns: In a block, and joined.

    Returns:
        (columns x out, height, blocks, columns x in): zeros where the last block has columns to spare.
    """
    count, height, width, channels = joined.shape
    spare = -width % columns
    filled = np.pad(joined, ((0, 0), (0, 0), (0, spare), (0, 0)))
    return filled.reshape(count, height, -1, columns * channels)


def open_blocks(weights: NDArray[Any], columns: int) -> NDArray[Any]:
    """Returns the joined weights of which `block_weights` made these, without columns to spare.

    Args:
        weights: (columns x out, height, blocks, columns x in).
        columns: In a block.
    """
    count, height, blocks, _ = weights.shape
    opened = weights.reshape(count, height, blocks * columns, -1)
    used = np.flatnonzero(opened.any(axis=(0, 1, 3)))
    return opened[:, :, : int(used[-1]) + 1 if used.size else columns]
