"""Inputs: what a model sees of an image, as a person says it of a file that says nothing itself."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgecifar.choices import Channels, Layout
from edgecifar.errors import ModelError, VerificationError
from edgecifar.protocol import TensorInfo

COLOURS = 3
RESIZE_FILTER = "bilinear, antialiased where it shrinks"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """(pixel × scale - mean) / std, in float32, on pixels of 0-255.

    Raises:
        VerificationError: A number is of no use, or there are neither one nor three of them.
    """

    scale: float = 1.0
    """What pixels of 0-255 are multiplied by; 1 leaves them as they are."""
    mean: tuple[float, ...] = (0.0,)
    """One, or one for each channel in the order of `channels`; of pixels that have been scaled."""
    std: tuple[float, ...] = (1.0,)
    """As `mean`."""
    channels: Channels = Channels.RGB
    layout: Layout | None = None
    """None: as the shape of the model's input tells, if it does."""
    resize: int | None = None
    """Height and width in pixels that images are stretched to first; None: they must be the model's."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise VerificationError(f"A scale of {self.scale} makes no image: it is above 0.")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in {1, COLOURS} or not all(map(math.isfinite, values)):
                raise VerificationError(f"The {name} is one number, or three, not {_numbers(values)}.")
        if min(self.std) <= 0:
            raise VerificationError(f"A std of {_numbers(self.std)} makes no image: it is above 0.")
        white = 255 * self.scale
        for name, values in (("mean", self.mean), ("std", self.std)):
            # A scale may have been typed with few digits.
            if max(map(abs, values)) > 1.01 * white:
                raise VerificationError(
                    f"A {name} of {_numbers(values)} is none of pixels of 0 to {white:.4g}.",
                    f"The {name} is of pixels that have been multiplied by the scale, {self.scale:.7g}.",
                )

    @property
    def is_raw(self) -> bool:
        """Whether the model sees the pixels' values as they are."""
        return self.scale == 1 and set(self.mean) == {0.0} and set(self.std) == {1.0}

    def is_like(self, other: "InputSpec") -> bool:
        """Returns whether both make the same values of a pixel, within a thousandth of white's."""
        ends = np.array([0, 255], np.uint8).repeat(COLOURS).reshape(2, 1, 1, COLOURS)
        ours, theirs = self.apply(ends), other.apply(ends)
        return self.channels is other.channels and np.allclose(ours, theirs, rtol=0, atol=1e-3 * np.ptp(ours))

    def reorder(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns the images in the size and the order of colours that the model takes.

        Args:
            images: uint8 (N, height, width, 3), RGB.

        Returns:
            uint8 (N, height', width', 3).
        """
        if self.resize is not None and images.shape[1:3] != (self.resize, self.resize):
            images = np.stack([_resized(image, self.resize) for image in images])
        return images if self.channels is Channels.RGB else images[..., ::-1]

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the values of images that `reorder` has made.

        Args:
            images: uint8 (N, height, width, 3).
        """
        scaled = images.astype(np.float32) * np.float32(self.scale)
        shifted = scaled - np.array(self.mean, np.float32)
        values: NDArray[np.float32] = np.divide(shifted, np.array(self.std, np.float32), dtype=np.float32)
        return values

    def describe(self) -> str:
        """Returns "(pixel × 0.0039216 - 0.5) / 0.25, RGB", as far as it does anything."""
        text = "pixel" if self.scale == 1 else f"pixel × {self.scale:.7g}"
        if set(self.mean) != {0.0}:
            text = f"({text} - {_numbers(self.mean)})"
        if set(self.std) != {1.0}:
            text = f"{text} / {_numbers(self.std)}"
        resized = f", resized to {self.resize}×{self.resize} ({RESIZE_FILTER})" if self.resize else ""
        return f"{text}, {self.channels.upper()}{resized}"


def find_layout(subject: str, shape: tuple[int | None, ...], said: Layout | None) -> Layout:
    """Returns the order of an image input's dimensions: what is said, else where the three colours stand.

    Args:
        subject: How messages call the model.
        shape: Of the input, as the file declares it.
        said: By a person; None where nobody does.

    Raises:
        ModelError: It is no batch of colour images, or its shape leaves the order open.
    """
    if len(shape) != 4:
        raise ModelError(
            f"{subject} takes an input of shape {shape_text(shape)}, which is not a batch of images."
        )
    places = {Layout.NCHW: shape[1], Layout.NHWC: shape[3]}
    if said is not None:
        if places[said] not in {COLOURS, None}:
            raise ModelError(
                f"{subject} takes {shape_text(shape)}, which has no three colours where {said} has them."
            )
        return said
    found = [layout for layout, size in places.items() if size == COLOURS]
    if len(found) == 1:
        return found[0]
    if not found and None not in places.values():
        raise ModelError(f"{subject} takes {shape_text(shape)}: an image here has three colours.")
    raise ModelError(
        f"{subject} takes {shape_text(shape)}, which does not tell where the colours stand.",
        "Say it with --layout nhwc or --layout nchw.",
    )


def image_size(info: TensorInfo, layout: Layout) -> tuple[int | None, int | None]:
    """Returns height and width of an image input; None where the file leaves them open."""
    return (info.shape[1], info.shape[2]) if layout is Layout.NHWC else (info.shape[2], info.shape[3])


def shape_text(shape: tuple[int | None, ...]) -> str:
    """Returns "(N, 32, 32, 3)", N for every size that is open."""
    return "(" + ", ".join("N" if size is None else str(size) for size in shape) + ")"


def _numbers(values: tuple[float, ...]) -> str:
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
