"""Distillation: a student learns from the probabilities of a teacher.

Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531.
"""

from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
import tf_keras

from edgecifar.artifacts import Dataset, Preprocessing, Run, Teacher, open_trained
from edgecifar.artifacts.files import sha256
from edgecifar.errors import ModelError, TrainingError
from edgecifar.recipe import DistillationSpec

SMALLEST = 1e-30
"""Probabilities below it count as this much: the logarithm of a float32 zero would be infinite."""


@dataclass(frozen=True, slots=True)
class Distillation:
    """A teacher, and how much it says."""

    teacher: tf_keras.Model
    """From its own preprocessed images to class probabilities."""
    temperature: float
    weight: float
    """Of the teacher's part of the loss; the labels have the rest."""
    scale: float = 1.0
    """With `offset`, from the student's preprocessed values to the teacher's: scale x value + offset."""
    offset: float = 0.0

    def targets(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the teacher's softened log-probabilities, float32 (N, classes).

        Args:
            values: The student's augmented and preprocessed batch, float32 (N, height, width, 3).
        """
        probabilities = self.teacher(self.scale * values + self.offset, training=False)
        return tf.stop_gradient(_soften(probabilities, self.temperature))

    def loss(self, targets: tf.Tensor, probabilities: tf.Tensor, of_labels: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each image, float32 (N,).

        weight x T^2 x KL(teacher || student) + (1 - weight) x the loss of the labels. T^2 keeps the size of
        the gradient where the temperature T changes.

        Args:
            targets: Of `targets`.
            probabilities: The student's, float32 (N, classes).
            of_labels: The loss of the labels, float32 (N,).
        """
        student = _soften(probabilities, self.temperature)
        divergence = tf.reduce_sum(tf.exp(targets) * (targets - student), axis=1)
        return self.weight * self.temperature**2 * divergence + (1 - self.weight) * of_labels


def _soften(probabilities: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns log softmax(logits / T) of softmax(logits): a shift of all logits changes nothing."""
    return tf.nn.log_softmax(tf.math.log(tf.maximum(probabilities, SMALLEST)) / temperature)


def distill(
    spec: DistillationSpec, teacher: Run, model: tf_keras.Model, preprocessing: Preprocessing
) -> Distillation:
    """Returns the distillation of a recipe.

    Args:
        spec: Temperature and weight.
        teacher: Of `open_teacher`.
        model: The teacher's, under the dtype policy to compute in.
        preprocessing: The student's.
    """
    theirs = teacher.record.preprocessing
    return Distillation(
        teacher=model,
        temperature=spec.temperature,
        weight=spec.weight,
        scale=preprocessing.std / theirs.std,
        offset=(preprocessing.mean - theirs.mean) / theirs.std,
    )


def open_teacher(spec: DistillationSpec, train_data: Dataset, preprocessing: Preprocessing) -> Run:
    """Returns the teacher's run.

    Args:
        spec: Names its folder, or that of a bundle that was exported from it.
        train_data: What the student learns from: the teacher must have learned from the same, or the
            student's validation images might be among those that its teacher knows by heart.
        preprocessing: The student's. Mean and std may differ from the teacher's, the size may not.

    Raises:
        TrainingError: There is no such run, or it does not fit.
        ModelError: Its `run.json` is damaged, or the bundle was altered.
    """
    folder = Path(spec.teacher)
    named = f"The teacher {folder}"
    if not (folder / "run.json").is_file():
        raise TrainingError(
            f"{named} is neither a finished run nor a bundle of one.",
            "Train it first, or name another with --set training.distillation.teacher=RUN.",
        )
    run = open_trained(folder)
    record, theirs = run.record, run.record.preprocessing
    if record.class_names != train_data.class_names:
        raise TrainingError(
            f"{named} knows the classes {', '.join(record.class_names)}; "
            f"these images have {', '.join(train_data.class_names)}."
        )
    if (theirs.height, theirs.width) != (preprocessing.height, preprocessing.width):
        raise TrainingError(
            f"{named} sees images of {theirs.height} x {theirs.width} pixels; "
            f"these have {preprocessing.height} x {preprocessing.width}."
        )
    if record.train_fingerprint != train_data.fingerprint:
        raise TrainingError(
            f"{named} learned from other images, maybe from some that are held out here for validation.",
            "Train the teacher with the same [data] and seed.",
        )
    return run


def describe_teacher(run: Run) -> Teacher:
    """Returns what `run.json` says of a teacher.

    Raises:
        ModelError: Its model file is missing.
    """
    if not run.reference_path.is_file():
        raise ModelError(f"{run.reference_path}: there is no such model file.")
    return Teacher(name=run.record.name, sha256=sha256(run.reference_path), validation=run.record.validation)
