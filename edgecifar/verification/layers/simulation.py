"""Simulation: layers computed in float32 with NumPy, so that one can be had in a form that no file has."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgecifar.errors import VerificationError
from edgecifar.protocol import Geometry, Layer, LayerKind

Floats = NDArray[np.float32]


def compute(layer: Layer, inputs: Sequence[Floats], weights: Floats | None, bias: Floats | None) -> Floats:
    """Returns what a layer gives in float32 before its output is rounded.

    Args:
        layer: Kind and geometry.
        inputs: What it reads, (N, ...), channels last, as many as `layer.inputs`.
        weights: In place of the layer's own; shaped as those.
        bias: Likewise; None: none.

    Raises:
        VerificationError: It is not known how the layer computes.
    """
    geometry = layer.geometry
    if geometry is None:
        raise VerificationError(f"How {layer.operator} ({layer.name}) computes is not known here.")
    if layer.kind is LayerKind.ADD:
        result = inputs[0] + inputs[1]
    elif layer.kind is LayerKind.SOFTMAX:
        powers = np.exp(inputs[0] - inputs[0].max(axis=-1, keepdims=True))
        result = powers / powers.sum(axis=-1, keepdims=True)
    elif layer.kind is LayerKind.MAX_POOL:
        result = _windows(inputs[0], geometry, -math.inf).max(axis=(3, 4))
    elif layer.kind is LayerKind.AVERAGE_POOL:
        result = _average(inputs[0], geometry)
    elif weights is None:
        raise VerificationError(f"{layer.name} has no constant weights.")
    elif layer.kind is LayerKind.DENSE:
        result = inputs[0].reshape(len(inputs[0]), -1) @ weights.T
    else:
        result = _convolve(layer.kind, inputs[0], geometry, weights)
    if bias is not None:
        result += bias
    bounded: Floats = np.clip(result, geometry.low, geometry.high).astype(np.float32)
    return bounded.reshape(-1, *layer.output.shape)


def round_output(layer: Layer, real: Floats) -> Floats:
    """Returns real values as the layer's output stores them: rounded and clipped; a float as it is."""
    return layer.output.dequantize(layer.output.quantize(real)) if layer.output.scale else real


def _windows(image: Floats, geometry: Geometry, beyond: float) -> Floats:
    """Returns (N, rows, columns, height, width, channels), a view where there is no padding."""
    top, left, bottom, right = geometry.padding
    if any(geometry.padding):
        image = np.pad(image, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=beyond)
    (height, width), (down, across) = geometry.kernel, geometry.dilation
    spans = ((height - 1) * down + 1, (width - 1) * across + 1)
    views = sliding_window_view(image, spans, axis=(1, 2))  # (N, rows, columns, channels, height, width)
    views = views[:, :: geometry.stride[0], :: geometry.stride[1], :, ::down, ::across]
    return np.moveaxis(views, 3, 5)


def _average(image: Floats, geometry: Geometry) -> Floats:
    # What lies beyond the border does not count, in TFLite and by default in ONNX.
    inside = _windows(np.ones((1, *image.shape[1:3], 1), np.float32), geometry, 0.0).sum(axis=(3, 4))
    sums: Floats = _windows(image, geometry, 0.0).sum(axis=(3, 4)) / inside
    return sums


def _convolve(kind: LayerKind, image: Floats, geometry: Geometry, weights: Floats) -> Floats:
    windows = _windows(image, geometry, 0.0)
    if kind is LayerKind.CONV:
        result: Floats = np.tensordot(windows, weights, axes=((3, 4, 5), (1, 2, 3)))
        return result
    channels = image.shape[-1]
    multiplier = len(weights) // channels
    grouped = weights[..., 0].reshape(channels, multiplier, *geometry.kernel)
    result = np.einsum("nrchwk,kmhw->nrckm", windows, grouped, optimize=True)
    return result.reshape(*result.shape[:3], len(weights))
