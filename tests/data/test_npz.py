from pathlib import Path

import numpy as np
import pytest

from edgecifar.choices import Source, Split
from edgecifar.data import load_dataset
from edgecifar.data.npz import read_npz
from edgecifar.data.splitting import Half
from edgecifar.errors import DataError
from edgecifar.recipe import DataSpec

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3)).astype(np.uint8)
LABELS = np.array([0, 2, 1, 0], np.uint8)


def write(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_an_archive_is_a_test_set(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", images=IMAGES, labels=LABELS, class_names=["ant", "bee", "cat"], more=1)
    data = load_dataset(DataSpec(source=Source.NPZ), Split.TEST, data_dir=path)
    np.testing.assert_array_equal(data.images, IMAGES)
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [0, 2, 1, 0]
    assert data.class_names == ("ant", "bee", "cat")
    assert (data.source, data.split) == (str(path), "test")


def test_classes_without_names_are_numbered(tmp_path: Path) -> None:
    data = read_npz(write(tmp_path / "a.npz", images=IMAGES, labels=LABELS), Half.TEST)
    assert data.class_names == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"labels": LABELS}, "no array named images, only labels"),
        ({"images": IMAGES}, "no array named labels, only images"),
        ({}, "no array named images, only nothing"),
        ({"images": IMAGES / 255, "labels": LABELS}, "images are float64"),
        ({"images": IMAGES[..., 0], "labels": LABELS}, "images are uint8 of shape"),
        ({"images": IMAGES.transpose(0, 3, 1, 2), "labels": LABELS}, "not uint8 \\(N, height, width, 3\\)"),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels are float64"),
        ({"images": IMAGES, "labels": np.eye(4, dtype=np.int64)}, "labels are int64 of shape"),
        ({"images": IMAGES, "labels": LABELS[:3]}, "4 images but 3 labels"),
        ({"images": IMAGES, "labels": LABELS.astype(np.int64) - 1}, "label -1 is outside"),
        ({"images": IMAGES, "labels": np.full(4, 2**40)}, "too large to be a class"),
        ({"images": IMAGES, "labels": LABELS, "class_names": ["ant", "bee"]}, "label 2 is outside 0 to 1"),
        ({"images": IMAGES, "labels": LABELS, "class_names": [1, 2, 3]}, "class_names are int64"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "there are no images"),
        ({"images": IMAGES, "labels": np.array([object()] * 4)}, "not a NumPy archive that can be read"),
    ],
)
def test_what_is_wrong_is_said(arrays: dict[str, object], told: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=told) as caught:
        read_npz(path, Half.TEST)
    assert caught.value.problem.startswith(f"{path}: ")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut", None])
def test_what_is_no_archive_is_said(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path}: "):
        read_npz(path, Half.TEST)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_cut_archive_is_said(share: float, tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="not a NumPy archive that can be read"):
        read_npz(path, Half.TEST)


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a NumPy archive that can be read"):
        read_npz(path, Half.TEST)


def test_an_archive_that_claims_to_be_encrypted_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 8] |= 1  # bit 0 of the flags in the directory: encrypted
    path.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        read_npz(path, Half.TEST)


def test_one_array_and_a_folder_are_no_archive(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match="one array, not an archive"):
        read_npz(tmp_path / "a.npz", Half.TEST)
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_npz(tmp_path, Half.TEST)


def test_an_archive_is_not_trained_on(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    for split in (Split.TRAIN, Split.VALIDATION):
        with pytest.raises(DataError, match="not to train on"):
            load_dataset(DataSpec(source=Source.NPZ), split, data_dir=path)
    with pytest.raises(DataError, match=r"--data-dir FILE\.npz"):
        load_dataset(DataSpec(source=Source.NPZ), Split.TEST)
