"""The Runtime protocol: what an inference engine's adapter offers, and the words it answers in.

Adapters import this module, `edgecifar.errors`, NumPy and their engine, nothing else: the same files
run as workers on other machines.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A model's input or output as its file declares it.

    `real = (quantized - zero_point) * scale` where a scale is given.
    """

    name: str
    shape: tuple[int | None, ...]
    """None where a dimension is dynamic."""
    dtype: str
    """NumPy's name: float32, float16, int8, uint8, int16."""
    scale: float | None = None
    zero_point: int | None = None

    def quantize(self, real: Array) -> Array:
        """Returns `real` in this tensor's dtype: rounded to nearest even and saturated if quantized.

        Args:
            real: float32 values, any shape.
        """
        dtype = np.dtype(self.dtype)
        if self.scale is None or self.zero_point is None:
            return real.astype(dtype)
        limits = np.iinfo(dtype)
        steps: Array = np.rint(real / np.float32(self.scale)) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(dtype)

    def dequantize(self, raw: Array) -> Array:
        """Returns `raw`, in this tensor's dtype, as float32 real values."""
        if self.scale is None or self.zero_point is None:
            return raw.astype(np.float32)
        return (raw.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)

    def empty(self) -> Array:
        """Returns this tensor for a batch of no images."""
        return np.empty((0, *(size or 0 for size in self.shape[1:])), self.dtype)

    def mismatch(self, batch: Array) -> str | None:
        """Returns why `batch` does not fit this tensor, as the end of a sentence, or None if it does.

        Args:
            batch: (N, ...), any N.
        """
        expected, found = self.shape[1:], batch.shape[1:]
        if len(expected) != len(found) or any(
            e not in {None, f} for e, f in zip(expected, found, strict=True)
        ):
            return (
                f"takes {self.name} of shape {_shape_text(expected)}, but it was given {_shape_text(found)}."
            )
        if batch.dtype != self.dtype:
            return f"takes {self.name} as {self.dtype}, but it was given {batch.dtype}."
        return None


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "×".join("any" if size is None else str(size) for size in shape) or "one number"


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What really ran, not what was asked for."""

    runtime: str
    """The adapter's name, "litert-reference"."""
    engine: str
    """The engine's own name, "LiteRT"."""
    version: str
    device: str
    """The processor and kernels: "CPU, XNNPACK", "CPUExecutionProvider", "CUDAExecutionProvider"."""
    threads: int


class LoadedModel(Protocol):
    """A model in an engine, ready to run."""

    input: TensorInfo
    output: TensorInfo
    info: EngineInfo

    def predict(self, batch: Array) -> Array:
        """Returns the raw output tensor for a raw input tensor.

        Args:
            batch: (N, ...) in the input's dtype and layout; any N, whatever the file's own batch size.

        Returns:
            (N, classes) in the output's dtype.
        """
        ...


class Runtime(Protocol):
    """An inference engine."""

    name: str
    suffixes: tuple[str, ...]
    """File endings that the engine reads: (".tflite",)."""

    def missing(self) -> str | None:
        """Returns why the engine cannot run here and how to get it, or None where it can."""
        ...

    def load(self, path: Path, threads: int) -> LoadedModel:
        """Returns the model in this engine.

        Raises:
            EngineMissingError: The engine or its device is not here.
            ModelError: The file is missing, damaged, or not a model that the engine reads.
        """
        ...
