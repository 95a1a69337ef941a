"""The Runtime protocol: what an inference engine's adapter offers, and the words it answers in.

Adapters import this module, `edgecifar.errors`, `edgecifar.chatter`, NumPy, their engine and each other, and
nothing of the stages or artifacts: the same files run as workers on other machines.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

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
    facts: tuple[str, ...] = ()
    """What else the engine told of this model, one clause each: "needs a tensor arena of 56,208 bytes"."""
    emulator: str = ""
    """What emulated the CPU, if anything: results are then that CPU's, times are nobody's."""


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


@runtime_checkable
class ClockedModel(Protocol):
    """A model in another process, which times itself: from here, the way there and back would count."""

    last_call_s: float
    """Seconds that the engine took for the last `predict`."""


class Runtime(Protocol):
    """An inference engine."""

    name: str
    suffixes: tuple[str, ...]
    """File endings that the engine reads: (".tflite",)."""

    def missing(self) -> str | None:
        """Returns why the engine cannot run here and how to get it, or None where it can."""
        ...

    def identity(self) -> Mapping[str, str] | None:
        """Returns what outputs depend on beside file, images, CPU and threads, without starting the engine.

        Returns:
            Versions of packages and settings, by name; None where only a loaded model tells.
        """
        ...

    def load(self, path: Path, threads: int) -> LoadedModel:
        """Returns the model in this engine.

        Raises:
            EngineMissingError: The engine or its device is not here.
            ModelError: The file is missing, damaged, or not a model that the engine reads.
        """
        ...


class LayerKind(StrEnum):
    """What a layer computes, whatever a format calls it."""

    CONV = "conv"
    DEPTHWISE = "depthwise conv"
    DENSE = "dense"
    ADD = "add"
    AVERAGE_POOL = "average pool"
    MAX_POOL = "max pool"
    SOFTMAX = "softmax"
    OTHER = "other"
    """Known by its operator's name alone."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a window moves over the rows and columns of an image, and what bounds the result."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Top, left, bottom, right."""
    dilation: tuple[int, int] = (1, 1)
    low: float = -math.inf
    """Of the activation that is fused into the layer: 0 for ReLU."""
    high: float = math.inf


MODEL_INPUT = -1
"""Stands for the model's input among the layers that a layer reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One operator that computes, with the bias, batch norm and activation that belong to it."""

    name: str
    """Of its output tensor in the file."""
    kind: LayerKind
    operator: str
    """As its format calls it."""
    inputs: tuple[int, ...]
    """Places of the layers that it reads, or MODEL_INPUT."""
    output: TensorInfo
    """Channels last; the shape without the batch; scale and zero point where the file stores integers."""
    geometry: Geometry | None = None
    """None: it is not known how the layer computes."""
    weights: Array | None = None
    """float32, dequantized: (out, height, width, in), depthwise (out, height, width, 1), dense (out, in)."""
    bias: Array | None = None
    """float32 (out,)."""
    weight_scales: Array | None = None
    """float32 (1,) for one scale, (out,) for one each channel; None: the weights are floats."""


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """What a batch gave in every layer, as the file stores it."""

    outputs: tuple[Array, ...]
    """Of each layer, (N, ...), channels last."""
    image: Array
    """float32 (N, ...), channels last: what the first layer reads."""
    final: Array
    """The model's output, (N, classes)."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What a batch gave in one layer and at the end, with that layer's output asked for."""

    output: Array
    """Of the layer, (N, ...), channels last."""
    final: Array
    """The model's output, (N, classes); the plain model's, if asking changed nothing."""


class Probed(Protocol):
    """A model in an engine that computes otherwise once asked for its layers, so one is asked at a time."""

    layers: tuple[Layer, ...]
    """In an order in which each follows those that it reads."""
    input: TensorInfo
    info: EngineInfo

    def plain(self, batch: Array) -> Array:
        """Returns the outputs with no layer asked for.

        Args:
            batch: (N, ...) in the input's dtype and layout; any N.
        """
        ...

    def look(self, place: int, batch: Array) -> Probe:
        """Returns what the layer at one place of `layers` gives, and the outputs beside it.

        Args:
            place: Of the layer.
            batch: As for `plain`.
        """
        ...


class Tapped(Protocol):
    """A model in an engine that also gives what its layers gave."""

    layers: tuple[Layer, ...]
    """In an order in which each follows those that it reads."""
    input: TensorInfo
    info: EngineInfo

    def run(self, batch: Array) -> Taps:
        """Returns the outputs of all layers for a raw input tensor.

        Args:
            batch: (N, ...) in the input's dtype and layout; any N.
        """
        ...
