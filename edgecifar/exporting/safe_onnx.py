"""QDQ graphs with weights with which sums of 16 bits cannot saturate: see `edgecifar.runtimes.pairs`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgecifar.exporting.graph import arrays, writer
from edgecifar.runtimes.pairs import UNIT, Integers, growths, shrink


def make_safe(graph: onnx.GraphProto) -> int:
    """Gives each convolution and matrix product weights that no activations can make saturate.

    Each output channel gets the smallest larger scale at which no two neighbours sum to more than
    `pairs.LARGEST_PAIR` in magnitude; weights with one scale grow it for all channels. Biases follow. Weights
    with a zero point other than 0, and those that are not constant int8, stay.

    Args:
        graph: With scales and zero points that each tensor has for itself; changed in place.

    Returns:
        How many layers' weights changed.
    """
    constants = arrays(graph)
    changed = 0
    for layer in list(_layers(graph, constants)):
        growth = _growth(layer)
        if not growth.any():
            continue
        weights, scales = layer.weights, layer.scales
        shape = [-1 if place == layer.axis else 1 for place in range(weights.ndim)]
        safe = shrink(weights, growth.reshape(shape)).astype(np.int8)
        grown = (scales * (1 + growth[: scales.size].reshape(scales.shape) / UNIT)).astype(np.float32)
        _give(graph, layer.dequantize, layer.node, safe, grown)
        _grow_bias(graph, constants, layer.node, growth, grown)
        changed += 1
    return changed


def is_safe(graph: onnx.GraphProto) -> bool:
    """Returns whether no activations can make the weights of a QDQ graph saturate."""
    return not any(_growth(layer).any() for layer in _layers(graph, arrays(graph)))


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer with constant int8 weights around 0."""

    node: onnx.NodeProto
    dequantize: onnx.NodeProto
    weights: NDArray[np.int8]
    axis: int
    """Where the output channels lie."""
    scales: NDArray[np.float32]


def _layers(graph: onnx.GraphProto, constants: dict[str, NDArray[Any]]) -> Iterator[_Layer]:
    for node in graph.node:
        dequantize = writer(graph, node.input[1]) if node.op_type in {"Conv", "Gemm", "MatMul"} else None
        if dequantize is None or dequantize.op_type != "DequantizeLinear":
            continue
        weights = constants.get(dequantize.input[0])
        if weights is None or weights.dtype != np.int8 or np.any(constants[dequantize.input[2]]):
            continue
        axis, scales = _channel_axis(node, weights), constants[dequantize.input[1]]
        if axis is not None and scales.size in {1, weights.shape[axis]}:
            yield _Layer(node, dequantize, weights, axis, scales)


def _channel_axis(node: onnx.NodeProto, weights: NDArray[Any]) -> int | None:
    """Returns where the output channels lie in the weights; None: nothing is multiplied in pairs."""
    attributes = {item.name: item.i for item in node.attribute}
    if node.op_type == "Conv":
        group = attributes.get("group", 1)
        # ONNX Runtime's kernels of one filter per channel widen both factors first.
        return None if group > 1 and weights.shape[:2] == (group, 1) else 0
    if weights.ndim != 2:
        return None
    return 0 if attributes.get("transB", 0) else 1


def _growth(layer: _Layer) -> Integers:
    """Returns the growth of each channel, in the order in which ONNX Runtime multiplies."""
    rows = np.moveaxis(layer.weights, layer.axis, 0)
    if rows.ndim > 2:
        rows = np.moveaxis(rows, 1, -1)  # kernel row, kernel column, input channel
    growth = growths(rows.reshape(len(rows), -1).astype(np.int64))
    return growth if layer.scales.size > 1 else np.full_like(growth, growth.max())


def _give(
    graph: onnx.GraphProto,
    dequantize: onnx.NodeProto,
    reader: onnx.NodeProto,
    values: NDArray[Any],
    scales: NDArray[np.float32],
) -> None:
    """Makes a dequantizer read new constants, named by the layer that uses them: no other layer sees them."""
    base = f"{reader.name or reader.output[0]}/{dequantize.input[0]}"
    own = onnx.NodeProto()
    own.CopyFrom(dequantize)
    own.name, own.output[0] = f"{base}/safe", f"{base}/safe_real"
    zero_point = next(item for item in graph.initializer if item.name == dequantize.input[2])
    zeros = np.zeros(scales.shape, numpy_helper.to_array(zero_point).dtype)
    for place, (suffix, array) in enumerate((("safe", values), ("safe_scale", scales), ("safe_zero", zeros))):
        own.input[place] = f"{base}/{suffix}_values" if place == 0 else f"{base}/{suffix}"
        graph.initializer.append(numpy_helper.from_array(array, own.input[place]))
    for place, name in enumerate(reader.input):
        if name == dequantize.output[0]:
            reader.input[place] = own.output[0]
    graph.node.append(own)


def _grow_bias(
    graph: onnx.GraphProto,
    constants: dict[str, NDArray[Any]],
    node: onnx.NodeProto,
    growth: Integers,
    weight_scales: NDArray[np.float32],
) -> None:
    """Puts an int32 bias on the product of the input's and the weights' scales; a float bias stays."""
    source = writer(graph, node.input[0])
    bias = writer(graph, node.input[2]) if len(node.input) > 2 else None
    if source is None or source.op_type != "DequantizeLinear":
        return
    if bias is None or bias.op_type != "DequantizeLinear" or bias.input[0] not in constants:
        return
    values, old = constants[bias.input[0]], constants[bias.input[1]]
    input_scale = constants[source.input[1]].astype(np.float32)
    scales = np.where(
        growth[: old.size].reshape(old.shape) > 0, input_scale * weight_scales.reshape(old.shape), old
    )
    _give(graph, bias, node, shrink(values, growth).astype(values.dtype), scales.astype(np.float32))
