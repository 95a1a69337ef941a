"""Short names for what an int8 ONNX file holds.

tf2onnx names every tensor after all the layers that TFLite fused, in a QDQ graph some ten times each: a third
of a small file. Here each name is written where someone reads it: a layer's node has the layer's own name,
and the tensor that it gives TFLite's first. Everything else is numbered: constants c, their and the
activations' scales s and zero points z, tensors within a layer t.
"""

import itertools
import re
from collections.abc import Iterator

import onnx

from edgecifar.exporting.graph import order, readers, unique
from edgecifar.exporting.qdq import MOVERS

_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}
_INNER_READERS = {"QuantizeLinear", "Relu", "Clip"}
"""Readers of a layer's raw result, which no other engine has: the layer ends behind them."""
_ADDED = re.compile(r"(__\d+|_prequant|_Gemm|:0)+$")
"""What tf2onnx appends to TFLite's names."""


def shorten(graph: onnx.GraphProto) -> None:
    """Gives nodes and tensors short names; those of the graph's input and output stay.

    The same graph gets the same names, whatever its converter called them by.

    Args:
        graph: In QDQ form, as tf2onnx makes it of a TFLite file; changed in place, its nodes put in order.
    """
    order(graph)
    del graph.value_info[:]
    names = _tensor_names(graph)
    taken: set[str] = set()
    for node in graph.node:
        is_layer = node.op_type not in _QUANTIZERS | MOVERS
        node.name = unique(_own(node.name) or node.op_type, taken) if is_layer else ""
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for constant in graph.initializer:
        constant.name = names[constant.name]


def _tensor_names(graph: onnx.GraphProto) -> dict[str, str]:
    """Returns the new name of each tensor but the graph's input and output."""
    constants = {item.name for item in graph.initializer}
    names: dict[str, str] = {}
    kept = {value.name for value in (*graph.input, *graph.output)}
    taken = set(kept)
    numbers: dict[str, Iterator[int]] = {letter: itertools.count(1) for letter in "cszt"}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in constants and name not in names:
                letter = "csz"[place] if node.op_type in _QUANTIZERS else "c"
                names[name] = unique(f"{letter}{next(numbers[letter])}", taken)
        for name in node.output:
            if name in kept:
                continue
            if _is_read(graph, node, name):
                names[name] = unique(_first(name) or node.op_type, taken)
            else:
                names[name] = unique(f"t{next(numbers['t'])}", taken)
    return names


def _is_read(graph: onnx.GraphProto, node: onnx.NodeProto, tensor: str) -> bool:
    """Returns whether a tensor is what a layer gives: people see its name in tables of layers."""
    if node.op_type == "QuantizeLinear":
        return True
    if node.op_type == "DequantizeLinear" or node.op_type in MOVERS:
        return False
    return any(reader.op_type not in _INNER_READERS for reader in readers(graph, tensor))


def _first(name: str) -> str:
    """Returns the first of the layers that TFLite fused: the one whose result the tensor is."""
    return _ADDED.sub("", name).partition(";")[0]


def _own(name: str) -> str:
    """Returns the last of the layers that TFLite fused, which names the operator; variables are no layers."""
    parts = [part for part in _ADDED.sub("", name).split(";") if "/ReadVariableOp" not in part]
    return parts[-1] if parts else ""
