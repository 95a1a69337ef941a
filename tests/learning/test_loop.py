import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.errors import TrainingError
from edgecifar.learning.checkpoint import EpochRow
from edgecifar.learning.devices import Placement
from edgecifar.learning.evaluation import Evaluator
from edgecifar.learning.feed import Feed
from edgecifar.learning.loop import Hook, Plan, descend
from edgecifar.learning.optimizers import make_optimizer
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import AugmentationSpec, OptimizerSpec, Precision


@dataclasses.dataclass
class Watcher:
    """Progress that keeps what it was told."""

    said: list[str] = dataclasses.field(default_factory=list)
    task_told: tuple[str, int, str] = ("", 0, "")
    advanced: int = 0
    figures: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> "Iterator[Watcher]":
        self.task_told = (name, total, unit)
        yield self

    def advance(self, amount: int = 1, **figures: float) -> None:
        self.advanced += amount
        self.figures |= figures

    def say(self, message: str) -> None:
        self.said.append(message)


@dataclasses.dataclass
class Problem:
    """All that `descend` takes, for the dark and bright images."""

    model: tf_keras.Model
    feed: Feed
    evaluator: Evaluator
    cpu: Placement
    folder: Path

    def solve(
        self,
        rates: list[float],
        epochs: int,
        hook: Hook | None = None,
        progress: Progress = SILENT,
        average_decay: float = 0.0,
        label_smoothing: float = 0.0,
        precision: Precision = Precision.FLOAT32,
        *,
        compile_step: bool = False,
    ) -> tuple[EpochRow, ...]:
        """Descends with one learning rate an epoch."""
        plan = Plan(
            phase="train",
            epochs=epochs,
            rates=np.repeat(np.array(rates, np.float32), self.feed.steps_per_epoch),
            label_smoothing=label_smoothing,
            average_decay=average_decay,
            seed=0,
            identity="shades",
            compile_step=compile_step,
        )
        with self.cpu.strategy.scope():
            optimizer = make_optimizer(OptimizerSpec(learning_rate=0.1), precision)
        return descend(
            self.model, optimizer, plan, self.feed, self.evaluator, self.cpu, self.folder, progress, hook
        )


@pytest.fixture
def problem(
    dense_model: tf_keras.Model,
    feed: Feed,
    shades: Dataset,
    preprocessing: Preprocessing,
    cpu: Placement,
    tmp_path: Path,
) -> Problem:
    return Problem(dense_model, feed, Evaluator(dense_model, shades, preprocessing), cpu, tmp_path)


def test_an_easy_problem_is_learned_and_told(problem: Problem) -> None:
    watcher = Watcher()
    rows = problem.solve([0.01, 0.02, 0.0], 3, progress=watcher)
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert {row.phase for row in rows} == {"train"}
    assert [row.learning_rate for row in rows] == pytest.approx([0.01, 0.02, 0.0])
    assert rows[0].loss > rows[1].loss > rows[2].loss
    assert rows[2].accuracy == rows[2].val_accuracy == 1.0
    assert rows[2].val_loss == problem.evaluator().loss
    assert watcher.task_told == ("train", 150, "images")
    assert watcher.advanced == 150
    assert watcher.figures["val_accuracy"] == 1.0
    assert {"epoch", "loss", "accuracy"} <= set(watcher.figures)


def test_the_loss_is_the_mean_over_images_not_batches(problem: Problem) -> None:
    # All weights are zero and stay so: each loss is ln 2, whatever the size of the batch.
    (row,) = problem.solve([0.0], 1)
    assert row.loss == pytest.approx(math.log(2), rel=1e-6)
    assert row.accuracy == 0.5


def test_label_smoothing_is_in_the_loss_and_not_in_what_is_measured(
    problem: Problem, shades: Dataset, preprocessing: Preprocessing
) -> None:
    bright = shades.select(np.arange(1, 50, 2))
    problem.feed = Feed(bright, AugmentationSpec(), preprocessing, 16, 1, problem.cpu.strategy)
    problem.evaluator = Evaluator(problem.model, bright, preprocessing)
    bias = np.array([0, math.log(3)], np.float32)
    problem.model.get_layer("logits").set_weights([np.zeros((48, 2), np.float32), bias])
    (row,) = problem.solve([0.0], 1, label_smoothing=0.2)
    # Probabilities 1/4 and 3/4 against labels of 0.1 and 0.9.
    assert row.loss == pytest.approx(-0.1 * math.log(0.25) - 0.9 * math.log(0.75), rel=1e-5)
    assert row.val_loss == pytest.approx(-math.log(0.75), rel=1e-5)


def test_figures_are_written_for_tensorboard(problem: Problem) -> None:
    rows = problem.solve([0.01, 0.0], 2)
    events = EventAccumulator(str(problem.folder / "events" / "train")).Reload()
    names = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert set(events.Tags()["tensors"]) == names
    for name in names:
        told = events.Tensors(name)
        assert [event.step for event in told] == [1, 2]
        values = [float(tf.make_ndarray(event.tensor_proto)) for event in told]
        assert values == pytest.approx([getattr(row, name) for row in rows])


def test_a_diverging_training_is_stopped(problem: Problem) -> None:
    watcher = Watcher()
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) in epoch 2") as caught:
        problem.solve([0.01, 1e38], 2, progress=watcher)
    assert caught.value.mend == "Lower the learning rate."
    # What was good is kept.
    assert len(problem.solve([0.01], 1)) == 1


class SpoilingHook:
    """Does what the last step of a diverging training may do."""

    def __init__(self, model: tf_keras.Model) -> None:
        self._model = model

    def before_epoch(self, done: float) -> bool:
        return False

    def after_epoch(self) -> None:
        self._model.get_layer("logits").bias.assign([math.nan, math.nan])


def test_a_training_that_diverges_in_its_last_step_is_stopped(problem: Problem) -> None:
    with pytest.raises(TrainingError, match="The loss is nan in epoch 1"):
        problem.solve([0.01], 1, hook=SpoilingHook(problem.model))
    assert not (problem.folder / "checkpoint").exists()


class RecordingHook:
    """Keeps the order of calls, and gives the model away to one class at an epoch's end."""

    def __init__(self, problem: Problem) -> None:
        self.calls: list[str] = []
        self._problem = problem

    def before_epoch(self, done: float) -> bool:
        saved = sorted(path.name for path in self._problem.folder.glob("checkpoint/*"))
        self.calls.append(f"before at {done:g}, saved: {', '.join(saved) or 'nothing'}")
        return False

    def after_epoch(self) -> None:
        self.calls.append("after")
        self._problem.model.get_layer("logits").bias.assign([1000, 0])


def test_hooks_are_called_around_each_epoch_and_before_it_is_measured(problem: Problem) -> None:
    hook = RecordingHook(problem)
    rows = problem.solve([0.0, 0.0], 2, hook=hook)
    assert hook.calls == ["before at 0, saved: nothing", "after", "before at 0.5, saved: train", "after"]
    # The bias says "dark": half of the images, and dear for the others.
    assert rows[0].val_accuracy == 0.5
    assert rows[0].val_loss > 5 > rows[0].loss


class FreezingHook:
    """Freezes the layer after the first epoch."""

    def __init__(self, model: tf_keras.Model) -> None:
        self._layer = model.get_layer("logits")
        self.kernels: list[np.ndarray] = []

    def before_epoch(self, done: float) -> bool:
        self.kernels.append(self._layer.kernel.numpy())
        self._layer.trainable = done == 0
        return done > 0

    def after_epoch(self) -> None:
        pass


def test_a_hook_that_changes_how_layers_train_gets_a_new_step(problem: Problem) -> None:
    hook = FreezingHook(problem.model)
    problem.solve([0.01, 0.01], 2, hook=hook)
    assert (hook.kernels[0] == 0).all()
    assert (hook.kernels[1] != 0).all()
    np.testing.assert_array_equal(problem.model.get_layer("logits").kernel, hook.kernels[1])


def test_averaged_weights_are_measured_and_kept(problem: Problem) -> None:
    rows = problem.solve([0.01, 0.02], 2, average_decay=0.9)
    kept = problem.evaluator()
    assert rows[-1].val_loss == pytest.approx(kept.loss, rel=1e-6)

    problem.folder = problem.folder / "plain"
    problem.model.get_layer("logits").set_weights([np.zeros((48, 2), np.float32), np.zeros(2, np.float32)])
    plain = problem.solve([0.01, 0.02], 2)
    # The descent is the same, what is measured is not: the average lags behind.
    assert [row.loss for row in plain] == pytest.approx([row.loss for row in rows])
    assert plain[-1].val_loss < rows[-1].val_loss


def test_a_finished_training_is_restored_whole(problem: Problem) -> None:
    first = problem.solve([0.01, 0.02], 2, average_decay=0.9)
    weights = problem.model.get_weights()
    problem.model.get_layer("logits").set_weights([np.zeros((48, 2), np.float32), np.zeros(2, np.float32)])
    watcher = Watcher()
    assert problem.solve([0.01, 0.02], 2, average_decay=0.9, progress=watcher) == first
    assert watcher.said == ["Going on after epoch 2 of 2."]
    assert watcher.advanced == 100
    for before, after in zip(weights, problem.model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_what_a_gpu_does_gives_the_same(problem: Problem) -> None:
    plain = problem.solve([0.01, 0.005], 2)
    problem.folder = problem.folder / "as on a GPU"
    problem.model.get_layer("logits").set_weights([np.zeros((48, 2), np.float32), np.zeros(2, np.float32)])
    # XLA, and the scaled loss of float16.
    rows = problem.solve([0.01, 0.005], 2, precision=Precision.FLOAT16, compile_step=True)
    assert [row.loss for row in rows] == pytest.approx([row.loss for row in plain], rel=1e-4)
    assert [row.val_loss for row in rows] == pytest.approx([row.val_loss for row in plain], rel=1e-4)
    # And its state comes back: the scale is part of it.
    assert problem.solve([0.01, 0.005], 2, precision=Precision.FLOAT16, compile_step=True) == rows
