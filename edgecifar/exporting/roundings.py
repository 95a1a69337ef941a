"""Scales at which additions round alike in every engine.

Engines add quantized tensors by different approximations of the two ratios input scale / output scale:
XNNPACK with fixed-point multipliers of some 20 bits, ONNX Runtime in float32, TFLite's reference kernels
with 31 bits. They disagree where the exact sum lies next to a half step. If both ratios are multiples of 1 /
255, the sum is one too; 255 is odd, so no sum comes nearer to a half step than 1 / 510, which is more than
any of them errs.
"""

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
_OPERATORS = schema.BuiltinOperator
_WEIGHTED = {_OPERATORS.CONV_2D, _OPERATORS.DEPTHWISE_CONV_2D, _OPERATORS.FULLY_CONNECTED}
_FREE_OUTPUT = _WEIGHTED | {_OPERATORS.ADD, _OPERATORS.SUB, _OPERATORS.MUL}
"""Operators that requantize: their output may have any scale."""
_FREE_INPUT = _FREE_OUTPUT | {_OPERATORS.QUANTIZE, _OPERATORS.DEQUANTIZE, _OPERATORS.MEAN}
"""Operators whose input's scale binds nothing else but a bias."""


def align_additions(content: bytes) -> bytes:
    """Returns an int8 TFLite file in which the scales of added tensors are multiples of the sum's / 255.

    Scales move by at most half of such a step, 0.2 % for equal ones; biases of the layers that read such a
    tensor follow. A tensor whose scale something else binds, a pool or a concatenation, stays as it is.

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
            if index not in settled and _is_free(model, graph, operators, index):
                _align(model, graph, operators, index, float(total.Quantization().ScaleAsNumpy()[0]))
            settled.add(index)
    return bytes(aligned)


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
