import hashlib
import os
from pathlib import Path

import pytest

from edgecifar.artifacts import files
from edgecifar.artifacts.files import (
    flush,
    put_back,
    replacing,
    replacing_folder,
    sha256,
    write_bytes,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Files


def test_a_file_is_written_in_a_new_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.txt"
    write_text(path, "é")
    assert path.read_bytes() == b"\xc3\xa9"
    write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["a.txt"]


def test_the_temporary_file_keeps_the_suffix_and_lies_beside(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with replacing(path) as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")
        assert not path.exists()
    assert names(tmp_path) == ["model.keras"]


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(kind: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise kind

    with pytest.raises(kind):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", [None, "here"], ids=["told without a name", "told with the temporary name"])
def test_a_full_disk_leaves_the_old_file_and_is_told_with_its_name(name: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_some() -> None:
        with replacing(path) as temporary:
            temporary.touch()
            raise OSError(28, "No space left on device", *([str(temporary)] if name else []))

    with pytest.raises(OSError, match="No space left") as caught:
        write_some()
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_disk_has_a_file_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        steps.append(f"{os.fstat(descriptor).st_size} bytes")
        sync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        steps.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_bytes(tmp_path / "a.txt", b"abc")
    assert steps == ["3 bytes", "a.txt"]


def test_the_disk_has_each_file_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "deep" / "b").write_bytes(b"bb")
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    flush(tmp_path)
    assert sorted(sizes) == [1, 2]


def test_sha256_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 100_000)
    assert sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


# Folders


def fill(folder: Path, content: str) -> None:
    with replacing_folder(folder) as temporary:
        (temporary / f"{content}.txt").write_text(content)


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "bundle"
    fill(folder, "first")
    assert names(folder) == ["first.txt"]
    fill(folder, "second")
    assert names(folder) == ["second.txt"]
    assert names(folder.parent) == ["bundle"]
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_folder_and_nothing_else(kind: type[BaseException], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    fill(folder, "old")

    def write_half() -> None:
        with replacing_folder(folder) as temporary:
            (temporary / "half.txt").touch()
            raise kind

    with pytest.raises(kind):
        write_half()
    assert names(folder) == ["old.txt"]
    assert names(tmp_path) == ["bundle"]


def test_an_error_in_a_folder_is_told_with_the_name_it_would_have(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"

    def fail() -> None:
        with replacing_folder(folder) as temporary:
            (temporary / "nowhere" / "a.txt").write_text("x")

    with pytest.raises(FileNotFoundError) as caught:
        fail()
    assert caught.value.filename == str(folder / "nowhere" / "a.txt")


def test_an_interrupt_between_the_two_renames_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    fill(folder, "old")
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(folder, "new")
    assert names(folder) == ["old.txt"]
    assert names(tmp_path) == ["bundle"]


def test_after_a_kill_between_the_two_renames_the_newest_folder_is_put_back(tmp_path: Path) -> None:
    for age, pid in ((100, 7), (1, 5), (50, 6)):
        set_aside = tmp_path / f".bundle.{pid}.old"
        set_aside.mkdir()
        (set_aside / f"{pid}.txt").touch()
        os.utime(set_aside, (1_000_000 - age, 1_000_000 - age))
    put_back(tmp_path / "bundle")
    assert names(tmp_path / "bundle") == ["5.txt"]


def test_nothing_is_put_back_in_place_of_a_folder_or_of_another_name(tmp_path: Path) -> None:
    fill(tmp_path / "bundle", "new")
    (tmp_path / ".bundle.1.old").mkdir()
    put_back(tmp_path / "bundle")
    assert names(tmp_path / "bundle") == ["new.txt"]
    put_back(tmp_path / "bund[l]e")
    put_back(tmp_path / "other")
    assert names(tmp_path) == [".bundle.1.old", "bundle"]


def test_two_processes_write_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as ours:
        monkeypatch.setattr(files.os, "getpid", lambda: -1)
        with replacing(path) as theirs:
            assert ours != theirs
            theirs.write_text("theirs")
        ours.write_text("ours")
    assert path.read_text() == "ours"


def test_a_folder_that_cannot_be_begun_is_named_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied", str(tmp_path / ".new.abc.partial"))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(PermissionError) as caught, replacing_folder(tmp_path / "new"):
        pass
    assert caught.value.filename == str(tmp_path / "new")
