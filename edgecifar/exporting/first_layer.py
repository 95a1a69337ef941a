"""The first convolution of an int8 ONNX file, made quicker for ONNX Runtime's CPU kernels.

Its three input channels fit none of the kernels that read the image in place (they take channels by fours):
ONNX Runtime copies the patch of each pixel, three times nine bytes, which takes longer than the products. A
convolution that computes four columns at once copies half the bytes, in a quarter of the pieces. It
multiplies more, by zeros, which is worth it for few output channels only. And if it reads the image in blocks
of four columns, which are twelve channels side by side, nothing is copied at all.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecifar.exporting.graph import arrays, readers, rewire, writer
from edgecifar.runtimes.columns import block_weights, join_columns

_KERNELS_TAKE = 4
"""Input channels are multiples of this for the kernels that need no copy."""
_COLUMNS = ((4, 32), (2, 64))
"""Columns at once, and up to how many output channels that was measured to pay: with VNNI and with AVX2."""
_TO_FIRST, _TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass(frozen=True, slots=True)
class _Stem:
    """A first convolution that can compute several columns at once."""

    conv: onnx.NodeProto
    quantize: onnx.NodeProto
    """Of its result, behind an activation."""
    dequantizers: tuple[onnx.NodeProto, ...]
    """Of its weights, and of its bias if it has one."""
    columns: int
    pads: tuple[int, int, int, int]
    """Rows and columns of padding: top, left, bottom, right."""
    image: tuple[int, int]
    """Height and width."""
    shape: tuple[int, int, int]
    """Of the result: height, width, channels."""


def join_first_columns(graph: onnx.GraphProto) -> None:
    """Makes the first convolution compute several columns at once where that is quicker: the same integers.

    Args:
        graph: In QDQ form, with scales and zero points that each tensor has for itself; changed in place.
    """
    constants = arrays(graph)
    stem = _find(graph, constants)
    if stem is None:
        return
    made: dict[str, NDArray[Any]] = {}
    for dequantize in stem.dequantizers:
        made |= {
            name: np.tile(constants[name], stem.columns)
            for name in dequantize.input
            if constants[name].ndim == 1 and constants[name].size > 1
        }
    source = stem.dequantizers[0].input[0]
    weights = join_columns(np.moveaxis(constants[source], 1, -1), stem.columns)
    strides, pads = (1, stem.columns), stem.pads
    turn = _only_turn(graph, stem.conv)
    if turn is not None and stem.columns * weights.shape[-1] % _KERNELS_TAKE == 0:
        weights = block_weights(weights, stem.columns)
        strides, pads = (1, 1), (pads[0], 0, pads[2], 0)
        _read_in_blocks(graph, stem, turn, weights.shape[2:])
    made[source] = np.ascontiguousarray(np.moveaxis(weights, -1, 1))
    for constant in graph.initializer:
        if constant.name in made:
            constant.CopyFrom(numpy_helper.from_array(made[constant.name], constant.name))
    _set(stem.conv, kernel_shape=weights.shape[1:3], strides=strides, pads=pads)
    _part(graph, stem)


def _find(graph: onnx.GraphProto, constants: dict[str, NDArray[Any]]) -> _Stem | None:
    """Returns the first convolution; None where it is none that is quicker so."""
    conv = next((node for node in graph.node if node.op_type == "Conv"), None)
    if conv is None:
        return None
    quantize, size = _only_quantizer(graph, conv), _image_size(graph, conv)
    dequantizers = _own_dequantizers(graph, constants, conv)
    if quantize is None or size is None or not dequantizers:
        return None
    weights = constants[dequantizers[0].input[0]]
    attributes = {item.name: helper.get_attribute_value(item) for item in conv.attribute}
    plain = {"group": 1, "dilations": [1, 1], "strides": [1, 1], "auto_pad": b"NOTSET"}
    if any(attributes.get(name, value) != value for name, value in plain.items()):
        return None
    if weights.dtype != np.int8 or np.any(constants[dequantizers[0].input[2]]):
        return None
    channels, inputs, *kernel = weights.shape
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    height, width = size[0] + top + bottom - kernel[0] + 1, size[1] + left + right - kernel[1] + 1
    columns = next((count for count, most in _COLUMNS if channels <= most and width % count == 0), 1)
    if inputs % _KERNELS_TAKE == 0 or columns == 1 or kernel[1] == 1:
        return None
    return _Stem(
        conv, quantize, dequantizers, columns, (top, left, bottom, right), size, (height, width, channels)
    )


def _own_dequantizers(
    graph: onnx.GraphProto, constants: dict[str, NDArray[Any]], conv: onnx.NodeProto
) -> tuple[onnx.NodeProto, ...]:
    """Returns the nodes that make weights and bias of constants that nothing else reads, or none."""
    nodes = []
    for name in conv.input[1:]:
        node = writer(graph, name)
        if node is None or node.op_type != "DequantizeLinear" or not constants.keys() >= {*node.input}:
            return ()
        if any(len(readers(graph, tensor)) > 1 for tensor in (*node.input, *node.output)):
            return ()
        nodes.append(node)
    return tuple(nodes)


def _only_quantizer(graph: onnx.GraphProto, conv: onnx.NodeProto) -> onnx.NodeProto | None:
    """Returns the quantizer of a layer's result, behind an activation; None where it has other readers."""
    following = readers(graph, conv.output[0])
    if len(following) == 1 and following[0].op_type in {"Relu", "Clip"}:
        following = readers(graph, following[0].output[0])
    if len(following) != 1 or following[0].op_type != "QuantizeLinear":
        return None
    is_output = following[0].output[0] == graph.output[0].name
    return None if is_output else following[0]


def _image_size(graph: onnx.GraphProto, conv: onnx.NodeProto) -> tuple[int, int] | None:
    """Returns height and width of the image, (N, height, width, channels), if the layer reads just that."""
    value, tensor, turns = graph.input[0], conv.input[0], []
    while tensor != value.name:
        node = writer(graph, tensor)
        if node is None or node.op_type not in {"Transpose", "QuantizeLinear", "DequantizeLinear"}:
            return None
        turns += [list(item.ints) for item in node.attribute if item.name == "perm"]
        tensor = node.input[0]
    sizes = [size.dim_value for size in value.type.tensor_type.shape.dim]
    return (sizes[1], sizes[2]) if turns == [_TO_FIRST] and len(sizes) == 4 and all(sizes[1:]) else None


def _only_turn(graph: onnx.GraphProto, conv: onnx.NodeProto) -> onnx.NodeProto | None:
    """Returns the node that puts the image's integers channels first, if it does so for this layer only."""
    dequantize = writer(graph, conv.input[0])
    turn = None if dequantize is None else writer(graph, dequantize.input[0])
    if dequantize is None or turn is None or turn.op_type != "Transpose":
        return None
    is_shared = any(len(readers(graph, node.output[0])) > 1 for node in (turn, dequantize))
    return None if is_shared else turn


def _read_in_blocks(
    graph: onnx.GraphProto, stem: _Stem, turn: onnx.NodeProto, kernel: tuple[int, int]
) -> None:
    """Puts padding and a reshape before the node that turns the image.

    Args:
        graph: Changed in place.
        stem: Whose image it is.
        turn: Its image's transpose.
        kernel: Blocks that the kernel is wide, and their channels.
    """
    height, width = stem.image
    _, left, _, _ = stem.pads
    blocks, channels = stem.shape[1] // stem.columns + kernel[0] - 1, kernel[1]
    right = stem.columns * blocks - width - left
    dequantize = readers(graph, turn.output[0])[0]
    image = turn.input[0]
    padded, joined, pads, shape = (f"{image}/{part}" for part in ("padded", "blocks", "pads", "shape"))
    for name, values in (
        (pads, [0, 0, left, 0, 0, 0, right, 0]),
        (shape, [0, height, blocks, channels]),  # 0: as many images as come
    ):
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    graph.node.extend(
        [
            helper.make_node("Pad", [image, pads, dequantize.input[2]], [padded]),
            helper.make_node("Reshape", [padded, shape], [joined]),
        ]
    )
    turn.input[0] = joined


def _set(node: onnx.NodeProto, **attributes: tuple[int, ...]) -> None:
    """Gives a node attributes in place of those of the same names."""
    kept = [item for item in node.attribute if item.name not in attributes]
    made = [helper.make_attribute(name, value) for name, value in attributes.items()]
    fresh = helper.make_node(node.op_type, node.input, node.output, name=node.name)
    fresh.attribute.extend([*kept, *made])
    node.CopyFrom(fresh)


def _part(graph: onnx.GraphProto, stem: _Stem) -> None:
    """Lets the layer's readers see one column at a time; the tensor keeps its name as (N, h, w, channels)."""
    name = stem.quantize.output[0]
    joined, joined_last, first, shape = (f"{name}/{part}" for part in ("joined", "rows", "first", "shape"))
    rewire(graph, name, first)
    stem.quantize.output[0] = joined
    # 0: as many images as come.
    graph.initializer.append(numpy_helper.from_array(np.array([0, *stem.shape], np.int64), shape))
    graph.node.extend(
        [
            helper.make_node("Transpose", [joined], [joined_last], perm=_TO_LAST),
            helper.make_node("Reshape", [joined_last, shape], [name]),
            helper.make_node("Transpose", [name], [first], perm=_TO_FIRST),
        ]
    )
