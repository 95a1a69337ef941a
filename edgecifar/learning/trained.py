"""The networks of finished runs."""

import tf_keras

from edgecifar.artifacts import Run, RunRecord
from edgecifar.errors import ModelError
from edgecifar.models import build_model, load_model


def read_model(run: Run) -> tf_keras.Model:
    """Returns a run's float model, in float32.

    Raises:
        ModelError: The file is missing, damaged, or another run's.
    """
    model = load_model(run.model_path)
    if model.count_params() != run.record.parameters:
        raise ModelError(f"{run.model_path}: not the model that the run's run.json describes.")
    return model


def under_policy(record: RunRecord, model: tf_keras.Model) -> tf_keras.Model:
    """Returns a copy of a run's float model under Keras's current dtype policy.

    It sets the global seeds as `build_model` does.
    """
    shape = (record.preprocessing.height, record.preprocessing.width, 3)
    fresh = build_model(record.recipe.model, shape, len(record.class_names), record.recipe.seed)
    fresh.set_weights(model.get_weights())
    return fresh
