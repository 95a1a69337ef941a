"""The layers of an ONNX graph: which nodes belong to each, its weights, and the tensor that is its output."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from edgecifar.errors import ModelError
from edgecifar.protocol import MODEL_INPUT, Array, Geometry, Layer, LayerKind, TensorInfo
from edgecifar.runtimes.columns import Blocks, open_blocks, part_columns
from edgecifar.runtimes.onnx_blocks import find_blocks
from edgecifar.runtimes.onnx_constants import Constants
from edgecifar.runtimes.patches import same_padding

_KINDS = {
    "Conv": LayerKind.CONV, "ConvInteger": LayerKind.CONV, "QLinearConv": LayerKind.CONV,
    "MatMul": LayerKind.DENSE, "Gemm": LayerKind.DENSE, "MatMulInteger": LayerKind.DENSE,
    "QLinearMatMul": LayerKind.DENSE, "QGemm": LayerKind.DENSE,
    "Add": LayerKind.ADD, "QLinearAdd": LayerKind.ADD,
    "AveragePool": LayerKind.AVERAGE_POOL, "GlobalAveragePool": LayerKind.AVERAGE_POOL,
    "QLinearAveragePool": LayerKind.AVERAGE_POOL, "QLinearGlobalAveragePool": LayerKind.AVERAGE_POOL,
    "ReduceMean": LayerKind.AVERAGE_POOL,
    "MaxPool": LayerKind.MAX_POOL,
    "Softmax": LayerKind.SOFTMAX, "QLinearSoftmax": LayerKind.SOFTMAX,
}  # fmt: skip
_MOVERS = {
    "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Dropout",
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
}  # fmt: skip
"""They keep every value but for rounding, and are no layers."""
_ARITHMETIC = {"Add", "Sub", "Mul", "Div"}
_WEIGHTS_AT = {"QLinearConv": (3, 4, 5, 8), "QLinearMatMul": (3, 4, 5, None), "QGemm": (3, 4, 5, 6)}
"""Where QOperator nodes have weights, their scale and zero point, and the int32 bias."""
_OUTPUT_AT = {"QLinearConv": 6, "QLinearMatMul": 6, "QGemm": 7, "QLinearAdd": 6, "QLinearAveragePool": 3,
              "QLinearGlobalAveragePool": 3, "QLinearSoftmax": 3}  # fmt: skip
"""Where they have the output's scale; its zero point follows."""


@dataclass(slots=True)
class Tap:
    """The tensor that holds a layer's output, as far as the walk has come."""

    tensor: str
    info: TensorInfo
    is_channels_first: bool = False
    blocks: Blocks | None = None
    """In which the tensor holds an image; None: it holds it column by column."""


@dataclass(slots=True)
class _Draft:
    """A layer while its bias, batch norm, activation and quantizer are being found."""

    kind: LayerKind
    node: onnx.NodeProto
    inputs: tuple[int, ...]
    tap: Tap
    weights: Array | None = None
    bias: Array | None = None
    scales: Array | None = None
    low: float = -math.inf
    high: float = math.inf
    reads_flattened: bool = False
    """Whether it reads an image that was flattened channels first."""
    sides: tuple[int, int] | None = None
    """Of a convolution of stride 1 that computes several columns at once, columns of padding that other nodes
    add left and right; weights and bias are those of one column. None: it computes one at a time."""


class GraphReader:
    """Walks the nodes in the file's order, which is one of need."""

    def __init__(self, path: Path, graph: onnx.GraphProto) -> None:
        self._path, self._graph = path, graph
        self._constants = Constants(graph)
        given = [value for value in graph.input if value.name not in self._constants]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(given[0].type.tensor_type.elem_type).name
        self._readers: dict[str, int] = {}
        for node in graph.node:
            for name in node.input:
                self._readers[name] = self._readers.get(name, 0) + 1
        for value in graph.output:
            self._readers[value.name] = self._readers.get(value.name, 0) + 1
        self._homes = {given[0].name: MODEL_INPUT}
        self._channels_first: set[str] = set()
        self._flattened: set[str] = set()
        # What DynamicQuantizeLinear quantized, by a scale that no one but it knows.
        self._before: dict[str, str] = {}
        self._blocks = find_blocks(graph, self._constants)
        self._drafts: list[_Draft] = []
        self._infos: dict[str, TensorInfo] = {given[0].name: TensorInfo(given[0].name, (), dtype)}
        self.image = Tap(given[0].name, self._infos[given[0].name])

    def read(self) -> None:
        """Walks the graph once, and gathers the nodes of each layer.

        Raises:
            ModelError: It has no layers.
        """
        for node in self._graph.node:
            sources = [name for name in node.input if name in self._homes]
            if sources:
                self._add(node, sources)
            else:
                self._constants.fold(node)
        if not self._drafts:
            raise ModelError(f"{self._path}: has no layers.")

    def taps(self) -> list[Tap]:
        """Returns the output of each layer, in the graph's order."""
        return [draft.tap for draft in self._drafts]

    def layers(self, shapes: list[tuple[int, ...]], image_shape: tuple[int, ...]) -> tuple[Layer, ...]:
        """Returns the layers, now that the shapes of their outputs are known."""
        return tuple(
            self._finish(draft, shape, [image_shape if i == MODEL_INPUT else shapes[i] for i in draft.inputs])
            for draft, shape in zip(self._drafts, shapes, strict=True)
        )

    def _add(self, node: onnx.NodeProto, sources: list[str]) -> None:
        source, output = sources[0], node.output[0]
        home = self._homes[source]
        if node.op_type in _MOVERS or output in self._blocks:
            self._move(node, source)
        elif len(sources) == 1 and node.op_type in _ARITHMETIC and home == MODEL_INPUT:
            self._homes[output] = home
            self._inherit(source, output)
        elif not self._absorb(node, sources):
            self._start_layer(node, sources)

    def _move(self, node: onnx.NodeProto, source: str) -> None:
        output, home = node.output[0], self._homes[source]
        self._homes[output] = home
        self._inherit(source, output)
        if node.op_type == "Transpose":
            self._transpose(node, source, output)
        elif node.op_type in {"Reshape", "Flatten", "Squeeze"}:
            self._reshape(node, source)
        elif node.op_type == "QuantizeLinear":
            info = self._constants.quantized(output, *node.input[1:3])
            self._infos[output] = info
            if home != MODEL_INPUT and self._drafts[home].tap.tensor == source:
                first = self._drafts[home].tap.is_channels_first
                self._drafts[home].tap = Tap(output, info, first)
        elif node.op_type == "DynamicQuantizeLinear":
            self._before[output] = source
        elif node.op_type in {"DequantizeLinear", "Cast"}:
            self._infos[output] = TensorInfo(output, (), "float32")
            if node.op_type == "DequantizeLinear":
                self._read_pool(node, source)
            if node.op_type == "Cast" and home != MODEL_INPUT and self._drafts[home].tap.tensor == source:
                self._retap(home, output)

    def _reshape(self, node: onnx.NodeProto, source: str) -> None:
        output, home = node.output[0], self._homes[source]
        self._channels_first.discard(output)
        if source in self._channels_first:
            self._flattened.add(output)
        elif node.op_type == "Reshape" and home != MODEL_INPUT:
            self._part_columns(node, self._drafts[home])

    def _part_columns(self, node: onnx.NodeProto, draft: _Draft) -> None:
        """Reads a convolution that computes several columns at once as the plain one, before the reshape."""
        target, weights = self._constants.get(node.input[1]), draft.weights
        if draft.kind is not LayerKind.CONV or target is None or target.values.size != 4 or weights is None:
            return
        channels, blocks = int(target.values[-1]), self._blocks.get(draft.node.input[0])
        if blocks is None:
            columns = next((item.ints[1] for item in draft.node.attribute if item.name == "strides"), 1)
            joined, sides = weights, (0, 0)
        else:
            columns, joined = blocks.columns, open_blocks(weights, blocks.columns)
            spare = weights.shape[2] * columns - joined.shape[2]
            sides = (blocks.left, blocks.right - spare)
        parted = part_columns(joined, columns) if columns > 1 else None
        if parted is None or len(parted) != channels:
            return
        draft.weights, draft.sides = parted, sides
        draft.bias = None if draft.bias is None else draft.bias[:channels]
        draft.scales = None if draft.scales is None else draft.scales[:channels]
        draft.tap = Tap(node.output[0], self._infos[node.output[0]])

    def _read_pool(self, node: onnx.NodeProto, source: str) -> None:
        """Takes what an average pool's integers mean from their reader.

        Their writer may have a scale and zero point that only serve to round as TFLite does.
        """
        home = self._homes[source]
        if home == MODEL_INPUT:
            return
        draft = self._drafts[home]
        if draft.kind is LayerKind.AVERAGE_POOL and draft.tap.tensor == source:
            info = self._constants.quantized(source, *node.input[1:3])
            draft.tap = Tap(source, info, draft.tap.is_channels_first)

    def _transpose(self, node: onnx.NodeProto, source: str, output: str) -> None:
        permutation = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
        if permutation == [0, 3, 1, 2]:
            self._channels_first.add(output)
        elif permutation == [0, 2, 3, 1]:
            self._channels_first.discard(output)
        elif source in self._channels_first:
            self._channels_first.add(output)

    def _inherit(self, source: str, output: str) -> None:
        for marks in (self._channels_first, self._flattened):
            if source in marks:
                marks.add(output)
        if source in self._blocks:
            self._blocks[output] = self._blocks[source]
        if source in self._infos:
            self._infos[output] = replace(self._infos[source], name=output)

    def _absorb(self, node: onnx.NodeProto, sources: list[str]) -> bool:
        """Returns whether the node is part of the layer before it: its bias, batch norm or activation."""
        home = self._homes[sources[0]]
        if len(sources) != 1 or home == MODEL_INPUT:
            return False
        draft = self._drafts[home]
        if draft.tap.tensor != sources[0] or self._readers[sources[0]] != 1:
            return False
        if node.op_type in {"Relu", "Clip"}:
            draft.low, draft.high = self._bounds(node)
        elif node.op_type == "BatchNormalization" and draft.weights is not None and draft.scales is None:
            self._fold_batch_norm(draft, node)
        elif node.op_type in {"Add", "Mul"} and draft.weights is not None:
            other = self._constants.get(next(name for name in node.input if name != sources[0]))
            if node.op_type == "Add" and other is not None and draft.bias is None:
                if other.values.size != len(draft.weights):
                    return False
                draft.bias = other.values.astype(np.float32).reshape(-1)
            elif not draft.node.op_type.endswith("Integer") or other is not None:
                return False
        else:
            return False
        self._retap(home, node.output[0])
        self._homes[node.output[0]] = home
        self._inherit(sources[0], node.output[0])
        return True

    def _retap(self, home: int, tensor: str) -> None:
        self._drafts[home].tap = Tap(
            tensor, TensorInfo(tensor, (), "float32"), self._drafts[home].tap.is_channels_first
        )

    def _bounds(self, node: onnx.NodeProto) -> tuple[float, float]:
        if node.op_type == "Relu":
            return 0.0, math.inf
        bounds = [-math.inf, math.inf]
        for place, name in enumerate(node.input[1:3]):
            if name in self._constants:
                bounds[place] = float(self._constants.values(name))
        for attribute in node.attribute:
            bounds[0 if attribute.name == "min" else 1] = attribute.f
        return bounds[0], bounds[1]

    def _fold_batch_norm(self, draft: _Draft, node: onnx.NodeProto) -> None:
        gamma, beta, mean, variance = map(self._constants.values, node.input[1:5])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = gamma / np.sqrt(variance + epsilon)
        weights = draft.weights
        if weights is None:
            return
        draft.weights = (weights * factor.reshape(-1, *[1] * (weights.ndim - 1))).astype(np.float32)
        before = 0.0 if draft.bias is None else draft.bias
        draft.bias = ((before - mean) * factor + beta).astype(np.float32)

    def _start_layer(self, node: onnx.NodeProto, sources: list[str]) -> None:
        kind = _KINDS.get(node.op_type, LayerKind.OTHER)
        output, place = node.output[0], len(self._drafts)
        first = sources[0] in self._channels_first or kind in {
            LayerKind.CONV, LayerKind.AVERAGE_POOL, LayerKind.MAX_POOL,
        }  # fmt: skip
        info = replace(self._infos.get(sources[0], TensorInfo("", (), "float32")), name=output)
        if node.op_type in _OUTPUT_AT:
            at = _OUTPUT_AT[node.op_type]
            info = self._constants.quantized(output, node.input[at], node.input[at + 1])
        elif kind is not LayerKind.MAX_POOL:
            info = TensorInfo(output, (), "float32")
        draft = _Draft(kind, node, tuple(self._homes[name] for name in sources), Tap(output, info, first))
        self._read_weights(draft)
        if draft.kind is LayerKind.ADD and len(sources) != 2:
            draft.kind = LayerKind.OTHER
        draft.reads_flattened = sources[0] in self._flattened
        if not self._drafts:
            read = self._before.get(sources[0], sources[0])
            is_first = read in self._channels_first or first
            self.image = Tap(read, self._infos[read], is_first, self._blocks.get(read))
        self._drafts.append(draft)
        self._homes[output] = place
        self._infos[output] = info
        if first:
            self._channels_first.add(output)

    def _read_weights(self, draft: _Draft) -> None:
        if draft.kind not in {LayerKind.CONV, LayerKind.DENSE}:
            return
        node = draft.node
        at, scale_at, zero_at, bias_at = _WEIGHTS_AT.get(node.op_type, (1, None, None, 2))
        found = self._constants.get(node.input[at])
        if found is None:
            draft.kind = LayerKind.OTHER
            return
        if node.op_type.endswith("Integer"):
            found = self._constants.of_integer_node(node, found)
        elif scale_at is not None and zero_at is not None:
            axis = 0 if draft.kind is LayerKind.CONV else 1
            found = self._constants.dequantized(found.values, node.input[scale_at], node.input[zero_at], axis)
        weights = found.values.astype(np.float32)
        draft.scales = found.scales
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        if draft.kind is LayerKind.DENSE:
            draft.weights = weights if transposed else weights.T
        else:
            draft.weights = np.moveaxis(weights, 1, -1)  # (out, height, width, in)
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            if groups > 1:
                is_depthwise = groups == len(weights) and weights.shape[1] == 1
                draft.kind = LayerKind.DEPTHWISE if is_depthwise else LayerKind.OTHER
        if bias_at is not None and len(node.input) > bias_at and not node.op_type.endswith("Integer"):
            draft.bias = self._bias(node, node.input[bias_at], found.scales)

    def _bias(self, node: onnx.NodeProto, name: str, scales: Array | None) -> Array | None:
        """Returns the bias in real values; that of a QOperator node is in steps of both scales' product."""
        found = self._constants.get(name)
        if found is None:
            return None
        values = found.values.astype(np.float32).reshape(-1)
        if node.op_type in _WEIGHTS_AT and scales is not None:
            values = values * scales * np.float32(self._constants.values(node.input[1]))
        return values

    def _finish(self, draft: _Draft, shape: tuple[int, ...], sources: list[tuple[int, ...]]) -> Layer:
        name = draft.tap.tensor
        weights = draft.weights
        source = sources[0]
        if weights is not None and draft.reads_flattened and len(source) == 3 and source[0] * source[1] > 1:
            # To the order in which channels-last images are flattened.
            height, width, channels = source
            weights = (
                weights.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(weights), -1)
            )
        return Layer(
            name=name,
            kind=draft.kind,
            operator=draft.node.op_type,
            inputs=draft.inputs,
            output=replace(draft.tap.info, name=name, shape=shape),
            geometry=self._geometry(draft, source),
            weights=weights,
            bias=draft.bias,
            weight_scales=draft.scales,
        )

    def _geometry(self, draft: _Draft, source: tuple[int, ...]) -> Geometry | None:
        node, kind = draft.node, draft.kind
        if kind is LayerKind.OTHER:
            return None
        if kind in {LayerKind.DENSE, LayerKind.ADD, LayerKind.SOFTMAX}:
            return Geometry(low=draft.low, high=draft.high)
        if "Global" in node.op_type or node.op_type == "ReduceMean":
            return Geometry(kernel=(source[0], source[1])) if len(source) == 3 else None
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if given.get("ceil_mode", 0) or given.get("count_include_pad", 0):
            return None
        if draft.weights is not None:
            kernel = (draft.weights.shape[1], draft.weights.shape[2])
        else:
            kernel = (given["kernel_shape"][0], given["kernel_shape"][1])
        stride = tuple(given.get("strides", (1, 1)))
        dilation = tuple(given.get("dilations", (1, 1)))
        pads = tuple(given.get("pads", (0, 0, 0, 0)))
        if draft.sides is not None:
            (left, right), stride = draft.sides, (stride[0], 1)
            pads = (pads[0], pads[1] + left, pads[2], pads[3] + right)
        automatic = given.get("auto_pad", b"NOTSET").decode()
        if automatic.startswith("SAME"):
            pads = same_padding(automatic, source[:2], kernel, stride, dilation)
        return Geometry(
            kernel, (stride[0], stride[1]), (pads[0], pads[1], pads[2], pads[3]), (dilation[0], dilation[1]),
            draft.low, draft.high,
        )  # fmt: skip
