"""The commands that make runs and bundles: train, compress, export."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgecifar.learning.recording import read_history
from edgecifar.pipeline import making

QUICK = ["--set", "model.name=shallow3", "--set", "training.epochs=1", "--device", "cpu"]


def test_train_without_compression_then_compress(invoke: Any, tmp_path: Path) -> None:
    trained = invoke("train", "-r", "demo", *QUICK, "--no-compress", "--seed", 7, "--json")
    assert trained.status == 0
    assert trained.json["recipe"]["seed"] == 7
    assert trained.json["validation_quantized"] is None
    assert "train 100%" in trained.err
    run = tmp_path / "runs" / "demo-shallow3-0001"
    assert json.loads((run / "run.json").read_text(encoding="utf-8")) == trained.json
    assert not (run / "trained").exists()

    compressed = invoke(
        "compress", "--qat", "--saturation-safe", "--epochs", 1, "--distill", 0.5, "--device", "cpu"
    )
    assert compressed.status == 0
    assert "The newest run: runs/demo-shallow3-0001." in compressed.err
    assert "validation top-1, quantization-aware" in compressed.out
    assert "Next: edgecifar export runs/demo-shallow3-0001-compressed" in compressed.err
    folder = tmp_path / "runs" / "demo-shallow3-0001-compressed"
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert record["parent"] == "demo-shallow3-0001"
    # --qat alone: the recipe's pruning is not asked for.
    assert record["sparsity"] < 0.01
    assert record["recipe"]["compression"]["quantization"]["epochs"] == 1
    assert record["recipe"]["compression"]["quantization"]["distillation"] == 0.5
    assert record["recipe"]["compression"]["quantization"]["saturation_safe"] is True
    assert (folder / "qat.h5").is_file()


def test_a_bundle_is_compressed_from_its_reference(invoke: Any, made: Any, tmp_path: Path) -> None:
    command = ("compress", made.bundle, "--qat", "--epochs", 1, "--device", "cpu", "--json")
    compressed = invoke(*command, "--out", "again")
    assert compressed.status == 0
    folder = tmp_path / "again"
    exported = json.loads((made.bundle / "run.json").read_text(encoding="utf-8"))
    assert compressed.json["parent"] == exported["name"]
    # What was exported had been pruned; its reference had not, and pruning is not asked for now.
    assert exported["sparsity"] > 0.4
    assert compressed.json["sparsity"] < 0.01
    assert (folder / "reference.keras").read_bytes() == (made.bundle / "reference.keras").read_bytes()
    phases = [row.phase for row in read_history(folder / "history.csv")]
    assert set(phases) == {"train", "quantize"}
    assert phases.count("quantize") == 1


def test_an_altered_bundle_is_not_compressed(refused: Any, made: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(made.bundle, bundle)
    with (bundle / "reference.keras").open("ab") as file:
        file.write(b"0")
    assert "reference.keras: altered since it was exported." in refused("compress", bundle, "--qat")


@pytest.fixture
def good_run(made: Any, tmp_path: Path) -> Path:
    """A copy of the run, in runs/."""
    folder = tmp_path / "runs" / "good"
    shutil.copytree(made.run, folder)
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["train", "export", "compress"])
def test_what_exists_is_not_replaced_unasked(
    command: str, refused: Any, made: Any, good_run: Path, tmp_path: Path
) -> None:
    out = good_run
    if command == "export":
        out = tmp_path / "bundle"
        shutil.copytree(made.bundle, out)
    before = snapshot(out)
    arguments = {"train": ["-r", "demo"], "export": [made.run], "compress": [made.run]}[command]
    assert f"{out} exists.\n       Choose another --out, or replace it with --force." in refused(
        command, *arguments, "--out", out
    )
    assert snapshot(out) == before


@pytest.mark.parametrize("command", ["train", "export", "compress"])
def test_a_foreign_folder_is_never_replaced(command: str, refused: Any, made: Any, tmp_path: Path) -> None:
    # Other tools write these names as well.
    out = tmp_path / "website"
    out.mkdir()
    for name in ("manifest.json", "run.json", "index.html"):
        (out / name).write_text("mine")
    before = snapshot(out)
    arguments = {"train": ["-r", "demo"], "export": [made.run], "compress": [made.run]}[command]
    message = refused(command, *arguments, "--out", out, "--force")
    assert f"{out} exists and holds something else: it is left alone." in message
    assert snapshot(out) == before


@pytest.mark.parametrize("command", ["export", "compress"])
@pytest.mark.parametrize("out", [".", "..", "../.."])
def test_the_run_that_is_read_is_never_replaced(
    command: str, out: str, refused: Any, good_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(good_run)
    place = (good_run / "trained" / out).resolve()
    if place != good_run / "trained":
        assert "it is left alone." in refused(command, good_run / "trained", "--out", place, "--force")
    monkeypatch.chdir(good_run)
    assert "it is left alone." in refused(command, ".", "--out", out, "--force")
    assert snapshot(good_run) == before


def test_the_current_folder_is_not_pulled_away(
    refused: Any, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(made.bundle, bundle)
    monkeypatch.chdir(bundle / "golden")
    assert "holds the current folder" in refused("export", made.run, "--out", "..", "--force")
    assert (bundle / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--data", "folder", "--data-dir", "nowhere"], 2),
        (["--data-dir", "nowhere", "--data", "cifar10"], 2),
        (["--device", "gpu"], 3),
    ],
)
def test_a_forced_training_that_cannot_begin_removes_nothing(
    arguments: list[str], status: int, refused: Any, good_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecifar.learning.devices.list_gpus", list)
    before = snapshot(good_run)
    refused("train", "-r", "demo", "--out", good_run, "--force", *arguments, status=status)
    assert snapshot(good_run) == before


def test_force_replaces_a_run_by_a_new_one(invoke: Any, good_run: Path) -> None:
    outcome = invoke("train", "-r", "demo", *QUICK, "--no-compress", "--out", good_run, "--force", "-q")
    assert outcome.status == 0
    assert {path.name for path in good_run.iterdir()} == {
        "run.json", "started.json", "model.keras", "history.csv", "curves.png", "events",
    }  # fmt: skip


def test_force_replaces_a_bundle_by_a_new_one(invoke: Any, made: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(made.bundle, bundle)
    outcome = invoke("export", made.run, "--float32", "-f", "tflite", "--out", bundle, "--force", "-q")
    assert outcome.status == 0
    assert {path.name for path in bundle.glob("model.*")} == {"model.float32.tflite"}


# Resuming


def unfinished(made: Any, folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copy(made.run / "started.json", folder)
    return folder


@pytest.mark.parametrize("command", ["train", "compress"])
def test_what_is_resumed_is_not_replaced(command: str, invoke: Any) -> None:
    outcome = invoke(command, "--resume", "--force")
    assert outcome.status == 2
    assert "--resume goes on with what --force would replace" in outcome.err


def test_nothing_to_resume_is_told(refused: Any, made: Any, good_run: Path) -> None:
    assert "There is no unfinished training in runs/." in refused("train", "--resume")
    assert "is finished: there is nothing to resume." in refused("train", "--resume", "--out", good_run)
    assert "(no started.json)" in refused("train", "--resume", "--out", "elsewhere")
    assert "(no compressing.json)" in refused("compress", made.run, "--resume")


def test_an_unfinished_run_is_named_with_the_way_on(refused: Any, made: Any, tmp_path: Path) -> None:
    folder = unfinished(made, tmp_path / "runs" / "begun")
    assert f"Finish it with: edgecifar train --resume --out {folder}" in refused("export", folder)
    assert "Go on with it with --resume; or choose" in refused("train", "-r", "demo", "--out", folder)


@pytest.mark.parametrize("choices", [["-r", "edge"], ["--seed", "3"], ["-r", "demo"], ["--no-compress"]])
def test_a_run_goes_on_with_its_own_choices_only(
    choices: list[str], refused: Any, made: Any, tmp_path: Path
) -> None:
    folder = unfinished(made, tmp_path / "runs" / "begun")
    assert "runs/begun was started with" in refused("train", "--resume", *choices)
    assert [path.name for path in folder.iterdir()] == ["started.json"]


def test_a_run_without_compression_is_resumed_without(invoke: Any, tmp_path: Path) -> None:
    changes = [*QUICK, "--no-compress", "--out", "runs/a", "-q"]
    assert invoke("train", "-r", "demo", *changes).status == 0
    run = tmp_path / "runs" / "a"
    finished = json.loads((run / "run.json").read_text(encoding="utf-8"))
    for name in ("run.json", "model.keras"):
        (run / name).unlink()
    outcome = invoke("train", "--resume", "--device", "cpu", "--json")
    assert outcome.status == 0
    assert "Going on with runs/a." in outcome.err
    assert outcome.json["validation"] == finished["validation"]
    assert outcome.json["parent"] is None
    assert not (run / "trained").exists()


@pytest.mark.parametrize(("command", "mark"), [("train", "started.json"), ("compress", "compressing.json")])
def test_ctrl_c_tells_how_to_go_on(
    command: str, mark: str, invoke: Any, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "train_run", interrupt)
    monkeypatch.setattr(making, "compress_run", interrupt)
    out = tmp_path / "my run"
    arguments = {"train": ["-r", "demo"], "compress": [made.run]}[command]
    outcome = invoke(command, *arguments, "--out", out, "--data-dir", "d")
    assert outcome.status == 130
    assert outcome.out == ""
    again = {"train": "train", "compress": f"compress {made.run}"}[command]
    assert outcome.err.splitlines()[-2:] == [
        "error: Interrupted.",
        f"       Finished epochs are kept; go on with: edgecifar {again} --resume --out '{out}' --data-dir d",
    ]
    assert (out / mark).is_file()
