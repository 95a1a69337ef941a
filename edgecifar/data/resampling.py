"""Resampling: one affine transform an image, compiled by XLA into a single loop over the pixels.

TensorFlow's own ImageProjectiveTransformV3 computes the same, but for rounding and for what wraps round,
several times slower; the tests hold this module to it.
"""

import tensorflow as tf

from edgecifar.recipe import Fill


@tf.function(jit_compile=True)
def resample(images: tf.Tensor, transforms: tf.Tensor, fill: Fill) -> tf.Tensor:
    """Returns the images with each output pixel read, bilinearly, where its transform leads in the input.

    Moves by whole pixels are exact.

    Args:
        images: uint8 (N, height, width, channels).
        transforms: float32 (N, 6): output (x, y) reads input (a x + b y + c, d x + e y + f).
        fill: What stands beyond the border.

    Returns:
        float32, shape of `images`.
    """
    height, width, channels = images.shape[1], images.shape[2], images.shape[3]
    y, x = tf.meshgrid(tf.range(float(height)), tf.range(float(width)), indexing="ij")
    a, b, c, d, e, f = (term[:, tf.newaxis, tf.newaxis] for term in tf.unstack(transforms, axis=1))
    left, right, share_x, weight_left, weight_right = _taps(a * x + b * y + c, width, fill)
    top, bottom, share_y, weight_top, weight_bottom = _taps(d * x + e * y + f, height, fill)
    flat = tf.reshape(images, [-1, height * width, channels])

    def read(row: tf.Tensor, column: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        index = tf.reshape(row * width + column, [-1, height * width])
        pixels = tf.cast(tf.gather(flat, index, batch_dims=1), tf.float32)
        return pixels * tf.reshape(weight, [-1, height * width, 1])

    def along(low: tf.Tensor, high: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
        return low + (high - low) * tf.reshape(share, [-1, height * width, 1])

    upper_left, upper_right = (
        read(top, left, weight_top * weight_left),
        read(top, right, weight_top * weight_right),
    )
    lower_left = read(bottom, left, weight_bottom * weight_left)
    lower_right = read(bottom, right, weight_bottom * weight_right)
    above, below = along(upper_left, upper_right, share_x), along(lower_left, lower_right, share_x)
    return tf.reshape(along(above, below, share_y), [-1, height, width, channels])


def _taps(
    place: tf.Tensor, size: int, fill: Fill
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the two neighbours of each place along one axis, the share of the second, and their weights.

    A weight is 0 where a neighbour lies beyond a constant border, and 1 elsewhere.
    """
    last = float(size - 1)
    if fill is Fill.REFLECT:
        # ... c b a | a b c ... z | z y ...: a period of twice the size, mirrored about the borders of pixels.
        place = tf.math.floormod(place + 0.5, 2.0 * size)
        place = tf.where(place >= size, 2.0 * size - place, place) - 0.5
    elif fill is Fill.WRAP:
        # ... y z | a b c ... z | a b ...
        place = tf.math.floormod(place, float(size))
    if fill in (Fill.NEAREST, Fill.REFLECT):
        place = tf.clip_by_value(place, 0.0, last)
    low = tf.floor(place)
    high = low + 1.0
    share = place - low
    weights = [tf.ones_like(place), tf.ones_like(place)]
    if fill is Fill.CONSTANT:
        weights = [tf.cast((tap >= 0) & (tap <= last), tf.float32) for tap in (low, high)]
    elif fill is Fill.WRAP:
        high = tf.where(high > last, 0.0, high)
    low_index, high_index = (tf.cast(tf.clip_by_value(tap, 0.0, last), tf.int32) for tap in (low, high))
    return low_index, high_index, share, weights[0], weights[1]
