"""int8 TFLite files whose weights cannot saturate sums of 16 bits: see `edgecifar.runtimes.pairs`."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.errors import ExportError
from edgecifar.exporting.tflite_codes import code_of
from edgecifar.runtimes.pairs import UNIT, Integers, growths, shrink

MADE_BY = "weights made saturation-safe"


def make_safe(content: bytes) -> bytes:
    """Returns an int8 TFLite file with weights that no activations can make saturate.

    Each output channel of a convolution or dense layer gets the smallest scale, from its own up to twice
    that, at which no two neighbours in the order kernel row, kernel column, input channel sum to more than
    `pairs.LARGEST_PAIR` in magnitude; a tensor with one scale grows it for all channels. Biases follow. All
    else keeps its bytes and its place in the file, safe channels included.

    Args:
        content: A file of `tflite.convert` with int8 weights.

    Raises:
        ExportError: A layer's weights are not symmetric or their scales not of output channels, or layers
            that need different growths share a constant.
    """
    safe = bytearray(content)
    model = schema.Model.GetRootAs(safe, 0)
    graph = model.Subgraphs(0)
    changes: dict[int, _Change] = {}
    for index in range(graph.OperatorsLength()):
        for change in _grow_layer(model, graph, graph.Operators(index)):
            if changes.setdefault(change.tensor, change) != change:
                raise _shared(graph, change.tensor)
    _check_buffers(model, graph, changes)
    for change in changes.values():
        tensor = graph.Tensors(change.tensor)
        # Both are views of the file's own bytes.
        model.Buffers(tensor.Buffer()).DataAsNumpy()[:] = np.frombuffer(change.values, np.uint8)
        tensor.Quantization().ScaleAsNumpy()[:] = np.frombuffer(change.scales, np.float32)
    return bytes(safe)


@dataclass(frozen=True, slots=True)
class _Change:
    """Content and scales that a constant tensor is to have."""

    tensor: int
    values: bytes
    scales: bytes


def _grow_layer(model: Any, graph: Any, operator: Any) -> list[_Change]:
    """Returns a layer's weights and bias, made safe; nothing for an operator without such weights."""
    axis = _channel_axis(model, graph, operator)
    if axis is None:
        return []
    source, kernel = (graph.Tensors(operator.Inputs(place)) for place in (0, 1))
    stored = model.Buffers(kernel.Buffer())
    # Weights that another layer computes are activations: uint8 in the ONNX file, which never saturate.
    if kernel.Type() != schema.TensorType.INT8 or not stored.DataLength():
        return []
    flat = stored.DataAsNumpy().view(np.int8)
    channels = kernel.Shape(axis)
    weights = flat.reshape(channels, -1) if axis == 0 else flat.reshape(-1, channels).T
    scales = _channel_scales(kernel, axis)
    growth = growths(weights)
    if len(scales) == 1:
        growth = np.full_like(growth, growth.max())
    factors = 1 + growth[: len(scales)] / UNIT
    grown = (scales * factors).astype(np.float32)
    values = shrink(weights, growth[:, None]).astype(np.int8)
    changes = [_Change(operator.Inputs(1), (values if axis == 0 else values.T).tobytes(), grown.tobytes())]
    if operator.InputsLength() > 2 and operator.Inputs(2) >= 0:
        changes.append(_grow_bias(model, graph, operator.Inputs(2), growth, source, grown))
    return changes


def _channel_axis(model: Any, graph: Any, operator: Any) -> int | None:
    """Returns where the output channels lie in the weights; None: the operator multiplies no pairs."""
    code = code_of(model, operator)
    if code in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED):
        return 0
    if code != schema.BuiltinOperator.DEPTHWISE_CONV_2D:
        return None
    # ONNX Runtime has kernels of one filter per input channel that widen both factors first, and multiplies
    # several filters per channel as matrices, in pairs (tried on an emulated Haswell, version 1.31).
    source, kernel = (graph.Tensors(operator.Inputs(place)) for place in (0, 1))
    return None if kernel.Shape(3) == source.Shape(3) else 3


def _grow_bias(
    model: Any, graph: Any, index: int, growth: Integers, source: Any, weight_scales: NDArray[np.float32]
) -> _Change:
    """Returns a bias on TFLite's scale for it, input scale times weight scale; as it was where none grew."""
    tensor = graph.Tensors(index)
    values = model.Buffers(tensor.Buffer()).DataAsNumpy().view(np.int32)
    old = tensor.Quantization().ScaleAsNumpy()
    input_scale = source.Quantization().ScaleAsNumpy()[0]
    scales = np.where(growth[: len(old)] > 0, input_scale * weight_scales, old)
    return _Change(
        index, shrink(values, growth).astype(np.int32).tobytes(), scales.astype(np.float32).tobytes()
    )


def _channel_scales(tensor: Any, axis: int) -> NDArray[np.float32]:
    parameters = tensor.Quantization()
    scales: NDArray[np.float32] = parameters.ScaleAsNumpy()
    if np.any(parameters.ZeroPointAsNumpy()):
        raise ExportError(f"The weights {_name(tensor)} of the int8 model have a zero point other than 0.")
    if len(scales) != 1 and (len(scales) != tensor.Shape(axis) or parameters.QuantizedDimension() != axis):
        raise ExportError(f"The weights {_name(tensor)} of the int8 model have no scale per output channel.")
    return scales


def _check_buffers(model: Any, graph: Any, changes: dict[int, _Change]) -> None:
    """Refuses to change a buffer that another tensor, which stays or changes otherwise, reads too."""
    readers = Counter(graph.Tensors(index).Buffer() for index in range(graph.TensorsLength()))
    alike = Counter((graph.Tensors(index).Buffer(), change.values) for index, change in changes.items())
    for index, change in changes.items():
        buffer = graph.Tensors(index).Buffer()
        is_new = model.Buffers(buffer).DataAsNumpy().tobytes() != change.values
        if is_new and alike[buffer, change.values] != readers[buffer]:
            raise _shared(graph, index)


def _shared(graph: Any, index: int) -> ExportError:
    return ExportError(
        f"{_name(graph.Tensors(index))} of the int8 model is shared, and its readers need different scales."
    )


def _name(tensor: Any) -> str:
    return str(tensor.Name().decode())
