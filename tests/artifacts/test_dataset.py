import hashlib
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.errors import DataError

IMAGES = np.arange(3 * 2 * 2 * 3, dtype=np.uint8).reshape(3, 2, 2, 3)
LABELS = np.array([0, 1, 0], np.int64)


def dataset(
    images: NDArray[np.uint8] = IMAGES,
    labels: NDArray[np.int64] = LABELS,
    class_names: tuple[str, ...] = ("ant", "bee"),
) -> Dataset:
    return Dataset(images, labels, class_names, source="garden", split="train")


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (
            IMAGES.astype(np.float32),
            LABELS,
            r"must be uint8 of shape .*, not float32 of shape \(3, 2, 2, 3\)",
        ),
        (IMAGES[..., :1], LABELS, r"not uint8 of shape \(3, 2, 2, 1\)"),
        (IMAGES[0], LABELS, r"not uint8 of shape \(2, 2, 3\)"),
        (IMAGES, LABELS[:2], "3 images but 2 labels"),
        (IMAGES[:0], LABELS[:0], "no images in the train split"),
        (IMAGES, np.array([0, 2, 0]), "label 2 is outside 0 to 1"),
        (IMAGES, np.array([0, -1, 7]), "label -1 is outside 0 to 1"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    images: NDArray[np.uint8], labels: NDArray[np.int64], told: str
) -> None:
    with pytest.raises(DataError, match=f"^garden: .*{told}"):
        dataset(images, labels)


def test_length_and_immutability() -> None:
    data = dataset()
    assert len(data) == 3
    with pytest.raises(FrozenInstanceError):
        data.split = "test"  # type: ignore[misc]


def test_the_fingerprint_is_the_hash_of_all_content() -> None:
    content = repr(((3, 2, 2, 3), ("ant", "bee"))).encode() + IMAGES.tobytes() + LABELS.tobytes()
    assert dataset().fingerprint == hashlib.sha256(content).hexdigest()


def test_the_fingerprint_does_not_depend_on_the_memory_layout() -> None:
    other = dataset(np.asfortranarray(IMAGES), np.stack([LABELS, LABELS], axis=1)[:, 0])
    assert other.fingerprint == dataset().fingerprint


@pytest.mark.parametrize(
    "other",
    [
        dataset(IMAGES ^ np.uint8(1)),
        dataset(IMAGES.reshape(3, 1, 4, 3)),
        dataset(labels=np.array([1, 1, 0])),
        dataset(class_names=("ant", "wasp")),
    ],
    ids=["pixels", "shape", "labels", "names"],
)
def test_another_content_has_another_fingerprint(other: Dataset) -> None:
    assert other.fingerprint != dataset().fingerprint


def test_select_takes_images_with_their_labels() -> None:
    chosen = dataset().select(np.array([2, 1]))
    np.testing.assert_array_equal(chosen.images, IMAGES[[2, 1]])
    assert chosen.labels.tolist() == [0, 1]
    assert (chosen.split, chosen.source) == ("train", "garden")
    held_out = dataset().select(slice(1), split="validation")
    assert (len(held_out), held_out.split) == (1, "validation")


def test_preprocessing_by_hand_in_float32() -> None:
    values = Preprocessing(mean=121, std=64, height=1, width=1).apply(
        np.array([[[[0, 121, 185]]]], dtype=np.uint8)
    )
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array([[[[-121 / 64, 0, 1]]]], np.float32))
