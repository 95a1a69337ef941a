"""Resampling is held to TensorFlow's own operator."""

import numpy as np
import pytest
import tensorflow as tf

from edgecifar.data.resampling import resample
from edgecifar.recipe import Fill


def oracle(images: np.ndarray, transforms: np.ndarray, fill: Fill) -> np.ndarray:
    padded = np.concatenate([transforms, np.zeros((len(transforms), 2), np.float32)], axis=1)
    result = tf.raw_ops.ImageProjectiveTransformV3(
        images=images.astype(np.float32),
        transforms=padded,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill.name,
    )
    return result.numpy()


def random_transforms(count: int, size: float) -> np.ndarray:
    generator = np.random.default_rng(0)
    linear = np.eye(2) + generator.uniform(-0.6, 0.6, (count, 2, 2))
    offsets = generator.uniform(-size, size, (count, 2, 1))
    return np.concatenate([linear, offsets], axis=2).reshape(count, 6).astype(np.float32)


LIKE_TENSORFLOW = [Fill.NEAREST, Fill.REFLECT, Fill.CONSTANT]
"""TensorFlow wraps as SciPy once did, with a period of one pixel less than the size."""


@pytest.mark.parametrize("fill", LIKE_TENSORFLOW)
@pytest.mark.parametrize("shape", [(12, 9), (32, 32)])
def test_it_computes_what_tensorflows_operator_computes(fill: Fill, shape: tuple[int, int]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (24, *shape, 3), dtype=np.uint8)
    transforms = random_transforms(24, max(shape))
    actual = resample(images, transforms, fill).numpy()
    np.testing.assert_allclose(actual, oracle(images, transforms, fill), atol=0.05)


@pytest.mark.parametrize("fill", LIKE_TENSORFLOW)
def test_moves_by_whole_pixels_are_exact(fill: Fill) -> None:
    images = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    mirrored = np.array([[-1, 0, 7 - 2, 0, 1, 3]] * 3, np.float32)
    expected = oracle(images, mirrored, fill)
    np.testing.assert_array_equal(resample(images, mirrored, fill).numpy(), expected)
    np.testing.assert_array_equal(expected, np.rint(expected))


def test_the_identity_changes_nothing() -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    identity = np.array([[1, 0, 0, 0, 1, 0]] * 2, np.float32)
    np.testing.assert_array_equal(resample(images, identity, Fill.REFLECT).numpy(), images)


def test_wrapping_is_rolling() -> None:
    images = np.random.default_rng(4).integers(0, 256, (1, 6, 5, 3), dtype=np.uint8)
    whole = resample(images, np.array([[1, 0, 7, 0, 1, -2]], np.float32), Fill.WRAP).numpy()
    np.testing.assert_array_equal(whole, np.roll(images, (2, -7), axis=(1, 2)))
    half = resample(images, np.array([[1, 0, 0.5, 0, 1, 0]], np.float32), Fill.WRAP).numpy()
    np.testing.assert_array_equal(half, (images + np.roll(images.astype(np.float32), -1, axis=2)) / 2)
