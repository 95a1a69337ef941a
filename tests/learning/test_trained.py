import shutil
from pathlib import Path

import numpy as np
import pytest
import tf_keras

from edgecifar.artifacts import Run
from edgecifar.errors import ModelError
from edgecifar.learning.trained import read_model, read_teacher, under_policy
from edgecifar.models import load_model


def test_the_model_of_a_run_is_read(small_run: Run) -> None:
    model, expected = read_model(small_run), load_model(small_run.model_path)
    for weight, value in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)


def test_the_teacher_is_the_model_before_compression(small_run: Run, tmp_path: Path) -> None:
    shutil.copy(small_run.model_path, tmp_path / "reference.keras")
    teacher = read_teacher(Run(tmp_path, small_run.record))
    for weight, value in zip(teacher.get_weights(), read_model(small_run).get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)


def test_another_runs_model_is_told(small_run: Run) -> None:
    record = small_run.record.model_copy(update={"parameters": small_run.record.parameters + 1})
    with pytest.raises(ModelError, match=r"model.keras: not the model that the run's run.json describes"):
        read_model(Run(small_run.folder, record))


def test_a_missing_model_is_told(small_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such model file"):
        read_model(Run(tmp_path, small_run.record))


def test_a_copy_computes_under_the_policy_with_the_same_weights(small_run: Run) -> None:
    model = read_model(small_run)
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        copy = under_policy(small_run.record, model)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert copy.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert model.get_layer("block1_conv1").compute_dtype == "float32"
    for weight, value in zip(copy.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    assert 0 < np.abs(copy(images) - model(images)).max() < 0.05
