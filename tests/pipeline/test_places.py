import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgecifar.errors import ModelError
from edgecifar.pipeline import newest_bundle, newest_run, next_run_folder, unfinished_run
from edgecifar.pipeline.places import (
    check_place,
    check_room,
    clear,
    is_bundle,
    is_run,
    is_unfinished,
    name_of,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*paths: str) -> None:
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def age(path: str, seconds: int) -> None:
    os.utime(path, (2_000_000_000 - seconds, 2_000_000_000 - seconds))


# The next run


def test_the_first_run_has_the_number_1() -> None:
    assert next_run_folder("edge", "vgg6") == Path("runs/edge-vgg6-0001")


def test_the_next_run_has_a_higher_number_than_all_there_are() -> None:
    others = ["edge-vgg6-final", "edge-vgg6-0050-compressed", "edge-resnet8-0099", "my-edge-vgg6-0077"]
    for name in ["edge-vgg6-0002", "edge-vgg6-0009", *others]:
        Path("runs", name).mkdir(parents=True)
    assert next_run_folder("edge", "vgg6") == Path("runs/edge-vgg6-0010")


def test_numbers_go_on_past_four_digits() -> None:
    Path("runs/edge-vgg6-9999").mkdir(parents=True)
    assert next_run_folder("edge", "vgg6") == Path("runs/edge-vgg6-10000")


@pytest.mark.parametrize(
    ("folder", "name"), [("runs/mine", "mine"), (".", "here"), ("runs/..", "here"), ("", "here")]
)
def test_a_run_is_called_after_its_folder(
    folder: str, name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "here" / "runs").mkdir(parents=True)
    monkeypatch.chdir(home / "here")
    assert name_of(Path(folder)) == name


@pytest.mark.parametrize("folder", [".", ".."])
def test_the_place_of_the_current_folder_cannot_be_taken(folder: str) -> None:
    with pytest.raises(ModelError, match="holds the current folder"):
        check_place(Path(folder), is_run, force=True)


# What is newest


def test_the_newest_run_is_the_one_that_finished_last(made: Any) -> None:
    for name, seconds in (("a", 30), ("b", 10), ("c", 20)):
        touch(f"runs/{name}/model.keras")
        shutil.copy(made.run / "run.json", f"runs/{name}")
        age(f"runs/{name}/run.json", seconds)
    # Neither a bundle, which has its run's record, nor an unfinished run.
    touch("runs/bundle/run.json", "runs/bundle/manifest.json", "runs/begun/started.json")
    assert newest_run().folder == Path("runs/b")


def test_the_unfinished_run_is_the_one_that_was_started_last() -> None:
    for name, seconds in (("a", 30), ("b", 10), ("c", 20), ("done", 1)):
        touch(f"runs/{name}/started.json")
        age(f"runs/{name}/started.json", seconds)
    touch("runs/done/run.json", "runs/small/compressing.json")
    assert unfinished_run() == Path("runs/b")


def test_the_newest_bundle_is_the_one_that_was_exported_last(made: Any) -> None:
    for name, seconds in (("a", 30), ("b", 10), ("c", 20)):
        shutil.copytree(made.bundle, Path("exported", name))
        age(f"exported/{name}/manifest.json", seconds)
    touch("exported/website/manifest.json")
    assert newest_bundle().folder == Path("exported/b")


@pytest.mark.parametrize(
    ("find", "told"),
    [
        (newest_run, "There is no finished run in runs/."),
        (unfinished_run, "There is no unfinished training in runs/."),
        (newest_bundle, "There is no bundle in exported/."),
    ],
)
def test_that_there_is_none_is_told(find: Callable[[], object], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        find()


# Room


@pytest.mark.parametrize(
    ("names", "taken_for"),
    [
        ([], []),
        (["run.json"], []),
        (["run.json", "model.keras", "started.json"], [is_run]),
        (["started.json"], [is_run, is_unfinished]),
        (["compressing.json", "events/x"], [is_run, is_unfinished]),
        (["manifest.json", "index.html"], []),
        (["manifest.json", "preprocessing.json", "labels.txt", "run.json"], [is_bundle]),
    ],
)
def test_a_folder_is_known_by_its_files(names: list[str], taken_for: list[Callable[[Path], bool]]) -> None:
    Path("x").mkdir()
    touch(*(f"x/{name}" for name in names))
    assert [kind for kind in (is_run, is_unfinished, is_bundle) if kind(Path("x"))] == taken_for


def test_there_is_room_where_there_is_nothing() -> None:
    # The current folder is empty.
    check_room(Path(), is_run, force=False)
    Path("empty").mkdir()
    for folder in (Path("nowhere"), Path("empty")):
        check_room(folder, is_run, force=False)
        check_room(folder, is_run, force=True)


def test_there_is_room_in_place_of_an_older_run_if_forced() -> None:
    touch("old/run.json", "old/model.keras", "old/notes.txt")
    with pytest.raises(ModelError, match="old exists") as caught:
        check_room(Path("old"), is_run, force=False)
    assert caught.value.mend == "Choose another --out, or replace it with --force."
    check_room(Path("old"), is_run, force=True)
    assert Path("old/notes.txt").exists()
    clear(Path("old"))
    assert not Path("old").exists()


def test_clearing_removes_no_more_than_a_run() -> None:
    touch("foreign/thesis.tex")
    clear(Path("foreign"))
    clear(Path("nowhere"))
    assert Path("foreign/thesis.tex").exists()


@pytest.mark.parametrize("name", ["foreign", "bundle", "file"])
def test_there_is_no_room_in_place_of_anything_else(name: str) -> None:
    touch("foreign/thesis.tex", "file", *(f"bundle/{each}" for each in ("manifest.json", "labels.txt")))
    touch("bundle/preprocessing.json")
    with pytest.raises(ModelError, match=f"{name} exists and holds something else"):
        check_room(Path(name), is_run, force=True)


def test_the_current_folder_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    touch("old/started.json")
    Path("old/trained").mkdir()
    monkeypatch.chdir("old/trained")
    with pytest.raises(ModelError, match="holds the current folder"):
        check_room(Path(".."), is_run, force=True)
