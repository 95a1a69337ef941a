"""TensorFlow Lite Micro: the interpreter of microcontrollers, here on the host."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np

from edgecifar.chatter import Chatter, diverted
from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Array, EngineInfo, TensorInfo
from edgecifar.runtimes.installed import installed
from edgecifar.runtimes.litert import BUILTIN

_ARENA_BYTES = 64 << 20
"""Offered to the interpreter, which says how much of it a model takes; no microcontroller has as much."""
_RECORDING, _PRESERVING = "kAllocationRecording", "kPreserveAllTensors"


class TFLM:
    """TensorFlow Lite Micro with its reference kernels, one image at a time on one thread."""

    name = "tflm"
    suffixes = (".tflite",)

    def missing(self) -> str | None:
        """Returns why TensorFlow Lite Micro cannot run here, or None where it can."""
        if importlib.util.find_spec("tflite_micro") is None:
            return (
                "TensorFlow Lite Micro is not installed. Install it (Linux on x86-64 only) with: "
                "pip install 'edgecifar[tflm]'"
            )
        return None

    def identity(self) -> dict[str, str] | None:
        """Returns the versions that are installed, without starting the engine; None where there are none."""
        return installed("tflite-micro", "ai-edge-litert")

    def load(self, path: Path, threads: int) -> "TFLMModel":
        """Returns the model of a `.tflite` file.

        Raises:
            EngineMissingError: TensorFlow Lite Micro is not installed.
            ModelError: The file is missing or damaged, or has operators that microcontrollers cannot compute.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineMissingError(reason)
        return TFLMModel(path)


class TFLMModel:
    """A TFLite model in the microcontroller interpreter."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # LiteRT verifies the file's tables; the microcontroller interpreter trusts them, and a damaged one
        # would end the process.
        described = BUILTIN.load(path, threads=1)
        self.input, self.output = described.input, described.output
        self._interpreter = _start(path, self.input, _RECORDING)
        arena = self._arena_bytes()
        version = importlib.metadata.version("tflite_micro")
        facts = (f"needs a tensor arena of {arena:,} bytes, on this 64-bit host",)
        self.info = EngineInfo(
            TFLM.name, "TensorFlow Lite Micro", version, "CPU, reference kernels", 1, facts
        )

    def predict(self, batch: Array) -> Array:
        """Returns the raw outputs for a batch of any size, computed image by image.

        Raises:
            ModelError: The batch is not of the input's shape or dtype, or the engine fails on it.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        rows = [self._run(image) for image in batch]
        return np.concatenate(rows) if rows else self.output.empty()

    def _run(self, image: Array) -> Array:
        self._interpreter.set_input(np.ascontiguousarray(image[np.newaxis]), 0)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise _refusal(self._path, error, "") from error
        output: Array = self._interpreter.get_output(0)
        return output

    def _arena_bytes(self) -> int:
        with diverted() as chatter:
            self._interpreter.print_allocations()
        found = re.search(r"Arena allocation total (\d+) bytes", chatter.text)
        if found is None:
            raise ModelError(f"{self._path}: TensorFlow Lite Micro does not tell its arena's size.")
        return int(found[1])


class PreservedTensors:
    """A TFLite model of which every tensor can be read after a run, by the names of LiteRT's methods."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._interpreter = _start(path, BUILTIN.load(path, threads=1).input, _PRESERVING)

    def set_tensor(self, _index: int, image: Array) -> None:
        """Sets the input, the only one.

        Args:
            _index: Of the tensor in the file.
            image: Of the input's shape and dtype, with a batch of one.
        """
        self._interpreter.set_input(np.ascontiguousarray(image), 0)

    def invoke(self) -> None:
        """Computes all tensors.

        Raises:
            ModelError: The engine fails.
        """
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise _refusal(self._path, error, "") from error

    def get_tensor(self, index: int) -> Array:
        """Returns a tensor by its index in the file, in its shape and dtype."""
        found: Array = self._interpreter.GetTensor(index, 0)["tensor_data"]
        return np.array(found)


def _start(path: Path, described: TensorInfo, configuration: str) -> Any:
    """Returns an interpreter that has computed the model once.

    Args:
        path: A file that LiteRT has verified.
        described: Its input.
        configuration: Name of one of the interpreter's: it tells its arena, or keeps its tensors, not both.

    Raises:
        ModelError: It lacks an operator, or refuses one's types.
    """
    from tflite_micro.python.tflite_micro import runtime

    shape = (1, *(size or 1 for size in described.shape[1:]))
    chatter = Chatter()
    try:
        with diverted() as chatter:
            interpreter = runtime.Interpreter.from_bytes(
                path.read_bytes(),
                arena_size=_ARENA_BYTES,
                intrepreter_config=runtime.InterpreterConfig[configuration],
            )
            # Some operators refuse their types only when they run.
            interpreter.set_input(np.zeros(shape, described.dtype), 0)
            interpreter.invoke()
    except RuntimeError as error:
        raise _refusal(path, error, chatter.text) from error
    return interpreter


def _refusal(path: Path, error: RuntimeError, chatter: str) -> ModelError:
    """Returns the error that names the operators which the interpreter lacks, or else its own reason."""
    missing = sorted(set(re.findall(r"Didn't find op for builtin opcode '(\w+)'", chatter)))
    if missing:
        return ModelError(
            f"{path}: TensorFlow Lite Micro cannot compute {', '.join(missing)}.",
            "Replace these operators, or leave this runtime out.",
        )
    reason = "; ".join(line.strip().rstrip(".") for line in chatter.splitlines() if line.strip())
    return ModelError(f"{path}: TensorFlow Lite Micro refuses it: {reason or str(error).rstrip('.')}.")


MICRO = TFLM()
