"""OpenVINO on Intel's and other x86-64 and arm64 CPUs."""

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Array, EngineInfo, TensorInfo
from edgecifar.runtimes.installed import installed
from edgecifar.runtimes.litert import BUILTIN
from edgecifar.runtimes.onnxruntime import CPU

CHUNK = 64
"""Images that run in one call where the model allows any batch size."""

_DEVICE = "CPU"
_HEAVY = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul")
"""OpenVINO's names of the layers that hold nearly all multiplications."""


class OpenVINO:
    """OpenVINO's CPU plugin, with float32 where the model has floats."""

    name = "openvino"
    suffixes = (".onnx", ".tflite")

    def missing(self) -> str | None:
        """Returns why OpenVINO cannot run here, or None where it can."""
        if importlib.util.find_spec("openvino") is None:
            return "OpenVINO is not installed. Install it with: pip install 'edgecifar[openvino]'"
        return None

    def identity(self) -> dict[str, str] | None:
        """Returns the version that is installed, without starting the engine; None where there is none."""
        return installed("openvino")

    def load(self, path: Path, threads: int) -> "OpenVINOModel":
        """Returns the model of an `.onnx` or `.tflite` file.

        Raises:
            EngineMissingError: OpenVINO is not installed.
            ModelError: The file is missing, damaged, or holds operators that OpenVINO cannot compute.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineMissingError(reason)
        return OpenVINOModel(path, threads)


class OpenVINOModel:
    """A model that OpenVINO has compiled for the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        self._path = path
        self.input, self.output = _describe(path)
        self._model = compile_for_cpu(path, threads)
        # The scale of a dynamically quantized activation is that of the whole batch: an image's result
        # would depend on the images beside it.
        self._chunk = self.input.shape[0] or (1 if b"DynamicQuantizeLinear" in path.read_bytes() else CHUNK)
        self.info = EngineInfo(
            OpenVINO.name,
            "OpenVINO",
            str(openvino.__version__).partition("-")[0],
            ", ".join(self._model.get_property("EXECUTION_DEVICES")),
            int(self._model.get_property("INFERENCE_NUM_THREADS")),
            _precisions(self._model.get_runtime_model()),
        )

    def predict(self, batch: Array) -> Array:
        """Returns the raw outputs for a batch of any size.

        Raises:
            ModelError: The batch is not of the input's shape or dtype, or the engine fails on it.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        pieces = [self._run(batch[at : at + self._chunk]) for at in range(0, len(batch), self._chunk)]
        return np.concatenate(pieces) if pieces else self.output.empty()

    def _run(self, batch: Array) -> Array:
        count = len(batch)
        if self.input.shape[0] is not None and count < self._chunk:
            # The last image again, not zeros: its values do not widen a range that is taken over the batch.
            batch = np.concatenate([batch, np.repeat(batch[-1:], self._chunk - count, axis=0)])
        try:
            outputs = self._model([np.ascontiguousarray(batch)])
        except RuntimeError as error:
            raise refusal(self._path, error) from error
        return np.array(outputs[0])[:count]


def compile_for_cpu(path: Path, threads: int) -> Any:
    """Returns a file as OpenVINO's CPU plugin computes it.

    Raises:
        ModelError: OpenVINO refuses the file.
    """
    import openvino

    settings = {
        # Else a CPU with bfloat16 computes in it.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    try:
        core = openvino.Core()
        return core.compile_model(core.read_model(path), _DEVICE, settings)
    except RuntimeError as error:
        raise refusal(path, error) from error


def refusal(path: Path, error: RuntimeError) -> ModelError:
    """Returns OpenVINO's complaint about a file as an error; its last line has the reason."""
    reason = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return ModelError(f"{path}: OpenVINO refuses it: {reason[-1].rstrip('.')}.")


def _describe(path: Path) -> tuple[TensorInfo, TensorInfo]:
    """Returns input and output as the format's own engine describes them, after that has checked the file.

    OpenVINO drops names and scales when it reads a file, and runs a TFLite file at the batch size in it.
    """
    if path.suffix == ".onnx":
        described = CPU.load(path, threads=1)
        return described.input, described.output
    lite = BUILTIN.load(path, threads=1)
    fixed = (1, *lite.input.shape[1:])
    entry = lite.input
    return TensorInfo(entry.name, fixed, entry.dtype, entry.scale, entry.zero_point), lite.output


def _precisions(graph: Any) -> tuple[str, ...]:
    """Returns in which precisions the compiled graph computes its convolutions and matrix products."""
    counts = Counter(
        str(info["runtimePrecision"].astype(str))
        for info in (operator.get_rt_info() for operator in graph.get_ops())
        if info["layerType"].astype(str) in _HEAVY
    )
    if not counts:
        return ()
    parts = (f"{count} in {precision}" for precision, count in counts.most_common())
    return (f"computes its {counts.total()} convolutions and matrix products thus: {', '.join(parts)}",)


OPENVINO = OpenVINO()
