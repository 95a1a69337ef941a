"""Places that cannot be written: one clear message, status 2, and what was there before stays."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Lets no file of this process grow past so many bytes: the next write fails, in C++ as in Python."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".partial") or ".partial." in path.name]


def test_a_checkpoint_that_cannot_be_written_ends_the_training(refused: Any, tmp_path: Path) -> None:
    quick = ["--set", "model.name=shallow3", "--set", "training.epochs=1", "--device", "cpu"]
    with files_of_at_most(300_000):
        message = refused("train", "-r", "demo", *quick, "--out", "full")
    assert message.startswith("error: full/trained/checkpoint/train: ")
    assert "File too large" in message
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "full" / "run.json").exists()


def test_a_bundle_that_cannot_be_written_leaves_the_old_one(refused: Any, made: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(made.bundle, bundle)
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    with files_of_at_most(200_000):
        message = refused("export", made.run, "--out", bundle, "--force")
    assert message.startswith(f"error: {bundle / 'reference.keras'}: File too large.")
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name != "bundle"] == []


def test_a_report_that_cannot_be_written_leaves_the_old_one_and_shows_the_result(
    invoke: Any, made: Any, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_bytes(b"old")
    arguments = ["verify", made.bundle, "--limit", 10, "--runtime", "ort-cpu", "--out", report, "--json"]
    # The page with its charts is larger, and what ONNX Runtime writes while it loads a model is not.
    with files_of_at_most(800_000):
        outcome = invoke(*arguments)
    assert outcome.status == 2
    assert json.loads(outcome.out)["comparisons"]
    assert outcome.err.splitlines()[-1] == f"error: {report / 'index.html'}: File too large."
    assert [(path.name, path.read_bytes()) for path in report.iterdir()] == [("index.html", b"old")]


def test_a_full_disk_is_told_with_the_file(
    refused: Any, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    message = refused("export", made.run, "--float32", "-f", "tflite", "--out", "full")
    assert message.startswith("error: full: No space left on device.\n       Make room and try again")
    assert not (tmp_path / "full").exists()
    message = refused("train", "-r", "demo", "--out", "full")
    assert message.startswith("error: full/started.json: No space left on device.")


@pytest.mark.parametrize("command", ["train", "export", "show", "verify"])
def test_a_file_where_a_folder_is_needed_is_told(
    command: str, invoke: Any, made: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    arguments = {
        "train": ["-r", "demo"],
        "export": [made.run, "--float32", "-f", "tflite"],
        "show": ["data", "--data", "sample"],
        "verify": [made.bundle / "model.int8.onnx", "--limit", 10, "--runtime", "ort-cpu"],
    }[command]
    outcome = invoke(command, *arguments, "--out", "file/x.png")
    assert outcome.status == 2
    assert "error: file" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("       A folder is needed in the place of")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(refused: Any, made: Any, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for command in (["train", "-r", "demo"], ["export", made.run]):
        message = refused(*command, "--out", locked / "x")
        assert "Permission denied.\n       Change its permissions, or choose another place." in message
