"""Magnitude pruning by tensorflow-model-optimization."""

import tensorflow_model_optimization as tfmot
import tf_keras

from edgecifar.recipe import PruningSpec

UPDATES = 50
"""How often the masks are chosen anew while sparsity rises."""


def make_prunable(model: tf_keras.Model, spec: PruningSpec, steps: int) -> tf_keras.Model:
    """Returns a copy of the model that learns masks for every convolution and dense kernel while it trains.

    Sparsity rises from zero by a cubic polynomial (Zhu & Gupta 2017,
    https://arxiv.org/abs/1710.01878), over the first `spec.ramp` of the steps; then the masks are fixed.

    Args:
        model: The float model, built under the dtype policy to train in.
        spec: Sparsity and ramp.
        steps: Of the whole pruning.
    """
    ramp = max(1, round(spec.ramp * steps))
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=spec.sparsity,
        begin_step=0,
        end_step=ramp,
        frequency=max(1, ramp // UPDATES),
    )

    def wrap(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if not isinstance(layer, tf_keras.layers.Conv2D | tf_keras.layers.Dense):
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)

    prunable = tf_keras.models.clone_model(model, clone_function=wrap)
    by_name = {layer.name.removeprefix("prune_low_magnitude_"): layer for layer in prunable.layers}
    for layer in model.layers:
        target = by_name[layer.name]
        getattr(target, "layer", target).set_weights(layer.get_weights())
    return prunable


class PruningHook:
    """Keeps the masks in force."""

    def __init__(self, prunable: tf_keras.Model) -> None:
        self._callback = tfmot.sparsity.keras.UpdatePruningStep()
        self._callback.set_model(prunable)

    def before_epoch(self, done: float) -> bool:
        """Sets the step counters of fresh wrappers to 0, and leaves restored ones alone."""
        self._callback.on_train_begin()
        return False

    def after_epoch(self) -> None:
        """Applies the masks: the last step moved masked weights, and what is measured has them at zero."""
        self._callback.on_epoch_end(batch=None)
