"""Room for the biases of a quantization-aware model in the 32 bits that an int8 file has for them.

A bias is stored in steps of input scale times weight scale. An output channel whose weights are all but zero,
as pruning and weight decay leave some, has a weight scale so small that its bias is more than 2^31 steps. The
converter then stores 2^31 - 1, which is another number. Where it chooses the scales itself, it widens them
for that, to half of the 32 bits (`SetBiasParamsWithAdjustments` in TensorFlow's quantization driver); those
of a quantization-aware model it takes as they are.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

LARGEST_BIAS = 2.0**24
"""In steps: engines that multiply accumulators as float32 round beyond, where it lacks integers."""
_LARGEST_WEIGHT = 127
_LARGEST_ACTIVATION = 255


@contextmanager
def restored(layers: Iterable[tf_keras.layers.Layer]) -> Iterator[None]:
    """Gives the layers' variables the values back, after the block, that they had before it."""
    saved = [(variable, variable.numpy()) for layer in layers for variable in layer.variables]
    try:
        yield
    finally:
        for variable, value in saved:
            variable.assign(value)


@contextmanager
def room_for_biases(model: tf_keras.Model) -> Iterator[None]:
    """Widens, while the block runs, ranges of weights at which a bias is more than `LARGEST_BIAS` steps.

    The rounding of each weight of such a channel then moves its output by less than the share 2^-17 of its
    bias, so what it computes stays the bias. Weights of zero stay zero in any range.

    Args:
        model: Of `tfmot.quantization.keras.quantize_model`.
    """
    wrappers = [layer for layer in model.layers if "kernel_max" in variables_by_name(layer)]
    with restored(wrappers):
        for wrapper in wrappers:
            _widen(wrapper)
        yield


def variables_by_name(layer: tf_keras.layers.Layer) -> dict[str, tf.Variable]:
    """Returns the variables of a layer by the last part of their names, without a number."""
    return {variable.name.rsplit("/", 1)[-1].split(":")[0]: variable for variable in layer.variables}


def _widen(wrapper: tf_keras.layers.Layer) -> None:
    own = variables_by_name(wrapper)
    bias, factor = _folded(wrapper, own)
    step = _input_step(wrapper) * factor
    # No range helps where the batch norm multiplies by zero. `integers.check` sees what is left.
    needed = np.zeros_like(bias)
    np.divide(np.abs(bias) * _LARGEST_WEIGHT, LARGEST_BIAS * step, out=needed, where=step > 0)
    if not own["kernel_max"].shape.rank:
        needed = needed.max()
    own["kernel_max"].assign(np.maximum(own["kernel_max"].numpy(), needed))
    own["kernel_min"].assign(np.minimum(own["kernel_min"].numpy(), -needed))


def _folded(
    wrapper: tf_keras.layers.Layer, own: dict[str, tf.Variable]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the bias of each output channel and what multiplies its weights, batch norm included."""
    channels = own["kernel"].shape[-1]
    bias = own["bias"].numpy().astype(np.float64) if "bias" in own else np.zeros(channels)
    followers = [node.outbound_layer for node in wrapper.outbound_nodes]
    norm = getattr(followers[0], "layer", None) if len(followers) == 1 else None
    if not isinstance(norm, tf_keras.layers.BatchNormalization):
        return bias, np.ones(channels)
    values = {name: variable.numpy().astype(np.float64) for name, variable in variables_by_name(norm).items()}
    factor = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + norm.epsilon)
    return values.get("beta", 0.0) + (bias - values["moving_mean"]) * factor, np.abs(factor)


def _input_step(wrapper: tf_keras.layers.Layer) -> float:
    """Returns the scale of what a layer takes, by the nearest range on the way to it; 0: there is none."""
    layer = wrapper
    while not isinstance(layer, tf_keras.layers.InputLayer):
        layer = layer.inbound_nodes[0].inbound_layers
        if isinstance(layer, list):
            return 0.0
        found = variables_by_name(layer)
        for name in found:
            if name.endswith("_max") and name != "kernel_max":
                span = found[name].numpy() - found[f"{name.removesuffix('_max')}_min"].numpy()
                return float(span) / _LARGEST_ACTIVATION
    return 0.0
