"""ELU in integers: TFLite's kernels have it, and TensorFlow's converter does not write it.

The converter leaves ELU in float between a DEQUANTIZE and a QUANTIZE. LiteRT's int8 kernels (built-in and
XNNPACK) read the output from a table of the 256 inputs: round(elu(scale * (q - zero point)) / output scale),
halves away from zero. ONNX Runtime has no such kernel, and is quicker with three float nodes than with a
table (`Gather`); most often they give the very same 256 numbers. Where they do not, or where one lies so near
to a half step that another build of ONNX Runtime might round it otherwise, the table is used.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.exporting.graph import arrays, readers, writer
from edgecifar.exporting.options import SMALLEST_OPSET
from edgecifar.exporting.roundings import CLEARANCE, clearance
from edgecifar.exporting.tflite_codes import pack, unpacked_code_of

MADE_BY = "ELU made an int8 operator"
_OPERATORS = schema.BuiltinOperator
_ANY_SCALE = {_OPERATORS.MUL, _OPERATORS.ADD, _OPERATORS.SUB}
"""Operators that requantize, and whose inputs' scales bind nothing else."""


def make_integer(content: bytes) -> bytes:
    """Returns a TFLite file in which ELUs between int8 tensors are int8 operators.

    Args:
        content: An int8 file; it comes back as it is where nothing is to be done.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    removed: list[Any] = []
    for elu in graph.operators:
        if unpacked_code_of(model, elu) != _OPERATORS.ELU:
            continue
        before = _only(operator for operator in graph.operators if elu.inputs[0] in operator.outputs)
        after = _only(operator for operator in graph.operators if elu.outputs[0] in operator.inputs)
        if before is None or unpacked_code_of(model, before) != _OPERATORS.DEQUANTIZE:
            continue
        if after is None or unpacked_code_of(model, after) != _OPERATORS.QUANTIZE:
            continue
        if elu.outputs[0] in graph.outputs:
            continue
        source, result = int(before.inputs[0]), int(after.outputs[0])
        if any(graph.tensors[index].type != schema.TensorType.INT8 for index in (source, result)):
            continue
        float_readers = sum(before.outputs[0] in operator.inputs for operator in graph.operators)
        if float_readers == 1 and before.outputs[0] not in graph.outputs:
            removed.append(before)
        removed.append(after)
        elu.inputs, elu.outputs = [source], [result]
        removed += _read_directly(model, graph, result)
    if not removed:
        return content
    graph.operators = [operator for operator in graph.operators if operator not in removed]
    _drop_unused_tensors(model, graph)
    return pack(model)


def _read_directly(model: Any, graph: Any, index: int) -> list[Any]:
    """Makes operators that take any scale read a tensor itself; returns what stood between.

    The converter requantizes, in float, from the range that was trained to the one that calibration saw. ONNX
    Runtime merges the two (its `DoubleQDQPairsRemover`) into a third, and gives other integers.
    """
    dequantize = _only(operator for operator in graph.operators if index in operator.inputs)
    if dequantize is None or unpacked_code_of(model, dequantize) != _OPERATORS.DEQUANTIZE:
        return []
    quantize = _only(operator for operator in graph.operators if dequantize.outputs[0] in operator.inputs)
    if quantize is None or unpacked_code_of(model, quantize) != _OPERATORS.QUANTIZE:
        return []
    other = quantize.outputs[0]
    followers = [operator for operator in graph.operators if other in operator.inputs]
    takes_any = all(unpacked_code_of(model, operator) in _ANY_SCALE for operator in followers)
    if not takes_any or {dequantize.outputs[0], other} & {*graph.outputs}:
        return []
    for operator in followers:
        operator.inputs = [index if source == other else source for source in operator.inputs]
    return [dequantize, quantize]


def _drop_unused_tensors(model: Any, graph: Any) -> None:
    """Takes out tensors that no operator has any more, and renumbers the others."""
    used = {int(index) for operator in graph.operators for index in (*operator.inputs, *operator.outputs)}
    kept = sorted((used | {int(index) for index in (*graph.inputs, *graph.outputs)}) - {-1})
    places = {old: new for new, old in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[index] for index in kept]
    for holder in (graph, *graph.operators):
        holder.inputs = [places[int(index)] for index in holder.inputs]
        holder.outputs = [places[int(index)] for index in holder.outputs]
    for signature in model.signatureDefs or ():
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = places[int(entry.tensorIndex)]


def _only(operators: Iterable[Any]) -> Any:
    """Returns the one operator; None where there are none or several."""
    found = list(operators)
    return found[0] if len(found) == 1 else None


def follow_tflite(graph: onnx.GraphProto) -> None:
    """Makes each ELU between quantizers give the integers that TFLite's table has.

    Args:
        graph: In QDQ form, with scales and zero points that each tensor has for itself; changed in place.
    """
    constants = arrays(graph)
    for elu in [node for node in graph.node if node.op_type == "Elu"]:
        before, after = writer(graph, elu.input[0]), _only(readers(graph, elu.output[0]))
        if before is None or before.op_type != "DequantizeLinear":
            continue
        if after is None or after.op_type != "QuantizeLinear":
            continue
        steps, table = _table(constants, before, after)
        # The exponential errs in proportion to 1, not to its result less 1.
        scale, zero_point = (constants[name] for name in after.input[1:3])
        lowest = -128 if zero_point.dtype == np.int8 else 0
        distance = clearance(steps, lowest - int(zero_point), 1 / float(scale))
        as_floats = _as_floats(graph, (before, elu, after))
        if distance < CLEARANCE or not np.array_equal(as_floats, table):
            _look_up(graph, before.input[0], after, table)


def _table(
    constants: dict[str, NDArray[Any]], before: onnx.NodeProto, after: onnx.NodeProto
) -> tuple[NDArray[np.float32], NDArray[np.uint8 | np.int8]]:
    """Returns the output for each byte, in the order of the bytes, as LiteRT's int8 kernel computes it.

    First in steps of the output's scale, then as the integers that they round to.
    """
    scale, zero_point, out_scale, out_zero_point = (
        constants[name] for node in (before, after) for name in node.input[1:3]
    )
    dtype = zero_point.dtype
    inputs = np.arange(256).astype(np.uint8).view(dtype).astype(np.int32)
    real = (inputs - int(zero_point)).astype(np.float32) * scale
    steps = np.where(real < 0, np.expm1(np.minimum(real, 0)), real) / out_scale
    rounded = np.sign(steps) * np.floor(np.abs(steps) + np.float32(0.5)) + int(out_zero_point)
    limits = np.iinfo(dtype)
    return steps, np.clip(rounded, limits.min, limits.max).astype(dtype)


def _as_floats(graph: onnx.GraphProto, nodes: tuple[onnx.NodeProto, ...]) -> NDArray[Any]:
    """Returns what ONNX Runtime computes with the three nodes, for each byte in the order of the bytes."""
    used = {name for node in nodes for name in node.input[1:]}
    initializers = [item for item in graph.initializer if item.name in used]
    elements = {item.name: item.data_type for item in initializers}
    source, result = nodes[0].input[0], nodes[-1].output[0]
    element = elements[nodes[0].input[2]]
    probe = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info(source, element, [256])],
        [helper.make_tensor_value_info(result, elements[nodes[-1].input[2]], [256])],
        initializers,
    )
    model = helper.make_model(
        probe, opset_imports=[helper.make_opsetid("", SMALLEST_OPSET)], ir_version=onnx.IR_VERSION_2023_5_5
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values = np.arange(256).astype(np.uint8).view(helper.tensor_dtype_to_np_dtype(element))
    computed: NDArray[Any] = session.run([result], {source: values})[0]
    return computed


def _look_up(
    graph: onnx.GraphProto, source: str, quantize: onnx.NodeProto, table: NDArray[np.uint8 | np.int8]
) -> None:
    """Replaces the float nodes by an access to the table; those that nothing reads any more go at the end."""
    result = quantize.output[0]
    index, name = f"{result}/index", f"{result}/table"
    # A negative index counts from the end, where the table has it: it is in the order of the bytes.
    graph.initializer.append(numpy_helper.from_array(table, name))
    graph.node.remove(quantize)
    graph.node.append(helper.make_node("Cast", [source], [index], to=TensorProto.INT32))
    graph.node.append(helper.make_node("Gather", [name, index], [result]))
