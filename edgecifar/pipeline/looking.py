"""predict, show and summarize: ways to look at what there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.artifacts.files import replacing
from edgecifar.choices import Picture, Source, Split
from edgecifar.data import fit_preprocessing, load_dataset, load_training_data, read_image
from edgecifar.data.augmentation import preview
from edgecifar.errors import VerificationError
from edgecifar.host import core_count
from edgecifar.models import LayerCost, build_model, layer_costs
from edgecifar.pipeline.subjects import Subject, check_classes, open_model, source_of
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import LoadedModel
from edgecifar.recipe import DataSpec, Recipe
from edgecifar.reporting.grids import PLAIN, RIGHT, WRONG, draw_grid
from edgecifar.runtimes import get_runtime
from edgecifar.verification.inputs import InputSpec, image_size
from edgecifar.verification.metrics import require_finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure


CHUNK = 250
"""Images that are in memory as a model's input at one time."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one image."""

    image: str
    """The file's path, or "test image 7"."""
    label: str | None
    """The true class, where it is known."""
    classes: tuple[str, ...]
    """Class names, the likeliest first."""
    probabilities: tuple[float, ...]
    """In the same order, 0 to 1."""


def summarize(recipe: Recipe, classes: int = 10) -> list[LayerCost]:
    """Returns what each layer of the recipe's network costs for one image.

    Args:
        recipe: Model and image size.
        classes: Length of the output.
    """
    size = recipe.data.image_size
    return layer_costs(build_model(recipe.model, (size, size, 3), classes, recipe.seed))


def predict(
    model: Path | str,
    images: Sequence[Path | str] = (),
    *,
    first: int | None = None,
    runtime: str | None = None,
    source: Source | None = None,
    data_dir: Path | str | None = None,
    preprocessing: Preprocessing | InputSpec | None = None,
    progress: Progress = SILENT,
) -> list[Prediction]:
    """Returns what a model says of image files, or of the first test images.

    Args:
        model: A run (its float model, pruned where it was pruned), a bundle (its reference) or a model file.
        images: Image files of any size, resized to the model's.
        first: So many test images instead.
        runtime: Name of the engine; None: the usual one.
        source: Where the test images come from; None: where the model's did, or CIFAR-10.
        data_dir: Where the test images lie, as for `train`.
        preprocessing: What a model file sees that lies in no bundle or run; its images are stretched to
            the size of its input.
        progress: Told what was chosen.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    if bool(images) == (first is not None):
        raise VerificationError(
            "Name image files, or ask for the first test images with --first N; not both."
        )
    model = Path(model)
    subject = open_model(model, preprocessing)
    loaded = _load(subject, runtime, progress)
    if first is not None:
        data = _test_images(model, source, data_dir, progress).select(slice(0, first))
        check_classes(subject, data)
        pixels = data.images
        names = [f"test image {index}" for index in range(len(data))]
        labels: list[str | None] = [data.class_names[label] for label in data.labels]
        known: tuple[str, ...] | None = data.class_names
    else:
        side = _image_side(subject, loaded)
        pixels = np.stack([read_image(Path(path), side) for path in images])
        names, labels = [str(path) for path in images], [None] * len(images)
        known = subject.class_names
    probabilities = _run(subject, loaded, pixels)
    class_names = known or tuple(f"class {index}" for index in range(probabilities.shape[1]))
    if len(class_names) != probabilities.shape[1]:
        raise VerificationError(
            f"{subject.path} gives {probabilities.shape[1]} classes, but there are {len(class_names)} names."
        )
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return [
        Prediction(name, label, tuple(class_names[i] for i in ranks), tuple(float(row[i]) for i in ranks))
        for name, label, row, ranks in zip(names, labels, probabilities, order, strict=True)
    ]


def show(
    picture: Picture,
    out: Path,
    *,
    model: Path | None = None,
    recipe: Recipe | None = None,
    source: Source | None = None,
    data_dir: Path | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Draws a grid of images as PNG and returns its path.

    Args:
        picture: The first test images as they are (4x4), or with a model's predictions, or those that it gets
            wrong; or one training image in nine augmentations (3x3).
        out: The PNG file.
        model: For predictions and mistakes: a run, bundle or a model file in one.
        recipe: Of the data and the augmentation; not for predictions and mistakes.
        source: Where the images come from; None: where the recipe's or the model's do.
        data_dir: Where the images lie, as for `train`.
        progress: Told what was chosen.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    if out.suffix != ".png":
        raise VerificationError(f"{out}: pictures are PNG files.", "Give a name that ends in .png.")
    recipe = recipe or Recipe(name="plain")
    if source is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": source})})
    if picture is Picture.AUGMENTED:
        figure = _augmented(recipe, data_dir, progress)
    elif picture is Picture.DATA:
        data = load_dataset(recipe.data, Split.TEST, data_dir=data_dir, progress=progress).select(
            slice(0, 16)
        )
        names = [data.class_names[label] for label in data.labels]
        figure = draw_grid(data.images, names, [PLAIN] * len(data), 4, f"{data.source}: test images")
    else:
        if model is None:
            raise VerificationError(f"A picture of {picture} needs a model.", "Name it with --model.")
        figure = _predicted(picture, model, source, data_dir, progress)
    with replacing(out) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
    return out


def _augmented(recipe: Recipe, data_dir: Path | None, progress: Progress) -> "Figure":
    train_data, _ = load_training_data(recipe.data, seed=recipe.seed, data_dir=data_dir, progress=progress)
    preprocessing = fit_preprocessing(recipe.preprocessing, train_data)
    image = train_data.images[0]
    shown = np.concatenate(
        [image[np.newaxis], preview(image, recipe.augmentation, preprocessing, 8, recipe.seed)]
    )
    captions = ["as it is", *("augmented" for _ in range(8))]
    name = train_data.class_names[train_data.labels[0]]
    return draw_grid(shown, captions, [PLAIN] * 9, 3, f"{recipe.name}: one {name}, augmented")


def _predicted(
    picture: Picture, model: Path, source: Source | None, data_dir: Path | None, progress: Progress
) -> "Figure":
    subject = open_model(model)
    data = _test_images(model, source, data_dir, progress)
    check_classes(subject, data)
    if picture is Picture.PREDICTIONS:
        data = data.select(slice(0, 16))
    probabilities = _run(subject, _load(subject, None, progress), data.images)
    guesses = probabilities.argmax(axis=1)
    title = f"{model.name}: the first test images"
    if picture is Picture.MISTAKES:
        wrong = np.flatnonzero(guesses != data.labels)
        if not len(wrong):
            raise VerificationError(f"{model} makes no mistake in {len(data):,} images: nothing to draw.")
        # The surest mistakes tell most.
        wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
        title = f"{model.name}: the surest of {len(wrong):,} mistakes in {len(data):,}"
        data, guesses, probabilities = data.select(wrong[:16]), guesses[wrong[:16]], probabilities[wrong[:16]]
    captions, colours = [], []
    for label, guess, row in zip(data.labels, guesses, probabilities, strict=True):
        right = label == guess
        captions.append(
            f"{data.class_names[guess]} {row[guess]:.0%}"
            + ("" if right else f"\nis: {data.class_names[label]}")
        )
        colours.append(RIGHT if right else WRONG)
    return draw_grid(data.images, captions, colours, 4, title)


def _test_images(
    model: Path, source: Source | None, data_dir: Path | str | None, progress: Progress
) -> Dataset:
    made_with = source_of(model)
    spec = made_with.data if made_with else DataSpec()
    if source is not None:
        spec = spec.model_copy(update={"source": source})
    folder = None if data_dir is None else Path(data_dir)
    return load_dataset(spec, Split.TEST, data_dir=folder, progress=progress)


def _load(subject: Subject, runtime: str | None, progress: Progress) -> LoadedModel:
    loaded = get_runtime(runtime or subject.runtimes[0]).load(subject.path, core_count())
    progress.say(f"{subject.path} in {loaded.info.engine} {loaded.info.version} ({loaded.info.device}).")
    progress.say(f"It sees {subject.feeding.describe(loaded.input)}.")
    return loaded


def _image_side(subject: Subject, loaded: LoadedModel) -> int:
    """Returns the height and width that image files are stretched to: those of the model's input."""
    if isinstance(subject.preprocessing, Preprocessing):
        return subject.preprocessing.height
    if subject.preprocessing.resize:
        return subject.preprocessing.resize
    layout = subject.feeding.layout(str(subject.path), loaded.input)
    height, width = image_size(loaded.input, layout)
    if height is None or height != width:
        raise VerificationError(
            f"{subject.path} does not take square images of one size.",
            "Say with --resize which size images get.",
        )
    return height


def _run(subject: Subject, loaded: LoadedModel, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns class probabilities, float32 (N, classes)."""
    feeding = subject.feeding
    feeding.check_images(str(subject.path), loaded.input, images, "the images")
    chunks = []
    for start in range(0, len(images), CHUNK):
        raw = loaded.predict(feeding.encode(images[start : start + CHUNK], loaded.input))
        if raw.ndim != 2:
            raise VerificationError(f"{subject.path} gives an output of shape {raw.shape}, not (N, classes).")
        require_finite(raw, str(subject.path), np.arange(start, start + len(raw)))
        chunks.append(raw)
    return feeding.decode(np.concatenate(chunks), loaded.output)
