"""Saturation: weights whose sums leave 16 bits on x86 CPUs without VNNI, and how often they do on images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from edgecifar.errors import ModelError
from edgecifar.protocol import Array
from edgecifar.runtimes import pairs
from edgecifar.runtimes.onnx_findings import InspectedLayer
from edgecifar.runtimes.onnx_optimized import (
    INTEGER_LAYERS,
    OptimizedGraph,
    attribute,
    ints,
    is_layer,
    open_session,
)
from edgecifar.runtimes.patches import Window, patches, same_padding


def with_saturated(
    path: Path,
    model: onnx.ModelProto,
    graph: OptimizedGraph,
    layers: tuple[InspectedLayer, ...],
    batch: Array,
) -> tuple[InspectedLayer, ...]:
    """Returns the layers with the sums that saturate on a batch, computed from their integer inputs.

    Args:
        path: Of the file, for messages.
        model: As ONNX Runtime's optimizer left it.
        graph: The model's.
        layers: Of its layers, in the graph's order.
        batch: Images as the model's input takes them.

    Raises:
        ModelError: ONNX Runtime fails on the batch.
    """
    nodes = [node for node in graph.nodes if is_layer(node)]
    # What one operator quantizes within itself cannot be read.
    watched = {
        node.input[0]
        for node, layer in zip(nodes, layers, strict=True)
        if layer.unsafe_pairs and node.op_type != "DynamicQuantizeMatMul"
    }
    tensors = _activations(path, model, sorted(watched), batch)
    counted = []
    for node, layer in zip(nodes, layers, strict=True):
        saturated: int | None = 0
        if layer.unsafe_pairs:
            saturated = (
                _count_layer(graph, node, tensors[node.input[0]]) if node.input[0] in tensors else None
            )
        counted.append(replace(layer, saturated=saturated))
    return tuple(counted)


def _activations(path: Path, model: onnx.ModelProto, names: list[str], batch: Array) -> dict[str, Array]:
    """Returns tensors of the optimized graph for a batch."""
    import onnxruntime

    from edgecifar.runtimes.onnxruntime import engine_errors, reason_of

    source = model.graph.input[0].name
    found = {source: batch}
    wanted = [name for name in names if name != source]
    if not wanted:
        return found
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    del tapped.graph.output[:]
    tapped.graph.output.extend(onnx.helper.make_tensor_value_info(n, TensorProto.UINT8, None) for n in wanted)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = open_session(path, tapped.SerializeToString(), options, threads=1)
    size = session.get_inputs()[0].shape[0]
    step = size if isinstance(size, int) else len(batch)
    try:
        runs = [
            session.run(wanted, {source: batch[start : start + step]}) for start in range(0, len(batch), step)
        ]
    except engine_errors() as error:
        raise ModelError(f"{path}: ONNX Runtime fails on it: {reason_of(error)}.") from error
    return found | {
        name: np.concatenate(pieces) for name, pieces in zip(wanted, zip(*runs, strict=True), strict=True)
    }


def _count_layer(graph: OptimizedGraph, node: onnx.NodeProto, activations: Array) -> int:
    weights = graph.array(node.input[INTEGER_LAYERS[node.op_type]])
    if weights is None:
        return 0
    if node.op_type not in {"QLinearConv", "ConvInteger"}:
        matrix = weights if attribute(node, "transB", 0) else weights.T
        return pairs.count_saturated(activations.reshape(-1, activations.shape[-1]), matrix)
    if not attribute(node, "channels_last", 0):
        activations = np.moveaxis(activations, 1, -1)
    zero_point = graph.array(node.input[2])
    fill = 0 if zero_point is None else int(zero_point)
    window = _window(node, weights.shape[2:], activations.shape[1:3])
    group = attribute(node, "group", 1)
    rows = np.split(weights.transpose(0, 2, 3, 1).reshape(len(weights), -1), group)
    columns = np.split(activations, group, axis=-1)
    return sum(
        pairs.count_saturated(patches(column, window, fill), row)
        for row, column in zip(rows, columns, strict=True)
    )


def _window(node: onnx.NodeProto, kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
    strides, dilations = ints(node, "strides", [1, 1]), ints(node, "dilations", [1, 1])
    pads = ints(node, "pads", [0, 0, 0, 0])
    automatic = next((item.s.decode() for item in node.attribute if item.name == "auto_pad"), "NOTSET")
    if automatic.startswith("SAME"):
        pads = [*same_padding(automatic, size, kernel, strides, dilations)]
    return Window(tuple(kernel), tuple(strides), tuple(dilations), tuple(pads))  # type: ignore[arg-type]


def paired_weights(graph: OptimizedGraph, node: onnx.NodeProto) -> NDArray[np.int8] | None:
    """Returns int8 weights as (channels, reduced axis) in the order of multiplication.

    None where nothing saturates: other weights than int8, other activations than uint8, or a depthwise
    convolution of one filter per channel, whose kernels widen both factors first.
    """
    weights = graph.array(node.input[INTEGER_LAYERS[node.op_type]])
    if weights is None or weights.dtype != np.int8 or _has_signed_activations(graph, node):
        return None
    if node.op_type in {"QLinearConv", "ConvInteger"}:
        group = attribute(node, "group", 1)
        if group > 1 and weights.shape[1] == 1 and weights.shape[0] == group:
            return None
        moved = weights.transpose(0, *range(2, weights.ndim), 1)
        return moved.reshape(len(moved), -1)
    if weights.ndim != 2:
        return None
    return weights if attribute(node, "transB", 0) else weights.T


def _has_signed_activations(graph: OptimizedGraph, node: onnx.NodeProto) -> bool:
    place = 4 if node.op_type == "MatMulIntegerToFloat" else 2
    if node.op_type == "DynamicQuantizeMatMul" or place >= len(node.input):
        return False  # ONNX: quantized while it runs, or no zero point given: uint8
    zero_point = graph.array(node.input[place])
    return zero_point is not None and zero_point.dtype == np.int8
