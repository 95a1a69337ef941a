"""Builds small int8 TFLite files operator by operator, without TensorFlow."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_TYPES = {
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int32": schema.TensorType.INT32,
    "float32": schema.TensorType.FLOAT32,
}
# The oldest versions of the operators' kernels that take int8; LiteRT refuses older.
_VERSIONS = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "ADD": 2, "SUB": 3, "MUL": 2,
    "AVERAGE_POOL_2D": 2, "MAX_POOL_2D": 2, "MEAN": 2, "PAD": 2, "PADV2": 2, "CONCATENATION": 2,
    "QUANTIZE": 2, "RELU": 2, "RELU6": 2, "LEAKY_RELU": 2, "LOGISTIC": 2, "TANH": 2, "SOFTMAX": 2,
    "HARD_SWISH": 1, "ELU": 1, "RESHAPE": 1, "DEQUANTIZE": 2,
}  # fmt: skip


class Network:
    """A TFLite model under construction; tensors are known by their index."""

    def __init__(self) -> None:
        self._graph = schema.SubGraphT()
        self._graph.name = b"main"
        self._graph.tensors, self._graph.operators = [], []
        self._buffers = [schema.BufferT()]
        self._codes: list[str] = []

    def tensor(
        self,
        shape: Sequence[int],
        scale: float | Sequence[float] | None = None,
        zero_point: int = 0,
        *,
        dtype: str = "int8",
        data: NDArray[Any] | None = None,
        axis: int = 0,
        name: str | None = None,
    ) -> int:
        """Returns a new tensor; a constant one where `data` is given."""
        tensor = schema.TensorT()
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = _TYPES[dtype]
        tensor.name = (name or f"t{len(self._graph.tensors)}").encode()
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            tensor.quantization.scale = scales
            tensor.quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)
            tensor.quantization.quantizedDimension = axis
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def scale(self, index: int) -> float:
        """Returns a tensor's scale."""
        return float(self._graph.tensors[index].quantization.scale[0])

    def zero_point(self, index: int) -> int:
        """Returns a tensor's zero point."""
        return int(self._graph.tensors[index].quantization.zeroPoint[0])

    def shape(self, index: int) -> tuple[int, ...]:
        """Returns a tensor's shape."""
        return tuple(int(size) for size in self._graph.tensors[index].shape)

    def operator(
        self, kind: str, inputs: Sequence[int], output: int, options: str | None = None, **fields: Any
    ) -> int:
        """Adds an operator that writes `output`, which is returned.

        Args:
            kind: The schema's name: "CONV_2D".
            inputs: Tensors; -1: left out.
            output: A tensor.
            options: The schema's name of the options' table, without "Options": "Conv2D".
            fields: Of that table.
        """
        if kind not in self._codes:
            self._codes.append(kind)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index(kind)
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray([output], np.int32)
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{options}Options")
            operator.builtinOptions = getattr(schema, f"{options}OptionsT")()
            for name, value in fields.items():
                setattr(operator.builtinOptions, name, value)
        self._graph.operators.append(operator)
        return output

    def finish(self, source: int | Sequence[int], result: int | Sequence[int]) -> bytes:
        """Returns the file with these inputs and outputs."""
        self._graph.inputs = np.atleast_1d(np.asarray(source, np.int32))
        self._graph.outputs = np.atleast_1d(np.asarray(result, np.int32))
        model = schema.ModelT()
        model.version = 3
        model.description = b"made by a test"
        model.subgraphs, model.buffers = [self._graph], self._buffers
        model.operatorCodes = []
        for kind in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = _VERSIONS[kind]
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
