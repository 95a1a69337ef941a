"""Splits: their names, and the one way in which images are held out."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts.dataset import Dataset
from edgecifar.choices import Split
from edgecifar.errors import DataError


class Half(StrEnum):
    """A source as it was published: two sets, of which the first is yet to be split."""

    TRAIN = "train"
    TEST = "test"


def stratified_split(
    dataset: Dataset, fraction: float, seed: int, held_out_as: Split = Split.VALIDATION
) -> tuple[Dataset, Dataset]:
    """Returns the images that are kept and those held out, each in the order of `dataset`.

    Args:
        dataset: Images of any classes.
        fraction: Share of each class that is held out, 0 to 1, rounded per class to the nearest count.
        seed: Of the draw; the same seed holds out the same images.
        held_out_as: The split that the held-out images become.

    Raises:
        DataError: A class is too small to have an image on either side.
    """
    kept, held_out = stratified_indices(dataset.labels, fraction, seed, dataset.class_names, dataset.source)
    return dataset.select(kept), dataset.select(held_out, split=held_out_as)


def stratified_indices(
    labels: NDArray[np.int64], fraction: float, seed: int, class_names: tuple[str, ...], source: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the rising indices of what is kept and of what is held out.

    Args:
        labels: (N,), in range(len(class_names)). A class that has no image at all is left alone.
        fraction: Share of each class that is held out, 0 to 1, rounded per class to the nearest count.
        seed: Of the draw.
        class_names: For the message of an error.
        source: For the message of an error.

    Raises:
        DataError: A class is too small to have an image on either side.
    """
    generator = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), dtype=np.bool_)
    for label, name in enumerate(class_names):
        members = np.flatnonzero(labels == label)
        count = round(fraction * len(members))
        if len(members) and not 0 < count < len(members):
            images = "1 image" if len(members) == 1 else f"{len(members)} images"
            raise DataError(
                f"{source}: class {name} has {images}: holding out {fraction:.0%} leaves one side empty.",
                "Add images to this class, or change the fraction that is held out.",
            )
        held_out[generator.permutation(members)[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
