"""Training: a recipe and a data set become a run."""

import hashlib
from pathlib import Path

import tf_keras

from edgecifar.artifacts import Dataset, Preprocessing, Run, RunRecord, Teacher
from edgecifar.choices import Device
from edgecifar.learning.devices import keras_policy, place
from edgecifar.learning.distillation import describe_teacher, distill, open_teacher
from edgecifar.learning.evaluation import Evaluator
from edgecifar.learning.feed import Feed
from edgecifar.learning.initialization import whiten
from edgecifar.learning.loop import Plan, descend
from edgecifar.learning.optimizers import make_optimizer
from edgecifar.learning.recording import environment, sparsity, write_run
from edgecifar.learning.schedules import learning_rates
from edgecifar.learning.trained import read_teacher
from edgecifar.models import build_model
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import Initialization, Recipe

WHITENING_IMAGES = 1_000
"""Whose patches whiten the first convolution."""


def train(
    recipe: Recipe,
    train_data: Dataset,
    validation: Dataset,
    preprocessing: Preprocessing,
    folder: Path,
    *,
    name: str,
    command: str,
    device: Device = Device.AUTO,
    progress: Progress = SILENT,
) -> Run:
    """Returns the run of a recipe, begun afresh or continued from the checkpoint in `folder`.

    Compression is not part of it.

    Args:
        recipe: What to train, and how.
        train_data: What to learn from.
        validation: What to measure on after each epoch; nothing is learned from it.
        preprocessing: What the model sees.
        folder: The run's.
        name: The run's.
        command: What to type to repeat the run.
        device: Where to train.
        progress: Told of each step.

    Raises:
        EngineMissingError: The device is not here.
        TrainingError: The loss is no longer finite, the checkpoint is of another recipe, or the teacher does
            not fit.
        ModelError: The teacher cannot be read.
    """
    spec = recipe.training
    placement = place(device)
    precision = placement.precision(spec.precision)
    progress.say(f"Training on {', '.join(placement.names)} in {precision}.")
    teacher_run = open_teacher(spec.distillation, train_data, preprocessing) if spec.distillation else None
    teacher = describe_teacher(teacher_run) if teacher_run else None
    input_shape = (preprocessing.height, preprocessing.width, 3)
    classes = len(train_data.class_names)
    tf_keras.mixed_precision.set_global_policy(keras_policy(precision))
    try:
        with placement.strategy.scope():
            distillation = None
            if spec.distillation and teacher_run:
                progress.say(f"The teacher is {teacher_run.record.name}.")
                # Before the student: building a network sets the global seeds.
                network = read_teacher(teacher_run)
                distillation = distill(spec.distillation, teacher_run, network, preprocessing)
            model = build_model(recipe.model, input_shape, classes, recipe.seed)
            if spec.initialization is Initialization.WHITENED:
                whiten(model, preprocessing.apply(train_data.images[:WHITENING_IMAGES]))
            optimizer = make_optimizer(spec.optimizer, precision)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    feed = Feed(
        train_data, recipe.augmentation, preprocessing, spec.batch_size, recipe.seed, placement.strategy
    )
    plan = Plan(
        phase="train",
        epochs=spec.epochs,
        rates=learning_rates(spec.schedule, spec.optimizer, spec.epochs, feed.steps_per_epoch),
        label_smoothing=spec.label_smoothing,
        average_decay=spec.ema,
        seed=recipe.seed,
        identity=_identity(recipe, train_data, teacher),
        compile_step=placement.on_gpu and placement.strategy.num_replicas_in_sync == 1,
        distillation=distillation,
    )
    evaluator = Evaluator(model, validation, preprocessing)
    rows = descend(model, optimizer, plan, feed, evaluator, placement, folder, progress)

    # What is kept, measured and exported computes in float32, whatever the training computed in.
    final = build_model(recipe.model, input_shape, classes, recipe.seed)
    final.set_weights(model.get_weights())
    record = RunRecord(
        name=name,
        recipe=recipe,
        preprocessing=preprocessing,
        class_names=train_data.class_names,
        train_fingerprint=train_data.fingerprint,
        teacher=teacher,
        sparsity=sparsity(final),
        parameters=final.count_params(),
        validation=Evaluator(final, validation, preprocessing)().accuracy,
        duration_s=sum(row.seconds for row in rows),
        environment=environment(placement, precision),
        command=command,
    )
    return write_run(folder, record, final, rows)


def _identity(recipe: Recipe, data: Dataset, teacher: Teacher | None) -> str:
    """Returns a hash of all that the training depends on; compression comes after it."""
    content = recipe.model_dump_json(exclude={"compression", "calibration", "description", "name"})
    content += data.fingerprint + (teacher.sha256 if teacher else "")
    return hashlib.sha256(content.encode()).hexdigest()
