"""Tests of what edgecifar.data itself defines: the splits of every source."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecifar.artifacts.dataset import Dataset
from edgecifar.choices import Source, Split
from edgecifar.data import load_dataset, load_training_data
from edgecifar.errors import DataError
from edgecifar.recipe import DataSpec
from tests.data.conftest import Recorder, SmallCifar10, place

SAMPLE = DataSpec(source=Source.SAMPLE)


def rows(data: Dataset) -> set[bytes]:
    return {image.tobytes() for image in data.images}


def test_sample_splits(recorder: Recorder) -> None:
    train, validation = load_training_data(SAMPLE, seed=3, progress=recorder)
    assert (len(train), len(validation)) == (1_800, 200)
    assert (train.split, validation.split) == ("train", "validation")
    assert np.bincount(validation.labels).tolist() == [20] * 10
    assert not rows(train) & rows(validation)
    assert recorder.said == ["CIFAR-10 sample in the package: 1,800 training, 200 validation images."]
    for split, whole in ((Split.TRAIN, train), (Split.VALIDATION, validation)):
        part = load_dataset(SAMPLE, split, seed=3)
        assert part.fingerprint == whole.fingerprint
        assert part.split == split
    assert load_dataset(SAMPLE, Split.VALIDATION, seed=4).fingerprint != validation.fingerprint


def test_test_split_does_not_depend_on_the_seed(recorder: Recorder) -> None:
    test = load_dataset(SAMPLE, Split.TEST, seed=1, progress=recorder)
    assert (len(test), test.split) == (1_000, "test")
    assert load_dataset(SAMPLE, Split.TEST, seed=2).fingerprint == test.fingerprint
    assert recorder.said == ["CIFAR-10 sample in the package: 1,000 test images."]


def test_sample_says_that_it_needs_no_folder(recorder: Recorder, tmp_path: Path) -> None:
    load_dataset(SAMPLE, Split.TEST, data_dir=tmp_path, progress=recorder)
    assert recorder.said[0] == f"{tmp_path} is not used: the sample lies in the package."


def test_cifar10_splits(small: SmallCifar10, tmp_path: Path, recorder: Recorder) -> None:
    archive = place("binary-packed", tmp_path, small.binary_members(), {})
    spec = DataSpec(validation_fraction=0.2)
    train, validation = load_training_data(spec, data_dir=tmp_path, progress=recorder)
    assert (len(train), len(validation)) == (80, 20)
    assert rows(train) | rows(validation) == {image.tobytes() for image in small.images[:100]}
    assert recorder.said == [f"CIFAR-10 from {archive}: 80 training, 20 validation images."]
    test = load_dataset(spec, Split.TEST, data_dir=tmp_path)
    np.testing.assert_array_equal(test.images, small.images[100:])


def test_cifar10_from_the_environment(
    small: SmallCifar10, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place("python-extracted", tmp_path, {}, small.python_members())
    monkeypatch.setenv("EDGECIFAR_DATA_DIR", str(tmp_path))
    assert len(load_dataset(DataSpec(), Split.TEST)) == 20


def test_folder_splits_are_disjoint(tmp_path: Path, recorder: Recorder) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(20):
            pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    spec = DataSpec(source=Source.FOLDER, image_size=8)
    parts = [load_dataset(spec, split, data_dir=tmp_path, progress=recorder) for split in Split]
    assert [len(part) for part in parts] == [32, 4, 4]
    assert len(set.union(*map(rows, parts))) == 40
    assert recorder.said[-1] == f"Images from {tmp_path}: 4 test images."


def test_folder_needs_a_folder() -> None:
    with pytest.raises(DataError, match="which folder") as caught:
        load_dataset(DataSpec(source=Source.FOLDER), Split.TRAIN)
    assert "--data-dir" in caught.value.mend


@pytest.mark.parametrize("source", [Source.CIFAR10, Source.SAMPLE])
def test_cifar10_is_not_resized(source: Source) -> None:
    with pytest.raises(DataError, match="32 pixels a side, but image_size is 48") as caught:
        load_dataset(DataSpec(source=source, image_size=48), Split.TEST)
    assert "data.image_size = 32" in caught.value.mend


@pytest.mark.parametrize("split", Split)
def test_arrays_are_ready_for_training(split: Split) -> None:
    data = load_dataset(SAMPLE, split)
    assert data.images.flags.c_contiguous
    assert data.images.dtype == np.uint8
    assert data.labels.dtype == np.int64
