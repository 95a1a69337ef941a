"""Scales at which additions and products round alike in every engine.

Engines add quantized tensors by different approximations of the two ratios input scale / output scale:
XNNPACK with fixed-point multipliers of some 20 bits, ONNX Runtime in float32, TFLite's reference kernels
with 31 bits. They disagree where the exact sum lies next to a half step. If both ratios are multiples of 1 /
255, the sum is one too; 255 is odd, so no sum comes nearer to a half step than 1 / 510, which is more than
any of them errs.

A product with constants, such as the batch norm after an activation, has few different results: 256 for each
constant. Engines multiply the scales in different orders, and part where a result lies within float32's error
of a half step. The constants' scale is moved by a hair until none does.
"""

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.exporting.tflite_codes import code_of

_DENOMINATOR = 255
_LARGEST_RATIO = 4
"""Beyond it, XNNPACK's error (two products of 255 steps and multipliers of 2^-20 relative precision) may
reach the margin."""
CLEARANCE = 1e-6
"""`clearance` from which on every engine's float32 gives the same integer: several times the error of three
roundings."""
_NUDGE, _NUDGES = 2.0**-16, 64
"""Smallest change of the constants' scale that is tried, and how many times as large the largest one is:
0.1 %, an eighth of a step of the largest constant."""
_OPERATORS = schema.BuiltinOperator
_WEIGHTED = {_OPERATORS.CONV_2D, _OPERATORS.DEPTHWISE_CONV_2D, _OPERATORS.FULLY_CONNECTED}
_FREE_OUTPUT = _WEIGHTED | {_OPERATORS.ADD, _OPERATORS.SUB, _OPERATORS.MUL}
"""Operators that requantize: their output may have any scale."""
_FREE_INPUT = _FREE_OUTPUT | {_OPERATORS.QUANTIZE, _OPERATORS.DEQUANTIZE, _OPERATORS.MEAN}
"""Operators whose input's scale binds nothing else but a bias."""


def settle(content: bytes) -> bytes:
    """Returns an int8 TFLite file whose additions and products with constants round alike everywhere.

    Args:
        content: A file with int8 activations; it comes back as it is where nothing is to be done.
    """
    # A sum's terms are aligned first: they are what products give.
    return separate_products(align_additions(content))


def align_additions(content: bytes) -> bytes:
    """Returns an int8 TFLite file in which the scales of added tensors are multiples of the sum's / 255.

    Scales of activations move by at most half of such a step, 0.2 % for equal ones; biases of the layers that
    read such a tensor follow. Constants get the next larger multiple, and their integers are rounded anew. A
    tensor whose scale something else binds, a pool or a concatenation, stays as it is.

    Args:
        content: A file with int8 activations; it comes back as it is where nothing is to be done.
    """
    aligned = bytearray(content)
    model = schema.Model.GetRootAs(aligned, 0)
    graph = model.Subgraphs(0)
    operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
    settled: set[int] = set()
    # From the last on: a sum's own scale is settled before those of its terms.
    for operator in reversed(operators):
        if code_of(model, operator) not in {_OPERATORS.ADD, _OPERATORS.SUB}:
            continue
        total = graph.Tensors(operator.Outputs(0))
        if total.Type() != schema.TensorType.INT8:
            continue
        settled.add(operator.Outputs(0))
        for place in (0, 1):
            index = operator.Inputs(place)
            scale = float(total.Quantization().ScaleAsNumpy()[0])
            if index not in settled and _is_own_constant(model, graph, operators, index):
                _align_constant(model, graph, index, scale)
            elif index not in settled and _is_free(model, graph, operators, index):
                _align(model, graph, operators, index, scale)
            settled.add(index)
    return bytes(aligned)


def separate_products(content: bytes) -> bytes:
    """Returns an int8 TFLite file in which no product with constants lies next to a half step.

    The scale of the constants moves by 0.1 % at most, their integers stay. Where no such scale keeps all
    products clear, the one that keeps them farthest is taken.

    Args:
        content: A file with int8 activations; it comes back as it is where nothing is to be done.
    """
    separated = bytearray(content)
    model = schema.Model.GetRootAs(separated, 0)
    graph = model.Subgraphs(0)
    operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
    for operator in operators:
        if code_of(model, operator) != _OPERATORS.MUL:
            continue
        result = graph.Tensors(operator.Outputs(0))
        indices = {
            _is_own_constant(model, graph, operators, index): index
            for index in _numbers(operator.InputsAsNumpy())
        }
        if indices.keys() == {True, False}:
            constant, source = graph.Tensors(indices[True]), graph.Tensors(indices[False])
            if source.Type() == result.Type() == schema.TensorType.INT8:
                _separate(source, constant, _integers(model, constant), result)
    return bytes(separated)


def clearance(steps: NDArray[Any], lowest: int, unit: float = 1.0) -> float:
    """Returns the smallest distance of a number to a half step, in parts of the number and `unit`.

    Args:
        steps: Numbers that are to be rounded to integers.
        lowest: Of the 256 integers that they may become; what lies beyond saturates and is left out.
        unit: In steps, what the numbers' absolute error is in proportion to.
    """
    steps = steps[(steps > lowest - 1) & (steps < lowest + 256)]
    distances = np.abs(steps - np.floor(steps) - 0.5) / (np.abs(steps) + unit)
    return float(distances.min(initial=1.0))


def _separate(source: Any, constant: Any, values: NDArray[np.int8], result: Any) -> None:
    """Moves the scale of a product's constants to where the products are clear of half steps."""
    (from_scale, from_zero), (_, zero), (to_scale, to_zero) = (
        (float(tensor.Quantization().Scale(0)), int(tensor.Quantization().ZeroPoint(0)))
        for tensor in (source, constant, result)
    )
    scale = constant.Quantization().ScaleAsNumpy()
    inputs = np.arange(-128, 128) - from_zero
    products = np.unique(np.multiply.outer(inputs, np.unique(values).astype(np.int64) - zero))

    def distance(candidate: np.float32) -> float:
        return clearance(products * (from_scale * float(candidate) / to_scale), -128 - to_zero)

    nudges = sorted(range(-_NUDGES, _NUDGES + 1), key=abs)
    candidates = [np.float32(scale[0] * (1 + nudge * _NUDGE)) for nudge in nudges]
    clear = (candidate for candidate in candidates if distance(candidate) >= CLEARANCE)
    scale[0] = next(clear, None) or max(candidates, key=distance)


def _is_own_constant(model: Any, graph: Any, operators: list[Any], index: int) -> bool:
    """Returns whether a tensor is int8 constants of one scale, which only one operator reads."""
    tensor = graph.Tensors(index)
    quantization = tensor.Quantization()
    if tensor.Type() != schema.TensorType.INT8 or quantization is None or quantization.ScaleLength() != 1:
        return False
    if not model.Buffers(tensor.Buffer()).DataLength():
        return False
    uses = sum(_numbers(operator.InputsAsNumpy()).count(index) for operator in operators)
    owners = [graph.Tensors(number).Buffer() for number in range(graph.TensorsLength())]
    return uses == 1 and owners.count(tensor.Buffer()) == 1


def _integers(model: Any, tensor: Any) -> NDArray[np.int8]:
    """Returns a view of an int8 tensor's constants in the file."""
    values: NDArray[np.int8] = model.Buffers(tensor.Buffer()).DataAsNumpy().view(np.int8)
    return values


def _align_constant(model: Any, graph: Any, index: int, total: float) -> None:
    """Gives constants the next larger scale that is a multiple of the sum's / 255."""
    quantization = graph.Tensors(index).Quantization()
    scale, zero_point = quantization.ScaleAsNumpy(), int(quantization.ZeroPoint(0))
    # A scale that is such a multiple stays, whatever float32 made of it.
    numerator = max(1, math.ceil(float(scale[0]) / total * _DENOMINATOR - 1e-4))
    if numerator > _LARGEST_RATIO * _DENOMINATOR:
        return
    old, new = float(scale[0]), float(np.float32(total * numerator / _DENOMINATOR))
    if abs(new - old) < 1e-6 * old:
        return
    scale[0] = new
    values = _integers(model, graph.Tensors(index))
    values[:] = np.rint((values.astype(np.float64) - zero_point) * (old / new)).astype(np.int64) + zero_point


def _is_free(model: Any, graph: Any, operators: list[Any], index: int) -> bool:
    """Returns whether the scale of an activation may change: its maker and its readers requantize."""
    if index in (graph.Inputs(0), graph.Outputs(0)):
        return False
    makers = [code_of(model, o) for o in operators if index in _numbers(o.OutputsAsNumpy())]
    readers = [o for o in operators if index in _numbers(o.InputsAsNumpy())]
    if not makers or not set(makers) <= _FREE_OUTPUT:
        return False
    if not {code_of(model, reader) for reader in readers} <= _FREE_INPUT:
        return False
    # A bias that two layers share cannot follow one of them.
    uses = Counter(number for operator in operators for number in _numbers(operator.InputsAsNumpy()))
    return all(uses[bias] == 1 for bias in _biases(model, readers, index))


def _align(model: Any, graph: Any, operators: list[Any], index: int, total: float) -> None:
    scale = graph.Tensors(index).Quantization().ScaleAsNumpy()
    numerator = max(1, round(float(scale[0]) / total * _DENOMINATOR))
    if numerator > _LARGEST_RATIO * _DENOMINATOR:
        return
    old, new = float(scale[0]), float(np.float32(total * numerator / _DENOMINATOR))
    scale[0] = new
    readers = [o for o in operators if index in _numbers(o.InputsAsNumpy())]
    for bias in _biases(model, readers, index):
        tensor = graph.Tensors(bias)
        values = model.Buffers(tensor.Buffer()).DataAsNumpy().view(np.int32)
        values[:] = np.rint(values * (old / new)).astype(np.int32)
        scales: NDArray[np.float32] = tensor.Quantization().ScaleAsNumpy()
        scales *= np.float32(new / old)


def _biases(model: Any, readers: list[Any], index: int) -> list[int]:
    return [
        int(reader.Inputs(2))
        for reader in readers
        if code_of(model, reader) in _WEIGHTED
        and reader.Inputs(0) == index
        and reader.InputsLength() > 2
        and reader.Inputs(2) >= 0
    ]


def _numbers(values: Any) -> list[int]:
    """Returns an operator's tensors; an empty vector of a file reads as 0."""
    return [] if isinstance(values, int) else [int(value) for value in values]
