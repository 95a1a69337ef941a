"""The layers of an ONNX file, and what each gives: ONNX Runtime on a copy with more outputs."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from edgecifar.errors import ModelError
from edgecifar.protocol import Array, Taps
from edgecifar.runtimes.onnx_graph import GraphReader
from edgecifar.runtimes.onnx_optimized import open_session
from edgecifar.runtimes.onnxruntime import CPU


class TappedOnnx:
    """An ONNX model in ONNX Runtime, with the outputs of its layers."""

    def __init__(self, path: Path, runtime: str, threads: int) -> None:
        import onnxruntime

        plain = CPU.load(path, threads)
        self.input, self.info = plain.input, replace(plain.info, runtime=runtime)
        self._model = onnx.load(path)
        graph = self._model.graph
        reader = GraphReader(path, graph)
        reader.read()
        self._path = path
        self._taps = reader.taps()
        self._image = reader.image
        self._own_outputs = [value.name for value in graph.output]
        self._final = self._own_outputs[0]
        # What ONNX Runtime fuses stays fused: the tensors are those that its fused kernels write.
        options = onnxruntime.SessionOptions()
        self._session = open_session(path, self._with_outputs(self._names()), options, threads)
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

    def tap(self, place: int) -> tuple[bytes, int]:
        """Returns a copy of the file that gives a layer's output too, and its place among the outputs."""
        name = self._taps[place].tensor
        return self._with_outputs([name]), [*dict.fromkeys((*self._own_outputs, name))].index(name)

    def arrange(self, place: int, raw: Array) -> Array:
        """Returns a layer's output, as an engine gave it for such a copy, with its channels last."""
        return _last(raw, self._taps[place].is_channels_first)

    def _with_outputs(self, names: Iterable[str]) -> bytes:
        outputs = self._model.graph.output
        del outputs[len(self._own_outputs) :]
        outputs.extend(
            onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in self._own_outputs
        )
        content: bytes = self._model.SerializeToString()
        return content

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
        if first.blocks is not None:
            pixels = first.blocks.open(pixels)
        return Taps(outputs, pixels, values[self._final][:1])


def _last(array: Array, is_channels_first: bool) -> Array:  # noqa: FBT001  a fact of the tensor
    return np.moveaxis(array, 1, -1) if is_channels_first and array.ndim == 4 else array
