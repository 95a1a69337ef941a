"""SOFTMAX over the last dimension: in fixed point, or as the built-in kernels in float32.

The C has integers alone: it adds, divides and multiplies the bits of float32 numbers as float32 rounds them.
"""

import numpy as np

from edgecifar.choices import Numerics
from edgecifar.microcontroller import fixedpoint
from edgecifar.microcontroller.graph import Operator
from edgecifar.microcontroller.operators.common import Setting, size_text
from edgecifar.microcontroller.steps import Array, Source, Step, whole

_INTEGER_BITS = 5
"""Before the binary point of the scaled difference, kScaledDiffIntegerBits."""


def softmax(operator: Operator, setting: Setting) -> Step:
    """Returns the step of a SOFTMAX."""
    source, result = operator.input(0), operator.output
    if result.scale != np.float32(1 / 256) or result.zero_point != -128:
        raise operator.refuse("has an output scale other than 1/256 with zero point -128")
    classes = source.shape[-1]
    beta = float(np.float32(operator.options.get("beta", 1.0)))
    if beta <= 0:
        raise operator.refuse(f"has beta {beta:g}")
    is_float = setting.numerics is Numerics.XNNPACK
    exponentials = _float_table(source.scale, beta) if is_float else _fixed_table(operator, beta)
    name = f"{setting.name}_exponentials"
    return Step(
        kernel="softmax_float" if is_float else "softmax",
        name=setting.name,
        about=f"softmax: {size_text(result)}",
        sources=(Source(source, whole(source.image[0])),),
        result=result,
        fields=(
            ("exponentials", name),
            ("classes", classes),
            ("vectors", source.elements // classes),
        ),
        arrays=(Array(name, "uint32_t" if is_float else "int32_t", exponentials),),
    )


def _float_table(scale: np.float32, beta: float) -> fixedpoint.Integers:
    """Returns exp(-difference * scale * beta) for differences from 0 to 255: the bits of float32, (256,)."""
    step = np.float32(-scale * np.float32(beta))
    products = step * np.arange(256, dtype=np.float32)
    return np.exp(products.astype(np.float64)).astype(np.float32).view(np.uint32).astype(np.int64)


def _fixed_table(operator: Operator, beta: float) -> fixedpoint.Integers:
    """Returns the same in Q0.31; 0 where the reference kernels take no part of the difference."""
    real = min(beta * float(operator.input(0).scale) * (1 << (31 - _INTEGER_BITS)), (1 << 31) - 1.0)
    multiplier, exponent = fixedpoint.quantize_multiplier(real)
    if exponent < 0:
        raise operator.refuse("has an input scale that is too small for its fixed point")
    differences = -np.arange(256, dtype=np.int64)
    radius = int(((1 << _INTEGER_BITS) - 1) * (1 << (31 - _INTEGER_BITS)) / 2.0**exponent)
    counted = differences >= -radius
    scaled = fixedpoint.high_multiply(np.where(counted, differences, 0) << exponent, multiplier)
    return np.where(counted, fixedpoint.exp_on_negative_values(scaled, _INTEGER_BITS), 0)
