"""What an accuracy costs: validation accuracy over the epochs, published and ours, and their comparison."""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from published_way import fit_as_published
from step_profile import multiply_adds
from timing import TIMES, Bound, Figure, Goal, Machine, Outcome, Spread, tell

from edgecifar.artifacts import Run
from edgecifar.artifacts.files import write_text
from edgecifar.choices import Source
from edgecifar.data import fit_preprocessing, load_training_data
from edgecifar.errors import DataError, ModelError
from edgecifar.learning.recording import read_history
from edgecifar.recipe import DataSpec, load_recipe

COMPUTE_GOAL = Goal(Bound.AT_MOST, 1 / 8)
REACHED = 0.9
"""Validation accuracy whose price is compared."""
PUBLISHED_EPOCHS, PUBLISHED_IMAGES = 125, 50_000
"""After so many epochs of so many images about 90 % are reported; only the first epochs are measured here."""
PUBLISHED, OURS = "curve-published.json", "curve-ours.json"
"""Names of the curves' files in the folder of results."""


@dataclass(frozen=True, slots=True)
class Curve:
    """How one training's validation accuracy rose, and what each epoch cost."""

    name: str
    cpu: str
    cpu_flags: tuple[str, ...]
    images: int
    """Of an epoch."""
    multiply_adds: int
    """Of one image in training: forward, gradient of weights, gradient of inputs."""
    val_accuracy: tuple[float, ...]
    """After each epoch, 0 to 1."""
    seconds: tuple[float, ...]
    """Of each epoch."""

    @classmethod
    def read(cls, path: Path, command: str) -> Self:
        """Returns the curve in a file.

        Raises:
            DataError: There is none.
        """
        if not path.is_file():
            raise DataError(f"{path}: not measured yet.", f"Run: python benchmarks/training.py {command}")
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        tuples = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
        return cls(**(table | tuples))

    def write(self, path: Path) -> None:
        """Writes the curve as JSON."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")

    def epochs_to(self, accuracy: float) -> int | None:
        """Returns after how many epochs the accuracy was first reached; None if it was not."""
        return next((epoch for epoch, found in enumerate(self.val_accuracy, 1) if found >= accuracy), None)


def measure_published(arguments: argparse.Namespace) -> Outcome:
    """Returns the published recipe's first epochs: seconds, and validation accuracy after each."""
    machine = Machine.here(("tensorflow", "tf-keras", "numpy", "scipy"))
    recipe = load_recipe("seed")
    source = recipe.data if arguments.data_dir else DataSpec(source=Source.SAMPLE)
    data, validation = load_training_data(source, seed=recipe.seed, data_dir=arguments.data_dir)
    data = data.select(slice(0, arguments.images))
    preprocessing = fit_preprocessing(recipe.preprocessing, data)
    values = preprocessing.apply(validation.images)
    _, cost = multiply_adds(recipe, preprocessing, len(data.class_names))
    accuracies: list[float] = []
    seconds: list[float] = []

    def note(took: float, model: Any) -> None:
        predicted = np.argmax(model.predict(values, batch_size=500, verbose=0), axis=1)
        accuracies.append(float(np.mean(predicted == validation.labels)))
        seconds.append(took)
        tell(f"  epoch {len(seconds)}: validation {100 * accuracies[-1]:.2f} %, {took:.1f} s")
        # After each epoch: what is interrupted has measured something.
        Curve(
            "published", machine.cpu, machine.cpu_flags, len(data), cost, tuple(accuracies), tuple(seconds)
        ).write(arguments.results / PUBLISHED)

    size = recipe.training.batch_size
    fit_as_published(recipe, data, preprocessing, size, arguments.epochs, note)
    figures = [Figure("Keras fit, an epoch", "s", Spread.of(seconds))]
    notes = [f"epoch {number}: {100 * found:.2f} % validation" for number, found in enumerate(accuracies, 1)]
    settings = {"epochs": arguments.epochs, "batch": size, "images": f"{len(data):,} of {data.source}"}
    return Outcome("published curve", machine, settings, tuple(figures), tuple(notes))


def measure_ours(arguments: argparse.Namespace) -> Outcome:
    """Returns the curve of a run that `edgecifar train` made, from its history."""
    run_ = Run.open(arguments.run)
    record = run_.record
    rows = [row for row in read_history(run_.history_path) if row.phase == "train"]
    _, cost = multiply_adds(record.recipe, record.preprocessing, len(record.class_names))
    data, _ = load_training_data(record.recipe.data, seed=record.recipe.seed, data_dir=arguments.data_dir)
    if data.fingerprint != record.train_fingerprint:
        raise ModelError(f"{arguments.run}: these are not the images that it learned from.")
    curve = Curve(
        f"{record.name}: {record.command}",
        record.environment.cpu,
        record.environment.cpu_flags,
        len(data),
        cost,
        tuple(row.val_accuracy for row in rows),
        tuple(row.seconds for row in rows),
    )
    curve.write(arguments.results / OURS)
    figures = (Figure("edgecifar train, an epoch", "s", Spread.of(curve.seconds)),)
    reached = curve.epochs_to(REACHED)
    note = f"{100 * REACHED:g} % validation: " + (f"in epoch {reached}." if reached else "not reached.")
    machine = Machine(curve.cpu, curve.cpu_flags, {"tensorflow": record.environment.tensorflow}, None)
    return Outcome("our curve", machine, {"run": curve.name}, figures, (note,))


def compare_compute(arguments: argparse.Namespace) -> Outcome:
    """Returns multiply-adds and minutes to the accuracy against those of the published 125 epochs."""
    ours = Curve.read(arguments.results / OURS, "ours RUN")
    published = Curve.read(arguments.results / PUBLISHED, "published")
    machine = Machine(ours.cpu, ours.cpu_flags, {}, None)
    epochs = ours.epochs_to(REACHED)
    if epochs is None:
        raise ModelError(f"{ours.name} did not reach {100 * REACHED:g} % on the validation images.")
    spent = epochs * ours.images * ours.multiply_adds
    theirs = PUBLISHED_EPOCHS * PUBLISHED_IMAGES * published.multiply_adds
    minutes = sum(ours.seconds[:epochs]) / 60
    an_image = float(np.median(published.seconds)) / published.images
    their_minutes = PUBLISHED_EPOCHS * PUBLISHED_IMAGES * an_image / 60
    tera, minute = "T multiply-adds", "min"
    figures = [
        _single(f"ours to {100 * REACHED:g} % validation", tera, spent / 1e12),
        _single(f"published, {PUBLISHED_EPOCHS} epochs", tera, theirs / 1e12),
        _single("ours / published, multiply-adds", TIMES, spent / theirs, COMPUTE_GOAL),
        _single(f"ours to {100 * REACHED:g} % validation", minute, minutes),
        _single(f"published, {PUBLISHED_EPOCHS} epochs, extrapolated", minute, their_minutes),
        _single("ours / published, minutes", TIMES, minutes / their_minutes),
    ]
    measured, best = len(published.val_accuracy), f"{100 * max(published.val_accuracy):.2f} %"
    notes = [
        f"Ours: {ours.name}, {epochs} of {len(ours.val_accuracy)} epochs.",
        f"Published: epochs 1 to {measured} are measured and reach {best} validation.",
        f"That {PUBLISHED_EPOCHS} epochs reach about {100 * REACHED:g} % is reported by their author.",
        f"Their minutes are extrapolated from {published.images:,} images an epoch to {PUBLISHED_IMAGES:,}.",
    ]
    if (ours.cpu, ours.cpu_flags) != (published.cpu, published.cpu_flags):
        notes.append(f"The minutes are not comparable: the published ones are of {published.cpu}.")
    return Outcome("compute to accuracy", machine, {}, tuple(figures), tuple(notes))


def _single(name: str, unit: str, value: float, goal: Goal | None = None) -> Figure:
    return Figure(name, unit, Spread.of([value]), goal)
