"""What ONNX Runtime makes of a quantized file: which layers compute in integers, and which can saturate.

The file is loaded with full optimization, and the optimized graph is read: a QDQ file only says what a layer
could compute in, the optimizer decides.
"""

import re
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgecifar.chatter import diverted
from edgecifar.errors import ModelError
from edgecifar.protocol import Array
from edgecifar.runtimes import pairs
from edgecifar.runtimes.patches import Window, patches

_INTEGER_LAYERS = {
    "QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3,
    "ConvInteger": 1, "MatMulInteger": 1, "MatMulIntegerToFloat": 1, "DynamicQuantizeMatMul": 1,
}  # fmt: skip
"""ONNX Runtime's integer operators with weights, and the place of the weights among their inputs."""
_FLOAT_LAYERS = {"Conv", "ConvTranspose", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
_MOVERS = {
    "Transpose",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    "ReorderInput",
    "ReorderOutput",
}
"""Operators that compute nothing: they stand in float or in integers alike."""


class Arithmetic(StrEnum):
    """What a layer computes in."""

    INTEGER = "integer"
    FLOAT = "float"


@dataclass(frozen=True, slots=True)
class InspectedLayer:
    """A convolution or matrix product as ONNX Runtime runs it."""

    name: str
    operator: str
    """ONNX Runtime's: "QLinearConv", "FusedConv"."""
    arithmetic: Arithmetic
    reason: str
    """Why it computes in float; empty where it does not."""
    pairs: int
    """Of neighbouring int8 weights whose products with uint8 activations AVX2 adds in 16 bits."""
    unsafe_pairs: int
    """Those that saturate for some activations."""
    saturated: int | None = None
    """Sums that left 16 bits on the images given; None where none were."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one file."""

    layers: tuple[InspectedLayer, ...]
    float_operators: dict[str, int]
    """Other operators that compute in float, and how many; quantizers and movers are left out."""
    shared_zero_points: tuple[str, ...]
    """Names of zero points that several weights share."""
    images: int
    """How many the saturated sums were counted on."""
    is_quantized: bool
    """Whether the file holds any quantizer or integer layer: a float file is asked for nothing."""

    @property
    def integer_layers(self) -> int:
        """How many layers compute in integers."""
        return sum(layer.arithmetic is Arithmetic.INTEGER for layer in self.layers)

    @property
    def float_islands(self) -> tuple[InspectedLayer, ...]:
        """The layers that compute in float."""
        return tuple(layer for layer in self.layers if layer.arithmetic is Arithmetic.FLOAT)

    @property
    def unsafe_pairs(self) -> int:
        """Pairs that saturate for some activations, over all layers."""
        return sum(layer.unsafe_pairs for layer in self.layers)

    @property
    def saturated(self) -> int:
        """Sums that left 16 bits on the images given."""
        return sum(layer.saturated or 0 for layer in self.layers)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, in sentences that stand alone."""
        if not self.is_quantized:
            return (f"Not quantized: all {len(self.layers)} layers compute in float.",)
        found = [f"{self.integer_layers} of {len(self.layers)} layers compute in integers."]
        found += [f"{island.name} computes in float: {island.reason}." for island in self.float_islands]
        if self.float_operators:
            counts = ", ".join(f"{count} {name}" for name, count in self.float_operators.items())
            found.append(f"Other operators in float: {counts}.")
        total = sum(layer.pairs for layer in self.layers)
        found.append(
            f"{self.unsafe_pairs:,} of {total:,} pairs of weights can saturate on x86 CPUs without VNNI."
            if self.unsafe_pairs
            else "No pair of weights can saturate on any CPU."
        )
        if self.images and self.unsafe_pairs:
            found.append(f"On {self.images} images, {self.saturated:,} sums would have.")
        if self.shared_zero_points:
            names = ", ".join(self.shared_zero_points)
            found.append(
                f"Weights share zero points ({names}): session.x64quantprecision cannot load the file."
            )
        return tuple(found)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do, one sentence each; nothing for a file that is fast and safe, or not quantized."""
        if not self.is_quantized:
            return ()
        advice = []
        if self.float_islands:
            advice.append(
                "Layers in float make a quantized file slow: make it again with `edgecifar export FILE "
                "--format onnx --int8`, which makes activations uint8, as ONNX Runtime fuses them."
            )
        if self.unsafe_pairs:
            cure = (
                'set the session option session.x64quantprecision to "1"'
                if not self.shared_zero_points
                else "give each weight a zero point of its own (the session option session.x64quantprecision "
                "cannot load this file, whose weights share one)"
            )
            advice.append(
                "On x86 CPUs with AVX2 and without VNNI the file can give other results than here: make its "
                f"weights saturation-safe with `edgecifar export FILE --format onnx --int8`, or {cure}."
            )
        return tuple(advice)


def inspect(path: Path, batch: Array | None = None) -> Inspection:
    """Returns what ONNX Runtime's CPU provider makes of a file.

    Args:
        path: An ONNX file that ONNX Runtime loads.
        batch: Some images as the file's input takes them, to count sums that saturate; None: not counted.

    Raises:
        ModelError: ONNX Runtime refuses the file, or the batch.
    """
    source = onnx.load(path)
    optimized = _optimized(path)
    graph = _Graph(optimized.graph)
    layers = tuple(_layer(graph, node) for node in graph.nodes if _is_layer(node))
    if batch is not None:
        layers = _count(path, optimized, graph, layers, batch)
    others = Counter(
        node.op_type
        for node in graph.nodes
        if not _is_layer(node) and node.op_type not in _QUANTIZERS | _MOVERS and graph.is_float(node)
    )
    quantizers = any(
        node.op_type in _QUANTIZERS or node.op_type in _INTEGER_LAYERS for node in source.graph.node
    )
    return Inspection(
        layers, dict(sorted(others.items())), _shared_zero_points(source.graph),
        0 if batch is None else len(batch), quantizers,
    )  # fmt: skip


class _Graph:
    """A graph with its constants, writers and readers at hand."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.proto = graph
        self.nodes = list(graph.node)
        self.constants = {item.name: item for item in graph.initializer}
        self._writers = {name: node for node in self.nodes for name in node.output if name}
        self._types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*graph.input, *graph.output, *graph.value_info)
        }

    def array(self, name: str) -> NDArray[Any] | None:
        """Returns a constant; None where the tensor is computed."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def origin(self, tensor: str) -> onnx.NodeProto | None:
        """Returns the node that computes the tensor, behind those that only move it."""
        node = self._writers.get(tensor)
        while node is not None and node.op_type in _MOVERS:
            node = self._writers.get(node.input[0])
        return node

    def goals(self, tensor: str) -> list[onnx.NodeProto]:
        """Returns the nodes that use the tensor, behind those that only move it."""
        found: list[onnx.NodeProto] = []
        for node in (node for node in self.nodes if tensor in node.input):
            found += self.goals(node.output[0]) if node.op_type in _MOVERS else [node]
        return found

    def is_float(self, node: onnx.NodeProto) -> bool:
        """Returns whether a node's data are floats; contrib operators' outputs have no type in the file."""
        if node.op_type.startswith("Q"):
            return False
        tensors = [name for name in (*node.input[:1], *node.output[:1]) if name]
        known = [self._types[name] for name in tensors if name in self._types]
        if known:
            return TensorProto.FLOAT in known
        maker = self._writers.get(node.input[0]) if node.input else None
        return maker is None or maker.op_type == "DequantizeLinear" or self.is_float(maker)


def _optimized(path: Path) -> onnx.ModelProto:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "optimized.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(target)
        _session(path, str(path), options)
        return onnx.load(target)


def _session(path: Path, content: str | bytes, options: Any) -> Any:
    import onnxruntime

    from edgecifar.runtimes.onnxruntime import engine_errors, reason_of

    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        with diverted():
            return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except engine_errors() as error:
        raise ModelError(f"{path}: ONNX Runtime refuses it: {reason_of(error)}.") from error


def _is_layer(node: onnx.NodeProto) -> bool:
    return node.op_type in _INTEGER_LAYERS or node.op_type in _FLOAT_LAYERS


def _layer(graph: _Graph, node: onnx.NodeProto) -> InspectedLayer:
    name = _plain_name(node)
    if node.op_type in _FLOAT_LAYERS:
        return InspectedLayer(name, node.op_type, Arithmetic.FLOAT, _why_float(graph, node), 0, 0)
    weights = _paired_weights(graph, node)
    unsafe, total = pairs.count_unsafe(weights) if weights is not None else (0, 0)
    return InspectedLayer(name, node.op_type, Arithmetic.INTEGER, "", total, unsafe)


def _plain_name(node: onnx.NodeProto) -> str:
    """Returns a layer's name without what converters and ONNX Runtime append to it.

    tf2onnx joins the names of the layers that TFLite fused, the last one the layer's own; ONNX Runtime's
    quantized nodes are numbered.
    """
    name = (node.name or node.output[0]).rsplit(";", 1)[-1]
    return re.sub(r"(_prequant|_token|_quant|_\d+|:0)+$", "", name) or node.op_type


def _why_float(graph: _Graph, node: onnx.NodeProto) -> str:
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


def _dtype(graph: _Graph, dequantize: onnx.NodeProto) -> str:
    zero_point = graph.array(dequantize.input[2]) if len(dequantize.input) > 2 else None
    return "uint8" if zero_point is None else str(zero_point.dtype)


def _paired_weights(graph: _Graph, node: onnx.NodeProto) -> NDArray[np.int8] | None:
    """Returns int8 weights as (channels, reduced axis) in the order of multiplication.

    None where nothing saturates: other weights than int8, other activations than uint8, or a depthwise
    convolution of one filter per channel, whose kernels widen both factors first.
    """
    weights = graph.array(node.input[_INTEGER_LAYERS[node.op_type]])
    if weights is None or weights.dtype != np.int8 or _has_signed_activations(graph, node):
        return None
    if node.op_type in {"QLinearConv", "ConvInteger"}:
        group = _attribute(node, "group", 1)
        if group > 1 and weights.shape[1] == 1 and weights.shape[0] == group:
            return None
        moved = weights.transpose(0, *range(2, weights.ndim), 1)
        return moved.reshape(len(moved), -1)
    if weights.ndim != 2:
        return None
    return weights if _attribute(node, "transB", 0) else weights.T


def _has_signed_activations(graph: _Graph, node: onnx.NodeProto) -> bool:
    place = 4 if node.op_type == "MatMulIntegerToFloat" else 2
    if node.op_type == "DynamicQuantizeMatMul" or place >= len(node.input):
        return False  # ONNX: quantized while it runs, or no zero point given: uint8
    zero_point = graph.array(node.input[place])
    return zero_point is not None and zero_point.dtype == np.int8


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def _ints(node: onnx.NodeProto, name: str, default: list[int]) -> list[int]:
    return next((list(item.ints) for item in node.attribute if item.name == name), default)


def _count(
    path: Path, model: onnx.ModelProto, graph: _Graph, layers: tuple[InspectedLayer, ...], batch: Array
) -> tuple[InspectedLayer, ...]:
    """Returns the layers with the sums that saturate on a batch, computed from their integer inputs."""
    nodes = [node for node in graph.nodes if _is_layer(node)]
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
    session = _session(path, tapped.SerializeToString(), options)
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


def _count_layer(graph: _Graph, node: onnx.NodeProto, activations: Array) -> int:
    weights = graph.array(node.input[_INTEGER_LAYERS[node.op_type]])
    if weights is None:
        return 0
    if node.op_type not in {"QLinearConv", "ConvInteger"}:
        matrix = weights if _attribute(node, "transB", 0) else weights.T
        return pairs.count_saturated(activations.reshape(-1, activations.shape[-1]), matrix)
    if not _attribute(node, "channels_last", 0):
        activations = np.moveaxis(activations, 1, -1)
    zero_point = graph.array(node.input[2])
    fill = 0 if zero_point is None else int(zero_point)
    window = _window(node, weights.shape[2:], activations.shape[1:3])
    group = _attribute(node, "group", 1)
    rows = np.split(weights.transpose(0, 2, 3, 1).reshape(len(weights), -1), group)
    columns = np.split(activations, group, axis=-1)
    return sum(
        pairs.count_saturated(patches(column, window, fill), row)
        for row, column in zip(rows, columns, strict=True)
    )


def _window(node: onnx.NodeProto, kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
    strides, dilations = _ints(node, "strides", [1, 1]), _ints(node, "dilations", [1, 1])
    pads = _ints(node, "pads", [0, 0, 0, 0])
    automatic = next((item.s.decode() for item in node.attribute if item.name == "auto_pad"), "NOTSET")
    if automatic.startswith("SAME"):
        # ONNX: as many places as strides fit; the odd row or column lies where the name says.
        missing = [
            max(0, (-(-length // stride) - 1) * stride + (width - 1) * dilation + 1 - length)
            for length, stride, width, dilation in zip(size, strides, kernel, dilations, strict=True)
        ]
        small, large = [m // 2 for m in missing], [m - m // 2 for m in missing]
        pads = [*small, *large] if automatic == "SAME_UPPER" else [*large, *small]
    return Window(tuple(kernel), tuple(strides), tuple(dilations), tuple(pads))  # type: ignore[arg-type]


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
    return any(node.op_type in _FLOAT_LAYERS and tensor in node.input[:2] for node in graph.node)
