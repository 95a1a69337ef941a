"""Operators by the schema's names: each becomes a step, given an engine's numerics."""

from collections.abc import Callable

from edgecifar.microcontroller.graph import Operator
from edgecifar.microcontroller.operators.common import Setting
from edgecifar.microcontroller.operators.convolution import convolution, depthwise, fully_connected
from edgecifar.microcontroller.operators.elementwise import addition, multiplication
from edgecifar.microcontroller.operators.pooling import mean, pool
from edgecifar.microcontroller.operators.shaping import concatenation, pad
from edgecifar.microcontroller.operators.softmax import softmax
from edgecifar.microcontroller.operators.tables import table
from edgecifar.microcontroller.steps import Step

_TABLES = ("ELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "QUANTIZE", "RELU", "RELU6", "TANH")
_MAKERS: dict[str, Callable[[Operator, Setting], Step]] = {
    "ADD": addition,
    "AVERAGE_POOL_2D": pool,
    "CONCATENATION": concatenation,
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": depthwise,
    "FULLY_CONNECTED": fully_connected,
    "MAX_POOL_2D": pool,
    "MEAN": mean,
    "MUL": multiplication,
    "PAD": pad,
    "PADV2": pad,
    "SOFTMAX": softmax,
    "SUB": addition,
    **dict.fromkeys(_TABLES, table),
}
__all__ = ["RENAMED", "Setting", "lower"]

RENAMED = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
"""Operators that give the same bytes another shape: no code is made for them."""


def lower(operator: Operator, setting: Setting) -> Step:
    """Returns an operator as a step.

    Raises:
        ExportError: No C is generated for it, or not in this form.
    """
    maker = _MAKERS.get(operator.kind)
    if maker is None:
        known = ", ".join(sorted((*_MAKERS, *RENAMED)))
        raise operator.refuse("is an operator of which no C is generated", f"These are known: {known}.")
    return maker(operator, setting)
