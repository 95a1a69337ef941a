"""CIFAR-10 (Krizhevsky 2009): found on this machine in any of its official forms, or downloaded.

https://www.cs.toronto.edu/~kriz/cifar.html describes both layouts. Each has six files ("members") of 10,000
images, in a tar.gz archive or extracted from it. Archives are read in memory, never extracted to disk.
"""

import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts.dataset import Dataset
from edgecifar.data.batch_pickle import read_batch
from edgecifar.data.download import download
from edgecifar.data.kept import find_kept, keep
from edgecifar.data.splitting import Half
from edgecifar.errors import DataError
from edgecifar.progress import SILENT, Progress

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
DATA_DIR_VARIABLE = "EDGECIFAR_DATA_DIR"
IMAGE_SIZE = 32
IMAGES_PER_BATCH = 10_000
RECORD_BYTES = 1 + 3 * IMAGE_SIZE * IMAGE_SIZE
"""A label, then the R, G and B planes, row by row."""

MEMBERS: Mapping[Half, tuple[str, ...]] = {
    Half.TRAIN: tuple(f"data_batch_{number}" for number in range(1, 6)),
    Half.TEST: ("test_batch",),
}

# Of the binary layout's members, as published in Apache MXNet (gluon.data.vision.CIFAR10).
OFFICIAL_SHA1: Mapping[str, str] = {
    "data_batch_1.bin": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "data_batch_2.bin": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "data_batch_3.bin": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "data_batch_4.bin": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "data_batch_5.bin": "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "test_batch.bin": "67eb016db431130d61cd03c7ad570b013799c88c",
}


class Layout(StrEnum):
    """How the members are written."""

    BINARY = "binary"
    """Fixed-length records, checked against the official sums."""
    PYTHON = "python"
    """Pickled dictionaries, checked in their structure."""

    @property
    def suffix(self) -> str:
        """What a member's name ends in."""
        return ".bin" if self is Layout.BINARY else ""


# Names below a folder that is searched, in order of preference; "" is the folder itself. The binary layout
# comes first, because it has sums. Keras 2 writes cifar-10-batches-py(.tar.gz), Keras 3 the -target names.
FOLDERS: Mapping[Layout, tuple[str, ...]] = {
    Layout.BINARY: ("", "cifar-10-batches-bin"),
    Layout.PYTHON: ("", "cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py"),
}
ARCHIVES: Mapping[Layout, tuple[str, ...]] = {
    Layout.BINARY: ("cifar-10-binary.tar.gz",),
    Layout.PYTHON: (
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py.tar.gz",
        "cifar-10-batches-py-target_archive",
    ),
}


@dataclass(frozen=True, slots=True)
class Cifar10Location:
    """Where CIFAR-10 lies on this machine, not yet read."""

    path: Path
    """An archive, or the folder that holds the members."""
    layout: Layout

    @property
    def mend(self) -> str:
        """What to do where it turns out to be damaged."""
        # A folder may hold other things than the batches: never advise to delete it whole.
        what = self.path if self.path.is_file() else f"the batch files in {self.path}"
        return f"Delete {what} and get the official archive again: {OFFICIAL_URL}"


def keras_cache() -> Path:
    """Returns the folder in which Keras keeps data sets: below KERAS_HOME, else ~/.keras.

    Raises:
        DataError: There is no KERAS_HOME and no home folder.
    """
    if home := os.environ.get("KERAS_HOME"):
        return Path(home) / "datasets"
    try:
        return Path.home() / ".keras" / "datasets"
    except RuntimeError as error:
        raise DataError("There is no home folder.", f"Set {DATA_DIR_VARIABLE} or KERAS_HOME.") from error


def find_cifar10(data_dir: Path | None = None) -> Cifar10Location | None:
    """Returns where CIFAR-10 lies, without reading it, or None where it has to be downloaded.

    Looks in `data_dir`, else in the folder that EDGECIFAR_DATA_DIR names, else in Keras's cache.

    Args:
        data_dir: An archive, a folder that holds one, or a folder of extracted members.

    Raises:
        DataError: `data_dir` or EDGECIFAR_DATA_DIR is given, and there is no CIFAR-10 there.
    """
    if data_dir is not None:
        return _find_in_given(data_dir, "given as the data folder")
    if named := os.environ.get(DATA_DIR_VARIABLE):
        return _find_in_given(Path(named), f"named by {DATA_DIR_VARIABLE}")
    return _find_in(keras_cache())


def obtain_cifar10(
    data_dir: Path | None = None, progress: Progress = SILENT, url: str = OFFICIAL_URL
) -> Cifar10Location:
    """Returns where CIFAR-10 lies, after downloading it into Keras's cache where it is nowhere.

    Args:
        data_dir: As for `find_cifar10`.
        progress: Gets a task in bytes while downloading.
        url: Of the binary archive.

    Raises:
        DataError: It is not where it was said to be, or cannot be downloaded.
    """
    found = find_cifar10(data_dir)
    if found is not None:
        return found
    path = keras_cache() / "cifar-10-binary.tar.gz"
    progress.say(f"CIFAR-10 is not on this machine; downloading it to {path}.")
    mend = (
        f"Get {PurePosixPath(url).name} in another way and pass its folder as --data-dir (or set "
        f"{DATA_DIR_VARIABLE}); or use --data sample, which works at once."
    )
    download(url, path, progress, mend, check=lambda partial: _check_download(url, partial))
    return Cifar10Location(path, Layout.BINARY)


def read_cifar10(location: Cifar10Location, half: Half) -> Dataset:
    """Returns the 50,000 training or the 10,000 test images, in their official order.

    Raises:
        DataError: The archive is cut short, or a member is missing, of another length, or altered.
    """
    order = MEMBERS[half]
    images = np.empty((len(order), IMAGES_PER_BATCH, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    labels = np.empty((len(order), IMAGES_PER_BATCH), dtype=np.int64)
    for name, content in _read_members(location, order):
        index = order.index(name)
        labels[index], pixels = _decode(location, name, content)
        images[index] = pixels.reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE).transpose(0, 2, 3, 1)
    return Dataset(
        images=images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3),
        labels=labels.reshape(-1),
        class_names=CLASS_NAMES,
        source="cifar10",
        split=half,
    )


def _find_in_given(place: Path, how: str) -> Cifar10Location:
    found = _find_in(place)
    if found is None:
        verdict = "holds no CIFAR-10" if place.exists() else "does not exist"
        folders = [f"{name}/" for layout in Layout for name in FOLDERS[layout] if name]
        archives = [name for layout in Layout for name in ARCHIVES[layout]]
        raise DataError(
            f"{place}, {how}, {verdict}.",
            f"Looked for {', '.join(folders + archives)}, and for data_batch_1.bin or data_batch_1 in the "
            f"folder itself. The official archive is at {OFFICIAL_URL}; --data sample works without it.",
        )
    return found


def _find_in(place: Path) -> Cifar10Location | None:
    try:
        candidates = _archive_itself(place) if place.is_file() else _below(place)
        return next(candidates, None)
    except OSError as error:
        raise DataError(f"{place}: cannot be searched for CIFAR-10 ({error.strerror}).") from error


def _archive_itself(archive: Path) -> Iterator[Cifar10Location]:
    for layout in Layout:
        if archive.name in ARCHIVES[layout]:
            yield Cifar10Location(archive, layout)


def _below(place: Path) -> Iterator[Cifar10Location]:
    for layout in Layout:
        members = [f"{member}{layout.suffix}" for half in Half for member in MEMBERS[half]]
        for folder in FOLDERS[layout]:
            # Any one of them: a folder that lacks some is damaged, which reading it tells.
            if any((place / folder / member).is_file() for member in members):
                yield Cifar10Location(place / folder, layout)
        for archive in ARCHIVES[layout]:
            if (place / archive).is_file():
                yield Cifar10Location(place / archive, layout)


def _check_download(url: str, partial: Path) -> None:
    location = Cifar10Location(partial, Layout.BINARY)
    try:
        for name, content in _read_members(location, [*MEMBERS[Half.TRAIN], *MEMBERS[Half.TEST]]):
            _decode(location, name, content)
    except DataError as error:
        raise DataError(
            f"{url} does not serve the official CIFAR-10: {error.problem.removeprefix(f'{partial}: ')}",
            "Try again, or get the archive in another way; --data sample works at once.",
        ) from error


def _read_members(
    location: Cifar10Location, names: list[str] | tuple[str, ...]
) -> Iterator[tuple[str, bytes]]:
    """Yields each member's name without suffix and its content, in the order of the archive."""
    missing = set(names)
    reader = _read_folder
    if location.path.is_file():
        # Of the pickles it is not known what has to be in them.
        is_known = location.layout is Layout.BINARY and tuple(names) == MEMBERS[Half.TEST]
        reader = _read_kept if is_known else _read_archive
    for name, content in reader(location, names):
        missing.discard(name)
        yield name, content
    if missing:
        first = min(missing) + location.layout.suffix
        raise DataError(f"{location.path}: {first} is missing.", location.mend)


def _read_folder(
    location: Cifar10Location, names: list[str] | tuple[str, ...]
) -> Iterator[tuple[str, bytes]]:
    for name in names:
        path = location.path / f"{name}{location.layout.suffix}"
        if path.is_file():
            _check_size(location, name, path.stat().st_size)
            try:
                content = path.read_bytes()
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
            yield name, content


def _read_archive(
    location: Cifar10Location, names: list[str] | tuple[str, ...]
) -> Iterator[tuple[str, bytes]]:
    wanted = {f"{name}{location.layout.suffix}": name for name in names}
    try:
        with tarfile.open(location.path) as archive:
            for entry in archive:
                name = wanted.pop(PurePosixPath(entry.name).name, None) if entry.isfile() else None
                if name is not None and (file := archive.extractfile(entry)) is not None:
                    _check_size(location, name, entry.size)
                    yield name, file.read()
                if not wanted:
                    break
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        # tarfile lists every compression that it tried, one a line.
        reason = str(error).partition("\n")[0].rstrip(":")
        raise DataError(f"{location.path}: damaged or cut short ({reason}).", location.mend) from error


def _read_kept(location: Cifar10Location, names: list[str] | tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yields one member as it was kept when the archive was read last, else from the archive."""
    [member] = (f"{name}{location.layout.suffix}" for name in names)
    kept = find_kept(location.path, member, OFFICIAL_SHA1[member])
    if kept is not None:
        yield names[0], kept
        return
    for name, content in _read_archive(location, names):
        yield name, content
        # Here, the one who reads has found nothing wrong with it.
        keep(location.path, member, content)


def _check_size(location: Cifar10Location, name: str, size: int) -> None:
    """Refuses a member before its bytes are read into memory."""
    expected = IMAGES_PER_BATCH * RECORD_BYTES
    # A pickle adds the images' file names, about one per cent, and bytes above 127 may take two.
    wrong = size != expected if location.layout is Layout.BINARY else size > 3 * expected
    if wrong:
        member = f"{name}{location.layout.suffix}"
        raise DataError(f"{location.path}: {member} has {size:,} bytes, not {expected:,}.", location.mend)


def _decode(
    location: Cifar10Location, name: str, content: bytes
) -> tuple[NDArray[np.uint8] | list[int], NDArray[np.uint8]]:
    """Returns a member's labels (N,), and its pixels (N, 3072) in planes, both checked."""
    member = f"{name}{location.layout.suffix}"
    if location.layout is Layout.PYTHON:
        return read_batch(content, IMAGES_PER_BATCH, f"{location.path}: {member}", location.mend)
    if hashlib.sha1(content, usedforsecurity=False).hexdigest() != OFFICIAL_SHA1[member]:
        raise DataError(
            f"{location.path}: {member} is altered: its SHA-1 is not the official one.", location.mend
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(IMAGES_PER_BATCH, RECORD_BYTES)
    return records[:, 0], records[:, 1:]
