import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from edgecifar.artifacts import Accuracy, Dataset, Environment, Preprocessing, Run, RunRecord
from edgecifar.errors import ModelError, TrainingError
from edgecifar.learning.distillation import Distillation, describe_teacher, distill, open_teacher
from edgecifar.recipe import DistillationSpec, Recipe

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], np.float32)
TEACHER_LOGITS = np.array([[1.0, 0.0, 0.0], [4.0, 4.0, -4.0]], np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def constant_teacher(logits: np.ndarray) -> tf_keras.Model:
    """Says the same of every image: the softmax of the first row."""
    layers = tf_keras.layers
    image = layers.Input((4, 4, 3))
    said = layers.Dense(len(logits[0]), kernel_initializer="zeros")(layers.Flatten()(image))
    model = tf_keras.Model(image, layers.Softmax()(said))
    model.layers[-2].bias.assign(logits[0])
    return model


def mean_teacher() -> tf_keras.Model:
    """Its first logit is the mean of the values it is given, its second is zero."""
    layers = tf_keras.layers
    image = layers.Input((4, 4, 3))
    said = layers.Dense(2)(layers.Flatten()(image))
    model = tf_keras.Model(image, layers.Softmax()(said))
    kernel = np.zeros((48, 2), np.float32)
    kernel[:, 0] = 1 / 48
    model.layers[-2].set_weights([kernel, np.zeros(2, np.float32)])
    return model


# The loss


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_hintons(temperature: float) -> None:
    distillation = Distillation(constant_teacher(TEACHER_LOGITS), temperature, weight=0.7)
    targets = tf.nn.log_softmax(TEACHER_LOGITS / temperature)
    of_labels = np.array([0.25, 2.0], np.float32)
    found = distillation.loss(targets, tf.constant(softmax(LOGITS), tf.float32), of_labels)
    teacher, student = softmax(TEACHER_LOGITS / temperature), softmax(LOGITS / temperature)
    divergence = (teacher * np.log(teacher / student)).sum(axis=1)
    np.testing.assert_allclose(found, 0.7 * temperature**2 * divergence + 0.3 * of_labels, rtol=1e-5)


def test_the_targets_are_the_softened_probabilities_of_the_teacher() -> None:
    distillation = Distillation(constant_teacher(TEACHER_LOGITS), temperature=2.0, weight=1.0)
    targets = distillation.targets(tf.zeros([5, 4, 4, 3]))
    expected = np.log(softmax(TEACHER_LOGITS[:1] / 2))
    np.testing.assert_allclose(targets, np.repeat(expected, 5, axis=0), rtol=1e-5)


def test_a_student_that_agrees_loses_nothing_and_has_no_gradient() -> None:
    distillation = Distillation(constant_teacher(TEACHER_LOGITS), temperature=3.0, weight=1.0)
    logits = tf.Variable(TEACHER_LOGITS[:1] + 5)
    with tf.GradientTape() as tape:
        loss = distillation.loss(
            distillation.targets(tf.zeros([1, 4, 4, 3])), tf.nn.softmax(logits), tf.ones([1])
        )
    np.testing.assert_allclose(loss, 0, atol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, logits), 0, atol=1e-5)


def test_probabilities_of_zero_stay_finite() -> None:
    distillation = Distillation(constant_teacher(TEACHER_LOGITS), temperature=1.0, weight=0.5)
    sure = tf.Variable([[0.0, 500.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = distillation.loss(tf.nn.log_softmax([[0.0, -500.0, 0.0]]), tf.nn.softmax(sure), tf.ones([1]))
    assert math.isfinite(float(loss[0]))
    assert np.isfinite(tape.gradient(loss, sure)).all()


def test_the_teacher_is_in_inference_mode_and_gets_no_gradient() -> None:
    layers = tf_keras.layers
    image = layers.Input((4, 4, 3))
    x = layers.BatchNormalization()(layers.Dropout(0.9)(layers.Flatten()(image)))
    model = tf_keras.Model(image, layers.Softmax()(layers.Dense(2)(x)))
    before = [weight.numpy() for weight in model.weights]
    distillation = Distillation(model, temperature=1.0, weight=1.0)
    values = tf.random.stateless_normal([6, 4, 4, 3], [1, 2])
    with tf.GradientTape() as tape:
        first = distillation.targets(values)
    assert tape.gradient(first, model.trainable_variables) == [None] * len(model.trainable_variables)
    np.testing.assert_array_equal(first, distillation.targets(values))
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


# Preprocessing


def test_the_teacher_sees_what_it_knows_though_the_student_sees_other_values(run: Run) -> None:
    student = Preprocessing(mean=100, std=50, height=4, width=4)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    model = mean_teacher()
    distillation = distill(DistillationSpec(teacher="x", temperature=1.0), run, model, student)
    targets = distillation.targets(tf.constant(student.apply(pixels)))
    np.testing.assert_allclose(np.exp(targets), model(run.record.preprocessing.apply(pixels)), rtol=1e-5)
    assert (distillation.temperature, distillation.weight) == (1.0, 0.9)


def test_the_same_preprocessing_gives_the_same_bits(run: Run) -> None:
    values = tf.random.stateless_normal([6, 4, 4, 3], [1, 2])
    distillation = distill(DistillationSpec(teacher="x"), run, mean_teacher(), run.record.preprocessing)
    np.testing.assert_array_equal(distillation.scale * values + distillation.offset, values)


# The run


@pytest.fixture
def run(shades: Dataset, preprocessing: Preprocessing, tmp_path: Path) -> Run:
    """A finished run as far as its record goes; its model file is any bytes."""
    record = RunRecord(
        name="teacher",
        recipe=Recipe(name="teacher"),
        preprocessing=preprocessing,
        class_names=shades.class_names,
        train_fingerprint=shades.fingerprint,
        parameters=98,
        validation=Accuracy(correct=19, total=20),
        duration_s=1.0,
        environment=Environment(
            edgecifar="1",
            python="3",
            tensorflow="2",
            platform="any",
            cpu="any",
            cpu_flags=(),
            devices=("CPU",),
            precision="float32",
        ),
        command="pytest",
    )
    record.write(tmp_path / "teacher" / "run.json")
    (tmp_path / "teacher" / "model.keras").write_bytes(b"abc")
    return Run(tmp_path / "teacher", record)


def test_a_fitting_teacher_is_opened_and_described(
    run: Run, shades: Dataset, preprocessing: Preprocessing
) -> None:
    opened = open_teacher(DistillationSpec(teacher=str(run.folder)), shades, preprocessing)
    assert opened == run
    described = describe_teacher(opened)
    assert described.name == "teacher"
    # Of "abc": the example in FIPS 180-2.
    assert described.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert described.validation.rate == 0.95


def test_a_missing_teacher_is_told(shades: Dataset, preprocessing: Preprocessing, tmp_path: Path) -> None:
    spec = DistillationSpec(teacher=str(tmp_path / "nobody"))
    with pytest.raises(TrainingError, match=r"The teacher .*nobody is neither a finished run nor") as caught:
        open_teacher(spec, shades, preprocessing)
    assert "--set training.distillation.teacher=RUN" in caught.value.mend


def test_a_damaged_bundle_is_no_teacher(run: Run, shades: Dataset, preprocessing: Preprocessing) -> None:
    (run.folder / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match=r"manifest\.json"):
        open_teacher(DistillationSpec(teacher=str(run.folder)), shades, preprocessing)


def test_the_teacher_is_the_model_before_compression(run: Run) -> None:
    (run.folder / "reference.keras").write_bytes(b"")
    # Of nothing: the well-known SHA-256 of the empty string.
    assert describe_teacher(run).sha256.startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_a_teacher_without_its_model_is_told(run: Run) -> None:
    run.model_path.unlink()
    with pytest.raises(ModelError, match=r"model\.keras: there is no such model file"):
        describe_teacher(run)


def test_a_teacher_that_does_not_fit_is_told(run: Run, shades: Dataset, preprocessing: Preprocessing) -> None:
    spec = DistillationSpec(teacher=str(run.folder))
    other_classes = Dataset(shades.images, shades.labels, ("black", "white"), "shades", "train")
    with pytest.raises(TrainingError, match="knows the classes dark, bright; these images have black, white"):
        open_teacher(spec, other_classes, preprocessing)
    with pytest.raises(TrainingError, match="sees images of 4 x 4 pixels; these have 8 x 4"):
        open_teacher(spec, shades, preprocessing.model_copy(update={"height": 8}))
    # One image more than the teacher had may be one that is held out here.
    with pytest.raises(TrainingError, match="maybe from some that are held out here") as caught:
        open_teacher(spec, shades.select(slice(1, None)), preprocessing)
    assert caught.value.mend == "Train the teacher with the same [data] and seed."
