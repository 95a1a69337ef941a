"""The graph that ONNX Runtime runs: a file as its optimizer leaves it."""

import tempfile
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgecifar.chatter import diverted
from edgecifar.errors import ModelError

INTEGER_LAYERS = {
    "QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3,
    "ConvInteger": 1, "MatMulInteger": 1, "MatMulIntegerToFloat": 1, "DynamicQuantizeMatMul": 1,
}  # fmt: skip
"""ONNX Runtime's integer operators with weights, and the place of the weights among their inputs."""
FLOAT_LAYERS = {"Conv", "ConvTranspose", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
QUANTIZERS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
MOVERS = {
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


class OptimizedGraph:
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
        while node is not None and node.op_type in MOVERS:
            node = self._writers.get(node.input[0])
        return node

    def goals(self, tensor: str) -> list[onnx.NodeProto]:
        """Returns the nodes that use the tensor, behind those that only move it."""
        found: list[onnx.NodeProto] = []
        for node in (node for node in self.nodes if tensor in node.input):
            found += self.goals(node.output[0]) if node.op_type in MOVERS else [node]
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


def optimize(path: Path) -> onnx.ModelProto:
    """Returns a file as ONNX Runtime's optimizer leaves it for the CPU.

    Raises:
        ModelError: ONNX Runtime refuses the file.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "optimized.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(target)
        open_session(path, str(path), options, threads=1)
        return onnx.load(target)


def open_session(path: Path, content: str | bytes, options: Any, threads: int) -> Any:
    """Returns a session on the CPU.

    Args:
        path: Of the file, for messages.
        content: A path, or a model's bytes.
        options: ONNX Runtime's session options; threads and logging are set here.
        threads: Of the session.

    Raises:
        ModelError: ONNX Runtime refuses the model.
    """
    import onnxruntime

    from edgecifar.runtimes.onnxruntime import engine_errors, reason_of

    options.log_severity_level = 3
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    try:
        with diverted():
            return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except engine_errors() as error:
        raise ModelError(f"{path}: ONNX Runtime refuses it: {reason_of(error)}.") from error


def is_layer(node: onnx.NodeProto) -> bool:
    """Returns whether a node is a convolution or matrix product, in integers or in float."""
    return node.op_type in INTEGER_LAYERS or node.op_type in FLOAT_LAYERS


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """Returns an attribute that is one integer."""
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def ints(node: onnx.NodeProto, name: str, default: list[int]) -> list[int]:
    """Returns an attribute that is several integers."""
    return next((list(item.ints) for item in node.attribute if item.name == name), default)
