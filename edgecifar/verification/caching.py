"""Caching: outputs that an engine gave before for the same model and the same images.

A verification with another gate, or one that was interrupted, then runs only what has not run yet. An entry
is found by everything that its outputs depend on (`prediction_key`), so a cache is never out of date; entries
are only dropped for room, the longest unused first.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecifar import __version__
from edgecifar.artifacts import Dataset
from edgecifar.artifacts.files import DAMAGED_ARCHIVE, write_bytes
from edgecifar.host import cache_folder, cpu_flags
from edgecifar.progress import Progress
from edgecifar.protocol import Array, EngineInfo, TensorInfo
from edgecifar.verification.feeding import Feeding

FORMAT = 2
"""Of the entries; another one finds none of the old."""
MAX_BYTES = 256 * 2**20
"""Room for 600 models on CIFAR-10's 10,000 test images."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model gave for some images, how fast, and what the engine said of it."""

    outputs: Array
    """(n, classes), raw, in the output's dtype."""
    images_per_s: float
    input: TensorInfo
    output: TensorInfo
    engine: EngineInfo


class PredictionCache:
    """A folder of predictions.

    Args:
        folder: Made when something is kept.
        max_bytes: Most that lies in it.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def find(self, key: str, progress: Progress) -> Predictions | None:
        """Returns what was kept under a key; None where nothing was, or it is damaged, which is said.

        Args:
            key: Of `prediction_key`.
            progress: Told of a damaged entry.
        """
        path = self._path(key)
        try:
            content = path.read_bytes()
            # Marks it as used: the least recently used goes first.
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            progress.say(f"{path}: kept predictions cannot be read ({error.strerror}); the model runs again.")
            return None
        try:
            return _unpack(content, key)
        # What the readers of zip, NumPy and JSON raise on damage.
        except (ValueError, TypeError, LookupError, *DAMAGED_ARCHIVE) as error:
            progress.say(f"{path}: kept predictions are damaged ({error}); the model runs again.")
            return None

    def keep(self, key: str, predictions: Predictions, progress: Progress) -> None:
        """Keeps predictions under a key, and drops the longest unused where there is no room.

        Args:
            key: Of `prediction_key`.
            predictions: What to keep.
            progress: Told why, where they cannot be kept.
        """
        content = _pack(predictions, key)
        if len(content) > self.max_bytes:
            progress.say(f"Predictions of {len(content):,} bytes are too large to be kept.")
            return
        try:
            write_bytes(self._path(key), content)
            self._make_room()
        except OSError as error:
            progress.say(f"{self.folder}: predictions cannot be kept there ({error.strerror}).")

    def _make_room(self) -> None:
        entries = sorted(_ages_and_sizes(self.folder.glob("*.npz")), reverse=True)
        used = 0
        for _, size, path in entries:
            used += size
            if used > self.max_bytes:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


def prediction_key(
    sha256: str,
    engine: Mapping[str, object],
    feeding: Feeding,
    data: Dataset,
    indices: NDArray[np.int64],
    jobs: int = 1,
) -> str:
    """Returns a SHA-256, in hexadecimal, over all that a model's outputs and speed depend on.

    Args:
        sha256: Of the model's content.
        engine: Which engine, its version, device or settings, and threads.
        feeding: How images become its input.
        data: The images.
        indices: (n,): which of them.
        jobs: How many models run at one time: the speed depends on it.
    """
    parts = {
        "format": FORMAT,
        "edgecifar": __version__,
        "model": sha256,
        "engine": dict(engine),
        "cpu": cpu_flags(),
        "jobs": jobs,
        "feeding": repr((feeding.preprocessing, feeding.raw_pixels)),
        "data": data.fingerprint,
        "indices": hashlib.sha256(np.ascontiguousarray(indices, np.int64).data).hexdigest(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def default_folder() -> Path:
    """Returns where predictions are kept on this system."""
    return cache_folder() / "predictions"


def _pack(predictions: Predictions, key: str) -> bytes:
    file = io.BytesIO()
    about = json.dumps(
        {
            "key": key,
            "images_per_s": predictions.images_per_s,
            "input": asdict(predictions.input),
            "output": asdict(predictions.output),
            "engine": asdict(predictions.engine),
        }
    )
    np.savez(file, outputs=predictions.outputs, about=np.array(about))
    return file.getvalue()


def _unpack(content: bytes, key: str) -> Predictions:
    """Returns the predictions of an entry; the archive's checksums tell of damage.

    Raises:
        ValueError: It belongs to another key or holds something else; and what the zip reader raises.
    """
    archive = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("it is one array")  # noqa: TRY004
    with archive:
        about = json.loads(str(archive["about"]))
        if about["key"] != key:
            raise ValueError("it belongs to another model")
        return Predictions(
            archive["outputs"],
            float(about["images_per_s"]),
            _tensor(about["input"]),
            _tensor(about["output"]),
            EngineInfo(**about["engine"] | {"facts": tuple(about["engine"]["facts"])}),
        )


def _tensor(fields: dict[str, Any]) -> TensorInfo:
    return TensorInfo(**fields | {"shape": tuple(fields["shape"])})


def _ages_and_sizes(paths: Iterable[Path]) -> Iterator[tuple[float, int, Path]]:
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            # Another process makes room at the same time.
            continue
        yield status.st_mtime, status.st_size, path
