import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from PIL import Image

from edgecifar.artifacts import Dataset, Run
from edgecifar.choices import Device
from edgecifar.errors import EngineMissingError, TrainingError
from edgecifar.learning.checkpoint import EpochRow
from edgecifar.learning.distillation import Distillation, distill
from edgecifar.learning.evaluation import Evaluator
from edgecifar.learning.recording import read_history, save_model
from edgecifar.models import load_model
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import (
    CompressionSpec,
    DistillationSpec,
    Initialization,
    Precision,
    QuantizationSpec,
    Recipe,
)
from edgecifar.training import train

Split = tuple[Dataset, Dataset]


@dataclasses.dataclass
class Interrupting:
    """Progress that presses Ctrl-C after so many images, and keeps what it was told."""

    after: int
    said: list[str] = dataclasses.field(default_factory=list)
    seen: int = 0

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> "Iterator[Interrupting]":
        yield self

    def advance(self, amount: int = 1, **figures: float) -> None:
        self.seen += amount
        if self.seen > self.after:
            raise KeyboardInterrupt

    def say(self, message: str) -> None:
        self.said.append(message)


def train_small(
    recipe: Recipe, images: Split, baseline: Run, folder: Path, progress: Progress = SILENT
) -> Run:
    """Trains as the baseline was trained."""
    return train(
        recipe,
        *images,
        baseline.record.preprocessing,
        folder,
        name="small",
        command="pytest",
        device=Device.CPU,
        progress=progress,
    )


def without_seconds(run: Run) -> list[EpochRow]:
    return [row.model_copy(update={"seconds": 0.0}) for row in read_history(run.history_path)]


# What a training leaves


def test_a_run_is_complete(small_run: Run, small_recipe: Recipe, few_images: Split) -> None:
    names = {path.name for path in small_run.folder.iterdir()}
    assert names == {"model.keras", "history.csv", "curves.png", "run.json", "events"}
    assert Run.open(small_run.folder) == small_run
    record = small_run.record
    assert record.recipe == small_recipe
    assert record.train_fingerprint == few_images[0].fingerprint
    assert record.class_names == few_images[0].class_names
    assert (record.name, record.command, record.parent, record.sparsity) == ("small", "pytest", None, 0.0)
    assert record.environment.devices == ("CPU",)
    assert record.environment.precision == "float32"
    assert small_run.reference_path == small_run.model_path
    with Image.open(small_run.folder / "curves.png") as picture:
        picture.verify()


def test_the_history_has_a_row_an_epoch(small_run: Run) -> None:
    rows = read_history(small_run.history_path)
    assert [(row.epoch, row.phase) for row in rows] == [(1, "train"), (2, "train"), (3, "train")]
    assert rows[-1].learning_rate == 0
    assert rows[-1].loss < rows[0].loss
    assert small_run.record.duration_s == pytest.approx(sum(row.seconds for row in rows))


def test_the_kept_model_is_the_averaged_one_that_was_measured(small_run: Run, few_images: Split) -> None:
    model = load_model(small_run.model_path)
    assert model.count_params() == small_run.record.parameters
    measured = Evaluator(model, few_images[1], small_run.record.preprocessing)()
    assert measured.accuracy == small_run.record.validation
    last = read_history(small_run.history_path)[-1]
    assert last.val_accuracy == measured.accuracy.rate
    assert last.val_loss == pytest.approx(measured.loss, rel=1e-5)


def test_a_training_starts_whitened_where_the_recipe_says_so(
    small_recipe: Recipe, few_images: Split, small_run: Run, tmp_path: Path
) -> None:
    # Steps so small that the weights stay where they start.
    still = small_recipe.training.optimizer.model_copy(update={"learning_rate": 1e-12})
    changes = {"initialization": Initialization.WHITENED, "optimizer": still, "epochs": 1}
    recipe = small_recipe.model_copy(update={"training": small_recipe.training.model_copy(update=changes)})
    model = load_model(train_small(recipe, few_images, small_run, tmp_path / "run").model_path)
    passing = model.get_layer("block2_conv1").kernel.numpy()[..., :32]
    np.testing.assert_allclose(passing[1, 1], np.eye(32), atol=1e-6)
    assert np.abs(passing).sum() == pytest.approx(32)


# Stopping and going on


@pytest.fixture(scope="module")
def interrupted(
    small_recipe: Recipe, few_images: Split, small_run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a training that was interrupted in its second epoch."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(KeyboardInterrupt):
        train_small(small_recipe, few_images, small_run, folder, Interrupting(after=200))
    assert tf_keras.mixed_precision.global_policy().name == "float32"
    assert not (folder / "run.json").exists()
    return folder


def test_a_training_that_is_interrupted_twice_ends_as_if_nothing_had_happened(
    small_recipe: Recipe, few_images: Split, small_run: Run, interrupted: Path, tmp_path: Path
) -> None:
    shutil.copytree(interrupted, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        # In the third epoch: 160 images were done before, and 160 are in the second one.
        train_small(small_recipe, few_images, small_run, tmp_path / "run", Interrupting(160 + 160 + 50))
    watching = Interrupting(after=10_000)
    resumed = train_small(small_recipe, few_images, small_run, tmp_path / "run", watching)
    assert "Going on after epoch 2 of 3." in watching.said
    assert without_seconds(resumed) == without_seconds(small_run)
    changed = {"duration_s"}
    assert resumed.record.model_dump(exclude=changed) == small_run.record.model_dump(exclude=changed)
    before, after = load_model(small_run.model_path), load_model(resumed.model_path)
    for weight, expected in zip(after.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_checkpoint_of_another_recipe_is_refused(
    small_recipe: Recipe, few_images: Split, small_run: Run, interrupted: Path
) -> None:
    other = small_recipe.model_copy(update={"seed": 6})
    with pytest.raises(TrainingError, match="the checkpoint is of another recipe or data set"):
        train_small(other, few_images, small_run, interrupted)
    fewer = (few_images[0].select(slice(150)), few_images[1])
    with pytest.raises(TrainingError, match="the checkpoint is of another recipe or data set"):
        train_small(small_recipe, fewer, small_run, interrupted)
    # What comes after the training does not concern it.
    compression = CompressionSpec(quantization=QuantizationSpec(qat=True))
    later = small_recipe.model_copy(update={"name": "later", "compression": compression})
    watching = Interrupting(after=159)
    with pytest.raises(KeyboardInterrupt):
        train_small(later, few_images, small_run, interrupted, watching)
    assert "Going on after epoch 1 of 3." in watching.said


# Distillation


@pytest.fixture(scope="module")
def distilled_recipe(small_recipe: Recipe, small_run: Run) -> Recipe:
    """`small_recipe` with `small_run` as its teacher, which has other dropout but the same images."""
    teaching = DistillationSpec(teacher=str(small_run.folder), temperature=2.0, weight=0.8)
    training = small_recipe.training.model_copy(update={"distillation": teaching, "epochs": 2})
    return small_recipe.model_copy(update={"name": "distilled", "training": training})


@pytest.fixture(scope="module")
def distilled_run(
    distilled_recipe: Recipe, few_images: Split, small_run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """`distilled_recipe` trained in one go."""
    folder = tmp_path_factory.mktemp("distilled") / "run"
    return train_small(distilled_recipe, few_images, small_run, folder)


def test_a_distilled_run_says_who_taught_it(distilled_run: Run, small_run: Run) -> None:
    teacher = distilled_run.record.teacher
    assert teacher is not None
    assert teacher.name == small_run.record.name
    assert teacher.sha256 == hashlib.sha256(small_run.model_path.read_bytes()).hexdigest()
    assert teacher.validation == small_run.record.validation
    assert small_run.record.teacher is None
    assert Run.open(distilled_run.folder) == distilled_run


def test_a_student_learns_what_its_teacher_says_rather_than_the_labels(
    small_recipe: Recipe, few_images: Split, small_run: Run, tmp_path: Path
) -> None:
    # A teacher that says the same class of every image.
    part = few_images[0]
    wrong = dataclasses.replace(part, labels=np.full_like(part.labels, 3))
    liar_recipe = small_recipe.model_copy(update={"name": "liar"})
    liar = train_small(liar_recipe, (wrong, few_images[1]), small_run, tmp_path / "liar")
    record = liar.record.model_copy(update={"train_fingerprint": part.fingerprint})
    record.write(liar.folder / "run.json")
    teaching = DistillationSpec(teacher=str(liar.folder), temperature=1.0, weight=1.0)
    training = small_recipe.training.model_copy(update={"distillation": teaching})
    student = train_small(
        small_recipe.model_copy(update={"training": training}), few_images, small_run, tmp_path / "student"
    )
    preprocessing = small_run.record.preprocessing
    values = preprocessing.apply(few_images[1].images)
    assert (np.argmax(load_model(liar.model_path)(values), axis=1) == 3).mean() > 0.9
    assert (np.argmax(load_model(student.model_path)(values), axis=1) == 3).mean() > 0.9


def test_a_distillation_that_is_interrupted_ends_as_if_nothing_had_happened(
    distilled_recipe: Recipe, few_images: Split, small_run: Run, distilled_run: Run, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_small(distilled_recipe, few_images, small_run, tmp_path / "run", Interrupting(after=200))
    watching = Interrupting(after=10_000)
    resumed = train_small(distilled_recipe, few_images, small_run, tmp_path / "run", watching)
    assert "Going on after epoch 1 of 2." in watching.said
    assert "The teacher is small." in watching.said
    assert without_seconds(resumed) == without_seconds(distilled_run)
    before, after = load_model(distilled_run.model_path), load_model(resumed.model_path)
    for weight, expected in zip(after.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_distillation_does_not_go_on_with_another_teacher(
    distilled_recipe: Recipe, few_images: Split, small_run: Run, tmp_path: Path
) -> None:
    shutil.copytree(small_run.folder, tmp_path / "teacher")
    teaching = DistillationSpec(teacher=str(tmp_path / "teacher"))
    training = distilled_recipe.training.model_copy(update={"distillation": teaching})
    recipe = distilled_recipe.model_copy(update={"training": training})
    with pytest.raises(KeyboardInterrupt):
        train_small(recipe, few_images, small_run, tmp_path / "run", Interrupting(after=200))
    teacher = load_model(small_run.model_path)
    teacher.set_weights([weight * 0.5 for weight in teacher.get_weights()])
    save_model(teacher, tmp_path / "teacher" / "model.keras")
    with pytest.raises(TrainingError, match="the checkpoint is of another recipe or data set"):
        train_small(recipe, few_images, small_run, tmp_path / "run")


def test_a_student_in_16_bits_has_a_teacher_in_16_bits(
    distilled_recipe: Recipe,
    few_images: Split,
    small_run: Run,
    distilled_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taught = []

    def remember(*arguments: object) -> Distillation:
        taught.append(distill(*arguments))
        return taught[0]

    monkeypatch.setattr("edgecifar.training.distill", remember)
    training = distilled_recipe.training.model_copy(update={"precision": Precision.BFLOAT16, "epochs": 1})
    recipe = distilled_recipe.model_copy(update={"training": training})
    run = train_small(recipe, few_images, small_run, tmp_path / "run")
    assert taught[0].teacher.get_layer("block1_conv1").compute_dtype == "bfloat16"
    (row,), first = read_history(run.history_path), read_history(distilled_run.history_path)[0]
    assert row.loss == pytest.approx(first.loss, rel=0.1)


# Arithmetic and devices


@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.FLOAT16])
def test_a_training_in_16_bits_gives_a_model_in_float32(
    precision: Precision, small_recipe: Recipe, few_images: Split, small_run: Run, tmp_path: Path
) -> None:
    training = small_recipe.training.model_copy(update={"precision": precision, "epochs": 1})
    recipe = small_recipe.model_copy(update={"training": training})
    watching = Interrupting(after=10_000)
    run = train_small(recipe, few_images, small_run, tmp_path, watching)
    assert watching.said == [f"Training on CPU in {precision}."]
    assert run.record.environment.precision == precision
    # It learns as float32 does, but for the rounding.
    (row,), first = read_history(run.history_path), read_history(small_run.history_path)[0]
    assert row.loss == pytest.approx(first.loss, rel=0.1)
    assert tf_keras.mixed_precision.global_policy().name == "float32"
    model = load_model(run.model_path)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_a_gpu_that_is_not_there_is_told_before_anything_is_written(
    small_recipe: Recipe,
    few_images: Split,
    small_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgecifar.learning.devices.tf.config.list_physical_devices", lambda _: [])
    with pytest.raises(EngineMissingError, match="TensorFlow sees no GPU"):
        train(
            small_recipe,
            *few_images,
            small_run.record.preprocessing,
            tmp_path / "run",
            name="small",
            command="pytest",
            device=Device.GPU,
        )
    assert not (tmp_path / "run").exists()
