import shutil
from pathlib import Path

import numpy as np
import pytest

from edgecifar.data import sample
from edgecifar.data.cifar10 import CLASS_NAMES, find_cifar10, read_cifar10
from edgecifar.data.sample import SAMPLE_FOLDER, choose_sample, read_sample
from edgecifar.data.splitting import Half
from edgecifar.errors import DataError

# Of the official images, decoded: what any machine and any version of the decoder must give.
FINGERPRINTS = {
    Half.TRAIN: "a8a50a564fbe487e27cec85e70445ec5a9bb1aa61241e8a0c13fc71f42efb379",
    Half.TEST: "17f9cb0cef72f9a65b3ff4ecf620b9f3a731136927dc444496ed02f796fc0f2b",
}


@pytest.mark.parametrize(("half", "count"), [(Half.TRAIN, 2_000), (Half.TEST, 1_000)])
def test_sample_decodes_to_the_same_images_everywhere(half: Half, count: int) -> None:
    data = read_sample(half)
    assert data.images.shape == (count, 32, 32, 3)
    assert data.images.flags.c_contiguous
    assert data.labels.dtype == np.int64
    assert np.bincount(data.labels).tolist() == [count // 10] * 10
    assert data.labels[:11].tolist() == [*range(10), 0]
    assert (data.class_names, data.source, data.split) == (CLASS_NAMES, "sample", half)
    assert data.fingerprint == FINGERPRINTS[half]


@pytest.mark.parametrize("half", Half)
def test_sample_equals_the_official_images(half: Half, cifar10_dir: Path) -> None:
    location = find_cifar10(cifar10_dir)
    assert location is not None
    official = read_cifar10(location, half)
    chosen = official.select(choose_sample(official.labels, half))
    data = read_sample(half)
    np.testing.assert_array_equal(data.images, chosen.images)
    np.testing.assert_array_equal(data.labels, chosen.labels)


def test_choice_takes_the_first_of_each_class_in_turn() -> None:
    labels = np.repeat(np.arange(10), 150)
    chosen = choose_sample(labels, Half.TEST)
    assert chosen[:12].tolist() == [0, 150, 300, 450, 600, 750, 900, 1050, 1200, 1350, 1, 151]
    assert len(set(chosen.tolist())) == 1_000


def test_sample_is_about_five_megabytes() -> None:
    sheets = list(SAMPLE_FOLDER.glob("*.webp"))
    assert len(sheets) == 20
    assert sum(path.stat().st_size for path in sheets) < 5_000_000
    assert "Krizhevsky" in (SAMPLE_FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("size", [None, 0, 1_000])
def test_a_missing_or_damaged_sheet_is_named(
    size: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE_FOLDER, folder)
    monkeypatch.setattr(sample, "SAMPLE_FOLDER", folder)
    sheet = folder / "test-cat.webp"
    content = sheet.read_bytes()
    sheet.unlink()
    if size is not None:
        sheet.write_bytes(content[:size])
    with pytest.raises(DataError, match=r"test-cat\.webp: missing or damaged") as caught:
        read_sample(Half.TEST)
    assert caught.value.mend == "Install edgecifar again."


def test_a_sheet_of_another_size_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE_FOLDER, folder)
    monkeypatch.setattr(sample, "SAMPLE_FOLDER", folder)
    shutil.copy(folder / "train-cat.webp", folder / "test-cat.webp")
    with pytest.raises(DataError, match=r"test-cat\.webp: missing or damaged"):
        read_sample(Half.TEST)
