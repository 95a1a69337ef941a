"""Training: a recipe and a data set become a run."""

import hashlib
from pathlib import Path

import tf_keras

from edgecifar.artifacts import Dataset, Preprocessing, Run, RunRecord
from edgecifar.choices import Device
from edgecifar.learning.devices import keras_policy, place
from edgecifar.learning.evaluation import Evaluator
from edgecifar.learning.feed import Feed
from edgecifar.learning.loop import Plan, descend
from edgecifar.learning.optimizers import make_optimizer
from edgecifar.learning.recording import environment, sparsity, write_run
from edgecifar.learning.schedules import learning_rates
from edgecifar.models import build_model
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import Recipe


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
        TrainingError: The loss is no longer finite, or the checkpoint is of another recipe.
    """
    spec = recipe.training
    placement = place(device)
    precision = placement.precision(spec.precision)
    progress.say(f"Training on {', '.join(placement.names)} in {precision}.")
    input_shape = (preprocessing.height, preprocessing.width, 3)
    classes = len(train_data.class_names)
    tf_keras.mixed_precision.set_global_policy(keras_policy(precision))
    try:
        with placement.strategy.scope():
            model = build_model(recipe.model, input_shape, classes, recipe.seed)
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
        identity=_identity(recipe, train_data),
        compile_step=placement.on_gpu and placement.strategy.num_replicas_in_sync == 1,
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
        sparsity=sparsity(final),
        parameters=final.count_params(),
        validation=Evaluator(final, validation, preprocessing)().accuracy,
        duration_s=sum(row.seconds for row in rows),
        environment=environment(placement, precision),
        command=command,
    )
    return write_run(folder, record, final, rows)


def _identity(recipe: Recipe, data: Dataset) -> str:
    """Returns a hash of all that the training depends on; compression comes after it."""
    content = recipe.model_dump_json(exclude={"compression", "calibration", "description", "name"})
    return hashlib.sha256((content + data.fingerprint).encode()).hexdigest()
