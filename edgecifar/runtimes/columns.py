"""A convolution that computes several columns of its result at once, as so many times its output channels.

The same products and sums as of the plain one. In (N, height, width, channels) order both results are the
same bytes, and a reshape turns the one into the other.
"""

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
