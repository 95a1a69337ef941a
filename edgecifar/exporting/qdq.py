"""The graph pass that turns a QDQ graph into one that ONNX Runtime fuses whole.

tf2onnx keeps TFLite's int8 activations. ONNX Runtime's x86 kernels want uint8 ones, so every activation moves
by 128, zero point and all: the same real numbers, the same roundings, other bytes. Weights stay int8.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgecifar.errors import ExportError
from edgecifar.exporting.graph import arrays, readers, rewire, writer
from edgecifar.exporting.options import Activations

_SHIFT = 128
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}
MOVERS = {
    "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Expand", "Tile",
    "DepthToSpace", "SpaceToDepth",
}  # fmt: skip
"""Operators that may stand between quantized tensors: they move integers and compute nothing with them."""
_JOINTS = {"Concat", "Split"}
"""The same, with several inputs or outputs of one scale and zero point."""
PAD = "Pad"
"""Moves integers too, and puts one of its own beside them."""
_BYTES = {TensorProto.INT8, TensorProto.UINT8}


def set_activations(model: onnx.ModelProto, activations: Activations) -> None:
    """Makes every activation of one data type, and each constant's parameters its own.

    Args:
        model: A graph with QuantizeLinear and DequantizeLinear around its operators; changed in place.
        activations: Of all quantized tensors but weights and biases; also of inputs and outputs that are
        bytes.

    Raises:
        ExportError: An operator computes with the integers themselves: a shift would change its result.
    """
    graph = model.graph
    integers = _integers(graph)
    dtype = np.dtype(activations.value)
    for node in [node for node in graph.node if node.op_type == PAD and node.input[0] in integers]:
        _move_padding(graph, node, dtype)
    _own_parameters(graph, dtype)
    _drop_idle_pairs(graph)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in _BYTES:
            value.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(dtype)


def _integers(graph: onnx.GraphProto) -> set[str]:
    """Returns the tensors on the integer side of a quantizer, and what movers make of them."""
    constants = arrays(graph)
    integers = {node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    integers |= {value.name for value in graph.input if value.type.tensor_type.elem_type in _BYTES}
    pending = sorted(integers)
    while pending:
        tensor = pending.pop()
        for node in readers(graph, tensor):
            is_mover = node.op_type in MOVERS or node.op_type == PAD
            if (is_mover and node.input[0] == tensor) or node.op_type in _JOINTS:
                if node.op_type == "Concat" and constants.keys() & {*node.input}:
                    raise ExportError("ONNX export has no rule for Concat of integers and constants.")
                fresh = [name for name in node.output if name not in integers]
                integers.update(fresh)
                pending += fresh
            elif node.op_type not in _QUANTIZERS:
                raise ExportError(f"ONNX export has no rule for {node.op_type} on quantized integers.")
    return integers


def _move_padding(graph: onnx.GraphProto, node: onnx.NodeProto, dtype: "np.dtype[np.generic]") -> None:
    """Gives a Pad of integers a value of the data type that they will have; without one, ONNX takes a 0."""
    constants = arrays(graph)
    given = node.input[2] if len(node.input) > 2 else ""
    if given and given not in constants:
        raise ExportError(f"The padding {given} is computed while the model runs.")
    value = constants[given] if given else np.zeros((), _data_type(graph, node.input[0]))
    name = f"{node.output[0]}/value"
    moved = value if value.dtype == dtype else _moved(value, dtype)
    graph.initializer.append(numpy_helper.from_array(moved, name))
    node.input[2:3] = [name]


def _data_type(graph: onnx.GraphProto, tensor: str) -> "np.dtype[np.generic]":
    """Returns the data type of integers, which a quantizer or the graph's input has."""
    node = writer(graph, tensor)
    while node is not None and node.op_type != "QuantizeLinear":
        tensor = node.input[0]
        node = writer(graph, tensor)
    if node is not None:
        return _parameters(arrays(graph), node)[1].dtype
    value = next(value for value in graph.input if value.name == tensor)
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def _own_parameters(graph: onnx.GraphProto, dtype: "np.dtype[np.generic]") -> None:
    """Gives each quantized tensor its own scale and zero point, and all activations one data type.

    ONNX Runtime cannot rewrite weights whose zero points share one constant (session.x64quantprecision). A
    tensor that is read with several scales, as a bias of zeros that layers share, has one for each reader.
    """
    constants = arrays(graph)
    made: dict[str, onnx.TensorProto] = {}
    given: dict[str, tuple[bytes, bytes]] = {}
    for node in graph.node:
        if node.op_type not in _QUANTIZERS:
            continue
        tensor = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        scale, zero_point = _parameters(constants, node)
        wanted = _wanted(graph, node, zero_point, dtype)
        if zero_point.dtype != wanted:
            zero_point = _moved(zero_point, wanted)
            if tensor in constants:
                made[tensor] = numpy_helper.from_array(_moved(constants[tensor], wanted), tensor)
        content = (scale.tobytes(), zero_point.tobytes())
        is_shared = given.setdefault(tensor, content) != content
        owner = f"{node.output[0]}/{node.op_type}" if is_shared else tensor
        del node.input[1:]
        for suffix, array in (("scale", scale), ("zero_point", zero_point)):
            name = f"{owner}/{suffix}"
            node.input.append(name)
            made[name] = numpy_helper.from_array(array, name)
    kept = [initializer for initializer in graph.initializer if initializer.name not in made]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *made.values()])


def _parameters(
    constants: dict[str, NDArray[np.generic]], node: onnx.NodeProto
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Returns a quantizer's scale and zero point; without one, ONNX takes a 0 of the integers' type."""
    for name in node.input[1:]:
        if name and name not in constants:
            raise ExportError(f"The scale or zero point {name} is computed while the model runs.")
    scale = constants[node.input[1]]
    if len(node.input) > 2 and node.input[2]:
        return scale, constants[node.input[2]]
    held = constants.get(node.input[0])
    return scale, np.zeros(scale.shape, np.uint8 if held is None else held.dtype)


def _wanted(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    zero_point: NDArray[np.generic],
    dtype: "np.dtype[np.generic]",
) -> "np.dtype[np.generic]":
    """Returns the data type that a quantized tensor is to have."""
    if zero_point.dtype not in (np.int8, np.uint8):
        return zero_point.dtype  # biases
    if not _is_weight(graph, node):
        return dtype
    # uint8 weights around 128 are int8 ones in disguise, which run up to three times as fast.
    return np.dtype(np.int8) if np.all(zero_point == _SHIFT) else zero_point.dtype


def _is_weight(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Returns whether the node dequantizes weights; other constants are activations."""
    if node.op_type != "DequantizeLinear" or writer(graph, node.input[0]) is not None:
        return False
    return _feeds_weights(graph, node.output[0])


def _feeds_weights(graph: onnx.GraphProto, tensor: str) -> bool:
    return any(
        _feeds_weights(graph, reader.output[0])
        if reader.op_type in MOVERS
        else reader.op_type in _WEIGHTED and reader.input[1] == tensor
        for reader in readers(graph, tensor)
    )


def _moved(integers: NDArray[np.generic], dtype: "np.dtype[np.generic]") -> NDArray[np.generic]:
    """Returns bytes of the other signedness that stand for the same numbers."""
    step = _SHIFT if dtype == np.uint8 else -_SHIFT
    result: NDArray[np.generic] = (integers.astype(np.int16) + step).astype(dtype)
    return result


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


def drop_zero_points_of_biases(graph: onnx.GraphProto) -> None:
    """Takes out zero points of constant int32 tensors: they are 0, which is what ONNX takes without one."""
    constants = arrays(graph)
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or len(node.input) < 3 or node.input[2] not in constants:
            continue
        zero_point = constants[node.input[2]]
        if node.input[0] in constants and zero_point.dtype == np.int32 and not np.any(zero_point):
            del node.input[2:]
