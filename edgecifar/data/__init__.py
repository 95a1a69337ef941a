"""Images: one module per source, and the functions that load a recipe's splits from it."""

from pathlib import Path

from edgecifar.artifacts.dataset import Dataset
from edgecifar.choices import Source, Split
from edgecifar.data.cifar10 import (
    IMAGE_SIZE,
    Cifar10Location,
    find_cifar10,
    keras_cache,
    obtain_cifar10,
    read_cifar10,
)
from edgecifar.data.folder import read_folder, read_image
from edgecifar.data.npz import read_npz, unnamed_classes
from edgecifar.data.preprocessing import fit_preprocessing
from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half, stratified_split
from edgecifar.errors import DataError
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import DataSpec

__all__ = [
    "Cifar10Location",
    "Split",
    "find_cifar10",
    "fit_preprocessing",
    "keras_cache",
    "load_dataset",
    "load_training_data",
    "read_image",
    "stratified_split",
    "unnamed_classes",
]


def load_dataset(
    spec: DataSpec,
    split: Split,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    progress: Progress = SILENT,
) -> Dataset:
    """Returns one split of the images that `spec` names.

    Args:
        spec: Source, share of validation images, image size.
        split: Train is what is left of the training images without validation.
        seed: Chooses the validation images.
        data_dir: Where CIFAR-10 lies, the root of a folder source, or the file of an npz source; `sample` has
            no use for it.
        progress: Gets one sentence on which images are used and from where, and a task while downloading.

    Raises:
        DataError: The images are missing, damaged, malformed, or of another size than `spec` asks for.
    """
    if split is Split.TEST:
        test, origin = _read(spec, Half.TEST, data_dir, progress)
        progress.say(f"{origin}: {len(test):,} test images.")
        return test
    train, validation = load_training_data(spec, seed=seed, data_dir=data_dir, progress=progress)
    return train if split is Split.TRAIN else validation


def load_training_data(
    spec: DataSpec, *, seed: int = 0, data_dir: Path | None = None, progress: Progress = SILENT
) -> tuple[Dataset, Dataset]:
    """Returns the training and the validation split, read once. Arguments and errors: see `load_dataset`."""
    images, origin = _read(spec, Half.TRAIN, data_dir, progress)
    train, validation = stratified_split(images, spec.validation_fraction, seed)
    progress.say(f"{origin}: {len(train):,} training, {len(validation):,} validation images.")
    return train, validation


def _read(spec: DataSpec, half: Half, data_dir: Path | None, progress: Progress) -> tuple[Dataset, str]:
    """Returns one half of a source, and the words for what it is and where it lies."""
    if spec.source is Source.FOLDER:
        if data_dir is None:
            raise DataError("The folder source needs to know which folder.", "Pass --data-dir FOLDER.")
        return read_folder(data_dir, spec.image_size, half, progress), f"Images from {data_dir}"
    if spec.source is Source.NPZ:
        if data_dir is None:
            raise DataError("The npz source needs to know which file.", "Pass --data-dir FILE.npz.")
        return read_npz(data_dir, half), f"Images from {data_dir}"
    if spec.image_size != IMAGE_SIZE:
        raise DataError(
            f"CIFAR-10's images have {IMAGE_SIZE} pixels a side, but image_size is {spec.image_size}.",
            f"Set data.image_size = {IMAGE_SIZE}; only the folder source resizes.",
        )
    if spec.source is Source.SAMPLE:
        if data_dir is not None:
            progress.say(f"{data_dir} is not used: the sample lies in the package.")
        return read_sample(half), "CIFAR-10 sample in the package"
    location = obtain_cifar10(data_dir, progress)
    return read_cifar10(location, half), f"CIFAR-10 from {location.path}"
