"""The training loop: epochs of steps, with averages, checkpoints and evaluation."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from edgecifar.errors import TrainingError
from edgecifar.learning.averaging import WeightAverage
from edgecifar.learning.checkpoint import Checkpointer, EpochRow
from edgecifar.learning.devices import Placement
from edgecifar.learning.distillation import Distillation
from edgecifar.learning.evaluation import Evaluator
from edgecifar.learning.feed import Feed
from edgecifar.progress import Progress, Task


class Hook(Protocol):
    """What a compression does beside the descent."""

    def before_epoch(self, done: float) -> bool:
        """Called with the share of epochs that are done; returns whether it changed how layers train."""
        ...

    def after_epoch(self) -> None:
        """Called before the epoch's result is measured and saved."""
        ...


class NoHook:
    """Plain training."""

    def before_epoch(self, done: float) -> bool:
        """Changes nothing."""
        return False

    def after_epoch(self) -> None:
        """Changes nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to descend."""

    phase: str
    """As the history names it: "train", "prune" or "quantize"."""
    epochs: int
    rates: NDArray[np.float32]
    """Learning rate of every step, (epochs x steps_per_epoch,)."""
    label_smoothing: float
    average_decay: float
    """0: no averaging."""
    seed: int
    """Of dropout."""
    identity: str
    """Of recipe and data, for checkpoints."""
    compile_step: bool
    """XLA: faster on GPUs, slower on CPUs, and not for fake quantization or pruning."""
    distillation: Distillation | None = None
    """None: the labels alone teach."""


FIGURES_EVERY = 10
"""Steps between two looks at loss and accuracy."""

Step = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def descend(
    model: tf_keras.Model,
    optimizer: tf_keras.optimizers.Optimizer,
    plan: Plan,
    feed: Feed,
    evaluator: Evaluator,
    placement: Placement,
    folder: Path,
    progress: Progress,
    hook: Hook | None = None,
) -> tuple[EpochRow, ...]:
    """Trains the model in place, from its checkpoint if `folder` holds one, and returns the history.

    At the end the model has the averaged weights, if the plan averages.

    Args:
        model: Built under the placement's strategy.
        optimizer: Made for the model.
        plan: How to descend.
        feed: Batches.
        evaluator: Of this model on the validation split.
        placement: The devices.
        folder: `checkpoint/` and TensorBoard's `events/` go in here.
        progress: Told of each step.
        hook: Of a compression.

    Raises:
        TrainingError: The loss is no longer finite, or the checkpoint does not fit.
    """
    hook = hook or NoHook()
    with placement.strategy.scope():
        optimizer.build(model.trainable_variables)
        average = WeightAverage(model, plan.average_decay) if plan.average_decay else None
    state = {"model": model, "optimizer": optimizer} | ({"average": average} if average else {})
    checkpointer = Checkpointer(folder / "checkpoint" / plan.phase, plan.identity, state)
    rows = checkpointer.restore()
    if rows:
        progress.say(f"Going on after epoch {len(rows)} of {plan.epochs}.")
    events = tf.summary.create_file_writer(str(folder / "events" / plan.phase))
    step_function: Step | None = None
    with progress.task(plan.phase, feed.count * plan.epochs, "images") as task, events.as_default():
        task.advance(feed.count * len(rows))
        for epoch in range(len(rows), plan.epochs):
            _reseed_dropout(model, plan.seed, epoch)
            if hook.before_epoch(epoch / plan.epochs) or step_function is None:
                step_function = _make_step(model, optimizer, plan, average, placement)
            row = _epoch(epoch, step_function, optimizer, plan, feed, task)
            hook.after_epoch()
            if average:
                with average.in_place():
                    evaluation = evaluator()
            else:
                evaluation = evaluator()
            # The last step may have spoilt the weights after the last loss was measured.
            _check_finite(evaluation.loss, epoch)
            update = {"val_loss": evaluation.loss, "val_accuracy": evaluation.accuracy.rate}
            rows = (*rows, row.model_copy(update=update))
            checkpointer.save(rows)
            for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
                tf.summary.scalar(name, getattr(rows[-1], name), step=epoch + 1)
            events.flush()
            task.advance(0, epoch=epoch + 1, val_accuracy=evaluation.accuracy.rate)
    if average:
        average.take_over()
    return rows


def _reseed_dropout(model: tf_keras.Model, seed: int, epoch: int) -> None:
    """Makes dropout a function of seed and epoch, so that a training that continues drops the same."""
    dropouts = [layer for layer in model.submodules if isinstance(layer, tf_keras.layers.Dropout)]
    for index, layer in enumerate(dropouts):
        # Keras has no public way to a layer's generator, and does not save its state in a checkpoint.
        layer._random_generator._generator.reset_from_seed([seed, epoch, index])  # noqa: SLF001


def _epoch(
    epoch: int,
    step_function: Step,
    optimizer: tf_keras.optimizers.Optimizer,
    plan: Plan,
    feed: Feed,
    task: Task,
) -> EpochRow:
    """Trains one epoch and returns its row, without validation."""
    started = time.perf_counter()
    rates = plan.rates[epoch * feed.steps_per_epoch : (epoch + 1) * feed.steps_per_epoch]
    loss_sum, correct = tf.zeros([], tf.float64), tf.zeros([], tf.int64)
    seen = told = 0
    for index, (values, labels) in enumerate(feed.epoch(epoch)):
        optimizer.learning_rate.assign(rates[index])
        count = min(feed.batch_size, feed.count - seen)
        loss, right = step_function(values, labels, tf.constant(count, tf.float32))
        loss_sum += tf.cast(loss, tf.float64) * count
        correct += tf.cast(right, tf.int64)
        seen += count
        # Reading a figure waits for the device: now and then is enough.
        if index % FIGURES_EVERY == 0 or seen == feed.count:
            figures = {"loss": float(loss_sum) / seen, "accuracy": int(correct) / seen}
            task.advance(seen - told, epoch=epoch + 1, **figures)
            told = seen
    loss = float(loss_sum) / seen
    _check_finite(loss, epoch)
    return EpochRow(
        epoch=epoch + 1,
        phase=plan.phase,
        learning_rate=float(rates[-1]),
        loss=loss,
        accuracy=int(correct) / seen,
        val_loss=math.nan,
        val_accuracy=math.nan,
        seconds=time.perf_counter() - started,
    )


def _check_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"The loss is {loss} in epoch {epoch + 1}: the training diverged.", "Lower the learning rate."
        )


def _make_step(
    model: tf_keras.Model,
    optimizer: tf_keras.optimizers.Optimizer,
    plan: Plan,
    average: WeightAverage | None,
    placement: Placement,
) -> Step:
    """Returns the compiled function that makes one step over all replicas.

    It takes values (N, height, width, 3), label probabilities (N, classes) and N over all replicas, and
    returns the mean loss and the number of images that were classified rightly.
    """
    strategy = placement.strategy
    loss_of = tf_keras.losses.CategoricalCrossentropy(
        label_smoothing=plan.label_smoothing, reduction=tf_keras.losses.Reduction.NONE
    )
    scales = isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
    distillation = plan.distillation

    @tf.function(jit_compile=plan.compile_step)
    def on_replica(values: tf.Tensor, labels: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        targets = distillation.targets(values) if distillation else None
        with tf.GradientTape() as tape:
            probabilities = model(values, training=True)
            losses = loss_of(labels, probabilities)
            if distillation:
                losses = distillation.loss(targets, probabilities, losses)
            loss = tf.reduce_sum(losses) / count
            if model.losses:
                loss += tf.add_n(model.losses) / strategy.num_replicas_in_sync
            target = optimizer.get_scaled_loss(loss) if scales else loss
        gradients = tape.gradient(target, model.trainable_variables)
        if scales:
            gradients = optimizer.get_unscaled_gradients(gradients)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        right = tf.argmax(probabilities, axis=1) == tf.argmax(labels, axis=1)
        return loss, tf.reduce_sum(tf.cast(right, tf.int32))

    def step(values: tf.Tensor, labels: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        loss, right = strategy.run(on_replica, args=(values, labels, count))
        if average:
            average.update(optimizer.iterations - 1)
        total = tf.distribute.ReduceOp.SUM
        return strategy.reduce(total, loss, axis=None), strategy.reduce(total, right, axis=None)

    compiled: Step = tf.function(step, reduce_retracing=True)
    return compiled
