"""What ONNX Runtime makes of a quantized file: which layers compute in integers, and which can saturate.

The file is loaded with full optimization, and the optimized graph is read: a QDQ file only says what a layer
could compute in, the optimizer decides.
"""

import re
from collections import Counter
from pathlib import Path

import onnx

from edgecifar.protocol import Array
from edgecifar.runtimes import pairs
from edgecifar.runtimes.onnx_findings import Arithmetic, InspectedLayer, Inspection
from edgecifar.runtimes.onnx_optimized import (
    FLOAT_LAYERS,
    INTEGER_LAYERS,
    MOVERS,
    QUANTIZERS,
    OptimizedGraph,
    is_layer,
    optimize,
)
from edgecifar.runtimes.onnx_saturation import paired_weights, with_saturated


def inspect(path: Path, batch: Array | None = None) -> Inspection:
    """Returns what ONNX Runtime's CPU provider makes of a file.

    Args:
        path: An ONNX file that ONNX Runtime loads.
        batch: Some images as the file's input takes them, to count sums that saturate; None: not counted.

    Raises:
        ModelError: ONNX Runtime refuses the file, or the batch.
    """
    source = onnx.load(path)
    optimized = optimize(path)
    graph = OptimizedGraph(optimized.graph)
    layers = tuple(_layer(graph, node) for node in graph.nodes if is_layer(node))
    if batch is not None:
        layers = with_saturated(path, optimized, graph, layers, batch)
    others = Counter(
        node.op_type
        for node in graph.nodes
        if not is_layer(node) and node.op_type not in QUANTIZERS | MOVERS and graph.is_float(node)
    )
    quantizers = any(
        node.op_type in QUANTIZERS or node.op_type in INTEGER_LAYERS for node in source.graph.node
    )
    return Inspection(
        layers, dict(sorted(others.items())), _shared_zero_points(source.graph),
        0 if batch is None else len(batch), quantizers,
    )  # fmt: skip


def _layer(graph: OptimizedGraph, node: onnx.NodeProto) -> InspectedLayer:
    name = _plain_name(node)
    if node.op_type in FLOAT_LAYERS:
        return InspectedLayer(name, node.op_type, Arithmetic.FLOAT, _why_float(graph, node), 0, 0)
    weights = paired_weights(graph, node)
    unsafe, total = pairs.count_unsafe(weights) if weights is not None else (0, 0)
    return InspectedLayer(name, node.op_type, Arithmetic.INTEGER, "", total, unsafe)


def _plain_name(node: onnx.NodeProto) -> str:
    """Returns a layer's name without what converters and ONNX Runtime append to it.

    tf2onnx joins the names of the layers that TFLite fused, the last one the layer's own; ONNX Runtime's
    quantized nodes are numbered.
    """
    name = (node.name or node.output[0]).rsplit(";", 1)[-1]
    return re.sub(r"(_prequant|_token|_quant|_\d+|:0)+$", "", name) or node.op_type


def _why_float(graph: OptimizedGraph, node: onnx.NodeProto) -> str:
    """Returns the first rule of ONNX Runtime's QDQ fusion that the layer does not meet."""
    dtypes = []
    for place, what in ((0, "input"), (1, "weights"), (2, "bias")):
        if place >= len(node.input) or not node.input[place]:
            continue
        maker = graph.origin(node.input[place])
        if maker is None or maker.op_type != "DequantizeLinear":
            return f"its {what} {'are' if what == 'weights' else 'is'} float{_made_by(maker)}"
        dtypes.append(_dtype(graph, maker))
    goals = graph.goals(node.output[0])
    others = sorted({goal.op_type for goal in goals if goal.op_type != "QuantizeLinear"})
    if others or not goals:
        return f"its output goes on in float{' to ' + ', '.join(others) if others else ''}"
    if dtypes[0] == "int8":
        return "its activations are int8, which ONNX Runtime fuses on x86 only in part"
    return f"ONNX Runtime has no integer form of it with {dtypes[0]} activations and {dtypes[1]} weights"


def _made_by(maker: onnx.NodeProto | None) -> str:
    return f" (made by {maker.op_type})" if maker is not None else ""


def _dtype(graph: OptimizedGraph, dequantize: onnx.NodeProto) -> str:
    zero_point = graph.array(dequantize.input[2]) if len(dequantize.input) > 2 else None
    return "uint8" if zero_point is None else str(zero_point.dtype)


def _shared_zero_points(graph: onnx.GraphProto) -> tuple[str, ...]:
    """Returns zero points that are those of several weights."""
    constants = {item.name for item in graph.initializer}
    used = Counter(
        node.input[2]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants and len(node.input) > 2
        and _feeds_layer(graph, node.output[0])
    )  # fmt: skip
    return tuple(sorted(name for name, count in used.items() if count > 1))


def _feeds_layer(graph: onnx.GraphProto, tensor: str) -> bool:
    """Returns whether a tensor holds weights: biases stand third, and may share."""
    return any(node.op_type in FLOAT_LAYERS and tensor in node.input[:2] for node in graph.node)
