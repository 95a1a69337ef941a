"""Speed of the input pipeline: alone, against Keras's ImageDataGenerator, and what it costs a training.

    python benchmarks/input_pipeline.py [--data-dir DIR] [--repeats N] [--batches N] [--steps N] [--json]

Alone: the augmentation of the recipe `seed` over the same images, in batches. Keras's generator gets images
that are normalized already, as in the published script, so that this costs it nothing; it uses one thread, as
`fit` runs it, and the feed uses all cores.

In training: the loop that `edgecifar train` runs, on the recipes `seed` and `edge`, in turn with the recipe's
augmentation and with none.
"""

import argparse
import collections
import itertools
import logging
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from loop import epoch_seconds
from timing import (
    TIMES,
    Bound,
    Figure,
    Goal,
    Machine,
    Outcome,
    Spread,
    interleave,
    make_parser,
    positive,
    ratios,
    rounds,
    run,
    tell,
)

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.choices import Device, Source, Split
from edgecifar.data import fit_preprocessing, load_dataset
from edgecifar.data.augmentation import Batch
from edgecifar.learning.devices import Placement, place
from edgecifar.learning.feed import Feed
from edgecifar.recipe import AugmentationSpec, DataSpec, Flip, Recipe, load_recipe

PIPELINE_GOAL = Goal(Bound.AT_LEAST, 10)
TRAINING_GOAL = Goal(Bound.AT_LEAST, 0.95)
BATCH_SIZES = (64, 128)
RECIPES = ("seed", "edge")
FEED_BATCHES = 10
"""Batches of the feed for each of the generator's, so that both are timed for about as long."""
GENERATOR = "ImageDataGenerator"
AUGMENTED, PLAIN = "augmented", "not augmented"
WARM_UPS = 1
"""Rounds of a training that do not count; the first traces the step."""


def measure(arguments: argparse.Namespace) -> Outcome:
    """Returns the speeds and the ratios that have goals."""
    machine = Machine.here(("tensorflow", "tf-keras", "numpy", "scipy"))
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    placement = place(arguments.device)
    recipes = [load_recipe(name) for name in RECIPES]
    data = load_images(arguments.data_dir, arguments.images)
    figures = compare_alone(recipes[0], data, placement, arguments.repeats, arguments.batches)
    for recipe in recipes:
        figures += compare_training(recipe, data, placement, arguments.repeats, arguments.steps)
    settings = {
        "repeats": arguments.repeats,
        "batches": arguments.batches,
        "steps": arguments.steps,
        "images": f"{len(data):,} of {data.source}",
        "device": ", ".join(placement.names),
    }
    return Outcome("input_pipeline", machine, settings, tuple(figures))


def load_images(data_dir: Path | None, count: int) -> Dataset:
    """Returns so many training images: CIFAR-10's, else the sample's; repeated where there are fewer."""
    spec = DataSpec(source=Source.CIFAR10 if data_dir else Source.SAMPLE)
    data = load_dataset(spec, Split.TRAIN, data_dir=data_dir)
    return data.select(np.resize(np.arange(len(data)), count))


def compare_alone(
    recipe: Recipe, data: Dataset, placement: Placement, repeats: int, batches: int
) -> list[Figure]:
    """Returns images/s of the feed at each batch size and of Keras's generator, and the ratios.

    Args:
        recipe: Whose augmentation and preprocessing are used.
        data: All images, in memory.
        placement: Where the feed computes; Keras's generator is NumPy and SciPy.
        repeats: Rounds that count.
        batches: Of Keras's generator in a round; of the feed `FEED_BATCHES` times as many.
    """
    tell("the pipelines alone")
    preprocessing = fit_preprocessing(recipe.preprocessing, data)
    generator = keras_batches(recipe.augmentation, data, preprocessing, recipe.training.batch_size)
    variants = {GENERATOR: partial(take, generator, batches)}
    images = {GENERATOR: recipe.training.batch_size * batches}
    for size in BATCH_SIZES:
        name = f"Feed, batch {size}"
        feed = Feed(data, recipe.augmentation, preprocessing, size, recipe.seed, placement.strategy)
        epochs = itertools.chain.from_iterable(map(feed.epoch, itertools.count()))
        variants[name] = partial(take, epochs, batches * FEED_BATCHES)
        images[name] = size * batches * FEED_BATCHES
    seconds = interleave(variants, repeats)
    rates = {name: [images[name] / took for took in seconds[name]] for name in variants}
    figures = [Figure(f"alone: {name}", "images/s", Spread.of(rates[name])) for name in variants]
    for name in list(variants)[1:]:
        quotients = ratios(rates[name], rates[GENERATOR])
        figures.append(Figure(f"alone: {name} / {GENERATOR}", TIMES, Spread.of(quotients), PIPELINE_GOAL))
    return figures


def keras_batches(
    spec: AugmentationSpec, data: Dataset, preprocessing: Preprocessing, batch_size: int
) -> Iterator[tuple[Any, Any]]:
    """Returns Keras's endless iterator over batches with the same settings."""
    from tf_keras.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(
        rotation_range=spec.rotation,
        width_shift_range=spec.shift,
        height_shift_range=spec.shift,
        horizontal_flip=spec.flip is not Flip.NONE,
        fill_mode=spec.fill.value,
    )
    labels = np.eye(len(data.class_names), dtype=np.float32)[data.labels]
    batches: Iterator[tuple[Any, Any]] = generator.flow(
        preprocessing.apply(data.images), labels, batch_size=batch_size, seed=0
    )
    return batches


def take(batches: Iterator[tuple[Any, Any]], count: int) -> None:
    """Makes the next `count` batches, and waits for the last of them."""
    ((values, _),) = collections.deque(itertools.islice(batches, count), maxlen=1)
    np.asarray(values)


def compare_training(
    recipe: Recipe, data: Dataset, placement: Placement, repeats: int, steps: int
) -> list[Figure]:
    """Returns images/s of a training with and without augmentation, and their ratio."""
    precision = placement.precision(recipe.training.precision)
    subject = f"train {recipe.name}"
    tell(f"{subject}: {recipe.model.name}, {recipe.model.form} form, in {precision}")
    rates = training_rates(recipe, data, placement, repeats, steps)
    size = recipe.training.batch_size
    return [
        *(
            Figure(f"{subject}, batch {size}, {precision}: {name}", "images/s", Spread.of(rates[name]))
            for name in rates
        ),
        Figure(
            f"{subject}: {AUGMENTED} / {PLAIN}",
            TIMES,
            Spread.of(ratios(rates[AUGMENTED], rates[PLAIN])),
            TRAINING_GOAL,
        ),
    ]


def training_rates(
    recipe: Recipe, data: Dataset, placement: Placement, repeats: int, steps: int
) -> dict[str, list[float]]:
    """Returns images/s of one model whose epochs of `steps` steps are augmented or not in turn.

    One training, so that both run the same compiled step on the same weights.
    """
    spec = recipe.training
    part = data.select(np.resize(np.arange(len(data)), steps * spec.batch_size))
    preprocessing = fit_preprocessing(recipe.preprocessing, part)
    augmentations = {AUGMENTED: recipe.augmentation, PLAIN: AugmentationSpec()}
    feeds = {
        name: Feed(part, augmentation, preprocessing, spec.batch_size, recipe.seed, placement.strategy)
        for name, augmentation in augmentations.items()
    }
    order = tuple(itertools.chain.from_iterable(rounds(tuple(feeds), WARM_UPS + repeats)))
    seconds = epoch_seconds(recipe, part, preprocessing, Alternating(feeds, order), placement, len(order))
    rates: dict[str, list[float]] = {name: [] for name in feeds}
    for name, took in list(zip(order, seconds, strict=True))[WARM_UPS * len(feeds) :]:
        rates[name].append(len(part) / took)
    return rates


class Alternating(Feed):
    """Each epoch from the feed whose turn it is.

    Args:
        feeds: By name; of equal length and batch size.
        order: The name for each epoch.
    """

    def __init__(self, feeds: Mapping[str, Feed], order: tuple[str, ...]) -> None:
        first = feeds[order[0]]
        self.count, self.batch_size = first.count, first.batch_size
        self.steps_per_epoch = first.steps_per_epoch
        self._feeds, self._order = feeds, order

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yields the epoch's batches."""
        return self._feeds[self._order[epoch]].epoch(epoch)


def whole_batches(text: str) -> int:
    """Returns a number of images that every batch size divides, for argparse, so that no batch is smaller."""
    number = positive(text)
    whole = number - number % math.lcm(*BATCH_SIZES)
    if not whole:
        raise argparse.ArgumentTypeError(f"{text} images are fewer than a batch")
    return whole


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("Time the input pipeline alone and in training.", repeats=5)
    add = parser.add_argument
    add("--data-dir", type=Path, help="CIFAR-10's archive or folder (default: the sample, repeated)")
    add(
        "--images",
        type=whole_batches,
        default="45000",
        help="training images in memory (default: %(default)s)",
    )
    add("--batches", type=positive, default=60, help="of Keras's generator in a round (default: %(default)s)")
    add("--steps", type=positive, default=16, help="of each training in a round (default: %(default)s)")
    add("--device", type=Device, choices=list(Device), default=Device.CPU, help="(default: %(default)s)")
    return parser


if __name__ == "__main__":
    run(measure, _parser())
