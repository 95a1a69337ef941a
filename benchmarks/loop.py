"""The training loop of `edgecifar train`, for benchmarks: real epochs, timed one by one."""

import tempfile
from pathlib import Path

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.learning.devices import Placement, keras_policy
from edgecifar.learning.evaluation import Evaluator
from edgecifar.learning.feed import Feed
from edgecifar.learning.loop import Hook, Plan, descend
from edgecifar.learning.optimizers import make_optimizer
from edgecifar.learning.schedules import learning_rates
from edgecifar.models import build_model
from edgecifar.progress import SILENT
from edgecifar.recipe import Recipe

EVALUATED = 10
"""The loop evaluates after each epoch, which is not timed: few images do."""


def epoch_seconds(
    recipe: Recipe,
    data: Dataset,
    preprocessing: Preprocessing,
    feed: Feed,
    placement: Placement,
    epochs: int,
    hook: Hook | None = None,
) -> list[float]:
    """Returns the seconds of each epoch of a fresh training, without evaluation and checkpoints.

    The first epoch also traces the step.

    Args:
        recipe: Network, optimiser, averaging and arithmetic; feed and length are given apart.
        data: Some images of the feed, for the evaluation.
        preprocessing: Of the feed.
        feed: Batches.
        placement: The devices.
        epochs: How many.
        hook: Called around each epoch.
    """
    from tf_keras.mixed_precision import set_global_policy

    spec = recipe.training
    precision = placement.precision(spec.precision)
    shape = (preprocessing.height, preprocessing.width, 3)
    set_global_policy(keras_policy(precision))
    try:
        with placement.strategy.scope():
            model = build_model(recipe.model, shape, len(data.class_names), recipe.seed)
            optimizer = make_optimizer(spec.optimizer, precision)
    finally:
        set_global_policy("float32")
    plan = Plan(
        phase="train",
        epochs=epochs,
        rates=learning_rates(spec.schedule, spec.optimizer, epochs, feed.steps_per_epoch),
        label_smoothing=spec.label_smoothing,
        average_decay=spec.ema,
        seed=recipe.seed,
        identity="benchmark",
        compile_step=placement.on_gpu,
    )
    evaluator = Evaluator(model, data.select(slice(0, EVALUATED)), preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        rows = descend(model, optimizer, plan, feed, evaluator, placement, Path(folder), SILENT, hook)
    return [row.seconds for row in rows]
