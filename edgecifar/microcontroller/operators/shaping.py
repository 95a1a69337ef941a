"""PAD, PADV2 and CONCATENATION."""

import numpy as np

from edgecifar.microcontroller.graph import Operator
from edgecifar.microcontroller.operators.common import Setting, check_image, size_text
from edgecifar.microcontroller.steps import ELEMENTWISE, Reach, Source, Step


def pad(operator: Operator, setting: Setting) -> Step:
    """Returns the step of a PAD or PADV2 around an image."""
    check_image(operator)
    source, result = operator.input(0), operator.output
    widths = operator.constant(1).astype(np.int64)
    if widths.shape != (4, 2) or np.any(widths < 0) or np.any(widths[0]):
        raise operator.refuse(f"pads by {widths.tolist()}; C is generated for height, width and channels")
    value = source.zero_point
    if len(operator.inputs) > 2 and operator.inputs[2] is not None:
        value = int(operator.constant(2).ravel()[0])
    height, width, channels = source.image
    (top, _), (left, _), (front, _) = widths[1:].tolist()
    return Step(
        kernel="pad",
        name=setting.name,
        about=f"padding: {size_text(source)} -> {size_text(result)}",
        sources=(Source(source, Reach(1, top, 1)),),
        result=result,
        fields=(
            ("in_height", height),
            ("in_width", width),
            ("in_channels", channels),
            ("out_width", result.image[1]),
            ("out_channels", result.image[2]),
            ("top", top),
            ("left", left),
            ("front", front),
            ("value", value),
        ),
    )


def concatenation(operator: Operator, setting: Setting) -> Step:
    """Returns the step of a CONCATENATION of two to four tensors along any dimension but the batch's."""
    result = operator.output
    tensors = [operator.input(place) for place in range(len(operator.inputs))]
    rank = len(result.shape)
    axis = int(operator.options["axis"]) % rank
    if not 1 <= len(tensors) <= 4 or axis == 0:
        raise operator.refuse(
            f"joins {len(tensors)} tensors along dimension {axis}; C is generated for 2 to 4"
        )
    for tensor in tensors:
        if tensor.data is not None:
            raise operator.refuse(f"joins the constant {tensor.name}")
        if (tensor.scale, tensor.zero_point) != (result.scale, result.zero_point):
            raise operator.refuse(f"joins {tensor.name}, whose scale or zero point is not the output's")
    rows_joined = rank == 4 and axis == 1
    sources, fields = [], []
    first_row = 0
    for place, tensor in enumerate(tensors):
        height, width, channels = tensor.image
        reach = Reach(1, first_row, 1) if rows_joined else ELEMENTWISE
        sources.append(Source(tensor, reach, place=place))
        # Bytes of this tensor in a run of the output's row, and where its rows begin in the output.
        run = channels if axis == rank - 1 else width * channels
        letter = "abcd"[place]
        fields += [
            (f"run_{letter}", run),
            (f"first_{letter}", first_row),
            (f"rows_{letter}", height if rows_joined else 0),
        ]
        first_row += height if rows_joined else 0
    runs = result.image[1] if axis == rank - 1 else 1
    fields.append(("runs", runs))
    if int(operator.options.get("fusedActivationFunction", 0)):
        raise operator.refuse("fuses an activation, which no engine's concatenation has")
    return Step(
        kernel=f"concatenate{len(tensors)}",
        name=setting.name,
        about=f"concatenation: {' and '.join(map(size_text, tensors))} -> {size_text(result)}",
        sources=tuple(sources),
        result=result,
        fields=tuple(fields),
        operands=len(tensors),
    )
