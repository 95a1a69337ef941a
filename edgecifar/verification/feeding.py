"""Feeding: how pixels become a model's input tensor, and its output tensor probabilities."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.errors import ModelError, VerificationError
from edgecifar.protocol import Array, LoadedModel, TensorInfo


class Outputs(StrEnum):
    """What a model's output stands for."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"
    """Softmax turns them into probabilities before they are compared."""


@dataclass(frozen=True, slots=True)
class Feeding:
    """What a model takes and gives, as far as its file does not say it."""

    preprocessing: Preprocessing
    raw_pixels: bool = False
    """Whether the input takes the pixels' bytes; else it takes preprocessed values, quantized by the
    input's own scale and zero point where it has them."""
    outputs: Outputs = Outputs.PROBABILITIES
    output_step: float | None = None
    """Real value of one quantization step of the output, where the file gives it dequantized."""

    def encode(self, images: NDArray[np.uint8], info: TensorInfo) -> Array:
        """Returns the raw input tensor for a batch of images.

        Args:
            images: uint8 (N, height, width, 3).
            info: The model's input; `check` has accepted it.

        Returns:
            (N, height, width, 3) in the input's dtype.
        """
        return images if self.raw_pixels else info.quantize(self.preprocessing.apply(images))

    def decode(self, raw: Array, info: TensorInfo) -> NDArray[np.float32]:
        """Returns probabilities for a raw output tensor: dequantized, and through softmax if it holds logits.

        Args:
            raw: (N, classes) in the output's dtype.
            info: The model's output.

        Returns:
            float32 (N, classes).
        """
        real: NDArray[np.float32] = info.dequantize(raw)
        return softmax(real) if self.outputs is Outputs.LOGITS else real

    def check(self, subject: str, model: LoadedModel, data: Dataset) -> None:
        """Returns if the model can take these images and names their classes.

        Args:
            subject: How messages call the model.
            model: The model in its engine.
            data: The images to come.

        Raises:
            ModelError: The input is not of a kind that images can be fed to.
            VerificationError: The images' size or the number of classes is not the model's.
        """
        height, width = self.preprocessing.height, self.preprocessing.width
        if data.images.shape[1:3] != (height, width):
            found = f"{data.images.shape[1]}×{data.images.shape[2]}"
            raise VerificationError(
                f"{subject} takes images of {height}×{width} pixels, but those of {data.source} are {found}."
            )
        _check_shape(subject, model.input, (height, width, 3))
        self._check_dtype(subject, model.input)
        check_classes(subject, model.output.shape[-1] if model.output.shape else None, len(data.class_names))

    def _check_dtype(self, subject: str, info: TensorInfo) -> None:
        dtype = np.dtype(info.dtype)
        if self.raw_pixels:
            if dtype != np.uint8:
                raise ModelError(
                    f"{subject} is said to take raw pixels, but its input is {info.dtype}, not uint8."
                )
        elif np.issubdtype(dtype, np.integer):
            if info.scale is None or info.zero_point is None:
                raise ModelError(
                    f"{subject} takes {info.dtype}, but has no scale and zero point to quantize values by.",
                    "Say that it takes raw pixels, if it does." if dtype == np.uint8 else "",
                )
        elif not np.issubdtype(dtype, np.floating):
            raise ModelError(f"{subject} takes {info.dtype}, which images cannot be fed as.")


def check_classes(subject: str, found: int | None, expected: int) -> None:
    """Returns if a model's number of classes is the data's; None, a dynamic dimension, may still be.

    Raises:
        VerificationError: It is not.
    """
    if found is not None and found != expected:
        raise VerificationError(f"{subject} gives {found} classes, but the data has {expected}.")


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns exp(x - max) / sum(exp(x - max)) over the last axis, in float32."""
    powers: NDArray[np.float32] = np.exp(logits - logits.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def are_probabilities(values: NDArray[np.float32], info: TensorInfo) -> bool:
    """Returns whether every row sums to one, within what the output's own rounding explains.

    Args:
        values: Dequantized outputs, (N, classes).
        info: The output; one step of rounding a class is allowed, of 1/256 where the file does not say: an
            int8 model with float boundaries rounds its softmax too.
    """
    step = info.scale or 1 / 256
    tolerance = 0.01 + values.shape[1] * step
    sums = values.sum(axis=1)
    return bool(values.min() >= -step - 0.01 and np.abs(sums - 1).max() <= tolerance)


def _check_shape(subject: str, info: TensorInfo, expected: tuple[int, int, int]) -> None:
    height, width, channels = expected
    if len(info.shape) != 4:
        raise ModelError(
            f"{subject} takes an input of shape {_shape(info.shape)}, which is not a batch of images."
        )
    if info.shape[1] == channels and info.shape[3] not in (channels, None):
        raise ModelError(
            f"{subject} takes channels first, {_shape(info.shape)}, not (N, {height}, {width}, 3).",
            "Export it with its channels last.",
        )
    if any(found not in (wanted, None) for found, wanted in zip(info.shape[1:], expected, strict=True)):
        raise ModelError(
            f"{subject} takes an input of shape {_shape(info.shape)}, "
            f"but its preprocessing makes images of (N, {height}, {width}, 3)."
        )


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("N" if size is None else str(size) for size in shape) + ")"
