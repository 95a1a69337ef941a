"""MAX_POOL_2D, AVERAGE_POOL_2D and MEAN over the image."""

import numpy as np

from edgecifar.microcontroller.graph import Operator
from edgecifar.microcontroller.numerics import of_mean
from edgecifar.microcontroller.operators.common import (
    INT8,
    Setting,
    activation_range,
    check_image,
    proven,
    requantization_constants,
    size_text,
    window,
)
from edgecifar.microcontroller.steps import Source, Step, whole


def pool(operator: Operator, setting: Setting) -> Step:
    """Returns the step of a MAX_POOL_2D or AVERAGE_POOL_2D; all engines compute them alike."""
    check_image(operator)
    source, result = operator.input(0), operator.output
    size = int(operator.options["filterHeight"]), int(operator.options["filterWidth"])
    rows, columns = window(operator, 0, size[0]), window(operator, 1, size[1])
    if (source.scale, source.zero_point) != (result.scale, result.zero_point):
        raise operator.refuse("changes scale or zero point, which no engine's pool does")
    height, width, channels = source.image
    smallest, largest = activation_range(operator)
    is_max = operator.kind == "MAX_POOL_2D"
    return Step(
        kernel="max_pool" if is_max else "average_pool",
        name=setting.name,
        about=f"{'maximum' if is_max else 'average'} of {size[0]}x{size[1]}, stride "
        f"{rows.stride}x{columns.stride}: {size_text(source)} -> {size_text(result)}",
        sources=(Source(source, rows.reach),),
        result=result,
        fields=(
            ("in_height", height),
            ("in_width", width),
            ("channels", channels),
            ("out_width", result.image[1]),
            ("kernel_height", size[0]),
            ("kernel_width", size[1]),
            ("stride_y", rows.stride),
            ("stride_x", columns.stride),
            ("pad_y", rows.before),
            ("pad_x", columns.before),
            ("smallest", smallest),
            ("largest", largest),
        ),
        scratch_bytes=0 if is_max else 4 * channels,
    )


def mean(operator: Operator, setting: Setting) -> Step:
    """Returns the step of a MEAN over height and width."""
    source = operator.input(0)
    axes = sorted(int(axis) % len(source.shape) for axis in operator.constant(1).ravel())
    if len(source.shape) != 4 or axes != [1, 2]:
        raise operator.refuse(f"averages over the dimensions {axes}; C is generated for height and width")
    height, width, channels = source.image
    count = height * width
    result = operator.output
    engine = of_mean(
        setting.numerics, (source.scale, source.zero_point), (result.scale, result.zero_point), count
    )
    low, high = (np.array([(limit - source.zero_point) * count], np.int64) for limit in INT8)
    requantization = proven(operator, engine, low, high, INT8)
    constants = requantization_constants(
        setting.name, requantization, np.array([-source.zero_point * count], np.int64)
    )
    return Step(
        kernel="mean",
        name=setting.name,
        about=f"mean over the image: {size_text(source)} -> {size_text(result)}",
        sources=(Source(source, whole(height)),),
        result=result,
        fields=(*constants.fields, ("positions", count), ("channels", channels)),
        arrays=constants.arrays,
        requantization=requantization,
    )
