"""Average pools that round in ONNX Runtime as they do in TFLite.

TFLite averages the stored integers and rounds half steps away from the integer 0 (its int8 AVERAGE_POOL_2D,
in all its kernels). ONNX Runtime averages real numbers and rounds half steps to even. A mean of 64 integers
lies on a half step once in 64 times, and what follows may multiply that one step: in a ResNet-8, one image
in four got another output. Both round alike if the stored 0 is the zero point and the mean is made larger by
a hair.
"""

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecifar.exporting.graph import arrays, readers, writer

_POOLS = {"AveragePool", "GlobalAveragePool"}
_LARGEST = 128
"""Magnitude of an 8-bit integer, and so of a mean."""
_HAIRS = tuple(2.0**-exponent for exponent in range(14, 20))
"""ONNX Runtime's pool adds a zero point of 128 before it rounds: in float32, 128.5 and the half step 0.5 made
larger by 2^-14 are two numbers; made larger by less than 2^-16 they are one."""
_SIGNED_ZERO = {"uint8": 128, "int8": 0}
_SCALE_BITS = 8
"""Of a scale; products and sums of up to 2^8 integers are then exact in float32's 24 bits."""


def round_as_tflite(graph: onnx.GraphProto) -> None:
    """Gives each average pool with one scale for input and output quantizers that round as TFLite does.

    The integers that go in keep their meaning: a mean does not depend on the zero point.

    Args:
        graph: As tf2onnx makes it of a TFLite file; changed in place.
    """
    constants = arrays(graph)
    for pool in [node for node in graph.node if node.op_type in _POOLS]:
        before, after = writer(graph, pool.input[0]), readers(graph, pool.output[0])
        if before is None or before.op_type != "DequantizeLinear" or len(after) != 1:
            continue
        if after[0].op_type != "QuantizeLinear" or not _are_alike(constants, before, after[0]):
            continue
        zero_point = constants[before.input[2]]
        signed_zero = np.array(_SIGNED_ZERO[zero_point.dtype.name], zero_point.dtype)
        scale = _few_bits(float(constants[before.input[1]]))
        own = helper.make_node("DequantizeLinear", [before.input[0]], [f"{pool.output[0]}/real"])
        _parametrize(graph, own, scale, signed_zero)
        _parametrize(graph, after[0], scale * (1 - _hair(_window(graph, pool))), signed_zero)
        pool.input[0] = own.output[0]
        graph.node.append(own)


def _hair(window: int | None) -> float:
    """Returns the largest relative growth with which no mean crosses a half step that it does not lie on.

    Args:
        window: Integers in a mean, fewer where the window hangs over the edge; None: not known.
    """
    if window is None:
        return _HAIRS[-1]
    # Means of an odd number m of integers come as near as 1 / (2 m), those of an even number 1 / m.
    largest_odd = window - 1 + window % 2
    gap = min(1 / (2 * largest_odd), 1 / window)
    return next((hair for hair in _HAIRS if hair * _LARGEST < gap), _HAIRS[-1])


def _window(graph: onnx.GraphProto, pool: onnx.NodeProto) -> int | None:
    """Returns how many integers a pool averages; None where the graph does not say."""
    kernel = next((list(item.ints) for item in pool.attribute if item.name == "kernel_shape"), [])
    if not kernel:
        values = (*graph.value_info, *graph.input)
        shape = next((v.type.tensor_type.shape for v in values if v.name == pool.input[0]), None)
        kernel = [] if shape is None else [size.dim_value for size in shape.dim[2:]]
    return math.prod(kernel) or None if kernel else None


def _parametrize(
    graph: onnx.GraphProto, node: onnx.NodeProto, scale: float, zero_point: NDArray[np.generic]
) -> None:
    """Gives a quantizer a scale and zero point of its own."""
    del node.input[1:]
    for suffix, value in (("scale", np.array(scale, np.float32)), ("zero_point", zero_point)):
        name = f"{node.output[0]}/pool_{suffix}"
        graph.initializer.append(numpy_helper.from_array(value, name))
        node.input.append(name)


def _are_alike(constants: dict[str, NDArray[np.generic]], one: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    return all(
        constants[a].dtype == constants[b].dtype and np.array_equal(constants[a], constants[b])
        for a, b in zip(one.input[1:3], other.input[1:3], strict=True)
    )


def _few_bits(value: float) -> float:
    """Returns the nearest number of `_SCALE_BITS` significant bits: within 0.2 %."""
    fraction, exponent = np.frexp(value)
    return float(np.ldexp(np.round(np.ldexp(fraction, _SCALE_BITS)), exponent - _SCALE_BITS))
