"""The sample: 3,000 real CIFAR-10 images in the package, so that demo and tests need no network.

The first images of each class in the order of the official files, 200 of the training set and 100 of the test
set, one lossless WebP sheet per class and set. `scripts/make_sample.py` writes them. Of the forms tried on
2,000 of them, lossless WebP was the smallest: 1,652 bytes an image in one column, against 1,702 as JPEG 2000,
2,163 as PNG and 2,327 as planes in xz.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgecifar.artifacts.dataset import Dataset
from edgecifar.data.cifar10 import CLASS_NAMES, IMAGE_SIZE
from edgecifar.data.splitting import Half
from edgecifar.errors import DataError

SAMPLE_FOLDER = Path(__file__).parent / "sample"
PER_CLASS: Mapping[Half, int] = {Half.TRAIN: 200, Half.TEST: 100}


def sheet_path(folder: Path, half: Half, class_name: str) -> Path:
    """Returns the path of one class's sheet."""
    return folder / f"{half}-{class_name}.webp"


def choose_sample(labels: NDArray[np.int64], half: Half) -> NDArray[np.int64]:
    """Returns the indices of the sample's images: the first of each class, then the second of each ...

    Args:
        labels: (N,), of the whole official set.
        half: Which set it is; the number of images per class follows from it.
    """
    by_class = [np.flatnonzero(labels == label)[: PER_CLASS[half]] for label in range(len(CLASS_NAMES))]
    return np.stack(by_class, axis=1).reshape(-1)


def read_sample(half: Half) -> Dataset:
    """Returns the sample's 2,000 training or 1,000 test images, the classes in turn.

    Raises:
        DataError: A file of the package is missing or damaged.
    """
    count, classes = PER_CLASS[half], len(CLASS_NAMES)
    images = np.empty((count, classes, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    for label, name in enumerate(CLASS_NAMES):
        images[:, label] = _read_sheet(sheet_path(SAMPLE_FOLDER, half, name), count)
    return Dataset(
        images=images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3),
        labels=np.tile(np.arange(classes, dtype=np.int64), count),
        class_names=CLASS_NAMES,
        source="sample",
        split=half,
    )


def _read_sheet(path: Path, count: int) -> NDArray[np.uint8]:
    """Returns uint8 (count, 32, 32, 3) from a sheet of one column."""
    try:
        with Image.open(path) as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
        return pixels.reshape(count, IMAGE_SIZE, IMAGE_SIZE, 3)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: missing or damaged ({error}).", "Install edgecifar again.") from error
