"""The networks of finished runs."""

from pathlib import Path

import tf_keras

from edgecifar.artifacts import Run, RunRecord
from edgecifar.errors import ModelError
from edgecifar.models import build_model, load_model


def read_model(run: Run) -> tf_keras.Model:
    """Returns a run's float model, in float32: pruned where the run was pruned.

    Raises:
        ModelError: The file is missing, damaged, or another run's.
    """
    return _read(run, run.model_path)


def read_teacher(run: Run) -> tf_keras.Model:
    """Returns a run's float model before any compression, under Keras's current dtype policy.

    It sets the global seeds as `build_model` does.

    Raises:
        ModelError: The file is missing, damaged, or another run's.
    """
    return under_policy(run.record, _read(run, run.reference_path))


def _read(run: Run, path: Path) -> tf_keras.Model:
    model = load_model(path)
    if model.count_params() != run.record.parameters:
        raise ModelError(f"{path}: not the model that the run's run.json describes.")
    return model


def under_policy(record: RunRecord, model: tf_keras.Model) -> tf_keras.Model:
    """Returns a copy of a run's float model under Keras's current dtype policy.

    It sets the global seeds as `build_model` does.
    """
    shape = (record.preprocessing.height, record.preprocessing.width, 3)
    fresh = build_model(record.recipe.model, shape, len(record.class_names), record.recipe.seed)
    fresh.set_weights(model.get_weights())
    return fresh
