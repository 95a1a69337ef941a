"""What the modules of operators share: activation ranges, padding, and requantization as C constants."""

from dataclasses import dataclass

import numpy as np

from edgecifar.choices import Numerics, Optimize
from edgecifar.errors import ExportError
from edgecifar.microcontroller.fixedpoint import Integers
from edgecifar.microcontroller.graph import Operator, Tensor
from edgecifar.microcontroller.numerics import Requantization
from edgecifar.microcontroller.proving import Proven, Range, Scheme, fits_int32, prove
from edgecifar.microcontroller.steps import Array, Reach

INT8 = (-128, 127)
_NONE, _RELU, _RELU_N1_TO_1, _RELU6 = range(4)
_LIMITS = {_NONE: (None, None), _RELU: (0.0, None), _RELU_N1_TO_1: (-1.0, 1.0), _RELU6: (0.0, 6.0)}
_SAME = 0


@dataclass(frozen=True, slots=True)
class Setting:
    """What a step is made for."""

    numerics: Numerics
    name: str
    """C identifier of the layer."""
    optimize: Optimize


def activation_range(operator: Operator) -> tuple[int, int]:
    """Returns the smallest and largest 8-bit output that a fused activation lets through.

    Raises:
        ExportError: An activation that no integer kernel has.
    """
    code = int(operator.options.get("fusedActivationFunction", _NONE))
    if code not in _LIMITS:
        raise operator.refuse(f"fuses activation {code}, which has no integer form")
    output = operator.output

    def quantized(real: float) -> int:
        steps = float(np.float32(real) / output.scale)
        return output.zero_point + int(np.copysign(np.floor(abs(steps) + 0.5), steps))

    low, high = _LIMITS[code]
    smallest = INT8[0] if low is None else max(INT8[0], quantized(low))
    largest = INT8[1] if high is None else min(INT8[1], quantized(high))
    if smallest > largest:
        raise operator.refuse("fuses an activation whose range lies outside its 8 bits")
    return smallest, largest


@dataclass(frozen=True, slots=True)
class Window:
    """A kernel's way over one dimension of an image."""

    size: int
    stride: int
    dilation: int
    before: int
    """Rows or columns of padding in front."""

    @property
    def reach(self) -> Reach:
        """Rows that an output row needs, padding included."""
        return Reach(self.stride, self.before, (self.size - 1) * self.dilation + 1)


def window(operator: Operator, axis: int, size: int) -> Window:
    """Returns an operator's window over height (axis 0) or width (1).

    Args:
        operator: With the options padding, stride and, where there is one, dilation.
        axis: 0 or 1.
        size: The kernel's.
    """
    letter = "HW"[axis]
    stride = int(operator.options[f"stride{letter}"])
    dilation = int(operator.options.get(f"dilation{letter}Factor", 1))
    if stride < 1 or dilation < 1 or size < 1:
        raise operator.refuse(f"has stride {stride}, dilation {dilation} and a kernel of {size}")
    before = 0
    if int(operator.options["padding"]) == _SAME:
        source, result = operator.input(0).image[axis], operator.output.image[axis]
        total = (result - 1) * stride + (size - 1) * dilation + 1 - source
        before = max(total, 0) // 2
    return Window(size, stride, dilation, before)


def check_image(operator: Operator) -> None:
    """Returns if an operator's input and output are images.

    Raises:
        ExportError: They have other than four dimensions.
    """
    for tensor in (operator.input(0), operator.output):
        if len(tensor.shape) != 4:
            raise operator.refuse(f"works on {tensor.name} of {len(tensor.shape)} dimensions, not 4")


def proven(
    operator: Operator, engine: Requantization, low: Integers, high: Integers, limits: tuple[int, int]
) -> Proven:
    """Returns the requantization of an operator's accumulators.

    Args:
        operator: For its output and the error.
        engine: What the engine computes.
        low: (channels,) smallest accumulators.
        high: (channels,) largest accumulators.
        limits: Smallest and largest output.

    Raises:
        ExportError: The accumulators overflow 32 bits, or no integer form is the engine's.
    """
    if not fits_int32(low, high):
        raise operator.refuse("can overflow its 32-bit accumulators")
    range_ = Range(low, high, *limits, zero_point=operator.output.zero_point)
    try:
        return prove(engine, range_, operator.output.name)
    except ExportError as error:
        raise operator.refuse(f"cannot be requantized in integers ({error.problem})") from error


def requantization_arrays(
    name: str, requantization: Proven, bias: Integers
) -> tuple[tuple[Array, ...], tuple[tuple[str, str | int], ...]]:
    """Returns the constant arrays and the struct members of a requantization.

    Args:
        name: Of the layer.
        requantization: Its proven form.
        bias: (channels,) added to the accumulators; `Scheme.LINE` holds it in its offsets.
    """
    multipliers = requantization.multipliers
    arrays = [Array(f"{name}_multiplier", "int32_t", multipliers)]
    if requantization.scheme is Scheme.LINE:
        arrays.append(Array(f"{name}_offset", "int64_t", requantization.offsets + bias * multipliers))
    else:
        arrays.append(Array(f"{name}_bias", "int32_t", bias))
    arrays.append(Array(f"{name}_shift", "int8_t", requantization.shifts))
    members = {array.name.removeprefix(f"{name}_"): array.name for array in arrays}
    fields: list[tuple[str, str | int]] = [
        ("scheme", f"SCHEME_{requantization.scheme.name}"),
        *((member, members.get(member, "NULL")) for member in ("multiplier", "bias", "offset", "shift")),
        ("zero_point", requantization.zero_point),
        ("smallest", requantization.smallest),
        ("largest", requantization.largest),
    ]
    return tuple(arrays), tuple((f"q.{member}", value) for member, value in fields)


def size_text(tensor: Tensor) -> str:
    """Returns a shape for people: "32x32x16"."""
    return "x".join(map(str, tensor.shape[1:] or tensor.shape))
