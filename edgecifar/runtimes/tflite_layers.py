"""The layers of a TFLite file, and what each gives: LiteRT on a copy with more outputs, or TFLM."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.chatter import diverted
from edgecifar.errors import ModelError
from edgecifar.protocol import MODEL_INPUT, Array, Geometry, Layer, LayerKind, Taps, TensorInfo
from edgecifar.runtimes.litert import BUILTIN, REFERENCE, XNNPACK, Kernels
from edgecifar.runtimes.patches import same_padding
from edgecifar.runtimes.tflm import MICRO, PreservedTensors

_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_TYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
_KINDS = {
    "CONV_2D": LayerKind.CONV,
    "DEPTHWISE_CONV_2D": LayerKind.DEPTHWISE,
    "FULLY_CONNECTED": LayerKind.DENSE,
    "ADD": LayerKind.ADD,
    "AVERAGE_POOL_2D": LayerKind.AVERAGE_POOL,
    "MAX_POOL_2D": LayerKind.MAX_POOL,
    "MEAN": LayerKind.AVERAGE_POOL,
    "SOFTMAX": LayerKind.SOFTMAX,
}
_MOVERS = {"RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "CAST", "QUANTIZE", "DEQUANTIZE"}
"""They keep every value but for rounding, and are no layers."""
_ARITHMETIC = {"ADD", "SUB", "MUL", "DIV"}
_ACTIVATIONS = {"NONE": (-math.inf, math.inf), "RELU": (0.0, math.inf), "RELU6": (0.0, 6.0),
                "RELU_N1_TO_1": (-1.0, 1.0)}  # fmt: skip
_FUSED = {
    value: name for name, value in vars(schema.ActivationFunctionType).items() if isinstance(value, int)
}


_KERNELS = {
    XNNPACK.name: (XNNPACK, Kernels.XNNPACK),
    BUILTIN.name: (BUILTIN, Kernels.BUILTIN),
    REFERENCE.name: (REFERENCE, Kernels.REFERENCE),
}


class TappedTFLite:
    """A TFLite model in LiteRT or TensorFlow Lite Micro, with the outputs of its layers."""

    def __init__(self, path: Path, runtime: str, threads: int) -> None:
        is_micro = runtime == MICRO.name
        plain = MICRO.load(path, threads) if is_micro else _KERNELS[runtime][0].load(path, threads)
        self.input, self.info = plain.input, plain.info
        self._model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        self._graph = self._model.subgraphs[0]
        reader = _Reader(path, self._model, self._graph)
        reader.read()
        self._path = path
        self._own_outputs = [int(index) for index in self._graph.outputs]
        self._final = self._own_outputs[0]
        self._taps = reader.taps
        self._image = reader.image
        self.layers = tuple(reader.layers)
        self._input_index = int(self._graph.inputs[0])
        self._interpreter: Any
        if is_micro:
            # It writes over tensors, outputs or not, so it has to be told to keep them.
            self._interpreter = PreservedTensors(path)
        else:
            self._interpreter = self._start(_KERNELS[runtime][1], threads)

    def run(self, batch: Array) -> Taps:
        """Returns the outputs of all layers, image by image: what an app sees.

        Raises:
            ModelError: The batch is not of the input's shape or dtype.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        outputs: list[list[Array]] = [[] for _ in self._taps]
        images, finals = [], []
        for image in batch:
            self._interpreter.set_tensor(self._input_index, image[np.newaxis])
            self._interpreter.invoke()
            for place, index in enumerate(self._taps):
                outputs[place].append(self._interpreter.get_tensor(index))
            images.append(self._image_of(image))
            finals.append(self._interpreter.get_tensor(self._final))
        return Taps(
            tuple(np.concatenate(each) for each in outputs), np.concatenate(images), np.concatenate(finals)
        )

    def _image_of(self, image: Array) -> Array:
        index, info = self._image
        if index == self._input_index:
            return info.dequantize(image[np.newaxis])
        return info.dequantize(self._interpreter.get_tensor(index))

    def tap(self, place: int) -> tuple[bytes, int]:
        """Returns a copy of the file that gives a layer's output too, and its place among the outputs."""
        index = self._taps[place]
        return self._with_outputs([index]), [*dict.fromkeys((*self._own_outputs, index))].index(index)

    def arrange(self, place: int, raw: Array) -> Array:
        """Returns a layer's output, as an engine gave it for such a copy, with its channels last."""
        return raw.reshape(-1, *self.layers[place].output.shape)

    def _with_outputs(self, added: Iterable[int]) -> bytes:
        # Signatures name outputs by their place among those that the file had.
        self._graph.outputs = np.array([*dict.fromkeys((*self._own_outputs, *added))], np.int32)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _start(self, kernels: Kernels, threads: int) -> Interpreter:
        """Returns an interpreter of a copy that gives the layers' outputs beside its own.

        `experimental_preserve_all_tensors` would give them too, and says that it is for debugging only; with
        outputs added, the kernels that an app uses run in the same way.
        """
        wanted = (index for index in (*self._taps, self._image[0]) if index != self._input_index)
        with diverted():
            interpreter = Interpreter(
                model_content=self._with_outputs(wanted),
                num_threads=threads,
                experimental_op_resolver_type=OpResolverType[kernels.value[0]],
            )
            interpreter.allocate_tensors()
        return interpreter


@dataclass(frozen=True, slots=True)
class _Operator:
    name: str
    inputs: tuple[int, ...]
    output: int
    options: Any


class _Reader:
    """Walks the operators in the file's order, which is one of need."""

    def __init__(self, path: Path, model: Any, graph: Any) -> None:
        self._path, self._model, self._graph = path, model, graph
        # Which layer's values a tensor holds; tensors that are not here are constants.
        self._homes: dict[int, int] = {int(graph.inputs[0]): MODEL_INPUT}
        # Where the values of a constant that is dequantized at run time lie: float16 files have them.
        self._stored: dict[int, int] = {}
        self.layers: list[Layer] = []
        self.taps: list[int] = []
        self.image: tuple[int, TensorInfo] = (int(graph.inputs[0]), self._info(int(graph.inputs[0])))

    def read(self) -> None:
        codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in self._model.operatorCodes]
        for raw in self._graph.operators:
            inputs = () if raw.inputs is None else tuple(int(index) for index in raw.inputs if index >= 0)
            name = _OPERATORS.get(codes[raw.opcodeIndex], "CUSTOM")
            self._add(_Operator(name, inputs, int(raw.outputs[0]), raw.builtinOptions))
        if not self.layers:
            raise ModelError(f"{self._path}: has no layers.")

    def _add(self, operator: _Operator) -> None:
        sources = [index for index in operator.inputs if index in self._homes]
        if not sources:
            if operator.name == "DEQUANTIZE":
                self._stored[operator.output] = operator.inputs[0]
            return  # it computes a constant
        homes = tuple(self._homes[index] for index in sources)
        prepares = operator.name in _ARITHMETIC and homes == (MODEL_INPUT,)
        if operator.name in _MOVERS or prepares:
            self._homes[operator.output] = homes[0]
            return
        if not self.layers:
            self.image = (sources[0], self._info(sources[0]))
        self._homes[operator.output] = len(self.layers)
        self.layers.append(self._layer(operator, sources, homes))
        self.taps.append(operator.output)

    def _layer(self, operator: _Operator, sources: list[int], homes: tuple[int, ...]) -> Layer:
        kind = _KINDS.get(operator.name, LayerKind.OTHER)
        output = self._info(operator.output)
        if kind is LayerKind.ADD and len(sources) != 2:
            kind = LayerKind.OTHER
        if kind not in {LayerKind.CONV, LayerKind.DEPTHWISE, LayerKind.DENSE}:
            geometry = self._geometry(operator, kind)
            return Layer(output.name, kind, operator.name, homes, output, geometry)
        if operator.inputs[1] in self._homes:
            return Layer(output.name, LayerKind.OTHER, operator.name, homes, output)
        weights, scales = self._weights(operator.inputs[1], kind)
        return Layer(
            name=output.name,
            kind=kind,
            operator=operator.name,
            inputs=homes,
            output=output,
            geometry=self._geometry(operator, kind),
            weights=weights,
            bias=self._weights(operator.inputs[2], LayerKind.DENSE)[0] if len(operator.inputs) > 2 else None,
            weight_scales=scales,
        )

    def _geometry(self, operator: _Operator, kind: LayerKind) -> Geometry | None:
        options, source = operator.options, self._shape(operator.inputs[0])
        fused = getattr(options, "fusedActivationFunction", 0) if options is not None else 0
        if kind is LayerKind.OTHER or _FUSED[fused] not in _ACTIVATIONS:
            return None
        low, high = _ACTIVATIONS[_FUSED[fused]]
        if kind in {LayerKind.DENSE, LayerKind.ADD, LayerKind.SOFTMAX}:
            return Geometry(low=low, high=high)
        if operator.name == "MEAN":
            return Geometry(kernel=(source[1], source[2])) if self._is_global(operator, source) else None
        if kind in {LayerKind.CONV, LayerKind.DEPTHWISE}:
            kernel = self._shape(operator.inputs[1])[1:3]
            dilation = (options.dilationHFactor, options.dilationWFactor)
        else:
            kernel, dilation = (options.filterHeight, options.filterWidth), (1, 1)
        stride = (options.strideH, options.strideW)
        padding = (0, 0, 0, 0)
        if options.padding == schema.Padding.SAME:
            # TensorFlow's rule is what ONNX calls SAME_UPPER: an odd row or column lies after.
            padding = same_padding("SAME_UPPER", source[1:3], kernel, stride, dilation)
        return Geometry((kernel[0], kernel[1]), stride, padding, dilation, low, high)

    def _is_global(self, operator: _Operator, source: tuple[int, ...]) -> bool:
        axes = sorted(int(axis) % len(source) for axis in np.ravel(self._constant(operator.inputs[1])))
        return axes == [1, 2]

    def _weights(self, index: int, kind: LayerKind) -> tuple[Array, Array | None]:
        """Returns constant weights as float32, output channels first, and their scales."""
        index = self._stored.get(index, index)
        values, parameters = self._constant(index), self._graph.tensors[index].quantization
        axis = values.ndim - 1 if kind is LayerKind.DEPTHWISE else 0
        scales = None
        if parameters is not None and parameters.scale is not None and len(parameters.scale):
            scales = np.asarray(parameters.scale, np.float32)
            zero_points = np.asarray(parameters.zeroPoint, np.float32)
            shape = [1] * values.ndim
            shape[axis] = len(scales)
            values = (values.astype(np.float32) - zero_points.reshape(shape)) * scales.reshape(shape)
        values = values.astype(np.float32)
        if kind is LayerKind.DEPTHWISE:
            values = np.moveaxis(values, axis, 0)  # (channels, 1, height, width)
            values = np.moveaxis(values, 1, 3)
        return values, scales

    def _constant(self, index: int) -> Array:
        index = self._stored.get(index, index)
        tensor = self._graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        kind = _TYPES[tensor.type]
        if data is None or kind not in {"float32", "float16", "int8", "uint8", "int16", "int32", "int64"}:
            raise ModelError(f"{self._path}: {self._name(index)} holds weights that cannot be read ({kind}).")
        return np.frombuffer(bytes(data), kind).reshape(self._shape(index))

    def _info(self, index: int) -> TensorInfo:
        tensor = self._graph.tensors[index]
        scale = zero_point = None
        parameters = tensor.quantization
        if parameters is not None and parameters.scale is not None and len(parameters.scale) == 1:
            scale, zero_point = float(parameters.scale[0]), int(parameters.zeroPoint[0])
        return TensorInfo(self._name(index), self._shape(index)[1:], _TYPES[tensor.type], scale, zero_point)

    def _shape(self, index: int) -> tuple[int, ...]:
        shape = self._graph.tensors[index].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def _name(self, index: int) -> str:
        return str(self._graph.tensors[index].name.decode(errors="replace"))
