from pathlib import Path

import numpy as np
import pytest
import tf_keras
from PIL import Image

import edgecifar
from edgecifar.artifacts import Accuracy, Run, RunRecord
from edgecifar.artifacts.dataset import Preprocessing
from edgecifar.errors import ModelError
from edgecifar.learning.checkpoint import EpochRow
from edgecifar.learning.devices import Placement
from edgecifar.learning.recording import (
    draw_curves,
    environment,
    history_csv,
    read_history,
    save_model,
    sparsity,
    write_run,
)
from edgecifar.models import load_model
from edgecifar.recipe import Precision, Recipe


def rows(*phases: str) -> tuple[EpochRow, ...]:
    return tuple(
        EpochRow(
            epoch=epoch,
            phase=phase,
            learning_rate=0.1 / epoch - 0.05,
            loss=1 / (epoch + 2),
            accuracy=epoch / 7,
            val_loss=0.1 + 0.2,
            val_accuracy=1e-17,
            seconds=1.5,
        )
        for epoch, phase in enumerate(phases, start=1)
    )


def record(placement: Placement) -> RunRecord:
    return RunRecord(
        name="shades",
        recipe=Recipe(name="shades"),
        preprocessing=Preprocessing(mean=110, std=64, height=4, width=4),
        class_names=("dark", "bright"),
        train_fingerprint="0" * 64,
        parameters=98,
        validation=Accuracy(correct=1, total=2),
        duration_s=3.0,
        environment=environment(placement, Precision.FLOAT32),
        command="edgecifar train",
    )


def test_a_history_survives_csv_to_the_last_bit(tmp_path: Path) -> None:
    history = rows("train", "train", "prune")
    text = history_csv(history)
    assert text.splitlines()[0] == "epoch,phase,learning_rate,loss,accuracy,val_loss,val_accuracy,seconds"
    assert len(text.splitlines()) == 4
    (tmp_path / "history.csv").write_text(text)
    assert read_history(tmp_path / "history.csv") == history


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"epoch,phase\n1,train\n",
        b"epoch,phase,learning_rate,loss,accuracy,val_loss,val_accuracy,seconds\n1,train,0.1,x,1,1,1,1\n",
        b"epoch,phase,learning_rate,loss,accuracy,val_loss,val_accuracy,seconds\n1,train,0.1\n",
        b"epoch,phase,learning_rate,loss,accuracy,val_loss,val_accuracy,seconds\n1,train,1,1,1,1,1,1,1\n",
    ],
    ids=["no UTF-8", "other columns", "no number", "too few", "too many"],
)
def test_a_damaged_history_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"history.csv: not the history of a run"):
        read_history(path)


def test_a_missing_history_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"history.csv: cannot be read \(No such file or directory\)"):
        read_history(tmp_path / "history.csv")


@pytest.mark.parametrize("phases", [("train",), ("train", "train", "prune", "quantize")])
def test_curves_are_a_picture_that_is_the_same_each_time(phases: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_curves(rows(*phases), "shades", tmp_path / name)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (1080, 384)
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 10
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_sparsity_counts_the_zeros_of_kernels(dense_model: tf_keras.Model) -> None:
    assert sparsity(dense_model) == 1.0
    kernel = np.ones((48, 2), np.float32)
    kernel[:12, 0] = 0
    dense_model.get_layer("logits").set_weights([kernel, np.zeros(2, np.float32)])
    assert sparsity(dense_model) == 12 / 96


def test_the_environment_is_this_one(cpu: Placement) -> None:
    found = environment(cpu, Precision.BFLOAT16)
    assert (found.edgecifar, found.devices, found.precision) == (edgecifar.__version__, ("CPU",), "bfloat16")
    assert found.tensorflow.startswith("2.")
    assert found.cpu


def test_a_run_is_written_whole_and_opened_again(
    dense_model: tf_keras.Model, cpu: Placement, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint" / "train").mkdir(parents=True)
    before = tmp_path / "before.keras"
    before.write_bytes(b"the model before")
    written = write_run(tmp_path, record(cpu), dense_model, rows("train"), before, dense_model)
    assert Run.open(tmp_path) == written
    names = {path.name for path in tmp_path.iterdir()} - {"before.keras"}
    assert names == {"model.keras", "reference.keras", "qat.h5", "history.csv", "curves.png", "run.json"}
    assert written.reference_path.read_bytes() == b"the model before"
    assert load_model(written.model_path).count_params() == 98
    assert read_history(written.history_path) == rows("train")


@pytest.mark.parametrize("failing", ["save_model", "history_csv", "draw_curves"])
def test_a_run_that_could_not_be_written_is_no_run_and_keeps_its_checkpoint(
    failing: str,
    dense_model: tf_keras.Model,
    cpu: Placement,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "checkpoint").mkdir()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"edgecifar.learning.recording.{failing}", fail)
    with pytest.raises(OSError, match="No space left"):
        write_run(tmp_path, record(cpu), dense_model, rows("train"))
    assert (tmp_path / "checkpoint").is_dir()
    with pytest.raises(ModelError, match="there is no finished run"):
        Run.open(tmp_path)


def test_an_interrupted_save_leaves_the_old_model(
    dense_model: tf_keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")

    def interrupt(_: object, temporary: Path) -> None:
        temporary.write_bytes(b"ne")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(dense_model), "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_model(dense_model, path)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["model.keras"]
