"""Operators of one number at a time, as tables of 256 entries: activations and requantization."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgecifar.choices import Numerics
from edgecifar.microcontroller import fixedpoint
from edgecifar.microcontroller.fixedpoint import Integers
from edgecifar.microcontroller.graph import Operator
from edgecifar.microcontroller.operators.common import INT8, Setting, size_text
from edgecifar.microcontroller.steps import ELEMENTWISE, Array, Source, Step

_INPUTS = np.arange(-128, 128, dtype=np.int64)
_ONE = np.float32(1)
_CURVES: dict[str, Callable[[float], float | np.float32]] = {
    "ELU": lambda x: math.expm1(x) if x < 0 else x,
    # Each step in float32, as in the engines: the exact value can round to another integer.
    # Behind 88 the exponential leaves float32, and the curve has long been nothing.
    "LOGISTIC": lambda x: _ONE / (_ONE + np.float32(math.exp(min(-x, 88.0)))),
    "TANH": math.tanh,
}
_FIXED_CURVES: dict[str, tuple[Callable[[Integers, int], Integers], int]] = {
    "LOGISTIC": (fixedpoint.logistic, 8),
    "TANH": (fixedpoint.tanh, 7),
}
"""Curve, and binary places of its 8-bit outputs, of TensorFlow Lite Micro's kernels."""
_FIXED_BITS = 4
"""Bits before the binary point of what those curves take."""
_XNNPACK_RATIOS = (2.0**-8, 2.0**7)
"""Ratios of scales that XNNPACK's 8.8 fixed point takes; the built-in kernels compute what lies beyond."""


def table(operator: Operator, setting: Setting) -> Step:
    """Returns the step of an activation, or of a QUANTIZE from int8 to int8."""
    source, result = operator.input(0), operator.output
    if source.dtype != "int8" or source.elements != result.elements:
        raise operator.refuse(f"takes {source.dtype} of {size_text(source)}, not int8 of its output's shape")
    values = np.clip(outputs(operator, setting.numerics), *INT8)
    return Step(
        kernel="table",
        name=setting.name,
        about=f"{operator.kind.lower().replace('_', ' ')} by table: {size_text(result)}",
        sources=(Source(source, ELEMENTWISE, in_place=True),),
        result=result,
        fields=(
            ("values", f"{setting.name}_values"),
            ("row_bytes", result.image[1] * result.image[2]),
        ),
        arrays=(Array(f"{setting.name}_values", "int8_t", values),),
    )


def outputs(operator: Operator, numerics: Numerics) -> Integers:
    """Returns what an engine gives for the inputs -128 to 127, not yet saturated: (256,)."""
    kind = operator.kind
    if kind in _FIXED_CURVES and numerics is Numerics.TFLM:
        return _fixed_curve(operator)
    if kind in _CURVES:
        return _curve(operator, numerics)
    if kind == "HARD_SWISH":
        return _hard_swish(operator)
    if kind == "LEAKY_RELU":
        return _leaky(operator, numerics)
    return _clamped(operator, numerics)


def _clamped(operator: Operator, numerics: Numerics) -> Integers:
    """Returns QUANTIZE, RELU and RELU6: a change of scale, and limits."""
    kind = operator.kind
    source, result = operator.input(0), operator.output
    if kind == "RELU6" and numerics is Numerics.TFLM:
        # Its kernel clamps and does not rescale.
        return np.clip(_INPUTS, source.zero_point, _quantized(6.0, source.scale, source.zero_point))
    ratio = np.float32(source.scale / result.scale)
    is_xnnpack = numerics is Numerics.XNNPACK and _XNNPACK_RATIOS[0] <= ratio <= _XNNPACK_RATIOS[1]
    if kind == "QUANTIZE" and is_xnnpack:
        return _eight_bit(_INPUTS - source.zero_point, ratio) + result.zero_point
    values = _rescaled(operator, 1.0)
    if kind == "RELU":
        return np.maximum(values, result.zero_point)
    if kind == "RELU6":
        return np.clip(values, result.zero_point, _quantized(6.0, result.scale, result.zero_point))
    return values


def _quantized(real: float, scale: np.float32, zero_point: int) -> int:
    return zero_point + math.floor(float(np.float32(real) / scale) + 0.5)


def _rescaled(operator: Operator, factor: float) -> Integers:
    """Returns inputs times a factor in the output's scale, by a 31-bit multiplier."""
    source, result = operator.input(0), operator.output
    ratio = float(source.scale) * factor / float(result.scale)
    return fixedpoint.multiply(
        _INPUTS - source.zero_point, *fixedpoint.quantize_multiplier(ratio)
    ) + np.int64(result.zero_point)


def _eight_bit(values: Integers, ratio: np.float32) -> Integers:
    """Returns XNNPACK's product with a ratio of 8 bits before and after the binary point, halves up."""
    return (values * int(np.rint(np.float32(256) * ratio)) + 128) >> 8


def _leaky(operator: Operator, numerics: Numerics) -> Integers:
    source, result = operator.input(0), operator.output
    alpha = np.float32(operator.options["alpha"])
    ratio = np.float32(source.scale / result.scale)
    slope = np.float32(ratio * alpha)
    low, high = _XNNPACK_RATIOS
    centred = _INPUTS - source.zero_point
    if numerics is Numerics.XNNPACK and low <= ratio <= high and low <= abs(slope) <= high:
        steps = np.where(centred >= 0, _eight_bit(centred, ratio), _eight_bit(centred, slope))
        return steps + result.zero_point
    if alpha < 0:
        raise operator.refuse(f"has a negative slope, {alpha:g}, which no integer kernel takes")
    return np.where(centred >= 0, _rescaled(operator, 1.0), _rescaled(operator, float(alpha)))


def _curve(operator: Operator, numerics: Numerics) -> Integers:
    """Returns a curve in float32, as the engines fill their own tables."""
    source, result = operator.input(0), operator.output
    real = (_INPUTS - source.zero_point).astype(np.float32) * source.scale
    curve: NDArray[np.float32] = np.array([_CURVES[operator.kind](float(x)) for x in real], np.float32)
    if numerics is Numerics.XNNPACK:
        steps = np.rint(curve / result.scale)
    else:
        scaled = (curve * (np.float32(1) / result.scale)).astype(np.float64)
        steps = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)
    whole: Integers = np.clip(steps, -1024, 1024).astype(np.int64)
    return whole + result.zero_point


def _fixed_curve(operator: Operator) -> Integers:
    """Returns a curve in gemmlowp's fixed point.

    Source: Logistic and Tanh in the reference integer kernels of TensorFlow Lite, and CalculateInputRadius.
    """
    curve, places = _FIXED_CURVES[operator.kind]
    source, result = operator.input(0), operator.output
    fraction = 31 - _FIXED_BITS
    # Not by QuantizeMultiplier, which ends at 2^30.
    mantissa, exponent = math.frexp(float(source.scale) * 2.0**fraction)
    multiplier = math.floor(mantissa * 2.0**31 + 0.5)
    radius = math.floor(((1 << _FIXED_BITS) - 1) * 2.0**fraction / 2.0**exponent)
    centred = _INPUTS - source.zero_point
    inside = np.clip(centred, 1 - radius, radius - 1)
    steps = fixedpoint.rounding_shift(
        curve(fixedpoint.multiply(inside, multiplier, exponent), _FIXED_BITS), 31 - places
    )
    # In this order: with a scale so large that the radius is 0, the zero point itself is at the lower end.
    steps = np.where(centred <= -radius, -(1 << places), np.where(centred >= radius, 1 << places, steps))
    return steps + np.int64(result.zero_point)


def _hard_swish(operator: Operator) -> Integers:
    """Returns TensorFlow Lite's x * relu6(x + 3) / 6 in 16-bit fixed point, which all engines share.

    Source: HardSwish in the reference kernels of TensorFlow Lite.
    """
    source, result = operator.input(0), operator.output
    fine = np.float32(np.float32(1 / 128) * source.scale)
    output, output_exponent = _multiplier16(np.float32(fine / result.scale))
    relu, relu_exponent = _multiplier16(np.float32(fine / np.float32(3.0 / 32768.0)))
    if output_exponent > 0:
        raise operator.refuse("has an output scale that is too small beside its input's")
    centred = (_INPUTS - source.zero_point) << 7
    scaled = _high_multiply16(centred, output)
    gate = centred
    if relu_exponent > 0:
        gate = _int16(gate << (relu_exponent - 1))
    gate = _high_multiply16(gate, relu)
    if relu_exponent > 0:
        gate = _int16(gate << 1)
    elif relu_exponent < 0:
        gate = fixedpoint.rounding_shift(gate, -relu_exponent)
    gate = (gate + (1 << 15)) >> 1
    product = gate * scaled
    product = np.where(product >= 0, product >> 15, -((-product) >> 15))
    return fixedpoint.rounding_shift(product, -output_exponent) + result.zero_point


def _multiplier16(real: np.float32) -> tuple[int, int]:
    multiplier, exponent = fixedpoint.quantize_multiplier(float(real))
    return min((multiplier + (1 << 15)) >> 16, 32767), exponent


def _high_multiply16(a: Integers, b: int) -> Integers:
    total = a * b
    total = total + np.where(total >= 0, 1 << 14, 1 - (1 << 14))
    return np.where(total >= 0, total >> 15, -((-total) >> 15))


def _int16(values: Integers) -> Integers:
    return np.clip(values, -32768, 32767)
