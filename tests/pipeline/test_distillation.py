"""Distillation through the pipeline: the teacher is looked at before anything is touched."""

from pathlib import Path

import numpy as np
import pytest

import edgecifar
from edgecifar.choices import Device
from edgecifar.errors import ModelError, TrainingError
from edgecifar.exporting.options import Format, Precision
from edgecifar.models import load_model
from edgecifar.recipe import Recipe

SHORT = ["model.name=shallow3", "training.epochs=1", "training.batch_size=128"]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def recipe(*changes: str) -> Recipe:
    return edgecifar.load_recipe("demo", [*SHORT, *changes])


def test_a_student_is_taught_by_a_wider_run() -> None:
    teacher = edgecifar.train(recipe("model.width=2"), out="teacher", device=Device.CPU, compress=False)
    taught = recipe("training.distillation.teacher=teacher")
    student = edgecifar.train(taught, out="student", device=Device.CPU, compress=False)
    assert student.record.teacher is not None
    assert student.record.teacher.name == "teacher"
    before = (student.folder / "run.json").read_bytes()

    # A teacher that is gone costs nobody the older run.
    missing = recipe("training.distillation.teacher=nobody")
    with pytest.raises(TrainingError, match="The teacher nobody is neither a finished run nor a bundle"):
        edgecifar.train(missing, out="student", device=Device.CPU, compress=False, force=True)
    assert (student.folder / "run.json").read_bytes() == before

    # Nor does a student replace its teacher.
    with pytest.raises(ModelError, match="teacher holds the run teacher: it is left alone"):
        edgecifar.train(taught, out="teacher", device=Device.CPU, compress=False, force=True)
    assert edgecifar.Run.open(Path("teacher")).record.teacher is None

    # The teacher's bundle teaches the same.
    edgecifar.export(teacher, formats=[Format.TFLITE], precisions=[Precision.FLOAT32], out="bundle")
    by_bundle = recipe("training.distillation.teacher=bundle")
    again = edgecifar.train(by_bundle, out="again", device=Device.CPU, compress=False)
    assert again.record.teacher == student.record.teacher
    weights = [load_model(run.model_path).get_weights() for run in (student, again)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)

    # With another seed, other images are held out.
    with pytest.raises(TrainingError, match="maybe from some that are held out here"):
        edgecifar.train(taught.model_copy(update={"seed": 3}), out="other", device=Device.CPU, compress=False)
    assert not Path("other").exists()
