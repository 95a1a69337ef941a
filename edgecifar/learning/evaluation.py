"""Accuracy and loss of a Keras model on a data set."""

import math
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from edgecifar.artifacts import Accuracy, Dataset, Preprocessing

CHUNK = 500
"""Images at a time: little memory, and few enough calls."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Mean cross-entropy over the images, and how many were right."""

    loss: float
    accuracy: Accuracy


class Evaluator:
    """Evaluates one model again and again on the same images.

    Args:
        model: From preprocessed images to class probabilities.
        data: What to evaluate on.
        preprocessing: What the model sees.
    """

    def __init__(self, model: tf_keras.Model, data: Dataset, preprocessing: Preprocessing) -> None:
        self._model = model
        self._data = data
        self._preprocessing = preprocessing
        shape = (None, preprocessing.height, preprocessing.width, 3)
        # A concrete function: TensorFlow would warn of "retracing" where several models are evaluated.
        self._sums = tf.function(self._chunk_sums).get_concrete_function(
            tf.TensorSpec(shape, tf.float32), tf.TensorSpec((None,), tf.int64)
        )

    def __call__(self) -> Evaluation:
        """Returns the evaluation with the model's present weights."""
        losses, correct = [], 0
        for start in range(0, len(self._data), CHUNK):
            part = self._data.select(slice(start, start + CHUNK))
            values = tf.constant(self._preprocessing.apply(part.images))
            loss, right = self._sums(values, tf.constant(part.labels))
            losses.append(float(loss))
            correct += int(right)
        total = len(self._data)
        return Evaluation(math.fsum(losses) / total, Accuracy(correct=correct, total=total))

    def _chunk_sums(self, values: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = self._model(values, training=False)
        loss = tf_keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        right = tf.argmax(probabilities, axis=1) == labels
        return tf.reduce_sum(loss), tf.reduce_sum(tf.cast(right, tf.int32))
