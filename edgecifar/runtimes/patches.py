"""The integers that a convolution multiplies, laid out as ONNX Runtime multiplies them."""

from collections.abc import Sequence
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


def same_padding(
    rule: str,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[int, int, int, int]:
    """Returns the padding of ONNX's auto_pad, in the order of `Window.pads`.

    As many places as strides fit; the odd row or column lies after for SAME_UPPER, before for SAME_LOWER
    (https://onnx.ai/onnx/operators/onnx__Conv.html).

    Args:
        rule: One of these two.
        size: Height and width of the input; as pairs the others.
        kernel: Of the kernel.
        strides: Of its moves.
        dilations: Of its taps.
    """
    missing = [
        max(0, (-(-length // stride) - 1) * stride + (width - 1) * dilation + 1 - length)
        for length, width, stride, dilation in zip(size, kernel, strides, dilations, strict=True)
    ]
    small, large = [each // 2 for each in missing], [each - each // 2 for each in missing]
    top, left = small if rule == "SAME_UPPER" else large
    bottom, right = large if rule == "SAME_UPPER" else small
    return top, left, bottom, right


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
