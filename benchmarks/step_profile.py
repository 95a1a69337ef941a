"""Where the time of one training step goes, and how far it is from the processor's peak.

The profiled epoch is one of the training loop; the peak is that of a large matrix product in the same
process.
"""

import argparse
import collections
import itertools
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from input_pipeline import load_images, take
from loop import epoch_seconds
from timing import TIMES, Figure, Machine, Outcome, Spread, interleave, ratios, tell

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.data import fit_preprocessing
from edgecifar.learning.devices import Placement, keras_policy, place
from edgecifar.learning.feed import Feed
from edgecifar.models import build_model, layer_costs
from edgecifar.recipe import Precision, Recipe, load_recipe

SIDE = 2048
"""Of the square matrices whose product shows the peak: 8.6 billion multiply-adds."""
GIGA = 1e9
SHOWN = 12
"""Kinds of operation that are listed; the rest is summed up."""


def measure(arguments: argparse.Namespace) -> Outcome:
    """Returns the times of a step and its parts, its multiply-add rate and the peak, and the operations."""
    machine = Machine.here(("tensorflow", "tf-keras", "numpy"))
    placement = place(arguments.device)
    recipe = load_recipe(arguments.recipe, arguments.set)
    steps, size = arguments.steps, recipe.training.batch_size
    precision = placement.precision(recipe.training.precision)
    data = load_images(arguments.data_dir, steps * size)
    preprocessing = fit_preprocessing(recipe.preprocessing, data)
    feed = Feed(data, recipe.augmentation, preprocessing, size, recipe.seed, placement.strategy)
    tell(f"{recipe.name}: {recipe.model.name}, batch {size}, in {precision}")
    profile = ProfilingHook(arguments.repeats + 1)
    epochs = arguments.repeats + 2
    seconds = epoch_seconds(recipe, data, preprocessing, feed, placement, epochs, profile)
    whole = [took / steps for took in seconds[1:-1]]
    parts = time_parts(recipe, data, preprocessing, feed, placement, steps, arguments.repeats)
    forward, training = multiply_adds(recipe, preprocessing, len(data.class_names))
    peak = [SIDE**3 / GIGA / took for took in parts[f"matrix product, {precision}"]]
    rate = [training * size / GIGA / took for took in whole]
    unit = "ms a step"
    figures = [Figure("whole step", unit, _in_ms(whole))]
    figures += [
        Figure(name, unit, _in_ms(took)) for name, took in parts.items() if not name.startswith("matrix")
    ]
    figures += [
        Figure(f"{name}, {SIDE} x {SIDE}", "G multiply-adds/s", Spread.of([SIDE**3 / GIGA / t for t in took]))
        for name, took in parts.items()
        if name.startswith("matrix")
    ]
    figures += [
        Figure("whole step", "G multiply-adds/s", Spread.of(rate)),
        Figure(f"whole step / matrix product, {precision}", TIMES, Spread.of(ratios(rate, peak))),
    ]
    settings = {
        "recipe": recipe.name,
        "batch": size,
        "precision": str(precision),
        "multiply-adds an image": f"{forward:,} forward, {training:,} in training",
        "steps": steps,
        "repeats": arguments.repeats,
        "device": ", ".join(placement.names),
    }
    return Outcome("training profile", machine, settings, tuple(figures), describe(profile.by_kind, steps))


def multiply_adds(recipe: Recipe, preprocessing: Preprocessing, classes: int) -> tuple[int, int]:
    """Returns the multiply-adds of one image, forward and in training.

    Each layer's gradient takes as many for its weights and as many again for its input; the first layer has
    no gradient of its input.
    """
    shape = (preprocessing.height, preprocessing.width, 3)
    costs = [
        cost.multiply_adds for cost in layer_costs(build_model(recipe.model, shape, classes, recipe.seed))
    ]
    first = next(cost for cost in costs if cost)
    return sum(costs), 3 * sum(costs) - first


def time_parts(
    recipe: Recipe,
    data: Dataset,
    preprocessing: Preprocessing,
    feed: Feed,
    placement: Placement,
    steps: int,
    repeats: int,
) -> dict[str, list[float]]:
    """Returns the seconds of one step's parts, and of one matrix product in each arithmetic."""
    import tensorflow as tf
    from tf_keras.losses import categorical_crossentropy
    from tf_keras.mixed_precision import set_global_policy

    set_global_policy(keras_policy(placement.precision(recipe.training.precision)))
    try:
        shape = (preprocessing.height, preprocessing.width, 3)
        model = build_model(recipe.model, shape, len(data.class_names), recipe.seed)
    finally:
        set_global_policy("float32")
    values, labels = next(feed.epoch(0))

    @tf.function  # type: ignore[untyped-decorator]
    def forward() -> tf.Tensor:
        probabilities = model(values, training=True)
        return tf.reduce_mean(categorical_crossentropy(labels, probabilities))

    @tf.function  # type: ignore[untyped-decorator]
    def gradients() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = forward()
        return list(tape.gradient(loss, model.trainable_variables))

    batches = itertools.chain.from_iterable(map(feed.epoch, itertools.count()))
    variants: dict[str, Callable[[], object]] = {
        "feed: shuffle, augment, normalize": partial(take, batches, steps),
        "forward": partial(_repeat, forward, steps),
        "forward and gradients": partial(_repeat, gradients, steps),
    }
    for precision in dict.fromkeys((Precision.FLOAT32, placement.precision(recipe.training.precision))):
        variants[f"matrix product, {precision}"] = partial(_repeat, _product(precision), steps)
    seconds = interleave(variants, repeats)
    return {name: [took / steps for took in seconds[name]] for name in variants}


def _product(precision: Precision) -> Callable[[], object]:
    import tensorflow as tf

    drawn = np.random.default_rng(0).normal(size=(2, SIDE, SIDE))
    left, right = (tf.constant(matrix, tf.as_dtype(precision.value)) for matrix in drawn)
    product: Callable[[], object] = tf.function(lambda: tf.matmul(left, right))
    return product


def _repeat(function: Callable[[], object], count: int) -> None:
    """Calls a function so often, and waits for the last result."""
    import tensorflow as tf

    result = None
    for _ in range(count):
        result = function()
    for tensor in tf.nest.flatten(result):
        np.asarray(tensor)


def _in_ms(seconds: list[float]) -> Spread:
    return Spread.of([1000 * took for took in seconds])


class ProfilingHook:
    """Profiles one epoch of the loop with TensorFlow's profiler.

    Args:
        epoch: From 0.
    """

    def __init__(self, epoch: int) -> None:
        self.by_kind: collections.Counter[str] = collections.Counter()
        """Picoseconds of all threads, by kind of operation."""
        self._left = epoch
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def before_epoch(self, done: float) -> bool:
        """Starts the profiler before its epoch."""
        import tensorflow as tf

        if self._left == 0:
            self._folder = tempfile.TemporaryDirectory()
            tf.profiler.experimental.start(self._folder.name)
        self._left -= 1
        return False

    def after_epoch(self) -> None:
        """Stops it and reads what it saw."""
        import tensorflow as tf

        if self._folder is not None:
            tf.profiler.experimental.stop()
            self.by_kind = read_profile(Path(self._folder.name))
            self._folder.cleanup()
            self._folder = None


def read_profile(folder: Path) -> collections.Counter[str]:
    """Returns the picoseconds that operations took in a profile, over all threads, by kind."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    by_kind: collections.Counter[str] = collections.Counter()
    for path in folder.rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(path.read_bytes())
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    # An operation's event is called NAME:KIND, a function of TensorFlow's own CLASS::METHOD.
                    name, colon, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                    if colon and kind.isidentifier() and not name.endswith(":"):
                        by_kind[kind] += event.duration_ps
    return by_kind


def describe(by_kind: collections.Counter[str], steps: int) -> tuple[str, ...]:
    """Returns a line for each of the dearest kinds of operation: milliseconds a step, summed over threads."""
    total = sum(by_kind.values())
    lines = ["Operations of one step by TensorFlow's profiler, summed over threads:"]
    shown = by_kind.most_common(SHOWN)
    rest = total - sum(took for _, took in shown)
    for kind, took in [*shown, (f"{len(by_kind) - len(shown)} others", rest)]:
        if took:
            lines.append(f"  {took / 1e9 / steps:8.2f} ms  {100 * took / total:5.1f} %  {kind}")
    return tuple(lines)
