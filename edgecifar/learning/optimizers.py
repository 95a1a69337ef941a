"""Optimisers from recipes."""

import tf_keras

from edgecifar.recipe import OptimizerSpec, Precision

WITHOUT_DECAY = ("bias", "gamma", "beta")
"""Variables of these names keep their size: only convolution and dense kernels decay."""


def make_optimizer(spec: OptimizerSpec, precision: Precision) -> tf_keras.optimizers.Optimizer:
    """Returns the optimiser, with loss scaling where float16 gradients would underflow.

    Its learning rate is set before every step.
    """
    decay = spec.weight_decay or None
    rate = spec.learning_rate
    if spec.name == "sgd":
        optimizer = tf_keras.optimizers.SGD(rate, momentum=spec.momentum, nesterov=True, weight_decay=decay)
    elif spec.name == "rmsprop":
        optimizer = tf_keras.optimizers.RMSprop(rate, weight_decay=decay)
    else:
        optimizer = tf_keras.optimizers.AdamW(rate, weight_decay=spec.weight_decay)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=list(WITHOUT_DECAY))
    if precision is Precision.FLOAT16:
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer
