import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.artifacts.dataset import Dataset
from edgecifar.data.splitting import Split, stratified_split
from edgecifar.errors import DataError


def dataset(labels: list[int], classes: int) -> Dataset:
    """Returns one image per label, whose every pixel is its index (up to 65,535)."""
    index = np.arange(len(labels))
    images = np.zeros((len(labels), 1, 1, 3), dtype=np.uint8)
    images[..., 0], images[..., 1] = (index >> 8)[:, None, None], (index & 255)[:, None, None]
    names = tuple(f"class {label}" for label in range(classes))
    return Dataset(images, np.array(labels, dtype=np.int64), names, source="test", split="train")


def indices(data: Dataset) -> list[int]:
    return [(int(image[0]) << 8) + int(image[1]) for image in data.images[:, 0, 0]]


@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31 - 1),
)
def test_split_is_exact_disjoint_ordered_and_repeatable(
    counts: list[int], fraction: float, seed: int
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    labels = np.random.default_rng(seed ^ 1).permutation(labels).tolist()
    data = dataset(labels, len(counts))
    if not all(0 < round(fraction * count) < count for count in counts):
        with pytest.raises(DataError, match="leaves one side empty"):
            stratified_split(data, fraction, seed)
        return
    kept, held_out = stratified_split(data, fraction, seed)
    assert np.bincount(held_out.labels).tolist() == [round(fraction * count) for count in counts]
    assert sorted(indices(kept) + indices(held_out)) == list(range(len(labels)))
    for part in (kept, held_out):
        assert indices(part) == sorted(indices(part))
        assert part.labels.tolist() == [labels[index] for index in indices(part)]
    again = stratified_split(data, fraction, seed)
    assert [part.fingerprint for part in again] == [kept.fingerprint, held_out.fingerprint]


def test_split_names() -> None:
    data = dataset([0, 1] * 10, 2)
    kept, held_out = stratified_split(data, 0.1, seed=0)
    assert (kept.split, held_out.split) == ("train", "validation")
    assert stratified_split(data, 0.1, seed=0, held_out_as=Split.TEST)[1].split == "test"


def test_seeds_differ() -> None:
    data = dataset([0, 1] * 100, 2)
    assert indices(stratified_split(data, 0.1, seed=0)[1]) != indices(stratified_split(data, 0.1, seed=1)[1])


def test_a_small_class_is_named() -> None:
    with pytest.raises(DataError, match=r"test: class class 1 has 1 image: holding out 50%"):
        stratified_split(dataset([0] * 10 + [1], 2), 0.5, seed=0)


def test_a_class_without_images_is_left_alone() -> None:
    kept, held_out = stratified_split(dataset([0, 2] * 10, 3), 0.2, seed=0)
    assert np.bincount(kept.labels).tolist() == [8, 0, 8]
    assert np.bincount(held_out.labels).tolist() == [2, 0, 2]
