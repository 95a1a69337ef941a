"""Any int8 TFLite file as a `Graph`; what converters put at its boundaries is left out.

Reads through the flatbuffers classes of the LiteRT package, which are quick to import.
"""

import struct
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgecifar.errors import ExportError, ModelError
from edgecifar.microcontroller.graph import Graph, Operator, Tensor

_TYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_BOUNDARIES = {"QUANTIZE", "DEQUANTIZE"}
# What flatbuffers and NumPy raise where a table leads out of the file.
_DAMAGED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError, struct.error)
_CONSTANTS = {"int8", "uint8", "int16", "int32", "int64", "float32"}


def read(content: bytes) -> Graph:
    """Returns the network between the int8 input and the int8 output of a TFLite file.

    A QUANTIZE at the start, from float32 or uint8, and a QUANTIZE or DEQUANTIZE at the end are left out:
    they hold the same integers, or their real values, in another type.

    Args:
        content: The file.

    Raises:
        ModelError: Not a TFLite file, or damaged.
        ExportError: A float or dynamic model, or one with other than one input and output.
    """
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        subgraphs = model.subgraphs or []
        graph = subgraphs[0]
        tensors = [_tensor(model, index, tensor) for index, tensor in enumerate(graph.tensors)]
        operators = [_operator(model, tensors, operator) for operator in graph.operators or []]
        inputs, outputs = ([tensors[index] for index in ends] for ends in (graph.inputs, graph.outputs))
    except _DAMAGED as error:
        raise ModelError("Not a TFLite file, or a damaged one: its tables lead nowhere.") from error
    if len(subgraphs) != 1:
        raise ExportError(f"The model has {len(subgraphs)} subgraphs; C is generated from a single one.")
    if len(inputs) != 1 or len(outputs) != 1:
        found = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise ExportError(f"The model has {found}; C is generated for one of each.")
    return _inner(inputs[0], outputs[0], operators)


def _inner(source: Tensor, result: Tensor, operators: list[Operator]) -> Graph:
    """Returns the graph without conversions at its boundaries, checked to be int8 throughout."""
    if operators and operators[0].kind in _BOUNDARIES and source.dtype != "int8":
        source = operators.pop(0).output
    if operators and operators[-1].kind in _BOUNDARIES and result.dtype != "int8":
        result = operators.pop().input(0)
    if not operators:
        raise ExportError("The model computes nothing.")
    activations = [
        (operator, tensor)
        for operator in operators
        for tensor in (*operator.inputs, operator.output)
        if tensor is not None and tensor.data is None
    ]
    # What is float is told first: it is why the rest is not int8 either.
    for operator, tensor in sorted(activations, key=lambda pair: not pair[1].dtype.startswith("float")):
        _check_activation(operator, tensor)
    return Graph(source, result, tuple(operators))


def _check_activation(operator: Operator, tensor: Tensor) -> None:
    if tensor.dtype != "int8":
        raise operator.refuse(
            f"computes in {tensor.dtype} (tensor {tensor.name}); C is generated from int8 models",
            "Export the model with --int8, which quantizes all of it.",
        )
    if len(tensor.scales) != 1 or len(tensor.zero_points) != 1:
        raise operator.refuse(f"has an activation, {tensor.name}, without a scale and zero point of its own")
    if not tensor.shape or min(tensor.shape) < 1 or (len(tensor.shape) > 1 and tensor.shape[0] != 1):
        sizes = "×".join(map(str, tensor.shape))
        raise operator.refuse(
            f"has an activation, {tensor.name}, of shape {sizes or 'none'}; C is generated for one image at "
            "a time and fixed sizes",
            "Export the model with a fixed shape and a batch of 1.",
        )


def _tensor(model: Any, index: int, tensor: Any) -> Tensor:
    name = (tensor.name or b"").decode(errors="replace") or f"tensor {index}"
    shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
    signature = tensor.shapeSignature
    if signature is not None and any(int(size) < 0 for size in list(signature)[1:]):
        raise ExportError(f"{name} has a dynamic shape; C needs every size but the batch's to be fixed.")
    dtype = _TYPES[tensor.type]
    parameters = tensor.quantization
    scales = zero_points = None
    axis = 0
    if parameters is not None:
        scales, zero_points, axis = parameters.scale, parameters.zeroPoint, parameters.quantizedDimension
    stored = model.buffers[tensor.buffer].data
    data: NDArray[Any] | None = None
    if stored is not None and len(stored):
        if dtype not in _CONSTANTS:
            raise ExportError(f"{name} is a constant of {dtype}, of which no C is generated.")
        raw = np.asarray(stored, np.uint8).tobytes()
        data = np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    return Tensor(
        index=index,
        name=name,
        shape=shape,
        dtype=dtype,
        scales=np.asarray(() if scales is None else scales, np.float32),
        zero_points=np.asarray(() if zero_points is None else zero_points, np.int64),
        axis=int(axis),
        data=data,
    )


def _operator(model: Any, tensors: list[Tensor], operator: Any) -> Operator:
    code = model.operatorCodes[operator.opcodeIndex]
    # Codes above 127 do not fit the field of old files.
    kind = _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    if kind == "CUSTOM":
        kind = f"custom operator {(code.customCode or b'?').decode(errors='replace')}"
    inputs = tuple(tensors[place] if place >= 0 else None for place in operator.inputs)
    output = tensors[operator.outputs[0]]
    options = vars(operator.builtinOptions) if operator.builtinOptions is not None else {}
    result = Operator(kind, inputs, output, dict(options))
    if len(operator.outputs) != 1:
        raise result.refuse(f"has {len(operator.outputs)} outputs; C is generated for one")
    return result
