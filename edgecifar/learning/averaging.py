"""Exponential moving average of a model's weights (Polyak & Juditsky 1992)."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
import tf_keras


class WeightAverage(tf.Module):
    """Keeps the moving average of all weights of a model, batch-norm statistics among them.

    average += (1 - d) x (weight - average), with d = min(decay, (1 + step) / (10 + step)), so that the first
    steps do not weigh for long.
    """

    def __init__(self, model: tf_keras.Model, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self._weights = model.weights
        self.averages = [tf.Variable(weight, trainable=False, dtype=weight.dtype) for weight in model.weights]

    def update(self, step: tf.Tensor) -> None:
        """Takes the weights after one step into the average.

        Args:
            step: Steps done before this one, int64 ().
        """
        done = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1.0 + done) / (10.0 + done))
        for average, weight in zip(self.averages, self._weights, strict=True):
            if weight.dtype.is_floating:
                average.assign_add((1.0 - decay) * (weight - average))
            else:
                average.assign(weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While the context lasts, the model has the averaged weights."""
        kept = [tf.identity(weight) for weight in self._weights]
        self.take_over()
        try:
            yield
        finally:
            for weight, value in zip(self._weights, kept, strict=True):
                weight.assign(value)

    def take_over(self) -> None:
        """Gives the model the averaged weights for good."""
        for weight, average in zip(self._weights, self.averages, strict=True):
            weight.assign(average)
