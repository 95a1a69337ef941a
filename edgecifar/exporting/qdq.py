"""The graph pass that turns tf2onnx's int8 graph into one that ONNX Runtime fuses whole.

tf2onnx keeps TFLite's int8 activations. ONNX Runtime's x86 kernels want uint8 ones, so every activation moves
by 128, zero point and all: the same real numbers, the same roundings, other bytes. Weights stay int8.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgecifar.errors import ExportError
from edgecifar.exporting.graph import Quantization, arrays, readers, rewire, writer
from edgecifar.exporting.options import Io
from edgecifar.exporting.serving import INPUT, OUTPUT

_SHIFT = 128
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}
_MOVERS = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}
"""Operators that may stand between quantized tensors: they move integers and compute nothing with them."""


def to_unsigned(model: onnx.ModelProto, io: Io) -> dict[str, Quantization]:
    """Makes the activations uint8, each constant's parameters its own, and the boundaries as `io` says.

    Args:
        model: What `tf2onnx.convert.from_tflite` makes of such an int8 file; changed in place.
        io: The file's boundaries: floats, quantized inside, or integers.

    Returns:
        The quantization of `image` and `probabilities` where they are integers.

    Raises:
        ExportError: An operator computes with the integers themselves: a shift would change its result.
    """
    graph = model.graph
    _check_movers(graph)
    _own_parameters(graph)
    _drop_idle_pairs(graph)
    for value in (graph.input[0], graph.output[0]):
        if value.type.tensor_type.elem_type == TensorProto.INT8:
            value.type.tensor_type.elem_type = TensorProto.UINT8
    if io is Io.FLOAT32:
        return {}
    inner = {INPUT: _input_quantization(graph), OUTPUT: _output_quantization(graph)}
    if io is Io.UINT8:
        return inner
    _sign_input(graph, inner[INPUT])
    _sign_output(graph, inner[OUTPUT])
    return {name: Quantization(q.scale, q.zero_point - _SHIFT) for name, q in inner.items()}


def _check_movers(graph: onnx.GraphProto) -> None:
    """Integer tensors are those on the integer side of a quantizer, and what movers make of them."""
    constants = arrays(graph)
    integers = {node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    integers |= {
        v.name for v in graph.input if v.type.tensor_type.elem_type in {TensorProto.INT8, TensorProto.UINT8}
    }
    pending = sorted(integers)
    while pending:
        for node in readers(graph, pending.pop()):
            if node.op_type in _MOVERS and node.input[0] not in constants:
                if node.output[0] not in integers:
                    integers.add(node.output[0])
                    pending.append(node.output[0])
            elif node.op_type not in _QUANTIZERS:
                raise ExportError(f"ONNX export has no rule for {node.op_type} on quantized integers.")


def _own_parameters(graph: onnx.GraphProto) -> None:
    """Gives each quantized tensor a scale and zero point of its own, and makes those of activations uint8.

    ONNX Runtime cannot rewrite weights whose zero points share one constant (session.x64quantprecision).
    """
    constants = arrays(graph)
    made: dict[str, onnx.TensorProto] = {}
    for node in graph.node:
        if node.op_type not in _QUANTIZERS:
            continue
        tensor = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        scale, zero_point = (constants[name] for name in node.input[1:3])
        if zero_point.dtype == np.int8 and not _is_weight(graph, node):
            zero_point = _shifted(zero_point)
            if tensor in constants:
                made[tensor] = numpy_helper.from_array(_shifted(constants[tensor]), tensor)
        for index, (suffix, array) in enumerate((("scale", scale), ("zero_point", zero_point)), start=1):
            name = f"{tensor}/{suffix}"
            node.input[index] = name
            made[name] = numpy_helper.from_array(array, name)
    kept = [initializer for initializer in graph.initializer if initializer.name not in made]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *made.values()])


def _is_weight(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Returns whether the node dequantizes weights, which stay int8; other constants are activations."""
    if node.op_type != "DequantizeLinear":
        return False
    return any(
        r.op_type in _WEIGHTED and r.input[1] == node.output[0] for r in readers(graph, node.output[0])
    )


def _shifted(integers: NDArray[np.generic]) -> NDArray[np.uint8]:
    return (integers.astype(np.int16) + _SHIFT).astype(np.uint8)


def _drop_idle_pairs(graph: onnx.GraphProto) -> None:
    """Takes out pairs that dequantize and quantize again to the very same integers."""
    constants = arrays(graph)
    for quantize in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        dequantize = writer(graph, quantize.input[0])
        if dequantize is None or dequantize.op_type != "DequantizeLinear":
            continue
        before, after = ([constants[name] for name in node.input[1:3]] for node in (dequantize, quantize))
        if any(a.dtype != b.dtype or not np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
            continue
        source, result = dequantize.input[0], quantize.output[0]
        graph.node.remove(quantize)
        if result == graph.output[0].name:
            maker = writer(graph, source)
            if maker is None:
                raise ExportError("The int8 model has no layers.")
            rewire(graph, source, result)
            maker.output[0] = result
        else:
            rewire(graph, result, source)
        if not readers(graph, dequantize.output[0]):
            graph.node.remove(dequantize)


def _input_quantization(graph: onnx.GraphProto) -> Quantization:
    tensor = graph.input[0].name
    while True:
        node = readers(graph, tensor)[0]
        if node.op_type == "DequantizeLinear":
            return _quantization(graph, node)
        tensor = node.output[0]


def _output_quantization(graph: onnx.GraphProto) -> Quantization:
    node = writer(graph, graph.output[0].name)
    while node is not None and node.op_type != "QuantizeLinear":
        node = writer(graph, node.input[0])
    if node is None:
        raise ExportError("The int8 model's output is not quantized.")
    return _quantization(graph, node)


def _quantization(graph: onnx.GraphProto, node: onnx.NodeProto) -> Quantization:
    constants = arrays(graph)
    return Quantization(float(constants[node.input[1]]), int(constants[node.input[2]]))


def _sign_input(graph: onnx.GraphProto, inner: Quantization) -> None:
    """Puts int8 -> uint8 behind the input."""
    value = graph.input[0]
    value.type.tensor_type.elem_type = TensorProto.INT8
    shifted = f"{value.name}/unsigned"
    rewire(graph, value.name, shifted)
    graph.node.extend(_shift_nodes(graph, value.name, shifted, inner, np.dtype(np.int8), np.dtype(np.uint8)))


def _sign_output(graph: onnx.GraphProto, inner: Quantization) -> None:
    """Puts uint8 -> int8 before the output."""
    value = graph.output[0]
    value.type.tensor_type.elem_type = TensorProto.INT8
    maker = writer(graph, value.name)
    if maker is None:
        raise ExportError("The int8 model has no layers.")
    shifted = f"{value.name}/unsigned"
    rewire(graph, value.name, shifted)
    maker.output[0] = shifted
    graph.node.extend(_shift_nodes(graph, shifted, value.name, inner, np.dtype(np.uint8), np.dtype(np.int8)))


def _shift_nodes(
    graph: onnx.GraphProto,
    source: str,
    result: str,
    inner: Quantization,
    source_type: "np.dtype[np.generic]",
    result_type: "np.dtype[np.generic]",
) -> list[onnx.NodeProto]:
    """Returns nodes that move integers between int8 and uint8: exact, as each has one scale and 8 bits."""
    nodes = []
    real = f"{result}/real"
    for operator, wires, dtype, tensor in (
        ("DequantizeLinear", (source, real), source_type, source),
        ("QuantizeLinear", (real, result), result_type, result),
    ):
        zero_point = inner.zero_point - (_SHIFT if dtype == np.int8 else 0)
        names = [f"{tensor}/boundary_scale", f"{tensor}/boundary_zero_point"]
        graph.initializer.append(numpy_helper.from_array(np.array(inner.scale, np.float32), names[0]))
        graph.initializer.append(numpy_helper.from_array(np.array(zero_point, dtype), names[1]))
        nodes.append(helper.make_node(operator, [wires[0], *names], [wires[1]], name=f"{result}/{operator}"))
    return nodes
