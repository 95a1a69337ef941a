"""The layers of an ONNX file, and what each gives: ONNX Runtime on a copy with more outputs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgecifar.chatter import diverted
from edgecifar.errors import ModelError
from edgecifar.protocol import Array, Taps
from edgecifar.runtimes.onnx_graph import GraphReader
from edgecifar.runtimes.onnxruntime import CPU, Provider

RUNTIMES = (CPU.name,)


class TappedOnnx:
    """An ONNX model in ONNX Runtime, with the outputs of its layers."""

    def __init__(self, path: Path, runtime: str, threads: int) -> None:
        plain = CPU.load(path, threads)
        self.input, self.info = plain.input, replace(plain.info, runtime=runtime)
        model = onnx.load(path)
        reader = GraphReader(path, model.graph)
        reader.read()
        self._path = path
        self._taps = reader.taps()
        self._image = reader.image
        self._final = model.graph.output[0].name
        self._session = _start(path, model, self._names(), threads)
        self._batch = self.input.shape[0]
        probe = np.zeros((1, *(size or 1 for size in self.input.shape[1:])), self.input.dtype)
        found = self._evaluate(probe)
        self.layers = reader.layers([array.shape[1:] for array in found.outputs], found.image.shape[1:])

    def run(self, batch: Array) -> Taps:
        """Returns the outputs of all layers, image by image: what an app sees.

        Raises:
            ModelError: The batch is not of the input's shape or dtype.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        runs = [self._evaluate(batch[place : place + 1]) for place in range(len(batch))]
        return Taps(
            tuple(np.concatenate(each) for each in zip(*(run.outputs for run in runs), strict=True)),
            np.concatenate([run.image for run in runs]),
            np.concatenate([run.final for run in runs]),
        )

    def _names(self) -> list[str]:
        wanted = dict.fromkeys([*(tap.tensor for tap in self._taps), self._image.tensor, self._final])
        return [name for name in wanted if name != self.input.name]

    def _evaluate(self, image: Array) -> Taps:
        """Returns the taps of one image, which fills the batch where the file fixes its size."""
        fed = np.repeat(image, self._batch or 1, axis=0)
        names = self._names()
        values = dict(zip(names, self._session.run(names, {self.input.name: fed}), strict=True))
        values[self.input.name] = fed
        outputs = tuple(_last(values[tap.tensor][:1], tap.is_channels_first) for tap in self._taps)
        first = self._image
        pixels = _last(first.info.dequantize(values[first.tensor][:1]), first.is_channels_first)
        return Taps(outputs, pixels, values[self._final][:1])


def _last(array: Array, is_channels_first: bool) -> Array:  # noqa: FBT001  a fact of the tensor
    return np.moveaxis(array, 1, -1) if is_channels_first and array.ndim == 4 else array


def _start(path: Path, model: onnx.ModelProto, names: list[str], threads: int) -> Any:
    """Returns a session of a copy that gives the named tensors beside its output.

    What ONNX Runtime fuses stays fused: the tensors are those that its fused kernels write.
    """
    import onnxruntime

    own = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in own)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    with diverted():
        try:
            return onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=[Provider.CPU.value]
            )
        except ValueError as error:
            raise ModelError(f"{path}: the outputs of its layers cannot be had ({error}).") from error
