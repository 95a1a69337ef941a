"""The compression stage: a run becomes a smaller run."""

import hashlib
from pathlib import Path

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from numpy.typing import NDArray

from edgecifar.artifacts import Accuracy, Dataset, Run
from edgecifar.choices import Device
from edgecifar.compression.pruning import PruningHook, make_prunable
from edgecifar.compression.quantization import (
    FreezeBatchNormHook,
    make_quantization_aware,
    set_activation_ranges,
)
from edgecifar.compression.safe_weights import widen_ranges
from edgecifar.errors import RecipeError
from edgecifar.learning.checkpoint import EpochRow
from edgecifar.learning.devices import Placement, keras_policy, place
from edgecifar.learning.distillation import Distillation
from edgecifar.learning.evaluation import Evaluator
from edgecifar.learning.feed import Feed
from edgecifar.learning.loop import Hook, Plan, descend
from edgecifar.learning.optimizers import make_optimizer
from edgecifar.learning.recording import environment, read_history, sparsity, write_run
from edgecifar.learning.schedules import learning_rates
from edgecifar.learning.trained import read_model, read_teacher, under_policy
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import (
    CompressionSpec,
    FineTuneSpec,
    OptimizerSpec,
    Precision,
    ScheduleSpec,
)

RANGE_IMAGES = 1024
"""Training images that show where activations lie before quantization-aware training."""


def compress(
    run: Run,
    spec: CompressionSpec,
    train_data: Dataset,
    validation: Dataset,
    folder: Path,
    *,
    name: str,
    command: str,
    device: Device = Device.AUTO,
    progress: Progress = SILENT,
) -> Run:
    """Returns the run pruned, trained quantization-aware, or both, in this order.

    Begun afresh or continued from the checkpoints in `folder`.

    Args:
        run: A trained run, or a bundle's.
        spec: What to do.
        train_data: The images that the run learned from.
        validation: The images held out of them.
        folder: The new run's.
        name: The new run's.
        command: What to type to repeat it.
        device: Where to train.
        progress: Told of each step.

    Raises:
        RecipeError: Nothing is asked for.
        ModelError: The run's model or history cannot be read, or is another run's.
        EngineMissingError: The device is not here.
        TrainingError: The loss is no longer finite, or a checkpoint is of another recipe.
    """
    if spec.is_empty:
        raise RecipeError("There is nothing to compress.", "Ask for --prune SPARSITY, --qat or both.")
    tuner = _Tuner(run, train_data, validation, folder, place(device), progress)
    # Quantization-aware training leaves the float model as it was; a bundle's is that before any compression.
    made_by = {"train"} if run.is_bundled else {"train", "prune"}
    rows = tuple(row for row in read_history(run.history_path) if row.phase in made_by)
    model = read_model(run)
    precisions = []
    if spec.pruning.sparsity:
        model, pruned_rows, precision = _prune(tuner, model, spec)
        rows += pruned_rows
        precisions.append(precision)
    qat_model, quantized = None, None
    if spec.quantization.qat:
        qat_model, quantized_rows, quantized = _quantize(tuner, model, spec)
        rows += quantized_rows
        precisions.append(Precision.FLOAT32)
    record = run.record.model_copy(
        update={
            "name": name,
            "recipe": run.record.recipe.model_copy(update={"compression": spec}),
            "parent": run.record.name,
            "sparsity": sparsity(model),
            "validation": Evaluator(model, validation, run.record.preprocessing)().accuracy,
            "validation_quantized": quantized,
            "duration_s": sum(row.seconds for row in rows),
            "environment": environment(tuner.placement, precisions[-1]),
            "command": command,
        }
    )
    return write_run(folder, record, model, rows, run.reference_path, qat_model)


def _prune(
    tuner: "_Tuner", model: tf_keras.Model, spec: CompressionSpec
) -> tuple[tf_keras.Model, tuple[EpochRow, ...], Precision]:
    """Returns the pruned float model, in float32, its history, and the arithmetic it was trained in."""
    pruning, record = spec.pruning, tuner.run.record
    precision = tuner.placement.precision(record.recipe.training.precision)
    tf_keras.mixed_precision.set_global_policy(keras_policy(precision))
    try:
        with tuner.placement.strategy.scope():
            distillation = tuner.distillation(pruning)
            prunable = make_prunable(under_policy(record, model), pruning, tuner.steps(pruning))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    rows = tuner.tune(prunable, pruning, "prune", precision, PruningHook(prunable), distillation)
    stripped = tfmot.sparsity.keras.strip_pruning(prunable)
    model.set_weights(stripped.get_weights())
    return model, rows, precision


def _quantize(
    tuner: "_Tuner", model: tf_keras.Model, spec: CompressionSpec
) -> tuple[tf_keras.Model, tuple[EpochRow, ...], Accuracy]:
    """Returns the quantization-aware model, its history, and its accuracy on the validation split."""
    quantization = spec.quantization
    with tuner.placement.strategy.scope():
        distillation = tuner.distillation(quantization)
        aware = make_quantization_aware(
            model, keep_zeros=bool(sparsity(model) > 0), saturation_safe=quantization.saturation_safe
        )
    set_activation_ranges(aware, model, tuner.sample(RANGE_IMAGES), quantization.batch_size)
    hook = FreezeBatchNormHook(aware, quantization.freeze_batch_norm)
    rows = tuner.tune(
        aware, quantization, "quantize", Precision.FLOAT32, hook, distillation, quantization.ema
    )
    hook.thaw()
    if quantization.saturation_safe:
        # The last step moved the weights after it had set their ranges.
        widen_ranges(aware)
    accuracy = Evaluator(aware, tuner.validation, tuner.run.record.preprocessing)().accuracy
    return aware, rows, accuracy


def _seed_of(phase: str, seed: int) -> int:
    """Returns another seed than the training's, like a recipe's one of 31 bits.

    With the same one, the first epochs would repeat the training's order and augmentation.
    """
    return (seed + sum(phase.encode())) % 2**31


class _Tuner:
    """Fine-tunes one form of a run's model after the other, on the same images and devices."""

    def __init__(
        self,
        run: Run,
        train_data: Dataset,
        validation: Dataset,
        folder: Path,
        placement: Placement,
        progress: Progress,
    ) -> None:
        self.run = run
        self.validation = validation
        self.placement = placement
        self._train_data = train_data
        self._folder = folder
        self._progress = progress

    def sample(self, count: int) -> NDArray[np.float32]:
        """Returns that many training images (or all), drawn by the recipe's seed and preprocessed."""
        count = min(count, len(self._train_data))
        drawn = np.random.default_rng(self.run.record.recipe.seed).permutation(len(self._train_data))[:count]
        return self.run.record.preprocessing.apply(self._train_data.images[drawn])

    def steps(self, spec: FineTuneSpec) -> int:
        """Returns the number of steps of a fine-tuning."""
        return spec.epochs * -(-len(self._train_data) // spec.batch_size)

    def distillation(self, spec: FineTuneSpec) -> Distillation | None:
        """Returns what the fine-tuning learns from beside the labels: the run's model before any compression.

        It computes under Keras's current dtype policy. None where the recipe asks for none.
        """
        if not spec.distillation:
            return None
        return Distillation(read_teacher(self.run), spec.temperature, spec.distillation)

    def tune(
        self,
        model: tf_keras.Model,
        spec: FineTuneSpec,
        phase: str,
        precision: Precision,
        hook: Hook,
        distillation: Distillation | None,
        average_decay: float = 0.0,
    ) -> tuple[EpochRow, ...]:
        """Trains `model` in place and returns the history."""
        recipe = self.run.record.recipe
        self._progress.say(
            f"{phase.capitalize()}: {spec.epochs} epochs on {', '.join(self.placement.names)} in {precision}."
        )
        preprocessing = self.run.record.preprocessing
        optimizer_spec = OptimizerSpec(
            learning_rate=spec.learning_rate, weight_decay=recipe.training.optimizer.weight_decay
        )
        with self.placement.strategy.scope():
            optimizer = make_optimizer(optimizer_spec, precision)
        seed = _seed_of(phase, recipe.seed)
        feed = Feed(
            self._train_data,
            recipe.augmentation,
            preprocessing,
            spec.batch_size,
            seed,
            self.placement.strategy,
        )
        schedule = ScheduleSpec(name="cosine", warmup=0.1, start=0.1)
        identity = recipe.model_dump_json() + spec.model_dump_json() + self._train_data.fingerprint
        plan = Plan(
            phase=phase,
            epochs=spec.epochs,
            rates=learning_rates(schedule, optimizer_spec, spec.epochs, feed.steps_per_epoch),
            label_smoothing=recipe.training.label_smoothing,
            average_decay=average_decay,
            seed=seed,
            identity=hashlib.sha256(identity.encode()).hexdigest(),
            compile_step=False,
            distillation=distillation,
        )
        evaluator = Evaluator(model, self.validation, preprocessing)
        return descend(
            model, optimizer, plan, feed, evaluator, self.placement, self._folder, self._progress, hook
        )
