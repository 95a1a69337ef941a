"""Images in folders, one folder per class.

Two layouts:

    ROOT/train/CLASS/*.png and ROOT/test/CLASS/*.png     a test set of its own
    ROOT/train/CLASS/*.png, or ROOT/CLASS/*.png          a tenth of each class is held out as the test set

The held-out tenth is drawn by a fixed seed over the sorted file names, so it is the same for every recipe as
long as the files are, and training and validation never see it. Classes are numbered in the order of their
names. Hidden files and folders are left out.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edgecifar.artifacts.dataset import Dataset
from edgecifar.data.splitting import Half, stratified_indices
from edgecifar.errors import DataError
from edgecifar.progress import SILENT, Progress

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
TEST_FRACTION = 0.1
TEST_SEED = 0
LAYOUT = (
    "Expected ROOT/CLASS/*.png (or .jpg, .webp ...) with at least two classes; or ROOT/train/CLASS/* and "
    "ROOT/test/CLASS/* with the same classes."
)


@dataclass(frozen=True, slots=True)
class _Listing:
    """The image files of one set."""

    class_names: tuple[str, ...]
    files: list[Path]
    labels: NDArray[np.int64]

    def select(self, indices: NDArray[np.int64]) -> "_Listing":
        return _Listing(self.class_names, [self.files[index] for index in indices], self.labels[indices])


def read_folder(root: Path, image_size: int, half: Half, progress: Progress = SILENT) -> Dataset:
    """Returns the training or the test images below `root`, resized to `image_size` squared.

    Args:
        root: Laid out as the module's text says.
        image_size: Height and width in pixels.
        half: Which of the two sets.
        progress: Gets a task in images, and a sentence on every file that is left out.

    Raises:
        DataError: Another layout, fewer than two classes, a class without images, a class that is too small
            to hold out a test image, a test set of other classes, or a file that cannot be read as an image.
    """
    try:
        listing = _list_half(root, half, progress)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be searched for images ({error.strerror}).") from error
    images = np.empty((len(listing.files), image_size, image_size, 3), dtype=np.uint8)
    with progress.task(f"Reading {root}", len(listing.files), "images") as task:
        for index, path in enumerate(listing.files):
            images[index] = read_image(path, image_size)
            task.advance()
    return Dataset(images, listing.labels, listing.class_names, source=str(root), split=half)


def read_image(path: Path, image_size: int) -> NDArray[np.uint8]:
    """Returns an image file as RGB, uint8 (image_size, image_size, 3).

    Stretched by bilinear resampling where its size differs; turned upright by its EXIF orientation;
    transparent parts on white; 16-bit greys by their high byte; of an animation the first frame.

    Raises:
        DataError: It is not an image, is damaged, or is so large that it may be an attack on the memory
            (Pillow's limit, `PIL.Image.MAX_IMAGE_PIXELS`).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                upright = _as_rgb(ImageOps.exif_transpose(image))
        if upright.size != (image_size, image_size):
            upright = upright.resize((image_size, image_size), Image.Resampling.BILINEAR)
        return np.asarray(upright)
    # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more for damaged files.
    except Exception as error:
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "of no known format" if unknown else getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be read as an image ({reason}).",
            "Put a good copy in its place, or leave it out.",
        ) from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError(f"the range of its pixels (mode {image.mode}) is not known")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _list_half(root: Path, half: Half, progress: Progress) -> _Listing:
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder.", LAYOUT)
    train, test = ([folder.name for folder in _folders_in(root / each)] for each in Half)
    if train:
        others = [folder.name for folder in _folders_in(root) if folder.name not in set(Half)]
        if others:
            progress.say(f"{root}: these folders beside train are not used: {', '.join(others)}.")
    if train and test:
        if train != test:
            odd = ", ".join(sorted(set(train) ^ set(test)))
            raise DataError(f"{root}: train and test have different classes; only one has: {odd}.", LAYOUT)
        return _list_classes(root / half, progress)
    listing = _list_classes(root / Half.TRAIN if train else root, progress)
    kept, held_out = stratified_indices(
        listing.labels, TEST_FRACTION, TEST_SEED, listing.class_names, f"{root} (no test folder)"
    )
    return listing.select(kept if half is Half.TRAIN else held_out)


def _list_classes(folder: Path, progress: Progress) -> _Listing:
    classes = _folders_in(folder)
    if not classes:
        raise DataError(f"{folder}: there are no class folders.", LAYOUT)
    if len(classes) == 1:
        raise DataError(f"{folder}: there is only one class folder, {classes[0].name}.", LAYOUT)
    files: list[Path] = []
    labels: list[int] = []
    for label, class_folder in enumerate(classes):
        images = _images_in(class_folder, progress)
        if not images:
            raise DataError(f"{class_folder}: there are no images in this class folder.", LAYOUT)
        files += images
        labels += [label] * len(images)
    return _Listing(tuple(each.name for each in classes), files, np.array(labels, dtype=np.int64))


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return _by_name(path for path in folder.iterdir() if path.is_dir())


def _images_in(folder: Path, progress: Progress) -> list[Path]:
    files = _by_name(path for path in folder.iterdir() if not path.is_dir())
    others = [path.name for path in files if path.suffix.lower() not in SUFFIXES]
    if others:
        progress.say(
            f"{folder}: {len(others)} not read, being no images by their ending: {', '.join(others[:3])} ..."
        )
    return [path for path in files if path.suffix.lower() in SUFFIXES]


def _by_name(paths: Iterable[Path]) -> list[Path]:
    """Returns what is not hidden, in an order that is the same on every system."""
    return sorted((path for path in paths if not path.name.startswith(".")), key=lambda path: path.name)
