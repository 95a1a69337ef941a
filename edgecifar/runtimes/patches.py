"""The integers that a convolution multiplies, laid out as ONNX Runtime multiplies them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """Where a convolution's kernel looks: each pair is (height, width)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    """Before height and width, after height and width, as ONNX orders them."""


def patches(activations: NDArray[Any], window: Window, fill: int) -> NDArray[Any]:
    """Returns what the kernel sees at each place: (N x places, kernel rows x kernel columns x channels).

    Args:
        activations: (N, height, width, channels).
        window: The kernel's.
        fill: The integer of padding: the zero point.
    """
    top, left, bottom, right = window.pads
    padded = np.pad(activations, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    extent = [(size - 1) * step + 1 for size, step in zip(window.kernel, window.dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
    rows, columns = window.strides
    down, across = window.dilations
    # (N, places down, places across, channels, kernel rows, kernel columns)
    chosen = views[:, ::rows, ::columns, :, ::down, ::across]
    ordered = chosen.transpose(0, 1, 2, 4, 5, 3)
    return ordered.reshape(-1, int(np.prod(ordered.shape[3:])))
