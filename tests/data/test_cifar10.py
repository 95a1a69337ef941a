import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecifar.data import cifar10
from edgecifar.data.cifar10 import (
    Cifar10Location,
    Layout,
    find_cifar10,
    keras_cache,
    obtain_cifar10,
    read_cifar10,
)
from edgecifar.data.splitting import Half
from edgecifar.errors import DataError
from tests.data.conftest import NAMES, Answer, Recorder, SmallCifar10, answer_with, pack, place

FORMS = (
    "binary-packed",
    "binary-extracted",
    "binary-bare",
    "python-packed",
    "python-extracted",
    "python-bare",
)


def put(small: SmallCifar10, form: str, root: Path) -> Path:
    return place(form, root, small.binary_members(), small.python_members())


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images(form: str, small: SmallCifar10, tmp_path: Path) -> None:
    put(small, form, tmp_path)
    location = find_cifar10(tmp_path)
    assert location is not None
    assert location.layout == form.partition("-")[0]
    train, test = read_cifar10(location, Half.TRAIN), read_cifar10(location, Half.TEST)
    np.testing.assert_array_equal(train.images, small.images[:100])
    np.testing.assert_array_equal(train.labels, small.labels[:100])
    np.testing.assert_array_equal(test.images, small.images[100:])
    np.testing.assert_array_equal(test.labels, small.labels[100:])
    assert (train.split, test.split, train.source) == ("train", "test", "cifar10")
    assert train.images.flags.c_contiguous
    assert train.labels.dtype == np.int64


@pytest.mark.parametrize("form", ["binary-packed", "python-packed"])
def test_data_dir_may_be_the_archive_itself(form: str, small: SmallCifar10, tmp_path: Path) -> None:
    archive = put(small, form, tmp_path)
    location = find_cifar10(archive)
    assert location == Cifar10Location(archive, Layout(form.partition("-")[0]))


def test_order_of_an_archive_does_not_matter(small: SmallCifar10, tmp_path: Path) -> None:
    members = dict(reversed(small.binary_members().items()))
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(pack(members, "cifar-10-batches-bin"))
    location = find_cifar10(tmp_path)
    assert location is not None
    np.testing.assert_array_equal(read_cifar10(location, Half.TRAIN).images, small.images[:100])


def test_the_binary_layout_is_preferred(small: SmallCifar10, tmp_path: Path) -> None:
    put(small, "python-extracted", tmp_path)
    archive = put(small, "binary-packed", tmp_path)
    assert find_cifar10(tmp_path) == Cifar10Location(archive, Layout.BINARY)


def test_search_order(
    small: SmallCifar10, tmp_path: Path, keras_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_cifar10() is None
    cached = put(small, "python-packed", keras_home / "datasets")
    assert find_cifar10() == Cifar10Location(cached, Layout.PYTHON)
    named = put(small, "binary-packed", tmp_path / "named")
    monkeypatch.setenv("EDGECIFAR_DATA_DIR", str(named.parent))
    assert find_cifar10() == Cifar10Location(named, Layout.BINARY)
    given = put(small, "binary-extracted", tmp_path / "given")
    assert find_cifar10(given.parent) == Cifar10Location(given, Layout.BINARY)


def test_a_given_folder_without_cifar10_is_an_error(
    small: SmallCifar10, tmp_path: Path, keras_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(small, "binary-packed", keras_home / "datasets")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"empty, given as the data folder, holds no CIFAR-10") as caught:
        find_cifar10(empty)
    for name in (
        "cifar-10-batches-bin/",
        "cifar-10-binary.tar.gz",
        "cifar-10-python.tar.gz",
        "data_batch_1.bin",
    ):
        assert name in caught.value.mend
    assert "--data sample" in caught.value.mend
    with pytest.raises(DataError, match="does not exist"):
        find_cifar10(tmp_path / "nowhere")
    monkeypatch.setenv("EDGECIFAR_DATA_DIR", str(empty))
    with pytest.raises(DataError, match=r"empty, named by EDGECIFAR_DATA_DIR, holds no CIFAR-10"):
        find_cifar10()


def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="holds no CIFAR-10"):
        find_cifar10(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["cifar-10-batches-py.tar.gz", "cifar-10-batches-py-target_archive"])
def test_keras_archives_are_found(name: str, small: SmallCifar10, keras_home: Path) -> None:
    (keras_home / "datasets").mkdir(parents=True)
    path = keras_home / "datasets" / name
    path.write_bytes(pack(small.python_members(), "cifar-10-batches-py"))
    location = find_cifar10()
    assert location == Cifar10Location(path, Layout.PYTHON)
    np.testing.assert_array_equal(read_cifar10(location, Half.TEST).images, small.images[100:])


@pytest.mark.parametrize("parent", ["", "cifar-10-batches-py-target"])
def test_keras_folders_are_found(parent: str, small: SmallCifar10, keras_home: Path) -> None:
    folder = put(small, "python-extracted", keras_home / "datasets" / parent)
    assert find_cifar10() == Cifar10Location(folder, Layout.PYTHON)


def test_keras_cache_without_keras_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert keras_cache() == tmp_path / ".keras" / "datasets"


def test_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(DataError, match="no home folder") as caught:
        find_cifar10()
    assert "EDGECIFAR_DATA_DIR" in caught.value.mend


def test_a_folder_that_may_not_be_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", forbid)
    with pytest.raises(DataError, match=r"cannot be searched for CIFAR-10 \(Permission denied\)"):
        find_cifar10(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9])
@pytest.mark.parametrize("form", ["binary-packed", "python-packed"])
def test_a_truncated_archive_is_named(form: str, share: float, small: SmallCifar10, tmp_path: Path) -> None:
    archive = put(small, form, tmp_path)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError) as caught:
        read_cifar10(Cifar10Location(archive, Layout(form.partition("-")[0])), Half.TEST)
    assert f"{archive}: damaged or cut short" in caught.value.problem
    assert cifar10.OFFICIAL_URL in caught.value.mend


def test_a_damaged_compressed_stream_is_named(small: SmallCifar10, tmp_path: Path) -> None:
    archive = put(small, "binary-packed", tmp_path)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: (damaged|data_batch_\d\.bin is altered)"):
        read_cifar10(Cifar10Location(archive, Layout.BINARY), Half.TRAIN)


def alter(content: bytes) -> bytes:
    return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]


DAMAGES = {
    "altered": (alter, "data_batch_3.bin is altered"),
    "longer": (lambda content: content + b"\0", "data_batch_3.bin has 61,461 bytes, not 61,460"),
    "shorter": (lambda content: content[:-3073], "data_batch_3.bin has 58,387 bytes, not 61,460"),
    "empty": (lambda _: b"", "data_batch_3.bin has 0 bytes, not 61,460"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("form", ["binary-packed", "binary-extracted"])
def test_a_damaged_member_is_named(form: str, damage: str, small: SmallCifar10, tmp_path: Path) -> None:
    change, message = DAMAGES[damage]
    members = small.binary_members()
    members["data_batch_3.bin"] = change(members["data_batch_3.bin"])
    path = place(form, tmp_path, members, {})
    location = Cifar10Location(path, Layout.BINARY)
    with pytest.raises(DataError) as caught:
        read_cifar10(location, Half.TRAIN)
    assert caught.value.problem.startswith(f"{path}: {message}")
    what = path if path.is_file() else f"the batch files in {path}"
    assert caught.value.mend == f"Delete {what} and get the official archive again: {cifar10.OFFICIAL_URL}"
    assert len(read_cifar10(location, Half.TEST)) == 20


@pytest.mark.parametrize("form", ["binary-packed", "binary-extracted", "python-packed", "python-extracted"])
def test_a_missing_member_is_named(form: str, small: SmallCifar10, tmp_path: Path) -> None:
    binary, python = small.binary_members(), small.python_members()
    del binary["data_batch_4.bin"], python["data_batch_4"]
    path = place(form, tmp_path, binary, python)
    layout = Layout(form.partition("-")[0])
    with pytest.raises(DataError) as caught:
        read_cifar10(Cifar10Location(path, layout), Half.TRAIN)
    assert caught.value.problem == f"{path}: data_batch_4{layout.suffix} is missing."


def test_a_member_that_cannot_be_read_is_named(
    small: SmallCifar10, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    path = put(small, "binary-extracted", tmp_path)
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(DataError, match=r"test_batch\.bin: cannot be read \(Input/output error\)"):
        read_cifar10(Cifar10Location(path, Layout.BINARY), Half.TEST)


def test_a_huge_pickle_is_refused_before_it_is_read(small: SmallCifar10, tmp_path: Path) -> None:
    members = small.python_members()
    members["test_batch"] = bytes(4 * len(members["test_batch"]))
    path = place("python-packed", tmp_path, {}, members)
    with pytest.raises(DataError, match="test_batch has"):
        read_cifar10(Cifar10Location(path, Layout.PYTHON), Half.TEST)


class Hostile:
    """Pickles as a call that writes a file when loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"echo loaded > '{self.target}'",)


@pytest.mark.parametrize("form", ["python-packed", "python-extracted"])
def test_a_hostile_pickle_does_not_run(form: str, small: SmallCifar10, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    members = small.python_members()
    members["test_batch"] = pickle.dumps({b"data": Hostile(target), b"labels": []})
    path = place(form, tmp_path, {}, members)
    with pytest.raises(DataError, match=r"test_batch: refused to load (posix|nt)\.system"):
        read_cifar10(Cifar10Location(path, Layout.PYTHON), Half.TEST)
    assert not target.exists()
    pickle.loads(members["test_batch"])  # noqa: S301
    assert target.exists(), "the pickle is hostile only if an ordinary reader falls for it"


# Download


def refuse(handler: Any) -> None:
    handler.send_error(404)


def test_download_into_the_keras_cache(
    small: SmallCifar10, keras_home: Path, serve: Callable[[Answer], str], recorder: Recorder
) -> None:
    content = pack(small.binary_members(), "cifar-10-batches-bin")
    location = obtain_cifar10(progress=recorder, url=serve(answer_with(content)))
    assert location == Cifar10Location(keras_home / "datasets" / "cifar-10-binary.tar.gz", Layout.BINARY)
    assert location.path.read_bytes() == content
    assert recorder.tasks == [("Downloading cifar-10-binary.tar.gz", len(content), "bytes")]
    assert recorder.advanced == len(content)
    assert "not on this machine" in recorder.said[0]
    # The second time it is found: this server would refuse.
    assert obtain_cifar10(url=serve(refuse)) == location


def test_what_is_on_the_machine_is_not_downloaded(
    small: SmallCifar10, tmp_path: Path, serve: Callable[[Answer], str]
) -> None:
    archive = put(small, "binary-packed", tmp_path)
    assert obtain_cifar10(tmp_path, url=serve(refuse)).path == archive


def test_a_failed_download_says_how_to_go_on(keras_home: Path, serve: Callable[[Answer], str]) -> None:
    with pytest.raises(DataError, match="answers 404 Not Found") as caught:
        obtain_cifar10(url=serve(refuse))
    for way in ("--data-dir", "EDGECIFAR_DATA_DIR", "--data sample"):
        assert way in caught.value.mend
    assert list((keras_home / "datasets").iterdir()) == []


@pytest.mark.parametrize("served", ["altered", "page"])
def test_a_download_of_something_else_is_not_kept(
    served: str, small: SmallCifar10, keras_home: Path, serve: Callable[[Answer], str]
) -> None:
    members = small.binary_members()
    members["test_batch.bin"] = alter(members["test_batch.bin"])
    content = pack(members, "cifar-10-batches-bin") if served == "altered" else b"<html>Please log in</html>"
    with pytest.raises(DataError, match="does not serve the official CIFAR-10") as caught:
        obtain_cifar10(url=serve(answer_with(content)))
    assert "partial" not in caught.value.problem
    assert list((keras_home / "datasets").iterdir()) == []


# The official data set


def test_official_sums_cover_every_member() -> None:
    assert sorted(cifar10.OFFICIAL_SHA1) == sorted(f"{name}.bin" for name in NAMES)
    assert {len(bytes.fromhex(digest)) for digest in cifar10.OFFICIAL_SHA1.values()} == {20}


def test_the_official_archive(cifar10_dir: Path) -> None:
    location = find_cifar10(cifar10_dir)
    assert location is not None
    test = read_cifar10(location, Half.TEST)
    assert test.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(test.labels).tolist() == [1_000] * 10
