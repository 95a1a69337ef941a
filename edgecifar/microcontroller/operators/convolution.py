"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED."""

from dataclasses import dataclass

import numpy as np

from edgecifar.choices import Optimize
from edgecifar.microcontroller.correcting import correct
from edgecifar.microcontroller.fixedpoint import Integers
from edgecifar.microcontroller.graph import Operator
from edgecifar.microcontroller.numerics import Products, of_products
from edgecifar.microcontroller.operators.common import (
    INT8,
    LISTED_CHANNELS,
    Constants,
    Setting,
    activation_range,
    check_image,
    proven,
    requantization_constants,
    size_text,
    window,
)
from edgecifar.microcontroller.operators.layouts import (
    DEPTH_MULTIPLE,
    changed_bias,
    host_fields,
    padded,
    rows_at_once,
    scratch_bytes,
    spared_bytes,
    weight_fields,
    weight_layouts,
)
from edgecifar.microcontroller.proving import Proven, Range, accumulator_range
from edgecifar.microcontroller.steps import Array, Source, Step, whole


def convolution(operator: Operator, setting: Setting) -> Step:
    """Returns the step of a CONV_2D."""
    check_image(operator)
    weights = _weights(operator)
    channels, kernel_height, kernel_width, depth = weights.shape
    source, result = operator.input(0), operator.output
    if depth != source.image[2]:
        raise operator.refuse(f"has weights for {depth} channels, but its input has {source.image[2]}")
    rows, columns = window(operator, 0, kernel_height), window(operator, 1, kernel_width)
    products = kernel_height * kernel_width * depth
    multiple = DEPTH_MULTIPLE[setting.optimize]
    flat = padded(weights.reshape(channels, products), multiple)
    requantization, constants = _requantized(
        operator, setting, flat, Products.CONVOLUTION,
        _Excess(board=source.zero_point, host=source.zero_point - INT8[0]),
    )  # fmt: skip
    height, width, _ = source.image
    kernel = f"{kernel_height}x{kernel_width}"
    members: dict[str, str | int] = {
        "in_height": height,
        "in_width": width,
        "in_channels": depth,
        "in_zero": source.zero_point,
        "out_width": result.image[1],
        "out_channels": channels,
        "kernel_height": kernel_height,
        "kernel_width": kernel_width,
        "stride_y": rows.stride,
        "stride_x": columns.stride,
        "dilation_y": rows.dilation,
        "dilation_x": columns.dilation,
        "pad_y": rows.before,
        "pad_x": columns.before,
    }
    layouts = weight_layouts(setting, weights, flat, members)
    at_once = rows_at_once(members, flat.shape[1], setting.optimize)
    return Step(
        kernel="conv",
        name=setting.name,
        about=f"convolution {kernel}, stride {rows.stride}x{columns.stride}: {size_text(source)} -> "
        f"{size_text(result)}",
        sources=(Source(source, rows.reach),),
        result=result,
        fields=(
            *constants.fields,
            *weight_fields(setting, flat),
            ("depth", flat.shape[1]),
            *((("rows_at_once", at_once),) if setting.optimize is Optimize.SPEED else ()),
            *members.items(),
        ),
        board_fields=constants.board_fields,
        host_fields=(*constants.host_fields, *host_fields(setting, weights, members)),
        arrays=(*layouts, *constants.arrays),
        requantization=requantization,
        scratch_bytes=scratch_bytes(flat, at_once, kernel_height, setting.optimize),
        multiply_adds=result.elements * products,
        spared_bytes=spared_bytes(setting, flat),
    )


def depthwise(operator: Operator, setting: Setting) -> Step:
    """Returns the step of a DEPTHWISE_CONV_2D."""
    check_image(operator)
    weights = _weights(operator)
    _, kernel_height, kernel_width, channels = weights.shape
    source, result = operator.input(0), operator.output
    height, width, depth = source.image
    if channels % depth or channels != result.image[2]:
        raise operator.refuse(f"has weights for {channels} channels, but its input has {depth}")
    rows, columns = window(operator, 0, kernel_height), window(operator, 1, kernel_width)
    taps = weights.reshape(-1, channels)
    requantization, constants = _requantized(
        operator, setting, taps.T, Products.CONVOLUTION, _Excess(board=0, host=0)
    )
    return Step(
        kernel="depthwise",
        name=setting.name,
        about=f"depthwise convolution {kernel_height}x{kernel_width}, stride {rows.stride}x{columns.stride}: "
        f"{size_text(source)} -> {size_text(result)}",
        sources=(Source(source, rows.reach),),
        result=result,
        fields=(
            *constants.fields,
            ("weights", f"{setting.name}_weights"),
            ("in_height", height),
            ("in_width", width),
            ("in_channels", depth),
            ("in_zero", source.zero_point),
            ("out_width", result.image[1]),
            ("filters", channels // depth),
            ("kernel_height", kernel_height),
            ("kernel_width", kernel_width),
            ("stride_y", rows.stride),
            ("stride_x", columns.stride),
            ("dilation_y", rows.dilation),
            ("dilation_x", columns.dilation),
            ("pad_y", rows.before),
            ("pad_x", columns.before),
        ),
        board_fields=constants.board_fields,
        host_fields=constants.host_fields,
        arrays=(Array(f"{setting.name}_weights", "model_weight", taps), *constants.arrays),
        requantization=requantization,
        scratch_bytes=4 * channels,
        multiply_adds=result.elements * len(taps),
    )


def fully_connected(operator: Operator, setting: Setting) -> Step:
    """Returns the step of a FULLY_CONNECTED; every row of its output is computed at once."""
    weights = _weights(operator)
    if weights.ndim != 2 or int(operator.options.get("weightsFormat", 0)):
        raise operator.refuse("has weights in a shuffled or unknown layout")
    channels, depth = weights.shape
    source, result = operator.input(0), operator.output
    if source.elements % depth or source.elements // depth * channels != result.elements:
        raise operator.refuse(f"has weights for {depth} inputs, but {source.name} has {source.elements}")
    requantization, constants = _requantized(
        operator, setting, weights, Products.DENSE, _Excess(board=source.zero_point, host=None)
    )
    return Step(
        kernel="dense",
        name=setting.name,
        about=f"fully connected: {size_text(source)} -> {size_text(result)}",
        sources=(Source(source, whole(source.image[0])),),
        result=result,
        fields=(
            *constants.fields,
            ("weights", f"{setting.name}_weights"),
            ("depth", depth),
            ("out_channels", channels),
            ("vectors", source.elements // depth),
        ),
        board_fields=constants.board_fields,
        host_fields=constants.host_fields,
        arrays=(Array(f"{setting.name}_weights", "model_weight", weights), *constants.arrays),
        requantization=requantization,
        scratch_bytes=4 * channels,
        multiply_adds=source.elements * channels,
    )


def _weights(operator: Operator) -> Integers:
    """Returns an operator's weights, checked to be symmetric int8."""
    tensor = operator.input(1)
    weights = operator.constant(1)
    if tensor.dtype != "int8" or np.any(tensor.zero_points):
        raise operator.refuse(
            f"has weights of {tensor.dtype} with zero points other than 0, or of another type than int8"
        )
    return weights.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Excess:
    """By how much the inputs that are multiplied are larger than those less their zero point."""

    board: int
    host: int | None
    """None: hosts compute as microcontrollers do."""


def _requantized(
    operator: Operator, setting: Setting, weights: Integers, products: Products, excess: _Excess
) -> tuple[Proven, Constants]:
    """Returns the requantization of sums of products, and the same in C, with the bias.

    Args:
        operator: With weights as input 1 and perhaps a bias as input 2.
        setting: The engine.
        weights: (channels, products).
        products: What is summed.
        excess: What the bias has to make up for.
    """
    channels = len(weights)
    bias = np.zeros(channels, np.int64)
    if len(operator.inputs) > 2 and operator.inputs[2] is not None:
        if operator.input(2).dtype != "int32":
            raise operator.refuse(f"has a bias of {operator.input(2).dtype}, not int32")
        bias = operator.constant(2).astype(np.int64).ravel()
    source = operator.input(0)
    scales = operator.input(1).scales
    if len(scales) not in {1, channels} or len(bias) != channels:
        raise operator.refuse(f"has {len(scales)} scales and {len(bias)} biases for {channels} channels")
    engine = of_products(
        setting.numerics, source.scale, np.broadcast_to(scales, (channels,)), operator.output.scale,
        products,
    )  # fmt: skip
    low, high = accumulator_range(weights, bias, INT8, source.zero_point)
    limits = activation_range(operator)
    requantization = proven(operator, engine, low, high, limits)
    range_ = Range(low, high, *limits, zero_point=operator.output.zero_point)
    corrected = correct(engine, range_) if channels <= LISTED_CHANNELS else None
    host_bias = None
    if setting.optimize is Optimize.SPEED and excess.host is not None:
        host_bias = changed_bias(operator, weights, bias, excess.host)
    board_bias = changed_bias(operator, weights, bias, excess.board)
    return requantization, requantization_constants(
        setting.name, requantization, board_bias, corrected, host_bias
    )
