"""Images that cannot be had: one clear message, status 2, and nothing half-written."""

import gzip
import io
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

MEMBER_BYTES = 10_000 * 3073


# CIFAR-10


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, mode="w:gz", compresslevel=1) as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"cifar-10/{name}")
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path


def missing(folder: Path) -> Path:
    return folder / "nowhere"


def empty(folder: Path) -> Path:
    return folder


def truncated(folder: Path) -> Path:
    noise = np.random.default_rng(0).bytes(200_000) + bytes(MEMBER_BYTES - 200_000)
    path = archive(folder / "cifar-10-binary.tar.gz", {"data_batch_1.bin": noise})
    path.write_bytes(path.read_bytes()[:100_000])
    return folder


def altered(folder: Path) -> Path:
    return archive(folder / "cifar-10-binary.tar.gz", {"data_batch_1.bin": bytes(MEMBER_BYTES)})


def too_short(folder: Path) -> Path:
    (folder / "data_batch_1.bin").write_bytes(bytes(MEMBER_BYTES - 1))
    return folder


def incomplete(folder: Path) -> Path:
    return archive(folder / "cifar-10-binary.tar.gz", {"test_batch.bin": b""})


def another_archive(folder: Path) -> Path:
    path = folder / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(b"hello"))
    return path


def label_out_of_range(folder: Path) -> Path:
    batch = {b"data": np.zeros((10_000, 3072), np.uint8), b"labels": [0] * 9_999 + [10]}
    return archive(folder / "cifar-10-python.tar.gz", {"data_batch_1": pickle.dumps(batch, protocol=2)})


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (missing, "nowhere, given as the data folder, does not exist."),
        (empty, "given as the data folder, holds no CIFAR-10."),
        (truncated, "damaged or cut short"),
        (altered, "data_batch_1.bin"),
        (too_short, "data_batch_1.bin has 30,729,999 bytes, not 30,730,000."),
        (incomplete, "data_batch_1.bin is missing."),
        (another_archive, "damaged or cut short"),
        (label_out_of_range, "10"),
    ],
)
def test_a_bad_cifar10_is_told_with_the_way_to_a_good_one(
    place: Callable[[Path], Path], told: str, refused: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    message = refused("train", "--data-dir", place(folder))
    assert told in message
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" in message
    assert not (tmp_path / "runs").exists()


def test_a_pickle_that_would_run_code_is_refused(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(print))
    message = refused("train", "--data-dir", tmp_path)
    assert "data_batch_1: refused to load builtins.print" in message


# A folder of images


def two_classes(root: Path, images: int = 20) -> Path:
    for name, value in (("ant", 20), ("bee", 200)):
        (root / name).mkdir(parents=True)
        for index in range(images):
            Image.fromarray(np.full((8, 8, 3), value + index, np.uint8)).save(root / name / f"{index}.png")
    return root


def no_classes(root: Path) -> None:
    shutil.rmtree(root / "ant")
    shutil.rmtree(root / "bee")


def no_images(root: Path) -> None:
    for path in (root / "bee").iterdir():
        path.rename(path.with_suffix(".txt"))


def corrupt_image(root: Path) -> None:
    path = root / "ant" / "3.png"
    path.write_bytes(path.read_bytes()[:50])


def text_as_image(root: Path) -> None:
    (root / "ant" / "3.png").write_text("hello")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (no_classes, "there are no class folders."),
        (no_images, "bee: there are no images in this class folder."),
        (corrupt_image, "3.png: cannot be read as an image"),
        (text_as_image, "3.png: cannot be read as an image (of no known format)."),
    ],
)
def test_a_bad_folder_of_images_is_told(
    spoil: Callable[[Path], None], told: str, refused: Any, tmp_path: Path
) -> None:
    root = two_classes(tmp_path / "photos")
    spoil(root)
    assert told in refused("train", "--data", "folder", "--data-dir", root)
    assert not (tmp_path / "runs").exists()


def test_the_folder_source_needs_a_folder(refused: Any) -> None:
    assert "Pass --data-dir FOLDER." in refused("train", "--data", "folder")


def test_images_of_other_classes_are_told(refused: Any, made: Any, tmp_path: Path) -> None:
    data = ["--data", "folder", "--data-dir", two_classes(tmp_path / "photos")]
    for command in (
        ["verify", made.bundle],
        ["predict", made.run, "--first", 3],
        ["show", "mistakes", "--model", made.run, "-o", "x.png"],
    ):
        message = refused(*command, *data)
        assert "knows the classes airplane, automobile" in message
        assert "the images have ant, bee." in message
    assert not list(tmp_path.glob("x.png"))
