"""Logged outputs: what an app wrote down for known images, in one of four simple forms.

.npy   (N, classes): of the first N images
.npz   outputs (N, classes), and optionally indices (N,): the images' places in the split, from 0
.json  {"outputs": [[...], ...], "indices": [...]}, the indices optional, or the list of outputs alone
.csv   a line an image: its index, then the scores; a first line of words is a heading
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts.files import DAMAGED_ARCHIVE
from edgecifar.errors import DataError
from edgecifar.protocol import Array
from edgecifar.verification.diagnosis.ranking import Logged

FORMS = "Known: .npy, .npz, .csv, .json; see docs/diagnose.md."


def read_logged(path: Path, available: int, limit: int) -> tuple[Logged, NDArray[np.int64]]:
    """Returns the outputs of a file, and the places of their images in the split.

    Nothing of the file is run: arrays of Python objects are refused.

    Args:
        path: The file.
        available: How many images the split has.
        limit: Most outputs to take, the first of the file.

    Raises:
        DataError: The file is missing, damaged, of another form, or names images that there are not.
    """
    readers = {".npy": _npy, ".npz": _npz, ".json": _json, ".csv": _csv}
    if path.suffix not in readers:
        raise DataError(
            f"{path}: outputs are not logged in files that end in {path.suffix or 'nothing'}.", FORMS
        )
    try:
        outputs, indices = readers[path.suffix](path)
        scores = np.asarray(outputs, np.float32)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    # RecursionError, of JSON that is nested too deep, is a RuntimeError.
    except (ValueError, TypeError, KeyError, csv.Error, *DAMAGED_ARCHIVE) as error:
        raise DataError(f"{path}: no table of outputs, one row an image ({error}).", FORMS) from error
    if not scores.size:
        raise DataError(f"{path}: holds no outputs.", FORMS)
    if scores.ndim != 2:
        raise DataError(f"{path}: outputs of shape {scores.shape} are no table, one row an image.", FORMS)
    places = np.arange(len(scores)) if indices is None else np.asarray(indices)
    if places.shape != (len(scores),) or not np.issubdtype(places.dtype, np.integer):
        raise DataError(
            f"{path}: its indices are not one whole number for each of the {len(scores)} outputs."
        )
    if places.min() < 0 or places.max() >= available:
        wrong = int(places[(places < 0) | (places >= available)][0])
        raise DataError(f"{path}: names image {wrong}, but the split has the images 0 to {available - 1}.")
    return Logged(scores[:limit], path.name), places[:limit].astype(np.int64)


Table = tuple[Sequence[object] | Array, Sequence[int] | Array | None]


def _npy(path: Path) -> Table:
    with path.open("rb") as file:
        return np.load(file, allow_pickle=False), None


def _npz(path: Path) -> Table:
    # NumPy leaves a file open that it cannot read.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["outputs"], arrays.get("indices")


def _json(path: Path) -> Table:
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, list):
        return _of_one_length(content), None
    return _of_one_length(content["outputs"]), content.get("indices")


def _csv(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and not _is_number(rows[0][-1]):
        rows = rows[1:]
    scores = [[float(cell) for cell in row[1:]] for row in _of_one_length(rows)]
    return scores, np.array([int(row[0]) for row in rows], np.int64)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _of_one_length(rows: list[Any]) -> list[Any]:
    """Returns the rows as they are.

    Raises:
        ValueError: They are not of one length, as where a file was cut short.
    """
    lengths = [len(row) for row in rows if isinstance(row, list)]
    if len(set(lengths)) > 1:
        raise ValueError(f"its rows have from {min(lengths)} to {max(lengths)} values")
    return rows
