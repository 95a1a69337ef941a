import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.artifacts.dataset import Dataset
from edgecifar.data import preprocessing
from edgecifar.data.preprocessing import fit_preprocessing, pixel_statistics
from edgecifar.errors import DataError
from edgecifar.recipe import PreprocessingSpec


def dataset(values: list[int]) -> Dataset:
    """Returns grey images of 2 by 4 pixels."""
    images = np.tile(np.array(values, dtype=np.uint8)[:, None, None, None], (1, 2, 4, 3))
    return Dataset(images, np.zeros(len(values), dtype=np.int64), ("grey",), source="greys", split="train")


def test_statistics_by_hand() -> None:
    # Mean of 1, 3, 5, 7 is 4; squared distances 9, 1, 1, 9 have the mean 5.
    found = fit_preprocessing(PreprocessingSpec(), dataset([1, 3, 5, 7]))
    assert (found.mean, found.std) == (4.0, 5.0**0.5)
    assert type(found.mean) is type(found.std) is float
    assert (found.height, found.width) == (2, 4)


def test_given_numbers_are_kept() -> None:
    found = fit_preprocessing(PreprocessingSpec(mean=121, std=64), dataset([0, 0]))
    assert (found.mean, found.std) == (121.0, 64.0)


def test_one_number_may_be_measured() -> None:
    found = fit_preprocessing(PreprocessingSpec(mean="train", std=64), dataset([0, 10]))
    assert (found.mean, found.std) == (5.0, 64.0)
    found = fit_preprocessing(PreprocessingSpec(mean=100, std="train"), dataset([0, 10]))
    assert (found.mean, found.std) == (100.0, 5.0)


def test_equal_pixels_have_no_deviation() -> None:
    with pytest.raises(DataError, match="greys: all pixels of the training images have the same value, 7"):
        fit_preprocessing(PreprocessingSpec(), dataset([7, 7]))


def test_images_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    whole = pixel_statistics(images)
    monkeypatch.setattr(preprocessing, "IMAGES_PER_COUNT", 3)
    assert pixel_statistics(images) == whole


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50), st.randoms())
def test_statistics_agree_with_numpy_in_any_order(values: list[int], random: object) -> None:
    mean, std = pixel_statistics(dataset(values).images)
    assert mean == pytest.approx(np.mean(values))
    assert std == pytest.approx(np.std(values), abs=1e-6)
    shuffled = sorted(values, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert pixel_statistics(dataset(shuffled).images) == (mean, std)
