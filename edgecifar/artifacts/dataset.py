"""Dataset and Preprocessing: images as bytes, and what a model sees of them."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgecifar.artifacts.record import Record
from edgecifar.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images and labels of one split.

    Raises:
        DataError: The arrays do not belong together, or a label is out of range.
    """

    images: NDArray[np.uint8]
    """(N, height, width, 3), RGB."""
    labels: NDArray[np.int64]
    """(N,), in range(len(class_names))."""
    class_names: tuple[str, ...]
    source: str
    """"cifar10", "sample", or the folder's path."""
    split: str
    """"train", "validation" or "test"."""
    places: NDArray[np.int64] | None = None
    """(N,): where the images lie in their split; None: this is all of it, in order."""

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            found = f"{self.images.dtype} of shape {self.images.shape}"
            raise DataError(
                f"{self.source}: images must be uint8 of shape (N, height, width, 3), not {found}."
            )
        if self.labels.shape != (len(self.images),):
            raise DataError(f"{self.source}: {len(self.images)} images but {len(self.labels)} labels.")
        if not len(self.images):
            raise DataError(f"{self.source}: there are no images in the {self.split} split.")
        if self.labels.min() < 0 or self.labels.max() >= len(self.class_names):
            wrong = int(self.labels[(self.labels < 0) | (self.labels >= len(self.class_names))][0])
            raise DataError(f"{self.source}: label {wrong} is outside 0 to {len(self.class_names) - 1}.")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape, images, labels and class names, in hexadecimal."""
        digest = hashlib.sha256(repr((self.images.shape, self.class_names)).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()

    @property
    def split_places(self) -> NDArray[np.int64]:
        """Where the images lie in their split, (N,)."""
        return np.arange(len(self)) if self.places is None else self.places

    def select(self, indices: NDArray[np.int64] | slice, split: str | None = None) -> "Dataset":
        """Returns the images at `indices`, as another split, all of it, if one is named."""
        return replace(
            self,
            images=self.images[indices],
            labels=self.labels[indices],
            split=split or self.split,
            places=None if split else self.split_places[indices],
        )


class Preprocessing(Record):
    """(pixel - mean) / std, in float32, on RGB pixels of 0-255 in NHWC order."""

    mean: float = Field(ge=0, le=255)
    std: float = Field(gt=0, le=255)
    height: int = Field(ge=1)
    width: int = Field(ge=1)

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns what the model sees.

        Args:
            images: uint8 (N, height, width, 3).
        """
        return (images.astype(np.float32) - np.float32(self.mean)) / np.float32(self.std)
