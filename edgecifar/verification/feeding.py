"""Feeding: how pixels become a model's input tensor, and its output tensor probabilities."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.choices import Layout
from edgecifar.errors import ModelError, VerificationError
from edgecifar.protocol import Array, TensorInfo
from edgecifar.verification.inputs import InputSpec, find_layout, image_size, shape_text

FEW_VALUES = 64
"""Of the 256 that a pixel has: no classifier was meant to see fewer."""


class Outputs(StrEnum):
    """What a model's output stands for."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"
    """Softmax turns them into probabilities before they are compared."""
    DETECTED = "detected"
    """Probabilities where every row sums to one (`are_probabilities`), else logits."""


class Described(Protocol):
    """A model, loaded or known from before."""

    @property
    def input(self) -> TensorInfo:
        """What it takes."""
        ...

    @property
    def output(self) -> TensorInfo:
        """What it gives."""
        ...


@dataclass(frozen=True, slots=True)
class Feeding:
    """What a model takes and gives, as far as its file does not say it."""

    preprocessing: Preprocessing | InputSpec
    """As a bundle or run has it, or as a person says it."""
    raw_pixels: bool = False
    """Whether the input takes the pixels' bytes; else it takes preprocessed values, quantized by the
    input's own scale and zero point where it has them."""
    outputs: Outputs = Outputs.PROBABILITIES
    output_step: float | None = None
    """Real value of one quantization step of the output, where the file gives it dequantized."""
    origin: str = ""
    """For the report's notes, what is fed so, and who says it: "m.tflite (options)"; empty: no note."""

    def encode(self, images: NDArray[np.uint8], info: TensorInfo) -> Array:
        """Returns the raw input tensor for a batch of images.

        Args:
            images: uint8 (N, height, width, 3), RGB.
            info: The model's input; `check` has accepted it.

        Returns:
            (N, height, width, 3), or (N, 3, height, width) where the model takes channels first, in the
            input's dtype.
        """
        if isinstance(self.preprocessing, InputSpec):
            images = self.preprocessing.reorder(images)
            if self.layout("The model", info) is Layout.NCHW:
                return np.moveaxis(self._values(images, info), 3, 1)
        return self._values(images, info)

    def _values(self, images: NDArray[np.uint8], info: TensorInfo) -> Array:
        return images if self._takes_bytes(info) else info.quantize(self.preprocessing.apply(images))

    def layout(self, subject: str, info: TensorInfo) -> Layout:
        """Returns the order of the input's dimensions: a bundle's and a run's is channels last.

        Raises:
            ModelError: The shape does not tell and nobody said it.
        """
        if isinstance(self.preprocessing, InputSpec):
            return find_layout(subject, info.shape, self.preprocessing.layout)
        return Layout.NHWC

    def describe(self, info: TensorInfo) -> str:
        """Returns what becomes of a pixel on its way into the model, for people.

        Args:
            info: The model's input; `check` has accepted it.
        """
        if isinstance(self.preprocessing, Preprocessing):
            text = f"(pixel - {self.preprocessing.mean:g}) / {self.preprocessing.std:g}, RGB"
        elif self._takes_bytes(info):
            text = replace(self.preprocessing, scale=1.0, mean=(0.0,), std=(1.0,)).describe()
        else:
            text = self.preprocessing.describe()
        text += f", {self.layout('The model', info).upper()}"
        if self._takes_bytes(info):
            return f"{text}, as uint8 bytes"
        if info.scale is not None and info.zero_point is not None:
            return f"{text}, as {info.dtype} with scale {info.scale:.7g} and zero point {info.zero_point}"
        return f"{text}, as {info.dtype}"

    def misfit(self, info: TensorInfo) -> str | None:
        """Returns a warning where a quantized input cannot hold what pixels become, or tell it apart."""
        if self._takes_bytes(info) or info.scale is None or info.zero_point is None:
            return None
        ends = np.array([0, 255], np.uint8).repeat(3).reshape(2, 1, 1, 3)
        values = self.preprocessing.apply(ends)
        limits = np.iinfo(np.dtype(info.dtype))
        low, high = info.dequantize(np.array([limits.min, limits.max]))
        if values.min() >= low - info.scale and values.max() <= high + info.scale:
            left = round(float(np.ptp(values)) / info.scale) + 1
            if left >= FEW_VALUES:
                return None
            return (
                f"its {info.dtype} input counts in steps of {info.scale:.4g}, but the pixels become "
                f"{values.min():.4g} to {values.max():.4g}, of which {left} values are left: is the "
                "preprocessing right? The reference may see others than the candidates: --against-scale."
            )
        return (
            f"its {info.dtype} input holds {low:.4g} to {high:.4g}, but the pixels become "
            f"{values.min():.4g} to {values.max():.4g} and are clipped: is the preprocessing right?"
        )

    def _takes_bytes(self, info: TensorInfo) -> bool:
        # Without a scale, no real values can be meant: the options on them are for the other files.
        of_a_person = isinstance(self.preprocessing, InputSpec)
        return self.raw_pixels or (of_a_person and info.dtype == "uint8" and info.scale is None)

    def decode(self, raw: Array, info: TensorInfo) -> NDArray[np.float32]:
        """Returns probabilities for a raw output tensor: dequantized, and through softmax if it holds logits.

        Args:
            raw: (N, classes) in the output's dtype.
            info: The model's output.

        Returns:
            float32 (N, classes).
        """
        real: NDArray[np.float32] = info.dequantize(raw)
        return softmax(real) if self.are_logits(real, info) else real

    def are_logits(self, real: NDArray[np.float32], info: TensorInfo) -> bool:
        """Returns whether outputs need softmax.

        Args:
            real: All of a model's dequantized outputs, (N, classes).
            info: The model's output.
        """
        if self.outputs is Outputs.DETECTED:
            return not are_probabilities(real, info)
        return self.outputs is Outputs.LOGITS

    def check(self, subject: str, model: Described, data: Dataset) -> None:
        """Returns if the model can take these images and names their classes.

        Args:
            subject: How messages call the model.
            model: Tells its input and output.
            data: The images to come.

        Raises:
            ModelError: The input is not of a kind that images can be fed to.
            VerificationError: The images' size or the number of classes is not the model's.
        """
        self.check_images(subject, model.input, data.images, f"those of {data.source}")
        check_classes(subject, model.output.shape[-1] if model.output.shape else None, len(data.class_names))

    def check_images(self, subject: str, info: TensorInfo, images: NDArray[np.uint8], whose: str) -> None:
        """Returns if a model's input can take these images.

        Args:
            subject: How messages call the model.
            info: The model's input.
            images: uint8 (N, height, width, 3).
            whose: How messages call the images.

        Raises:
            ModelError: The input is not of a kind that images can be fed to.
            VerificationError: The images are of another size.
        """
        height, width = images.shape[1:3]
        if isinstance(self.preprocessing, InputSpec):
            _check_size(subject, info, self.preprocessing, (height, width), whose)
        else:
            expected = self.preprocessing.height, self.preprocessing.width
            if (height, width) != expected:
                raise VerificationError(
                    f"{subject} takes images of {expected[0]}×{expected[1]} pixels, "
                    f"but {whose} are {height}×{width}."
                )
            _check_shape(subject, info, (*expected, 3))
        self._check_dtype(subject, info)

    def _check_dtype(self, subject: str, info: TensorInfo) -> None:
        dtype = np.dtype(info.dtype)
        if self._takes_bytes(info):
            if dtype != np.uint8:
                raise ModelError(
                    f"{subject} is said to take raw pixels, but its input is {info.dtype}, not uint8."
                )
        elif np.issubdtype(dtype, np.integer):
            if info.scale is None or info.zero_point is None:
                raise ModelError(
                    f"{subject} takes {info.dtype}, but has no scale and zero point to quantize values by.",
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
            f"{subject} takes an input of shape {shape_text(info.shape)}, which is not a batch of images."
        )
    if info.shape[1] == channels and info.shape[3] not in (channels, None):
        raise ModelError(
            f"{subject} takes channels first, {shape_text(info.shape)}, not (N, {height}, {width}, 3).",
            "Export it with its channels last.",
        )
    if any(found not in (wanted, None) for found, wanted in zip(info.shape[1:], expected, strict=True)):
        raise ModelError(
            f"{subject} takes an input of shape {shape_text(info.shape)}, "
            f"but its preprocessing makes images of (N, {height}, {width}, 3)."
        )


def _check_size(subject: str, info: TensorInfo, spec: InputSpec, found: tuple[int, int], whose: str) -> None:
    """Returns if the images, resized where that was asked for, have the size that the model takes."""
    expected = image_size(info, find_layout(subject, info.shape, spec.layout))
    fed = (spec.resize, spec.resize) if spec.resize else found
    if all(size in {given, None} for size, given in zip(expected, fed, strict=True)):
        return
    takes = "×".join("any" if size is None else str(size) for size in expected)
    if spec.resize:
        raise VerificationError(
            f"{subject} takes images of {takes} pixels; --resize makes them {spec.resize}×{spec.resize}."
        )
    raise VerificationError(
        f"{subject} takes images of {takes} pixels, but {whose} are {found[0]}×{found[1]}.",
        f"--resize {expected[0]} stretches them." if expected[0] == expected[1] else "",
    )
