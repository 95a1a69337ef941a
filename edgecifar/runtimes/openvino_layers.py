"""The layers of a file in OpenVINO, one at a time: a copy of the file with one output more."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgecifar.errors import ModelError
from edgecifar.protocol import Array, Probe
from edgecifar.runtimes.onnx_layers import TappedOnnx
from edgecifar.runtimes.openvino import OPENVINO, compile_for_cpu, refusal
from edgecifar.runtimes.tflite_layers import TappedTFLite


class ProbedOpenVINO:
    """A model in OpenVINO, which fuses operators otherwise where the output of one of them is asked for."""

    def __init__(self, path: Path, described: TappedOnnx | TappedTFLite, threads: int) -> None:
        """Opens a model.

        Args:
            path: Of the file.
            described: The same file in its format's own engine, which knows its layers.
            threads: Of OpenVINO.

        Raises:
            EngineMissingError: OpenVINO is not installed.
            ModelError: It refuses the file.
        """
        model = OPENVINO.load(path, threads)
        self.input, self.info, self.layers = model.input, model.info, described.layers
        self._path, self._described, self._threads = path, described, threads
        self._model = compile_for_cpu(path, threads)

    def plain(self, batch: Array) -> Array:
        """Returns the outputs with no layer asked for.

        Raises:
            ModelError: The batch is not of the input's shape or dtype, or OpenVINO fails on it.
        """
        return self._run(self._model, batch, (0,))[0]

    def look(self, place: int, batch: Array) -> Probe:
        """Returns what the layer at one place gives, and the outputs beside it.

        Raises:
            ModelError: The batch is not of the input's shape or dtype, or OpenVINO fails on it or the copy.
        """
        content, output = self._described.tap(place)
        # OpenVINO reads files; it may read weights from one as long as the model lives.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / self._path.name
            copy.write_bytes(content)
            final, raw = self._run(compile_for_cpu(copy, self._threads), batch, (0, output))
        return Probe(self._described.arrange(place, raw), final)

    def _run(self, model: Any, batch: Array, wanted: tuple[int, ...]) -> list[Array]:
        """Returns some of the outputs, image by image; one fills the batch where the file fixes its size."""
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        rows = []
        for image in batch:
            fed = np.repeat(image[np.newaxis], self.input.shape[0] or 1, axis=0)
            try:
                found = model([fed])
            except RuntimeError as error:
                raise refusal(self._path, error) from error
            rows.append([np.array(found[index])[:1] for index in wanted])
        return [np.concatenate(each) for each in zip(*rows, strict=True)]
