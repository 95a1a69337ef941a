"""Images that an ONNX graph reads in blocks of columns: padded at their sides, then reshaped."""

import numpy as np
import onnx

from edgecifar.runtimes.columns import Blocks
from edgecifar.runtimes.onnx_constants import Constant, Constants

_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}


def find_blocks(graph: onnx.GraphProto, constants: Constants) -> dict[str, Blocks]:
    """Returns the tensors that a Pad and a Reshape make of a graph's image, and what they hold.

    Args:
        graph: Its image is (N, height, width, channels), quantized or not; else nothing is found.
        constants: Of the graph.
    """
    image = next(value for value in graph.input if value.name not in constants)
    sizes = [size.dim_value for size in image.type.tensor_type.shape.dim]
    images = {image.name}
    for node in graph.node:
        if node.op_type in _QUANTIZERS and node.input[0] in images:
            images.add(node.output[0])
    found: dict[str, Blocks] = {}
    for pad in [node for node in graph.node if node.op_type == "Pad" and node.input[0] in images]:
        readers = [node for node in graph.node if pad.output[0] in node.input]
        if [node.op_type for node in readers] == ["Reshape"]:
            blocks = _blocks(sizes, *(constants.get(node.input[1]) for node in (pad, readers[0])))
            if blocks is not None:
                found |= {pad.output[0]: blocks, readers[0].output[0]: blocks}
    return found


def _blocks(sizes: list[int], pads: Constant | None, target: Constant | None) -> Blocks | None:
    """Returns the blocks that padding and a reshape to `target` make of an image; None: they make none."""
    if pads is None or target is None or (pads.values.size, target.values.size, len(sizes)) != (8, 4, 4):
        return None
    before, after = pads.values.reshape(2, 4)
    left, right = int(before[2]), int(after[2])
    _, height, blocks, depth = (int(size) for size in target.values)
    columns = depth // max(1, sizes[3])
    is_blocks = (height, blocks * columns, depth) == (sizes[1], left + sizes[2] + right, columns * sizes[3])
    # Padding at the sides, and nowhere else.
    is_blocks = is_blocks and not np.any(np.delete(pads.values.reshape(2, 4), 2, axis=1))
    return Blocks(columns, left, right) if is_blocks and columns > 1 else None
