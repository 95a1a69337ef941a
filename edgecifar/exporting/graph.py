"""ONNX graphs as data: what every written file has in common, whichever converter made it."""

import copy
import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

import edgecifar
from edgecifar.errors import ExportError
from edgecifar.exporting.serving import INPUT, OUTPUT

BATCH = "N"
"""Name of a dynamic batch dimension."""

# tf2onnx numbers its names by a counter of the process: "scale__18", "const_fold_opt__97", "Relu__5:0".
_COUNTER = re.compile(r"__\d+|:0$")


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = (integer - zero_point) x scale, of a graph's input or output."""

    scale: float
    zero_point: int


def finish(model: onnx.ModelProto, batch: int | None, quantizations: dict[str, Quantization]) -> bytes:
    """Returns the file: nodes in order of need, names without counters, the batch set, checked.

    The same graph gives the same bytes, whatever order and counters its converter left.

    Args:
        model: One input and one output; changed in place.
        batch: Fixed batch size; None: any.
        quantizations: Of `image` and `probabilities`, where they are integers. ONNX has no place for them, so
            they become metadata "quantization.NAME".

    Raises:
        ExportError: ONNX's checker refuses the model.
    """
    order(model.graph)
    _rename(model.graph)
    _set_batch(model.graph, batch)
    model.graph.name, model.graph.doc_string, model.doc_string = "classifier", "", ""
    return seal(model, quantizations)


def seal(model: onnx.ModelProto, quantizations: dict[str, Quantization]) -> bytes:
    """Returns the file of a graph that keeps its names and shapes: in order, checked, with its metadata.

    Args:
        model: Changed in place.
        quantizations: Of the inputs and outputs that are integers, by name.

    Raises:
        ExportError: ONNX's checker refuses the model.
    """
    order(model.graph)
    del model.graph.value_info[:]
    model.producer_name, model.producer_version = "edgecifar", edgecifar.__version__
    _drop_unused_domains(model)
    for name, quantization in sorted(quantizations.items()):
        text = json.dumps({"scale": quantization.scale, "zero_point": quantization.zero_point})
        put_metadata(model, f"quantization.{name}", text)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"ONNX's checker refuses the exported model: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def put_metadata(model: onnx.ModelProto, key: str, value: str) -> None:
    """Sets one entry of the model's metadata_props, replacing an older one."""
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = value
            return
    model.metadata_props.add(key=key, value=value)


def arrays(graph: onnx.GraphProto) -> dict[str, NDArray[np.generic]]:
    """Returns the graph's constants by name."""
    return {initializer.name: numpy_helper.to_array(initializer) for initializer in graph.initializer}


def readers(graph: onnx.GraphProto, tensor: str) -> list[onnx.NodeProto]:
    """Returns the nodes that take the tensor."""
    return [node for node in graph.node if tensor in node.input]


def writer(graph: onnx.GraphProto, tensor: str) -> onnx.NodeProto | None:
    """Returns the node that makes the tensor; None for a constant or the graph's input."""
    return next((node for node in graph.node if tensor in node.output), None)


def rewire(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Makes every reader of `old` read `new`."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def order(graph: onnx.GraphProto) -> None:
    """Sorts nodes by need from the output on, and constants by first use; drops what nothing needs."""
    makers = {name: node for node in graph.node for name in node.output}
    ordered: list[onnx.NodeProto] = []
    done: set[int] = set()
    # An explicit stack: a deep network would exceed Python's depth of recursion.
    stack = [(makers[output.name], False) for output in graph.output if output.name in makers]
    while stack:
        node, inputs_done = stack.pop()
        if id(node) in done:
            continue
        if inputs_done:
            done.add(id(node))
            ordered.append(node)
            continue
        stack.append((node, True))
        stack.extend((makers[name], False) for name in reversed(node.input) if name in makers)
    used = list(dict.fromkeys(name for node in ordered for name in node.input))
    constants = {initializer.name: initializer for initializer in graph.initializer}
    kept = [constants[name] for name in used if name in constants]
    _replace(graph.node, ordered)
    _replace(graph.initializer, kept)


def _replace(field: Any, items: list[Any]) -> None:
    """Gives a repeated protobuf field other content; its items live no longer than it, so they are copied."""
    copies = [copy.deepcopy(item) for item in items]
    del field[:]
    field.extend(copies)


def _rename(graph: onnx.GraphProto) -> None:
    renamed = {graph.input[0].name: INPUT, graph.output[0].name: OUTPUT}
    taken = {INPUT, OUTPUT}
    for node in graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                if name and name not in renamed:
                    renamed[name] = unique(name, taken)
                field[index] = renamed.get(name, name)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = renamed[value.name]
    nodes: set[str] = set()
    for node in graph.node:
        # A node may go without a name; one that has one has it for itself.
        node.name, node.doc_string = node.name and unique(node.name, nodes), ""


def unique(name: str, taken: set[str]) -> str:
    """Returns the name without counters, made unique among those taken, which it joins."""
    base = unique = _COUNTER.sub("", name)
    numbers = itertools.count(2)
    while unique in taken:
        unique = f"{base}_{next(numbers)}"
    taken.add(unique)
    return unique


def _set_batch(graph: onnx.GraphProto, batch: int | None) -> None:
    for value in (graph.input[0], graph.output[0]):
        dimension = value.type.tensor_type.shape.dim[0]
        dimension.Clear()
        if batch is None:
            dimension.dim_param = BATCH
        else:
            dimension.dim_value = batch
    constants = {initializer.name: initializer for initializer in graph.initializer}
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[0] not in constants and node.input[1] in constants:
            _free_batch(constants[node.input[1]])


def _free_batch(target: onnx.TensorProto) -> None:
    """Makes a reshape's target, which converters write for batch 1, keep whatever batch comes."""
    shape = numpy_helper.to_array(target).copy()
    if len(shape) and shape[0] == 1:
        shape[0] = -1 if -1 not in shape else 0  # 0: as the input has it
        target.CopyFrom(numpy_helper.from_array(shape, target.name))


def _drop_unused_domains(model: onnx.ModelProto) -> None:
    used = {node.domain for node in model.graph.node} | {""}
    kept = sorted((entry.domain, entry.version) for entry in model.opset_import if entry.domain in used)
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in kept)
