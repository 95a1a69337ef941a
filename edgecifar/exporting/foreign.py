"""Quantized files that others made: read, and refused with the reason where they cannot be rewritten."""

from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.errors import ExportError
from edgecifar.exporting.options import Io

SMALLEST_OPSET, LARGEST_OPSET = 13, 23
"""13 brought scales per channel; what came after 23 has not been tried."""
_DYNAMIC = {
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "ConvInteger",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
}
_QOPERATORS = {
    "QLinearConv",
    "QLinearMatMul",
    "QGemm",
    "QLinearAdd",
    "QLinearMul",
    "QLinearGlobalAveragePool",
}
_ELEMENTS = {
    onnx.TensorProto.FLOAT: Io.FLOAT32,
    onnx.TensorProto.INT8: Io.INT8,
    onnx.TensorProto.UINT8: Io.UINT8,
}
_QUANTIZE = "Quantize it first: onnxruntime.quantization.quantize_static with QuantFormat.QDQ."


def read_qdq(content: bytes) -> onnx.ModelProto:
    """Returns the model of an int8 QDQ file, with every constant an initializer.

    Raises:
        ExportError: It is no ONNX file, or one that is not in QDQ form, with the reason.
    """
    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise ExportError("The file is not an ONNX model.") from error
    graph = model.graph
    if not graph.node:
        raise ExportError("The file is not an ONNX model.")
    _lift_constants(graph)
    operators = {node.op_type for node in graph.node}
    opset = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    if not SMALLEST_OPSET <= opset <= LARGEST_OPSET:
        raise ExportError(
            f"The file has ONNX opset {opset}; {SMALLEST_OPSET} to {LARGEST_OPSET} can be rewritten.",
            "Convert it with onnx.version_converter.convert_version.",
        )
    if operators & _DYNAMIC:
        raise ExportError(
            "The file is quantized dynamically: its activations have no fixed scales, which int8 needs.",
            _QUANTIZE,
        )
    if operators & _QOPERATORS:
        raise ExportError("The file is in QOperator form, which names no float operators to fuse.", _QUANTIZE)
    if not operators & {"QuantizeLinear", "DequantizeLinear"}:
        raise ExportError("The file is a float model: it has no integers to keep.", _QUANTIZE)
    check_single(len(graph.input), len(graph.output))
    return model


def check_single(inputs: int, outputs: int) -> None:
    """Returns if a model has one input and one output.

    Raises:
        ExportError: It has more, or none.
    """
    if (inputs, outputs) != (1, 1):
        raise ExportError(
            f"The model has {inputs} inputs and {outputs} outputs; a classifier has one of each."
        )


def boundaries(model: onnx.ModelProto) -> Io:
    """Returns the data type of a model's input.

    Raises:
        ExportError: It is neither float32 nor bytes.
    """
    value = model.graph.input[0]
    if value.type.tensor_type.elem_type not in _ELEMENTS:
        raise ExportError(f"The input {value.name} is neither float32 nor bytes.")
    return _ELEMENTS[value.type.tensor_type.elem_type]


def check_tflite(content: bytes) -> Io:
    """Returns the data type of an int8 TFLite file's input.

    Raises:
        ExportError: It is no TFLite file, or one whose layers do not compute in int8, with the reason.
    """
    if content[4:8] != b"TFL3":
        raise ExportError("The file is not a TFLite model.")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    check_single(len(graph.inputs), len(graph.outputs))
    weighted = [operator for operator in graph.operators if _is_weighted(model, operator)]
    types_of = [
        tuple(graph.tensors[operator.inputs[place]].type for place in (0, 1)) for operator in weighted
    ]
    if (schema.TensorType.FLOAT32, schema.TensorType.INT8) in types_of:
        raise ExportError(
            "The file is quantized dynamically: its activations have no fixed scales, which int8 needs.",
            "Convert it with a representative data set.",
        )
    for operator, found_types in zip(weighted, types_of, strict=True):
        if found_types != (schema.TensorType.INT8, schema.TensorType.INT8):
            raise ExportError(
                f"The layer at {graph.tensors[operator.outputs[0]].name.decode()} does not compute in int8.",
                "Only files with int8 weights and activations can be rewritten.",
            )
    types = {
        schema.TensorType.FLOAT32: Io.FLOAT32,
        schema.TensorType.INT8: Io.INT8,
        schema.TensorType.UINT8: Io.UINT8,
    }
    found = graph.tensors[graph.inputs[0]].type
    if not weighted or found not in types:
        raise ExportError("The file is not an int8 image classifier.")
    return types[found]


def _is_weighted(model: Any, operator: Any) -> bool:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode) in {
        schema.BuiltinOperator.CONV_2D,
        schema.BuiltinOperator.DEPTHWISE_CONV_2D,
        schema.BuiltinOperator.FULLY_CONNECTED,
    }


def _lift_constants(graph: onnx.GraphProto) -> None:
    """Makes initializers of Constant nodes, and inputs with an initializer plain initializers."""
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        value = next((item.t for item in node.attribute if item.name == "value"), None)
        if value is not None:
            graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(value), node.output[0]))
            graph.node.remove(node)
    names = {item.name for item in graph.initializer}
    kept = [value for value in graph.input if value.name not in names]
    del graph.input[:]
    graph.input.extend(kept)
