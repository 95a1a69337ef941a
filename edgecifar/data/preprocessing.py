"""Preprocessing constants: given by the recipe, or measured on the training images."""

import math

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts.dataset import Dataset, Preprocessing
from edgecifar.errors import DataError
from edgecifar.recipe import PreprocessingSpec

IMAGES_PER_COUNT = 1_000
"""np.bincount widens bytes to int64: counting in parts keeps that at 25 MB for CIFAR-10."""


def fit_preprocessing(spec: PreprocessingSpec, train: Dataset) -> Preprocessing:
    """Returns the preprocessing that `spec` asks for.

    Args:
        spec: Numbers, or "train" for one scalar over all pixels and channels of `train`.
        train: The images that are learned from, validation images left out.

    Raises:
        DataError: The standard deviation is asked for, and all training pixels are equal.
    """
    mean, std = pixel_statistics(train.images) if "train" in (spec.mean, spec.std) else (0.0, 0.0)
    if spec.std == "train" and std == 0:
        raise DataError(f"{train.source}: all pixels of the training images have the same value, {mean:g}.")
    _, height, width, _ = train.images.shape
    return Preprocessing(
        mean=mean if spec.mean == "train" else spec.mean,
        std=std if spec.std == "train" else spec.std,
        height=height,
        width=width,
    )


def pixel_statistics(images: NDArray[np.uint8]) -> tuple[float, float]:
    """Returns the mean and the (population) standard deviation over all pixels and channels, 0 to 255.

    Both come from a histogram in exact integers, so they do not depend on the order of the images or on how a
    machine sums; they are Python floats, because a NumPy float64 would widen what it is multiplied with.

    Args:
        images: uint8 (N, height, width, 3).
    """
    histogram = np.zeros(256, dtype=np.int64)
    for start in range(0, len(images), IMAGES_PER_COUNT):
        histogram += np.bincount(images[start : start + IMAGES_PER_COUNT].reshape(-1), minlength=256)
    counts = [int(count) for count in histogram]
    pixels = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value * value * count for value, count in enumerate(counts))
    # n * sum(x^2) - sum(x)^2 is n^2 times the variance, and a whole number.
    return total / pixels, math.sqrt((pixels * squares - total * total) / (pixels * pixels))
