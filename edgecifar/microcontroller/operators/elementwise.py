"""ADD, SUB and MUL, of two activations or of an activation and a constant.

ADD and SUB are proven over all 65,536 pairs of inputs, MUL over all products.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgecifar.choices import Numerics
from edgecifar.microcontroller import fixedpoint
from edgecifar.microcontroller.fixedpoint import Integers
from edgecifar.microcontroller.graph import Operator, Tensor
from edgecifar.microcontroller.numerics import Products, of_products
from edgecifar.microcontroller.operators.common import (
    INT8,
    Setting,
    activation_range,
    proven,
    requantization_constants,
    size_text,
)
from edgecifar.microcontroller.steps import ELEMENTWISE, Array, Source, Step, whole

_XNNPACK_BITS = 20
"""Bits after the first of the larger multiplier in XNNPACK's addition."""
_REFERENCE_SHIFT = 20
"""TensorFlow Lite's left shift of both inputs before an addition."""
_WIDE_BITS = 30


@dataclass(frozen=True, slots=True)
class _Sum:
    """((a * first + b * second + offset) >> shift) + zero, in 32 or 64 bits; the offset holds zero points."""

    first: int
    second: int
    offset: int
    shift: int
    zero: int

    def __call__(self, a: Integers, b: Integers) -> Integers:
        return ((a * self.first + b * self.second + self.offset) >> self.shift) + self.zero

    @property
    def fits_int32(self) -> bool:
        """Whether no pair of inputs leaves 32 bits."""
        return 128 * (abs(self.first) + abs(self.second)) + abs(self.offset) < 1 << 31


def addition(operator: Operator, setting: Setting) -> Step:
    """Returns the step of an ADD or SUB."""
    first, second = _inputs(operator)
    limits = activation_range(operator)
    a, b = np.meshgrid(np.arange(-128, 128, dtype=np.int64), np.arange(-128, 128, dtype=np.int64))
    if setting.numerics is Numerics.XNNPACK:
        form = _xnnpack_sum(operator, first, second)
        return _sum_step(operator, setting, form, limits)
    engine = _reference_sum(operator, first, second)
    wanted = np.clip(engine(a, b) + operator.output.zero_point, *limits)
    for form in _wide_sums(operator, first, second):
        if np.array_equal(np.clip(form(a, b), *limits), wanted):
            return _sum_step(operator, setting, form, limits)
    return _exact_step(operator, setting, limits)


def multiplication(operator: Operator, setting: Setting) -> Step:
    """Returns the step of a MUL."""
    first, second = _inputs(operator)
    engine = of_products(
        setting.numerics,
        first.scale,
        np.array([second.scale]),
        operator.output.scale,
        Products.CONVOLUTION,
    )
    ends = [(x - first.zero_point) * (y - second.zero_point) for x in INT8 for y in INT8]
    low, high = np.array([min(*ends, 0)], np.int64), np.array([max(*ends, 0)], np.int64)
    requantization = proven(operator, engine, low, high, activation_range(operator))
    constants = requantization_constants(setting.name, requantization, np.zeros(1, np.int64))
    extra = (*constants.fields, ("zero_a", first.zero_point), ("zero_b", second.zero_point))
    return _step(operator, setting, "multiply", extra, constants.arrays, requantization=requantization)


def _inputs(operator: Operator) -> tuple[Tensor, Tensor]:
    first, second = operator.input(0), operator.input(1)
    for tensor in (first, second):
        if tensor.dtype != "int8" or len(tensor.scales) != 1:
            raise operator.refuse(f"has {tensor.name} of {tensor.dtype} as an input, not int8 with one scale")
    return first, second


def _xnnpack_sum(operator: Operator, first: Tensor, second: Tensor) -> _Sum:
    """Returns XNNPACK's addition: both inputs times 21-bit multipliers, one shift with halves up."""
    ratios = [np.float32(tensor.scale / operator.output.scale) for tensor in (first, second)]
    shift = _XNNPACK_BITS + 1 - int(np.frexp(max(ratios))[1])
    sign = -1 if operator.kind == "SUB" else 1
    a = int(np.rint(np.ldexp(np.float64(ratios[0]), shift)))
    b = sign * int(np.rint(np.ldexp(np.float64(ratios[1]), shift)))
    if not 1 <= shift <= 30:
        raise operator.refuse("has inputs and an output whose scales are too far apart")
    offset = (1 << (shift - 1)) - a * first.zero_point - b * second.zero_point
    return _Sum(a, b, offset, shift, operator.output.zero_point)


@dataclass(frozen=True, slots=True)
class _Doubled:
    """Multipliers and exponents of the reference kernels' addition: of both inputs and of the output."""

    a: tuple[int, int]
    b: tuple[int, int]
    result: tuple[int, int]


def _doubled(operator: Operator, first: Tensor, second: Tensor) -> _Doubled:
    twice = 2.0 * max(float(first.scale), float(second.scale))
    return _Doubled(
        fixedpoint.quantize_multiplier(float(first.scale) / twice),
        fixedpoint.quantize_multiplier(float(second.scale) / twice),
        fixedpoint.quantize_multiplier(twice / ((1 << _REFERENCE_SHIFT) * float(operator.output.scale))),
    )


def _reference_sum(
    operator: Operator, first: Tensor, second: Tensor
) -> Callable[[Integers, Integers], Integers]:
    """Returns the reference kernels' addition, zero point of the output not yet added."""
    form = _doubled(operator, first, second)
    sign = -1 if operator.kind == "SUB" else 1

    def add(a: Integers, b: Integers) -> Integers:
        scaled_a = fixedpoint.multiply((a - first.zero_point) << _REFERENCE_SHIFT, *form.a)
        scaled_b = fixedpoint.multiply((b - second.zero_point) << _REFERENCE_SHIFT, *form.b)
        return fixedpoint.multiply(scaled_a + sign * scaled_b, *form.result)

    return add


def _wide_sums(operator: Operator, first: Tensor, second: Tensor) -> list[_Sum]:
    """Returns additions with 30-bit multipliers that may equal the reference kernels', tie for tie or not."""
    ratios = [float(tensor.scale) / float(operator.output.scale) for tensor in (first, second)]
    shift = _WIDE_BITS - int(np.frexp(max(ratios))[1])
    if not 1 <= shift <= 52:
        return []
    sign = -1 if operator.kind == "SUB" else 1
    a, b = round(ratios[0] * 2.0**shift), sign * round(ratios[1] * 2.0**shift)
    centre = (1 << (shift - 1)) - a * first.zero_point - b * second.zero_point
    zero = operator.output.zero_point
    # The two roundings of the engine move ties by up to some units of 2^-20 of an input.
    unit = max(1 << (shift - _REFERENCE_SHIFT - 1), 1) if shift > _REFERENCE_SHIFT else 1
    return [_Sum(a, b, centre + nudge * unit, shift, zero) for nudge in (0, 1, -1, 2, -2, 4, -4)]


def _sum_step(operator: Operator, setting: Setting, form: _Sum, limits: tuple[int, int]) -> Step:
    fields = (
        ("first", form.first),
        ("second", form.second),
        ("offset", form.offset),
        ("shift", form.shift),
        ("zero", form.zero),
        ("smallest", limits[0]),
        ("largest", limits[1]),
    )
    return _step(operator, setting, "add" if form.fits_int32 else "add_wide", fields, ())


def _exact_step(operator: Operator, setting: Setting, limits: tuple[int, int]) -> Step:
    """Returns the reference kernels' own addition, all roundings of it."""
    first, second = _inputs(operator)
    form = _doubled(operator, first, second)
    fields = (
        ("zero_a", first.zero_point),
        ("zero_b", second.zero_point),
        ("multiplier_a", form.a[0]),
        ("shift_a", -form.a[1]),
        ("multiplier_b", form.b[0] if operator.kind == "ADD" else -form.b[0]),
        ("shift_b", -form.b[1]),
        ("multiplier", form.result[0]),
        ("shift", -form.result[1]),
        ("zero", operator.output.zero_point),
        ("smallest", limits[0]),
        ("largest", limits[1]),
    )
    return _step(operator, setting, "add_exact", fields, ())


def _step(
    operator: Operator,
    setting: Setting,
    kernel: str,
    fields: tuple[tuple[str, str | int], ...],
    arrays: tuple[Array, ...],
    **more: object,
) -> Step:
    """Returns a step over two inputs of which one may be a constant or smaller than the output."""
    result = operator.output
    height, width, channels = result.image
    sources: list[Source] = []
    members: list[tuple[str, str | int]] = []
    constants: list[Array] = []
    for place, tensor in enumerate(_inputs(operator)):
        letter = "ab"[place]
        rows, columns, depth = tensor.image
        if any(size not in {1, full} for size, full in zip(tensor.image, result.image, strict=True)):
            raise operator.refuse(f"stretches {tensor.name} of {size_text(tensor)} to {size_text(result)}")
        members += [
            (f"operands.step_y_{letter}", columns * depth if rows > 1 else 0),
            (f"operands.step_x_{letter}", depth if columns > 1 else 0),
            (f"operands.step_c_{letter}", 1 if depth > 1 else 0),
        ]
        if tensor.data is None:
            is_whole = tensor.image == result.image
            reach = ELEMENTWISE if rows == height else whole(rows)
            sources.append(Source(tensor, reach, in_place=is_whole, place=place))
            members.append((f"operands.constant_{letter}", "NULL"))
        else:
            constants.append(
                Array(f"{setting.name}_{letter}", "int8_t", tensor.data.astype(np.int64).ravel())
            )
            members.append((f"operands.constant_{letter}", f"{setting.name}_{letter}"))
    word = {"ADD": "sum", "SUB": "difference", "MUL": "product"}[operator.kind]
    return Step(
        kernel=kernel,
        name=setting.name,
        about=f"{word}: {size_text(result)}",
        sources=tuple(sources),
        result=result,
        fields=(*fields, *members, ("width", width), ("channels", channels)),
        arrays=(*arrays, *constants),
        operands=2,
        **more,  # type: ignore[arg-type]
    )
