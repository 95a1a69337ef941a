"""Fake quantization of weights with which sums of 16 bits cannot saturate: see `edgecifar.runtimes.pairs`.

The scale is that of the weights themselves, before any rounding. With a scale s above |w + v| / 128, the real
numbers w / s and v / s sum to less than 128, and the integers nearest to them to less than 129: to 128 at
most. The smallest scale that rounding would permit is at most one part in 128 below.
"""

from typing import Any

import tensorflow as tf
import tf_keras

from edgecifar.runtimes.pairs import LARGEST_PAIR

_LARGEST = 127
"""Of tfmot's narrow range, -127 to 127."""
_HAIR = 2.0**-16
"""Relative: more than what converters' float32 arithmetic moves a scale by."""


class SafeWeightsQuantizer:
    """One of tfmot's weight quantizers, with ranges wide enough for weights that cannot saturate.

    Gradients go straight through: no weight lies outside its range. It is no part of saved models: their
    ranges are stored, and only training sets them anew.

    Args:
        inner: tfmot's symmetric quantizer of 8 bits, narrow range, per output channel or per tensor.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def build(self, tensor_shape: Any, name: str, layer: tf_keras.layers.Layer) -> dict[str, Any]:
        """Returns the variables that the inner quantizer makes."""
        variables: dict[str, Any] = self._inner.build(tensor_shape, name, layer)
        return variables

    # tfmot gives `training` by its place.
    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, Any]) -> tf.Tensor:  # noqa: FBT001
        """Returns the weights in fake quantization; sets their range first where the model trains."""
        if training:
            rows = _rows(inputs)
            _set_range(weights, tf.maximum(_limit(tf.abs(rows), weights), _pair_limit(rows, weights)))
        return self._inner(inputs, training=False, weights=weights)


class SafeScheme:
    """One of tfmot's quantization schemes, with safe weights for convolutions and dense layers.

    Args:
        inner: tfmot's 8-bit scheme, or its form that keeps pruned weights at zero.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def get_layout_transformer(self) -> Any:
        """Returns the inner scheme's."""
        return self._inner.get_layout_transformer()

    def get_quantize_registry(self) -> Any:
        """Returns the inner scheme's, with other weight quantizers in its configurations."""
        return _SafeRegistry(self._inner.get_quantize_registry())


class _SafeRegistry:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def supports(self, layer: tf_keras.layers.Layer) -> bool:
        return bool(self._inner.supports(layer))

    def get_quantize_config(self, layer: tf_keras.layers.Layer) -> Any:
        config = self._inner.get_quantize_config(layer)
        if _multiplies_pairs(layer):
            config.weight_quantizer = SafeWeightsQuantizer(config.weight_quantizer)
        return config


def widen_ranges(aware: tf_keras.Model) -> int:
    """Widens the ranges of weights that could saturate, as they are now; returns how many it widened.

    The converter then takes its integers from the float weights, at the scales that they will have.

    Args:
        aware: A quantization-aware model; changed in place.

    Returns:
        Output channels, or whole tensors where the tensor has one range.
    """
    widened = 0
    for wrapper in aware.layers:
        if not _multiplies_pairs(getattr(wrapper, "layer", wrapper)):
            continue
        for kernel, _, variables in getattr(wrapper, "_weight_vars", ()):
            stored = variables["max_var"].value()
            limit = tf.maximum(stored, _pair_limit(_rows(kernel), variables))
            widened += int(tf.math.count_nonzero(limit > stored))
            _set_range(variables, limit)
    return widened


def _multiplies_pairs(layer: tf_keras.layers.Layer) -> bool:
    """Returns whether ONNX Runtime adds the layer's products in pairs; those of depthwise weights it widens.

    Not their subclasses: a transposed convolution has its kernel in another order.
    """
    return type(layer) in {tf_keras.layers.Conv2D, tf_keras.layers.Dense}


def _limit(magnitudes: tf.Tensor, variables: dict[str, Any]) -> tf.Tensor:
    """Returns the largest magnitude in each output channel, or in all, as the range is shaped.

    Args:
        magnitudes: (kernel, output channels).
        variables: tfmot's, of the range.
    """
    return tf.reduce_max(magnitudes, axis=0 if variables["max_var"].shape.rank else None)


def _pair_limit(rows: tf.Tensor, variables: dict[str, Any]) -> tf.Tensor:
    """Returns the end of the narrowest range at which no two neighbours can saturate.

    Args:
        rows: (kernel, output channels): kernel row, kernel column, input channel, in this order.
        variables: tfmot's, of the range.
    """
    sums = tf.pad(tf.abs(rows[1:] + rows[:-1]), ((1, 0), (0, 0)))  # a single row has no neighbour
    return _limit(sums, variables) * ((1 + _HAIR) * _LARGEST / LARGEST_PAIR)


def _rows(kernel: tf.Tensor) -> tf.Tensor:
    return tf.reshape(kernel, (-1, kernel.shape[-1]))


def _set_range(variables: dict[str, Any], limit: tf.Tensor) -> None:
    variables["min_var"].assign(-limit)
    variables["max_var"].assign(limit)
