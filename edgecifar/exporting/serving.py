"""The TensorFlow function that is exported: a model with named, typed boundaries."""

from typing import Any

import tensorflow as tf
import tf_keras

from edgecifar.artifacts import Preprocessing
from edgecifar.errors import ExportError
from edgecifar.exporting.options import Io

INPUT, OUTPUT = "image", "probabilities"
"""Names of every exported model's input and output."""


def serving_function(
    model: tf_keras.Model, io: Io, preprocessing: Preprocessing, batch: int | None
) -> tuple[Any, tf.TensorSpec]:
    """Returns a `tf.function` from `image` to {"probabilities"}, and the input's type.

    Args:
        model: float32 (N, height, width, 3), preprocessed, to float32 (N, classes).
        io: UINT8 puts preprocessing into the function, so that it takes raw pixels.
        preprocessing: What the model was trained on.
        batch: Fixed batch size; None: any.

    Raises:
        ExportError: The model computes in another data type than float32, or takes other images.
    """
    _check(model, preprocessing)
    raw = io is Io.UINT8
    spec = tf.TensorSpec((batch, *model.input_shape[1:]), tf.uint8 if raw else tf.float32, name=INPUT)

    @tf.function(input_signature=[spec])
    def serve(image: Any) -> dict[str, Any]:
        if raw:
            image = (tf.cast(image, tf.float32) - preprocessing.mean) / preprocessing.std
        return {OUTPUT: model(image, training=False)}

    return serve, spec


def _check(model: tf_keras.Model, preprocessing: Preprocessing) -> None:
    for layer in model.layers:
        if layer.compute_dtype != "float32":
            raise ExportError(
                f"Layer {layer.name} computes in {layer.compute_dtype}; exports start from float32.",
                "Load the model under Keras's float32 policy.",
            )
    expected = (preprocessing.height, preprocessing.width, 3)
    if tuple(model.input_shape[1:]) != expected:
        found = "×".join(str(size) for size in model.input_shape[1:])
        raise ExportError(
            f"The model takes images of {found}, but its preprocessing gives {expected[0]}×{expected[1]}×3."
        )
