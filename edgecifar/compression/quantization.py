"""Quantization-aware training by tensorflow-model-optimization."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from numpy.typing import NDArray
from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
    default_8bit_prune_preserve_quantize_scheme as prune_preserve,
)

from edgecifar.compression.safe_weights import SafeScheme
from edgecifar.errors import ModelError
from edgecifar.models.registry import UNREADABLE

PREFIX = "quant_"
"""Of the names of the layers that tfmot wraps."""

quantizers = tfmot.quantization.keras.quantizers


class WholeOutputConfig(tfmot.quantization.keras.QuantizeConfig):
    """Quantizes a layer's output to 8 bits and nothing else.

    For the layers of the seed's form that tfmot has no scheme for: ELU, and a batch norm that follows it.
    """

    def get_weights_and_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
        """Returns no weights: they stay in float32."""
        return []

    def get_activations_and_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
        """Returns no inner activations."""
        return []

    # AutoGraph cannot read a function without statements, and warns.
    @tf.autograph.experimental.do_not_convert
    def set_quantize_weights(self, layer: tf_keras.layers.Layer, quantize_weights: list[tf.Tensor]) -> None:
        """Sets nothing: no weights are quantized."""

    @tf.autograph.experimental.do_not_convert
    def set_quantize_activations(self, layer: tf_keras.layers.Layer, quantize_activations: list[Any]) -> None:
        """Sets nothing: no inner activations are quantized."""

    def get_output_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
        """Returns the quantizer of the output: 8 bits, asymmetric, one range for the tensor."""
        return [
            quantizers.MovingAverageQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)
        ]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that remake it: none."""
        return {}


def make_quantization_aware(
    model: tf_keras.Model, *, keep_zeros: bool, saturation_safe: bool = False
) -> tf_keras.Model:
    """Returns a copy of the model that computes as its int8 form will, in fake quantization.

    Weights are quantized per output channel, activations per tensor. It trains in float32 only.

    Args:
        model: The float model, in float32.
        keep_zeros: Whether pruned weights stay at zero while it trains.
        saturation_safe: Whether weights are quantized at scales at which no two neighbours can saturate sums
            of 16 bits, so that it learns to do with those.
    """
    annotate = tfmot.quantization.keras.quantize_annotate_layer

    def mark(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        after_activation = isinstance(layer, tf_keras.layers.BatchNormalization) and not isinstance(
            _source(layer), tf_keras.layers.Conv2D
        )
        if after_activation or isinstance(layer, tf_keras.layers.ELU):
            return annotate(layer, WholeOutputConfig())
        return annotate(layer)

    annotated = tf_keras.models.clone_model(model, clone_function=mark)
    annotated.set_weights(model.get_weights())
    scheme = (
        prune_preserve.Default8BitPrunePreserveQuantizeScheme()
        if keep_zeros
        else tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme()
    )
    with tfmot.quantization.keras.quantize_scope({"WholeOutputConfig": WholeOutputConfig}):
        return tfmot.quantization.keras.quantize_apply(
            annotated, scheme=SafeScheme(scheme) if saturation_safe else scheme
        )


def _source(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """Returns the layer whose output `layer` takes."""
    return layer.inbound_nodes[0].inbound_layers


def load_quantization_aware(path: Path) -> tf_keras.Model:
    """Returns the quantization-aware model in a `.h5` file.

    Raises:
        ModelError: The file is missing, damaged, or no such model.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model file.")
    try:
        with tfmot.quantization.keras.quantize_scope({"WholeOutputConfig": WholeOutputConfig}):
            return tf_keras.models.load_model(path, compile=False)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: not a readable quantization-aware Keras model ({reason}).") from error


def set_activation_ranges(
    aware: tf_keras.Model, model: tf_keras.Model, values: NDArray[np.float32], batch_size: int
) -> None:
    """Starts the moving averages of the activations' ranges where the float model's activations lie.

    tfmot starts them all at [-6, 6] and moves them by a thousandth a step: a short training would end with
    most of the 256 integers unused.

    Args:
        aware: The quantization-aware model; changed in place.
        model: The float model that it was made of.
        values: Preprocessed training images, (N, height, width, 3).
        batch_size: As in the training: the averages follow the extremes of batches.
    """
    quantized = [layer for layer in aware.layers if _range_of(layer) is not None]
    names = [layer.name.removeprefix(PREFIX) for layer in quantized]
    outputs = tf_keras.Model(model.input, [model.get_layer(name).output for name in names])
    lows, highs = [], []
    for start in range(0, len(values), batch_size):
        tensors = outputs(values[start : start + batch_size], training=False)
        lows.append([float(tf.reduce_min(tensor)) for tensor in tensors])
        highs.append([float(tf.reduce_max(tensor)) for tensor in tensors])
    for layer, low, high in zip(quantized, np.mean(lows, axis=0), np.mean(highs, axis=0), strict=True):
        found = _range_of(layer)
        if found is not None:
            # Zero is always representable: padding is zero.
            found[0].assign(min(low, 0.0))
            found[1].assign(max(high, 0.0))


def _range_of(layer: tf_keras.layers.Layer) -> tuple[tf.Variable, tf.Variable] | None:
    """Returns the variables that hold the range of a wrapped layer's output; None if it is not quantized."""
    if not layer.name.startswith(PREFIX):
        return None
    by_name = {variable.name.rsplit("/", 1)[-1]: variable for variable in layer.variables}
    for kind in ("output", "post_activation"):
        if f"{kind}_min:0" in by_name:
            return by_name[f"{kind}_min:0"], by_name[f"{kind}_max:0"]
    return None


class FreezeBatchNormHook:
    """Fixes the batch-norm statistics for the last part of the training, as the exported model has them.

    Args:
        model: The quantization-aware model.
        share: Of the epochs, at the end.
    """

    def __init__(self, model: tf_keras.Model, share: float) -> None:
        self._layers = [
            layer for layer in model.submodules if isinstance(layer, tf_keras.layers.BatchNormalization)
        ]
        self._share = share

    def before_epoch(self, done: float) -> bool:
        """Freezes the statistics where the share begins; returns whether it changed anything."""
        learns = done < 1 - self._share
        changes = any(layer.trainable != learns for layer in self._layers)
        for layer in self._layers:
            # Keras's batch norm uses its stored statistics where it is not trainable. Scale and shift go on
            # learning: tfmot's wrappers keep a list of their own.
            layer.trainable = learns
        return changes

    def after_epoch(self) -> None:
        """Has nothing to do."""

    def thaw(self) -> None:
        """Lets all layers train again: a frozen one lists its scale twice, which no file can hold."""
        for layer in self._layers:
            layer.trainable = True
