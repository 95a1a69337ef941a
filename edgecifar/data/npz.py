"""Images in a NumPy archive, as anybody's script can write one.

    numpy.savez_compressed("test.npz", images=images, labels=labels, class_names=names)

`images` are uint8 (N, height, width, 3), RGB; `labels` are integers (N,) from 0; `class_names` may be left
out. An archive is one set of images to measure on; models are trained from other sources.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts.dataset import Dataset
from edgecifar.artifacts.files import DAMAGED_ARCHIVE
from edgecifar.data.splitting import Half
from edgecifar.errors import DataError
from edgecifar.protocol import Array

MEND = (
    "numpy.savez(FILE, images=..., labels=...) writes one: images uint8 (N, height, width, 3), labels (N,)."
)


def read_npz(path: Path, half: Half) -> Dataset:
    """Returns the images of an archive.

    Nothing of the file is run: arrays of Python objects are refused.

    Args:
        path: The file.
        half: The test set; an archive has no other.

    Raises:
        DataError: The training set is asked for, or the file is missing, damaged, or holds something else.
    """
    if half is not Half.TEST:
        raise DataError(
            f"{path}: an archive is one set of images to measure on, not to train on or choose by.",
            "Leave --split at test, or train from a folder: --data folder.",
        )
    arrays = _read_arrays(path)
    missing = [name for name in ("images", "labels") if name not in arrays]
    if missing:
        found = ", ".join(arrays) or "nothing"
        raise DataError(f"{path}: there is no array named {missing[0]}, only {found}.", MEND)
    images, labels = arrays["images"], arrays["labels"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:3]:
        raise DataError(
            f"{path}: images are {images.dtype} of shape {images.shape}, not uint8 (N, height, width, 3).",
            MEND,
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise DataError(
            f"{path}: labels are {labels.dtype} of shape {labels.shape}, not integers (N,).", MEND
        )
    if len(labels) and int(labels.max()) > np.iinfo(np.int32).max:
        raise DataError(f"{path}: label {labels.max()} is too large to be a class.", MEND)
    names = _class_names(path, arrays.get("class_names"), labels)
    return Dataset(images, labels.astype(np.int64), names, source=str(path), split=half)


def unnamed_classes(count: int) -> tuple[str, ...]:
    """Returns the names of classes that nobody named: "class 0", "class 1" ..."""
    return tuple(f"class {index}" for index in range(count))


def _read_arrays(path: Path) -> dict[str, Array]:
    try:
        # Opened here: NumPy leaves the file open where it is no whole archive.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: one array, not an archive of images and labels.", MEND)
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file.", MEND) from error
    except MemoryError as error:
        raise DataError(f"{path}: its arrays are larger than the memory.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).", MEND) from error
    except (ValueError, KeyError, *DAMAGED_ARCHIVE) as error:
        raise DataError(f"{path}: not a NumPy archive that can be read: {_reason(error)}.", MEND) from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _class_names(path: Path, names: Array | None, labels: NDArray[np.integer]) -> tuple[str, ...]:
    if names is None:
        return unnamed_classes(int(labels.max()) + 1 if len(labels) else 0)
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(f"{path}: class_names are {names.dtype} of shape {names.shape}, not a list of words.")
    return tuple(str(name) for name in names)
