"""What the modules of operators share: activation ranges, padding, and requantization as C constants."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecifar.choices import Numerics, Optimize
from edgecifar.errors import ExportError
from edgecifar.microcontroller.correcting import Corrected
from edgecifar.microcontroller.fixedpoint import Integers
from edgecifar.microcontroller.graph import Operator, Tensor
from edgecifar.microcontroller.numerics import Requantization
from edgecifar.microcontroller.proving import Proven, Range, Scheme, fits_int32, prove
from edgecifar.microcontroller.steps import Array, Fields, Reach

INT8 = (-128, 127)
_NONE, _RELU, _RELU_N1_TO_1, _RELU6 = range(4)
_LIMITS = {_NONE: (None, None), _RELU: (0.0, None), _RELU_N1_TO_1: (-1.0, 1.0), _RELU6: (0.0, 6.0)}
_SAME = 0
LANES = 16
"""Output channels that hosts compute at once."""
HOST = "defined(MODEL_HOST)"
"""Condition of what processors other than microcontrollers have."""
LIST_END = (1 << 15) - 1
"""Stands behind a list of corrections; `LISTED_CHANNELS` keeps real ones below."""
LISTED_CHANNELS = LIST_END // 2
"""Channels of a layer whose corrections a list can name."""
BOARD = "!defined(MODEL_HOST)"


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


@dataclass(frozen=True, slots=True)
class Constants:
    """A requantization in C: its arrays, and the members of the struct that it is given by."""

    arrays: tuple[Array, ...]
    fields: Fields
    board_fields: Fields = ()
    """Those that microcontrollers alone have."""
    host_fields: Fields = ()
    """Those that other processors alone have."""


def requantization_constants(
    name: str,
    requantization: Proven,
    bias: Integers,
    corrected: Corrected | None = None,
    host_bias: Integers | None = None,
) -> Constants:
    """Returns a requantization in C.

    Args:
        name: Of the layer.
        requantization: Its proven form.
        bias: (channels,) added to the accumulators; `Scheme.LINE` holds it in its offsets.
        corrected: The form that is computed instead; None: the proven one.
        host_bias: What hosts add to their accumulators; None: they compute as microcontrollers do.
    """
    limits: Fields = (
        ("q.zero_point", requantization.zero_point),
        ("q.smallest", requantization.smallest),
        ("q.largest", requantization.largest),
    )
    condition = "" if host_bias is None else BOARD
    if corrected is None:
        arrays, pointers = _uncorrected(name, requantization, bias, condition)
    else:
        arrays, pointers = _listed(name, corrected, bias, condition)
    if host_bias is None:
        return Constants(arrays, (*pointers, *limits))
    host_name = f"{name}_host"
    if corrected is None:
        host_arrays, host_fields = _uncorrected(host_name, requantization, host_bias, HOST)
    else:
        host_arrays, host_fields = _corrected(host_name, corrected, host_bias)
    return Constants((*arrays, *host_arrays), limits, pointers, host_fields)


def _listed(
    name: str, corrected: Corrected, bias: Integers, condition: str
) -> tuple[tuple[Array, ...], Fields]:
    """Returns the arrays of a corrected rounding with a list of its corrections, and the members."""
    values, places = corrected.listed()
    # The C looks for sums to which the bias is not yet added.
    sums = values - bias[places // 2]
    arrays = (
        Array(f"{name}_multiplier", "int32_t", corrected.multipliers, condition),
        Array(f"{name}_bias", "int32_t", bias, condition),
        Array(f"{name}_shift", "int8_t", corrected.shifts, condition),
        Array(f"{name}_corrected", "int32_t", np.append(sums, 0), condition),
        # The list ends with a channel that no layer has.
        Array(f"{name}_correction", "int16_t", np.append(places, LIST_END), condition),
    )
    return arrays, _pointers(name, "LISTED", arrays)


def _uncorrected(
    name: str, requantization: Proven, bias: Integers, condition: str
) -> tuple[tuple[Array, ...], Fields]:
    """Returns the arrays of a proven form and the members of the struct that point to them."""
    multipliers = requantization.multipliers
    if requantization.scheme is Scheme.LINE:
        offsets = requantization.offsets + bias * multipliers
        added = Array(f"{name}_offset", "int64_t", offsets, condition)
    else:
        added = Array(f"{name}_bias", "int32_t", bias, condition)
    arrays = (
        Array(f"{name}_multiplier", "int32_t", multipliers, condition),
        added,
        Array(f"{name}_shift", "int8_t", requantization.shifts, condition),
    )
    return arrays, _pointers(name, requantization.scheme.name, arrays)


def _corrected(name: str, corrected: Corrected, bias: Integers) -> tuple[tuple[Array, ...], Fields]:
    """Returns the same of a corrected rounding with its corrections beside each channel, as hosts have it."""
    more, less = (np.ascontiguousarray(_whole_lanes(each).T) for each in (corrected.more, corrected.less))
    constants: tuple[tuple[str, str, Integers], ...] = (
        ("multiplier", "int32_t", _whole_lanes(corrected.multipliers)),
        ("bias", "int32_t", _whole_lanes(bias)),
        ("places", "int32_t", _whole_lanes(corrected.shifts - 32)),
        ("more", "int32_t", more),
        ("less", "int32_t", less),
    )
    arrays = tuple(Array(f"{name}_{member}", c_type, values, HOST) for member, c_type, values in constants)
    return arrays, (
        *_pointers(name, "CORRECTED", arrays),
        ("q.corrections", more.size),
        ("q.padded", more.shape[1]),
    )


def _whole_lanes(values: Integers) -> Integers:
    """Returns (channels, ...) values up to a multiple of `LANES`, the last repeated, for loads of vectors."""
    widths = [(0, -len(values) % LANES), *[(0, 0)] * (values.ndim - 1)]
    return np.pad(values, widths, mode="edge")


def _pointers(name: str, scheme: str, arrays: Sequence[Array]) -> Fields:
    """Returns the members that say in which form there is requantization and where its constants are."""
    pointers = ((f"q.{array.name.removeprefix(f'{name}_')}", array.name) for array in arrays)
    return ("q.scheme", f"SCHEME_{scheme}"), *pointers


def size_text(tensor: Tensor) -> str:
    """Returns a shape for people: "32x32x16"."""
    return "x".join(map(str, tensor.shape[1:] or tensor.shape))
