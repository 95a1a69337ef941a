"""The data types at a QDQ graph's boundaries: floats, quantized inside, or the integers themselves."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgecifar.errors import ExportError
from edgecifar.exporting.graph import Quantization, arrays, readers, rewire, writer
from edgecifar.exporting.options import Io
from edgecifar.exporting.qdq import MOVERS, PAD

_DTYPES = {
    TensorProto.FLOAT: Io.FLOAT32,
    TensorProto.INT8: Io.INT8,
    TensorProto.UINT8: Io.UINT8,
}
_ELEMENTS = {io: element for element, io in _DTYPES.items()}
_SHIFT = 128
_FLOAT_HINT = "Choose --io float32."


def set_boundaries(graph: onnx.GraphProto, io: Io) -> dict[str, Quantization]:
    """Makes input and output what `io` says.

    Args:
        graph: One input and one output, float32 or bytes; changed in place.
        io: What both are to be.

    Returns:
        The quantization of the input and of the output by name, where they are integers.

    Raises:
        ExportError: A boundary is to be integers, and the model does not quantize it.
    """
    quantizations = {}
    for value, to_integers, to_floats in (
        (graph.input[0], _open_input, _quantize_input),
        (graph.output[0], _open_output, _dequantize_output),
    ):
        element = value.type.tensor_type.elem_type
        if element not in _DTYPES:
            raise ExportError(f"{value.name} is neither float32 nor bytes.")
        found = _DTYPES[element]
        if io is Io.FLOAT32:
            if found is not Io.FLOAT32:
                to_floats(graph)
            continue
        if found is Io.FLOAT32:
            to_integers(graph)
        inner = _inner(graph, value)
        dtype = _DTYPES[value.type.tensor_type.elem_type]
        if dtype is not io:
            (_sign_input if value is graph.input[0] else _sign_output)(graph, inner, dtype, io)
            inner = Quantization(inner.scale, inner.zero_point + (_SHIFT if io is Io.UINT8 else -_SHIFT))
        quantizations[value.name] = inner
    return quantizations


def _inner(graph: onnx.GraphProto, value: onnx.ValueInfoProto) -> Quantization:
    """Returns the quantization of a boundary that is integers."""
    nodes = _input_quantizers(graph) if value is graph.input[0] else [_output_quantizer(graph)]
    constants = arrays(graph)
    found = {(float(constants[node.input[1]]), int(constants[node.input[2]])) for node in nodes}
    if len(found) != 1:
        raise ExportError(f"{value.name} is quantized in {len(found)} ways.", _FLOAT_HINT)
    return Quantization(*found.pop())


def _input_quantizers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Returns the quantizers that read the input, behind operators that only move it."""
    value = graph.input[0]
    # A Pad of floats would not be one of the integers that they are quantized to.
    movers = MOVERS if _DTYPES[value.type.tensor_type.elem_type] is Io.FLOAT32 else {*MOVERS, PAD}
    found, pending = [], [value.name]
    while pending:
        for node in readers(graph, pending.pop()):
            if node.op_type in movers:
                pending.append(node.output[0])
            elif node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
                found.append(node)
            else:
                raise ExportError(
                    f"The model's input is not quantized: {node.op_type} reads it.", _FLOAT_HINT
                )
    return found


def _output_quantizer(graph: onnx.GraphProto) -> onnx.NodeProto:
    """Returns the quantizer that makes the output, before operators that only move it."""
    node = writer(graph, graph.output[0].name)
    while node is not None and node.op_type in MOVERS:
        node = writer(graph, node.input[0])
    if node is None or node.op_type not in {"QuantizeLinear", "DequantizeLinear"}:
        maker = "nothing" if node is None else node.op_type
        raise ExportError(f"The model's output is not quantized: {maker} makes it.", _FLOAT_HINT)
    return node


def _open_input(graph: onnx.GraphProto) -> None:
    """Takes out the quantizers of a float input."""
    quantizers = _input_quantizers(graph)
    element = _zero_point_type(graph, quantizers[0])
    _inner(graph, graph.input[0])
    for quantize in quantizers:
        rewire(graph, quantize.output[0], quantize.input[0])
        graph.node.remove(quantize)
    graph.input[0].type.tensor_type.elem_type = element


def _open_output(graph: onnx.GraphProto) -> None:
    """Takes out the dequantizer of a float output."""
    dequantize, value = _output_quantizer(graph), graph.output[0]
    element = _zero_point_type(graph, dequantize)
    source, result = dequantize.input[0], dequantize.output[0]
    graph.node.remove(dequantize)
    if result == value.name:
        _make_elsewhere(graph, source, result)
    else:
        rewire(graph, result, source)
    value.type.tensor_type.elem_type = element


def _zero_point_type(graph: onnx.GraphProto, node: onnx.NodeProto) -> int:
    return int(next(item.data_type for item in graph.initializer if item.name == node.input[2]))


def _quantize_input(graph: onnx.GraphProto) -> None:
    value = graph.input[0]
    quantization, element = _inner(graph, value), value.type.tensor_type.elem_type
    inner = f"{value.name}/quantized"
    rewire(graph, value.name, inner)
    graph.node.append(_quantizer(graph, "QuantizeLinear", value.name, inner, quantization, element))
    value.type.tensor_type.elem_type = TensorProto.FLOAT


def _dequantize_output(graph: onnx.GraphProto) -> None:
    value = graph.output[0]
    quantization, element = _inner(graph, value), value.type.tensor_type.elem_type
    inner = f"{value.name}/quantized"
    _make_elsewhere(graph, value.name, inner)
    graph.node.append(_quantizer(graph, "DequantizeLinear", inner, value.name, quantization, element))
    value.type.tensor_type.elem_type = TensorProto.FLOAT


def _sign_input(graph: onnx.GraphProto, inner: Quantization, dtype: Io, wanted: Io) -> None:
    """Puts wanted -> dtype behind the input."""
    value = graph.input[0]
    moved = f"{value.name}/moved"
    rewire(graph, value.name, moved)
    outer = Quantization(inner.scale, inner.zero_point + (_SHIFT if wanted is Io.UINT8 else -_SHIFT))
    _move(graph, value.name, moved, (outer, wanted), (inner, dtype))
    value.type.tensor_type.elem_type = _ELEMENTS[wanted]


def _sign_output(graph: onnx.GraphProto, inner: Quantization, dtype: Io, wanted: Io) -> None:
    """Puts dtype -> wanted before the output."""
    value = graph.output[0]
    moved = f"{value.name}/moved"
    _make_elsewhere(graph, value.name, moved)
    outer = Quantization(inner.scale, inner.zero_point + (_SHIFT if wanted is Io.UINT8 else -_SHIFT))
    _move(graph, moved, value.name, (inner, dtype), (outer, wanted))
    value.type.tensor_type.elem_type = _ELEMENTS[wanted]


def _make_elsewhere(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Gives the tensor `old` another name, so that something else may make `old`."""
    maker = writer(graph, old)
    if maker is None:
        raise ExportError(f"The model has no layers that compute {old}.")
    rewire(graph, old, new)
    maker.output[0] = new


def _move(
    graph: onnx.GraphProto,
    source: str,
    result: str,
    source_side: tuple[Quantization, Io],
    result_side: tuple[Quantization, Io],
) -> None:
    """Adds nodes that move integers between int8 and uint8: exact, as each has one scale and 8 bits."""
    real = f"{result}/real"
    graph.node.append(
        _quantizer(graph, "DequantizeLinear", source, real, source_side[0], _ELEMENTS[source_side[1]])
    )
    graph.node.append(
        _quantizer(graph, "QuantizeLinear", real, result, result_side[0], _ELEMENTS[result_side[1]])
    )


def _quantizer(
    graph: onnx.GraphProto, operator: str, source: str, result: str, quantization: Quantization, element: int
) -> onnx.NodeProto:
    """Returns a new quantizer with parameters of its own."""
    dtype = helper.tensor_dtype_to_np_dtype(element)
    scale, zero_point = f"{result}/{operator}/scale", f"{result}/{operator}/zero_point"
    graph.initializer.append(numpy_helper.from_array(np.array(quantization.scale, np.float32), scale))
    graph.initializer.append(numpy_helper.from_array(np.array(quantization.zero_point, dtype), zero_point))
    return helper.make_node(operator, [source, scale, zero_point], [result], name=f"{result}/{operator}")
