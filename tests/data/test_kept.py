"""The test images of an archive are unpacked once, and nothing but the same bytes takes their place."""

import os
from pathlib import Path

import numpy as np
import pytest

from edgecifar.data import cifar10
from edgecifar.data.cifar10 import Cifar10Location, Layout, read_cifar10
from edgecifar.data.kept import find_kept, keep
from edgecifar.data.splitting import Half
from edgecifar.errors import DataError
from tests.data.conftest import SmallCifar10, place


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edgecifar" / "archives"


@pytest.fixture
def location(small: SmallCifar10, tmp_path: Path) -> Cifar10Location:
    path = place("binary-packed", tmp_path, small.binary_members(), {})
    return Cifar10Location(path, Layout.BINARY)


def forbid(_: object) -> None:
    raise AssertionError("the archive is read")


def test_the_archive_is_unpacked_once(
    location: Cifar10Location, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_cifar10(location, Half.TEST)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(cifar10.tarfile, "open", forbid)
    second = read_cifar10(location, Half.TEST)
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)
    # Training images are not kept.
    with pytest.raises(AssertionError, match="the archive is read"):
        read_cifar10(location, Half.TRAIN)


def test_a_copy_that_was_damaged_is_not_used(location: Cifar10Location, cache: Path) -> None:
    whole = read_cifar10(location, Half.TEST)
    [copy] = cache.iterdir()
    copy.write_bytes(b"?" + copy.read_bytes()[1:])
    np.testing.assert_array_equal(read_cifar10(location, Half.TEST).labels, whole.labels)


@pytest.mark.usefixtures("cache")
def test_an_archive_that_changed_is_read_again(location: Cifar10Location) -> None:
    read_cifar10(location, Half.TEST)
    content = location.path.read_bytes()
    location.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged or cut short"):
        read_cifar10(location, Half.TEST)


def test_what_is_altered_is_not_kept(location: Cifar10Location, cache: Path, small: SmallCifar10) -> None:
    members = small.binary_members()
    members["test_batch.bin"] = bytes(len(members["test_batch.bin"]))
    path = place("binary-packed", location.path.parent / "other", members, {})
    with pytest.raises(DataError, match="altered"):
        read_cifar10(Cifar10Location(path, Layout.BINARY), Half.TEST)
    assert not cache.exists()


def test_one_copy_is_kept_of_all_archives(tmp_path: Path, cache: Path) -> None:
    archive, sum_of_b = tmp_path / "a.tar.gz", "e9d71f5ee7c92d6dc9e92ffdad17b8bd49418f98"
    archive.touch()
    keep(archive, "m", b"a")
    os.utime(archive, (1, 1))
    assert find_kept(archive, "m", sum_of_b) is None
    keep(archive, "m", b"b")
    assert find_kept(archive, "m", sum_of_b) == b"b"
    assert len(list(cache.iterdir())) == 1


def test_where_nothing_can_be_kept_nothing_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep(tmp_path / "file", "m", b"b")
    assert find_kept(tmp_path / "file", "m", "") is None
