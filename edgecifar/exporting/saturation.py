"""int8 TFLite files whose weights cannot saturate sums of 16 bits: see `edgecifar.runtimes.pairs`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.errors import ExportError
from edgecifar.exporting.tflite_codes import code_of
from edgecifar.runtimes.pairs import UNIT, Integers, growths, shrink

MADE_BY = "weights made saturation-safe"
_ROUNDING = 0.51
"""Steps by which an integer may be away from the float that it stands for, and a little for float32."""


def make_safe(content: bytes, source: bytes | None = None) -> bytes:
    """Returns an int8 TFLite file with weights that no activations can make saturate.

    Each output channel of a convolution or dense layer gets the smallest scale, from its own up to twice
    that, at which no two neighbours in the order kernel row, kernel column, input channel sum to more than
    `pairs.LARGEST_PAIR` in magnitude; a tensor with one scale grows it for all channels. Biases follow. All
    else keeps its bytes and its place in the file, safe channels included.

    Args:
        content: A file of `tflite.convert` with int8 weights.
        source: The same network with the float weights that were quantized: weights that change are then
            rounded once, from those; None: from the integers.

    Raises:
        ExportError: A layer's weights are not symmetric or their scales not of output channels, or layers
            that need different growths share a constant, or `source` is another network.
    """
    floats = _float_weights(source) if source else None
    safe = bytearray(content)
    model = schema.Model.GetRootAs(safe, 0)
    graph = model.Subgraphs(0)
    changes: dict[int, _Change] = {}
    layers = list(_layers(model, graph))
    if floats is not None and len(floats) != len(layers):
        raise ExportError("The float weights are those of another network than the int8 model's.")
    for place, layer in enumerate(layers):
        for change in _grow_layer(model, graph, layer, None if floats is None else floats[place]):
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


@dataclass(frozen=True, slots=True)
class _Layer:
    """An operator that multiplies pairs of constant weights."""

    operator: Any
    axis: int
    """Of the weights, where the output channels lie."""


def _layers(model: Any, graph: Any) -> Iterator[_Layer]:
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        axis = _channel_axis(model, graph, operator)
        # Weights that another layer computes are activations: uint8 in the ONNX file, which never saturate.
        if axis is not None and model.Buffers(graph.Tensors(operator.Inputs(1)).Buffer()).DataLength():
            yield _Layer(operator, axis)


def _float_weights(source: bytes) -> list[NDArray[np.float32]]:
    """Returns the weights of each such layer of a float file, in order: (channels, reduced axis)."""
    model = schema.Model.GetRootAs(source, 0)
    graph = model.Subgraphs(0)
    found = []
    for layer in _layers(model, graph):
        kernel = graph.Tensors(layer.operator.Inputs(1))
        if kernel.Type() != schema.TensorType.FLOAT32:
            raise ExportError(f"The weights {_name(kernel)} of the float model are no floats.")
        flat = model.Buffers(kernel.Buffer()).DataAsNumpy().view(np.float32)
        found.append(_rows(flat, kernel.Shape(layer.axis), layer.axis))
    return found


def _rows(flat: NDArray[Any], channels: int, axis: int) -> NDArray[Any]:
    """Returns weights as (channels, reduced axis), as they lie in the order of multiplication."""
    return flat.reshape(channels, -1) if axis == 0 else flat.reshape(-1, channels).T


def _grow_layer(model: Any, graph: Any, layer: _Layer, floats: NDArray[np.float32] | None) -> list[_Change]:
    """Returns a layer's weights and bias, made safe; nothing for weights that are no int8."""
    operator, axis = layer.operator, layer.axis
    source, kernel = (graph.Tensors(operator.Inputs(place)) for place in (0, 1))
    if kernel.Type() != schema.TensorType.INT8:
        return []
    flat = model.Buffers(kernel.Buffer()).DataAsNumpy().view(np.int8)
    weights = _rows(flat, kernel.Shape(axis), axis)
    scales = _channel_scales(kernel, axis)
    steps = weights if floats is None else _steps(kernel, weights, scales, floats)
    growth = np.where(growths(weights) > 0, growths(steps), 0)
    if len(scales) == 1:
        growth = np.full_like(growth, growth.max())
    factors = 1 + growth[: len(scales)] / UNIT
    grown = (scales * factors).astype(np.float32)
    values = np.where(growth[:, None] > 0, shrink(steps, growth[:, None]), weights).astype(np.int8)
    changes = [_Change(operator.Inputs(1), (values if axis == 0 else values.T).tobytes(), grown.tobytes())]
    if operator.InputsLength() > 2 and operator.Inputs(2) >= 0:
        changes.append(_grow_bias(model, graph, operator.Inputs(2), growth, source, grown))
    return changes


def _steps(
    kernel: Any, weights: NDArray[np.int8], scales: NDArray[np.float32], floats: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Returns the float weights in steps of the integers' scales; they must round to these integers."""
    if floats.shape != weights.shape:
        raise ExportError(f"The weights {_name(kernel)} have another shape in the float model.")
    steps: NDArray[np.float64] = floats / scales.astype(np.float64)[:, None]
    if np.any(np.abs(steps - weights) > _ROUNDING):
        raise ExportError(f"The weights {_name(kernel)} are not those of the float model.")
    return steps


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
