"""Shipped models with faults planted into copies, and images."""

from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.artifacts.layers import LayersReport
from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half
from edgecifar.protocol import Array
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.tapping import open_tapped
from edgecifar.verification.feeding import Feeding
from edgecifar.verification.layers import compare_layers

CLIP = 8
"""Ranges are planted so many times too narrow."""


@pytest.fixture(scope="session")
def images() -> Dataset:
    return read_sample(Half.TEST).select(slice(0, 100, 10))


@pytest.fixture(scope="session")
def bundle(checkout: Path) -> Path:
    return checkout / "exported" / "edge-vgg6"


Compare = Callable[[Path, Path], LayersReport]


@pytest.fixture(scope="session")
def compare(images: Dataset) -> Compare:
    """Compares two files of shipped bundles, or made from such."""

    def run(reference: Path, candidate: Path) -> LayersReport:
        opened = []
        for path in (reference, candidate):
            tapped = open_tapped(path, None, 1)
            raw = tapped.input.dtype == "uint8" and tapped.input.scale is None
            preprocessing = Preprocessing(mean=121, std=64, height=32, width=32)
            opened.append((path.name, tapped, Feeding(preprocessing, raw_pixels=raw)))
        plain = get_runtime(opened[1][1].info.runtime).load(candidate, 1)
        return compare_layers(opened[0], opened[1], plain, images)

    return run


class TFLiteFile:
    """The tensors of a TFLite file, to alter them."""

    def __init__(self, path: Path) -> None:
        self.model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        self.graph = self.model.subgraphs[0]

    def convolutions(self) -> list[schema.OperatorT]:
        codes = [code.builtinCode for code in self.model.operatorCodes]
        wanted = schema.BuiltinOperator.CONV_2D
        return [o for o in self.graph.operators if codes[o.opcodeIndex] == wanted]

    def alter(self, tensor: int, dtype: type, change: Callable[[Array], Array]) -> None:
        buffer = self.model.buffers[self.graph.tensors[tensor].buffer]
        buffer.data = np.frombuffer(change(np.frombuffer(bytes(buffer.data), dtype)).tobytes(), np.uint8)

    def save(self, path: Path) -> Path:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def shuffled(values: Array) -> Array:
    return np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape)


def damage_tflite(source: Path, target: Path, place: int) -> Path:
    file = TFLiteFile(source)
    file.alter(file.convolutions()[place].inputs[1], np.int8, shuffled)
    return file.save(target)


def damage_onnx(source: Path, target: Path, place: int) -> Path:
    model = onnx.load(source)
    node = [n for n in model.graph.node if n.op_type == "Conv"][place]
    weights = next(n for n in model.graph.node if node.input[1] in n.output).input[0]
    _replace(model, weights, shuffled)
    onnx.save(model, target)
    return target


def clip_tflite(source: Path, target: Path, place: int) -> Path:
    """Narrows the range of a convolution's output that one other convolution reads."""
    file = TFLiteFile(source)
    convolution, reader = file.convolutions()[place : place + 2]
    assert reader.inputs[0] == convolution.outputs[0]
    for tensor in (convolution.outputs[0], reader.inputs[2]):
        parameters = file.graph.tensors[tensor].quantization
        parameters.scale = (np.asarray(parameters.scale) / CLIP).astype(np.float32)
    file.alter(reader.inputs[2], np.int32, lambda bias: bias * CLIP)
    return file.save(target)


def clip_onnx(source: Path, target: Path, place: int) -> Path:
    model = onnx.load(source)
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    reader = convolutions[place + 1]
    makers = {name: n for n in model.graph.node for name in n.output}
    dequantize, bias = makers[reader.input[0]], makers[reader.input[2]]
    quantize = makers[dequantize.input[0]]
    for scale in {dequantize.input[1], quantize.input[1], bias.input[1]}:
        _replace(model, scale, lambda values: (values / CLIP).astype(np.float32))
    _replace(model, bias.input[0], lambda values: values * CLIP)
    onnx.save(model, target)
    return target


def _replace(model: onnx.ModelProto, name: str, change: Callable[[Array], Array]) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))
