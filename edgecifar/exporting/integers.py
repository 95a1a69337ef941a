"""Proof that an int8 TFLite file computes in integers and that its input integers are pixels."""

import math
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.artifacts import Preprocessing
from edgecifar.errors import ExportError
from edgecifar.exporting.options import Io

_TYPES = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}
_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
_SCALE_TOLERANCE = 1e-4
"""Relative; the converter's own float32 arithmetic moves a scale by some 1e-7."""
PROBABILITY_SCALE = 1 / 256
"""TFLite's fixed output scale of a quantized softmax (its quantization specification)."""


def check(content: bytes, io: Io, preprocessing: Preprocessing) -> None:
    """Returns if an int8 TFLite file is what it should be.

    Args:
        content: The file.
        io: The boundaries that were asked for.
        preprocessing: Its mean and std determine the input's zero point and scale.

    Raises:
        ExportError: A layer with weights computes in float, or a bias does not fit into 32 bits, or the
            input's integers are not pixels, or the output is not a quantized softmax.
    """
    model, graph, operators = _graph(content)
    boundary = _TYPES[graph.tensors[graph.inputs[0]].type].lower()
    if boundary != io.value:
        raise ExportError(f"The converter made a {boundary} input where {io} was asked for.")
    for operator, name in operators:
        if name in _WEIGHTED and _is_float(graph, operator):
            tensor = graph.tensors[operator.outputs[0]].name.decode()
            raise ExportError(
                f"{name} of the int8 model still computes in float (at {tensor}): the layer was left out of "
                "quantization-aware training."
            )
        if name in _WEIGHTED and _has_clipped_bias(model, graph, operator):
            tensor = graph.tensors[operator.outputs[0]].name.decode()
            raise ExportError(
                f"{name} of the int8 model has a bias that does not fit into 32 bits (at {tensor}): the "
                "weights of an output channel are all but zero."
            )
    first = operators[0][0]
    source = graph.inputs[0] if io is not Io.FLOAT32 else first.outputs[0]
    _check_pixels(graph.tensors[source], preprocessing)
    last = operators[-1][0]
    result = graph.outputs[0] if io is not Io.FLOAT32 else last.inputs[0]
    _check_probabilities(graph.tensors[result])


def float_operators(content: bytes) -> tuple[str, ...]:
    """Returns the names of the operators of an int8 TFLite file that compute in float.

    TensorFlow's converter leaves some so, ELU for one, between a DEQUANTIZE and a QUANTIZE.
    """
    _, graph, operators = _graph(content)
    return tuple(
        name for operator, name in operators if name not in _CONVERSIONS and _is_float(graph, operator)
    )


def _graph(content: bytes) -> tuple[Any, Any, list[tuple[Any, str]]]:
    """Returns the model, its main subgraph, and the operators of it in order with their names."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    # Codes above 127 do not fit the field of old files.
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return model, graph, [(operator, _OPERATORS[codes[operator.opcodeIndex]]) for operator in graph.operators]


def _is_float(graph: Any, operator: Any) -> bool:
    tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    return any(_TYPES[tensor.type].startswith("FLOAT") for tensor in tensors)


def _has_clipped_bias(model: Any, graph: Any, operator: Any) -> bool:
    """Returns whether the converter has stored the largest integer for a bias of more steps."""
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return False
    tensor = graph.tensors[operator.inputs[2]]
    data = model.buffers[tensor.buffer].data
    if _TYPES[tensor.type] != "INT32" or data is None:
        return False
    limits = np.iinfo(np.int32)
    values = np.frombuffer(bytes(data), np.int32)
    return bool(np.any((values == limits.min) | (values == limits.max)))


def _check_pixels(tensor: Any, preprocessing: Preprocessing) -> None:
    scale, zero_point = _quantization(tensor)
    if _TYPES[tensor.type] == "INT8":
        zero_point += 128
    expected = 1 / preprocessing.std
    if (
        not math.isclose(scale, expected, rel_tol=_SCALE_TOLERANCE)
        or abs(zero_point - preprocessing.mean) > 0.5
    ):
        raise ExportError(
            f"The int8 model's input has scale {scale:g} and zero point {zero_point}, but pixels need scale "
            f"{expected:g} (1 / std) and zero point {preprocessing.mean:g} (the mean)."
        )


def _check_probabilities(tensor: Any) -> None:
    scale, zero_point = _quantization(tensor)
    smallest = zero_point + (128 if _TYPES[tensor.type] == "INT8" else 0)
    if scale != PROBABILITY_SCALE or smallest != 0:
        raise ExportError(
            f"The int8 model's output has scale {scale:g} and zero point {zero_point}; that of a softmax has "
            "1/256 and the smallest integer. End the model with a softmax."
        )


def _quantization(tensor: Any) -> tuple[float, int]:
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None or len(parameters.scale) != 1:
        raise ExportError(f"{tensor.name.decode()} of the int8 model has no scale of its own.")
    return float(parameters.scale[0]), int(parameters.zeroPoint[0])
