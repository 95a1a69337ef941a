"""Augmentation: random changes of whole batches, as TensorFlow operations on the CPU or a GPU.

Every random number is a pure function of the seeds handed in, so that a training that continues sees what it
would have seen.
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgecifar.artifacts import Preprocessing
from edgecifar.data.resampling import resample
from edgecifar.recipe import AugmentationSpec, Flip

stateless_split = tf.random.experimental.stateless_split

Batch = tuple[tf.Tensor, tf.Tensor]
"""Images, float32 (N, height, width, 3), and class probabilities, float32 (N, classes)."""

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], Batch]
"""(images uint8 (N, height, width, 3), labels float32 (N, classes), indices int64 (N,) in the data set,
epoch int64 (), seed int32 (2,)) -> a preprocessed Batch."""


def make_augment(spec: AugmentationSpec, preprocessing: Preprocessing) -> Augment:
    """Returns the function that augments and preprocesses one batch.

    Geometry comes first, as one affine transform of the pixels; then colour, normalization, cutout and mixup.
    """

    def augment(
        images: tf.Tensor, labels: tf.Tensor, indices: tf.Tensor, epoch: tf.Tensor, seed: tf.Tensor
    ) -> Batch:
        for_geometry, for_colour, for_cutout, for_mixup = tf.unstack(stateless_split(seed, 4))
        if spec.flip is not Flip.NONE or any((spec.rotation, spec.shift, spec.shear, spec.zoom, spec.crop)):
            images = move(images, spec, indices, epoch, for_geometry)
        pixels = tf.cast(images, tf.float32)
        if spec.colour:
            pixels = recolour(pixels, spec.colour, for_colour)
        values = (pixels - preprocessing.mean) / preprocessing.std
        if spec.cutout:
            values = cut_out(values, spec.cutout, for_cutout)
        if spec.mixup:
            values, labels = mix_up(values, labels, spec.mixup, for_mixup)
        return values, labels

    return augment


def preview(
    image: NDArray[np.uint8], spec: AugmentationSpec, preprocessing: Preprocessing, count: int, seed: int
) -> NDArray[np.uint8]:
    """Returns one image in `count` random changes, as pixels, for people to look at.

    Args:
        image: uint8 (height, width, 3).
        spec: What to do.
        preprocessing: Undone again.
        count: How many.
        seed: Of the changes.

    Returns:
        uint8 (count, height, width, 3).
    """
    augment = make_augment(spec, preprocessing)
    label, index = tf.ones([1, 1]), tf.constant([0], tf.int64)
    drawn = [
        augment(
            tf.constant(image[np.newaxis]),
            label,
            index,
            tf.constant(epoch, tf.int64),
            tf.constant([seed, epoch], tf.int32),
        )
        for epoch in range(count)
    ]
    pixels = np.concatenate([values.numpy() for values, _ in drawn]) * preprocessing.std + preprocessing.mean
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def move(
    images: tf.Tensor, spec: AugmentationSpec, indices: tf.Tensor, epoch: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Returns the images flipped, cropped, shifted, rotated, sheared and zoomed in one resampling.

    Flips and crops move by whole pixels; the others interpolate.

    Args:
        images: uint8 (N, height, width, 3).
        spec: What to do, how far, and the fill.
        indices: int64 (N,), the images' places in the data set, for alternating flips.
        epoch: int64 ().
        seed: int32 (2,).

    Returns:
        float32, shape of `images`.
    """
    count = tf.shape(images)[0]
    height, width = int(images.shape[1]), int(images.shape[2])
    seeds = iter(tf.unstack(stateless_split(seed, 8)))

    def uniform(limit: float) -> tf.Tensor:
        return tf.random.stateless_uniform([count], next(seeds), -limit, limit)

    # Angles in Keras's ImageDataGenerator are degrees; x runs right, y runs down, the origin is the centre.
    angle, shear = uniform(math.radians(spec.rotation)), uniform(math.radians(spec.shear))
    zoom_x, zoom_y = 1 + uniform(spec.zoom), 1 + uniform(spec.zoom)
    step_x, step_y = uniform(spec.shift * width), uniform(spec.shift * height)
    if spec.crop:
        # The window's corner is one of 2 x crop + 1 whole pixels in each direction.
        corner = (
            tf.random.stateless_uniform([2, count], next(seeds), 0, 2 * spec.crop + 1, tf.int32) - spec.crop
        )
        step_x, step_y = step_x + tf.cast(corner[0], tf.float32), step_y + tf.cast(corner[1], tf.float32)
    mirror = _mirror(spec.flip, indices, epoch, next(seeds))

    # Rows of (output -> input): rotation x shear x zoom, mirrored, about the centre (cx, cy).
    cx, cy = (width - 1) / 2, (height - 1) / 2
    a, b = mirror * tf.cos(angle) * zoom_x, mirror * -tf.sin(angle + shear) * zoom_y
    d, e = tf.sin(angle) * zoom_x, tf.cos(angle + shear) * zoom_y
    # The shift is turned with the image, as Keras's generator does.
    c = cx - a * cx - b * cy + mirror * (tf.cos(angle) * step_x - tf.sin(angle) * step_y)
    f = cy - d * cx - e * cy + tf.sin(angle) * step_x + tf.cos(angle) * step_y
    return resample(images, tf.stack([a, b, c, d, e, f], axis=1), spec.fill)


def _mirror(flip: Flip, indices: tf.Tensor, epoch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns -1 for images to be mirrored and 1 for the others, float32 (N,)."""
    if flip is Flip.NONE:
        return tf.ones(tf.shape(indices), tf.float32)
    if flip is Flip.RANDOM:
        bits = tf.random.stateless_uniform(tf.shape(indices), seed, 0, 2, tf.int32)
    else:
        bits = (_bit(tf.cast(indices, tf.int64)) + tf.cast(epoch, tf.int32)) % 2
    return tf.cast(1 - 2 * bits, tf.float32)


def _bit(index: tf.Tensor) -> tf.Tensor:
    """Returns a fixed, spread bit, int32, for each index: a multiplicative hash with xxHash's constants."""
    mixed = index * 2654435761
    mixed = (
        tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, tf.constant(15, tf.int64))) * 2246822519
    )
    return tf.cast(
        tf.bitwise.bitwise_and(tf.bitwise.right_shift(mixed, tf.constant(19, tf.int64)), 1), tf.int32
    )


def recolour(pixels: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 pixels with brightness, contrast and saturation scaled, clipped to 0-255.

    Args:
        pixels: float32 (N, height, width, 3), 0-255.
        strength: Each factor is uniform in [1 - strength, 1 + strength].
        seed: int32 (2,).
    """
    shape = [3, tf.shape(pixels)[0], 1, 1, 1]
    brightness, contrast, saturation = tf.unstack(
        tf.random.stateless_uniform(shape, seed, 1 - strength, 1 + strength)
    )
    mean = tf.reduce_mean(pixels, axis=(1, 2, 3), keepdims=True)
    # Luma weights of ITU-R BT.601.
    grey = tf.reduce_sum(pixels * tf.constant([0.299, 0.587, 0.114]), axis=3, keepdims=True)
    pixels = grey + (pixels - grey) * saturation
    pixels = mean + (pixels - mean) * contrast
    return tf.clip_by_value(pixels * brightness, 0.0, 255.0)


def cut_out(values: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns the preprocessed values with one square of each image set to 0, the data set's mean.

    The square's centre is any pixel, so squares at the border are cut off (DeVries & Taylor 2017,
    https://arxiv.org/abs/1708.04552).

    Args:
        values: float32 (N, height, width, 3).
        side: Of the square, in pixels.
        seed: int32 (2,).
    """
    count, height, width = tf.shape(values)[0], int(values.shape[1]), int(values.shape[2])
    seed_y, seed_x = tf.unstack(stateless_split(seed, 2))
    top = tf.random.stateless_uniform([count, 1], seed_y, 0, height, tf.int32) - side // 2
    left = tf.random.stateless_uniform([count, 1], seed_x, 0, width, tf.int32) - side // 2
    rows, columns = tf.range(height)[tf.newaxis], tf.range(width)[tf.newaxis]
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    square = in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis, :]
    return tf.where(square[..., tf.newaxis], 0.0, values)


def mix_up(values: tf.Tensor, labels: tf.Tensor, alpha: float, seed: tf.Tensor) -> Batch:
    """Returns each image and label blended with its mirror place in the batch (Zhang et al. 2018).

    Args:
        values: float32 (N, height, width, 3).
        labels: float32 (N, classes).
        alpha: The share of the first image is drawn from Beta(alpha, alpha), once a batch.
        seed: int32 (2,).
    """
    # Beta(a, a) is X / (X + Y) for two Gamma(a) variables.
    gamma = tf.random.stateless_gamma([2], seed, alpha)
    share = gamma[0] / tf.reduce_sum(gamma)
    return (
        share * values + (1 - share) * tf.reverse(values, [0]),
        share * labels + (1 - share) * tf.reverse(labels, [0]),
    )
