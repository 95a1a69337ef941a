"""Architectures by their names in recipes."""

import zipfile
import zlib
from pathlib import Path

import tensorflow as tf
import tf_keras

from edgecifar.errors import ModelError, RecipeError
from edgecifar.models import airbench, resnet8, vgg6
from edgecifar.recipe import Form, ModelSpec

PLAIN = {"airbench": airbench.build, "resnet8": resnet8.build}
"""Networks of the edge form alone, without dropout."""


def build_model(
    spec: ModelSpec, input_shape: tuple[int, int, int], classes: int, seed: int
) -> tf_keras.Model:
    """Returns a freshly initialised network under Keras's current dtype policy.

    Args:
        spec: Name and options.
        input_shape: (height, width, channels) of the preprocessed images.
        classes: Length of the output.
        seed: Of the initial weights; sets TensorFlow's, NumPy's and Python's global seeds.

    Raises:
        RecipeError: An option that the network does not have, or images too small for it.
    """
    tf_keras.utils.set_random_seed(seed)
    # Dropout then draws from a generator with a state of its own, which a training can set.
    tf_keras.backend.experimental.enable_tf_random_generator()
    if build := PLAIN.get(spec.name):
        if spec.form is not Form.EDGE or any(spec.dropout):
            raise RecipeError(
                f"[model] {spec.name} has the edge form and no dropout.", "Remove form and dropout."
            )
        return build(spec, input_shape, classes)
    return vgg6.build(spec, input_shape, classes, convolutions=2 if spec.name == "vgg6" else 1)


UNREADABLE = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, ImportError, RuntimeError,
    zipfile.BadZipFile, zlib.error, tf.errors.OpError,
)  # fmt: skip
"""What Keras raises for a damaged or foreign file: whatever the zip, JSON or HDF5 reader below it does."""


def load_model(path: Path) -> tf_keras.Model:
    """Returns the Keras model in a `.keras` file, for inference and further training.

    Raises:
        ModelError: The file is missing, damaged, or no Keras 2 model.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model file.")
    try:
        return tf_keras.models.load_model(path, compile=False)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: not a readable Keras model ({reason}).") from error
