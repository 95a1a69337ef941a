"""Speed of training, and what an accuracy costs: `edgecifar train` against the published way of training.

    python benchmarks/training.py speed [--data-dir DIR] [--batch-sizes 64 128 256] [--steps N] [--repeats N]
    python benchmarks/training.py published --data-dir DIR [--epochs 10]
    python benchmarks/training.py ours RUN
    python benchmarks/training.py compute
    python benchmarks/training.py profile [--data-dir DIR] [--recipe edge] [--steps N] [--repeats N]

The parts run apart, since they take from minutes to an hour; each writes what it measured into
`benchmarks/results/` (git-ignored; --results DIR), where `compute` finds the curves of `published` and of
`ours`. RUN is a finished run, for example of: edgecifar train --recipe edge --set training.epochs=12
--no-compress --out RUN
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import step_profile
from curves import compare_compute, measure_ours, measure_published
from input_pipeline import load_images
from loop import epoch_seconds
from published_way import fit_as_published
from timing import (
    TIMES,
    Bound,
    Figure,
    Goal,
    Machine,
    Outcome,
    Spread,
    make_parser,
    positive,
    ratios,
    rounds,
    run,
    tell,
)

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.artifacts.files import write_text
from edgecifar.choices import Device
from edgecifar.data import fit_preprocessing
from edgecifar.learning.devices import place
from edgecifar.learning.feed import Feed
from edgecifar.recipe import Precision, Recipe, load_recipe

PACKAGES = ("tensorflow", "tf-keras", "numpy", "scipy")
SPEED_GOAL = Goal(Bound.AT_LEAST, 1.3)
KERAS = "Keras fit, float32"
RESULTS = Path(__file__).parent / "results"


# Images a second


def measure_speed(arguments: argparse.Namespace) -> Outcome:
    """Returns images/s of both ways at each batch size, and the ratio of the best ones."""
    machine = Machine.here(PACKAGES)
    placement = place(arguments.device)
    recipe = load_recipe("seed")
    sizes, steps = arguments.batch_sizes, arguments.steps
    data = load_images(arguments.data_dir, steps * max(sizes))
    preprocessing = fit_preprocessing(recipe.preprocessing, data)
    kinds = dict.fromkeys((placement.precision(Precision.AUTO), Precision.FLOAT32))
    variants: dict[tuple[str, int], Callable[[], float]] = {}
    for size in sizes:
        part = data.select(slice(0, steps * size))
        variants[KERAS, size] = partial(keras_rate, recipe, part, preprocessing, size)
        for precision in kinds:
            changed = _training(recipe, batch_size=size, precision=precision)
            feed = Feed(part, recipe.augmentation, preprocessing, size, recipe.seed, placement.strategy)

            def rate(changed: Recipe = changed, part: Dataset = part, feed: Feed = feed) -> float:
                return len(part) / epoch_seconds(changed, part, preprocessing, feed, placement, 2)[1]

            variants[f"edgecifar train, {precision}", size] = rate
    rates: dict[tuple[str, int], list[float]] = {variant: [] for variant in variants}
    for number, order in enumerate(rounds(tuple(variants), arguments.repeats), start=1):
        tell(f"  round {number} of {arguments.repeats}")
        for variant in order:
            rates[variant].append(variants[variant]())
    figures = [
        Figure(f"{name}, batch {size}", "images/s", Spread.of(rates[name, size])) for name, size in variants
    ]
    best = {name: _best(rates, name) for name in dict.fromkeys(name for name, _ in variants)}
    for name, size in best.items():
        if name != KERAS:
            quotients = ratios(rates[name, size], rates[KERAS, best[KERAS]])
            # The goal is that of what `edgecifar train` does unless told otherwise.
            goal = SPEED_GOAL if name == f"edgecifar train, {next(iter(kinds))}" else None
            what = f"{name}, batch {size} / {KERAS}, batch {best[KERAS]}"
            figures.append(Figure(what, TIMES, Spread.of(quotients), goal))
    settings = {
        "repeats": arguments.repeats,
        "steps": steps,
        "network and augmentation": "those of recipe seed",
        "images": f"{len(data):,} of {data.source}",
        "device": ", ".join(placement.names),
    }
    return Outcome("training speed", machine, settings, tuple(figures))


def _training(recipe: Recipe, **changes: object) -> Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})


def _best(rates: dict[tuple[str, int], list[float]], name: str) -> int:
    """Returns the batch size at which one way is fastest by the median."""
    medians = {size: float(np.median(found)) for (other, size), found in rates.items() if other == name}
    return max(medians, key=lambda size: medians[size])


def keras_rate(recipe: Recipe, data: Dataset, preprocessing: Preprocessing, size: int) -> float:
    """Returns images/s of the second of two epochs of a fresh training; the first one traces the step."""
    spent: list[float] = []
    fit_as_published(recipe, data, preprocessing, size, 2, lambda seconds, _: spent.append(seconds))
    return len(data) / spent[1]


# The command line


def measure(arguments: argparse.Namespace) -> Outcome:
    """Returns the outcome of the part that was asked for, and writes it into the results."""
    outcome: Outcome = arguments.part(arguments)
    write_text(arguments.results / f"{outcome.benchmark.replace(' ', '-')}.json", outcome.json() + "\n")
    return outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the speed of training and what an accuracy costs.")
    parts = parser.add_subparsers(required=True)

    def add(
        name: str, part: Callable[[argparse.Namespace], Outcome], description: str, *options: str
    ) -> argparse.ArgumentParser:
        shared = make_parser(description, repeats=5)
        made = parts.add_parser(
            name, parents=[shared], conflict_handler="resolve", help=description, description=description
        )
        made.set_defaults(part=part)
        made.add_argument("--results", type=Path, default=RESULTS, help="(default: %(default)s)")
        if "data" in options:
            made.add_argument("--data-dir", type=Path, help="CIFAR-10's archive or folder")
        if "steps" in options:
            made.add_argument("--steps", type=positive, default=32, help="an epoch (default: %(default)s)")
            made.add_argument("--device", type=Device, choices=list(Device), default=Device.CPU)
        return made

    speed = add("speed", measure_speed, "images/s of both ways", "data", "steps")
    speed.add_argument("--batch-sizes", type=positive, nargs="+", default=[32, 64, 128, 256], metavar="N")
    published = add("published", measure_published, "first epochs of the published recipe", "data")
    published.add_argument("--epochs", type=positive, default=10, help="(default: %(default)s)")
    published.add_argument("--images", type=positive, help="to learn from (default: all)")
    ours = add("ours", measure_ours, "curve of a finished run", "data")
    ours.add_argument("run", type=Path, help="folder of a run of `edgecifar train`")
    add("compute", compare_compute, "what 90 %% cost, by the two curves")
    profile = add("profile", step_profile.measure, "where the time of a step goes", "data", "steps")
    profile.add_argument("--recipe", default="edge", help="(default: %(default)s)")
    profile.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one choice")
    return parser


if __name__ == "__main__":
    run(measure, _parser())
