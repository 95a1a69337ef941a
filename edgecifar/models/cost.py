"""What a network costs, layer by layer."""

import math
from dataclasses import dataclass

import tf_keras


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer's output shape, parameters and multiply-adds for one image."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    """Without the batch dimension."""
    parameters: int
    multiply_adds: int
    """Of convolutions and dense layers; the rest is counted as nothing, as usual in the field."""


def layer_costs(model: tf_keras.Model) -> list[LayerCost]:
    """Returns the cost of each layer, in the model's order."""
    return [_cost(layer) for layer in model.layers if not isinstance(layer, tf_keras.layers.InputLayer)]


def _cost(layer: tf_keras.layers.Layer) -> LayerCost:
    shape = tuple(int(size) for size in layer.output_shape[1:])
    multiply_adds = 0
    if isinstance(layer, tf_keras.layers.Conv2D):
        # One multiply-add per weight and output pixel; the kernel is (height, width, in, out).
        multiply_adds = math.prod(layer.kernel.shape) * math.prod(shape[:-1])
    elif isinstance(layer, tf_keras.layers.Dense):
        multiply_adds = math.prod(layer.kernel.shape)
    return LayerCost(layer.name, type(layer).__name__, shape, layer.count_params(), multiply_adds)
