"""Recipes, model files, engines, runs and bundles that are of no use: one clear message and status 2 or 3."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx as onnx_format
import pytest
import tf_keras
from PIL import Image

from edgecifar.artifacts import Preprocessing
from edgecifar.exporting import onnx, tflite
from edgecifar.exporting.options import Io, Precision

AGAIN = "copy or export it again."


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((40, 40, 3), 120, np.uint8)).save(path)
    return path


# Recipes


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[augmentation]\nrotaton = 3\n", "[augmentation] rotaton is not a key. Did you mean rotation?"),
        (b"[training]\nepochs = '3'\n", "[training] epochs = '3': input should be a valid integer"),
        (b"[training]\nepochs = 0\n", "[training] epochs = 0: input should be greater than or equal to 1"),
        (b"training = 3\n", "training = 3: a section was expected"),
        (b"epochs: 3\n", "not a TOML file"),
        (b"\xff\xfe", "not a TOML file"),
        (None, "there is no such recipe file."),
    ],
)
def test_a_bad_recipe_is_told(content: bytes | None, told: str, refused: Any, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    if content is not None:
        path.write_bytes(content)
    for command in ("train", "summary"):
        message = refused(command, "--recipe", path)
        assert f"{path}: " in message
        assert told in message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("training.epochs", "not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("training.epoch=3", "epoch is not a key. Did you mean epochs?"),
        ("training.epochs=many", "epochs = 'many': input should be a valid integer"),
        ("seed.x=3", "seed"),
    ],
)
def test_a_bad_change_is_told(change: str, told: str, refused: Any) -> None:
    assert told in refused("train", "-r", "demo", "--set", change)


def test_an_unknown_recipe_is_told_with_those_there_are(refused: Any) -> None:
    message = refused("train", "-r", "demmo")
    assert "There is no recipe named demmo. Did you mean demo?" in message
    assert "Shipped recipes: demo, edge" in message


# Model files


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network for images of 64 x 64, in each format."""
    folder = tmp_path_factory.mktemp("large")
    image = tf_keras.Input((64, 64, 3), name="image")
    pooled = tf_keras.layers.AveragePooling2D(16)(image)
    scores = tf_keras.layers.Dense(10, "softmax")(tf_keras.layers.Flatten()(pooled))
    model = tf_keras.Model(image, scores)
    preprocessing = Preprocessing(mean=121, std=64, height=64, width=64)
    model.save(folder / "m.keras")
    (folder / "m.tflite").write_bytes(tflite.convert(model, Precision.FLOAT32, Io.FLOAT32, preprocessing))
    (folder / "m.onnx").write_bytes(
        onnx.convert(model, Precision.FLOAT32, Io.FLOAT32, preprocessing, 17, None)
    )
    return folder


SCALING = ["--mean", "121", "--std", "64"]
SUFFIXES = ["tflite", "onnx", "keras", "h5"]


def good_model(made: Any, suffix: str) -> bytes:
    names = {"keras": "reference.keras", "tflite": "model.int8.tflite", "onnx": "model.int8.onnx"}
    path = made.run / "qat.h5" if suffix == "h5" else made.bundle / names[suffix]
    content: bytes = path.read_bytes()
    return content


def check_refused(model: Path, told: str, refused: Any, made: Any, photo: Path) -> None:
    for command in (
        ["predict", model, photo, *SCALING],
        ["verify", model, "--against", made.bundle / "model.float32.onnx", "--limit", 10, *SCALING],
        ["verify", made.bundle / "model.float32.onnx", "--against", model, "--limit", 10, *SCALING],
    ):
        message = refused(*command, *(["--data", "sample"] if command[0] == "verify" else []))
        assert f"error: {model}: " in message
        assert told in message
    assert not Path("report").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_model_file_is_told(
    suffix: str, refused: Any, made: Any, photo: Path, tmp_path: Path
) -> None:
    model = tmp_path / f"m.{suffix}"
    model.touch()
    check_refused(model, "the file is empty.", refused, made, photo)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_file_that_was_cut_short_is_told(
    suffix: str, share: float, refused: Any, made: Any, photo: Path, tmp_path: Path
) -> None:
    content = good_model(made, suffix)
    model = tmp_path / f"m.{suffix}"
    model.write_bytes(content[: int(share * len(content))])
    told = {"h5": "truncated file", "keras": "cut short"}.get(suffix, AGAIN)
    check_refused(model, told, refused, made, photo)


@pytest.mark.parametrize("content", ["text", "other"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_file_of_another_kind_is_told(
    suffix: str, content: str, refused: Any, made: Any, photo: Path, tmp_path: Path
) -> None:
    model = tmp_path / f"m.{suffix}"
    other = "onnx" if suffix == "tflite" else "tflite"
    model.write_bytes(b"Dear model,\n" * 100 if content == "text" else good_model(made, other))
    kinds = {"tflite": "not a TFLite model", "onnx": "not an ONNX model"}
    check_refused(model, kinds.get(suffix, "not a Keras model"), refused, made, photo)


@pytest.mark.parametrize("suffix", ["tflite", "onnx", "keras"])
def test_a_model_for_images_of_another_size_is_told(
    suffix: str, refused: Any, made: Any, photo: Path, large: Path
) -> None:
    model = large / f"m.{suffix}"
    against = ["--against", made.bundle / "model.float32.onnx"]
    message = refused("verify", model, *against, "--data", "sample", "--limit", 10, *SCALING)
    assert f"error: {model.name} in " in message
    assert "takes images of 64×64 pixels, but those of sample are 32×32." in message
    assert "--resize 64 stretches them." in message
    assert "--resize makes them 48×48" in refused("predict", model, photo, *SCALING, "--resize", 48)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere.onnx", "there is no such file or folder."),
        ("photo.png", "no model that is known here."),
        (".", "there is no finished run (no run.json)."),
    ],
)
def test_what_is_no_model_is_told(name: str, told: str, refused: Any, photo: Path) -> None:
    assert told in refused("predict", name, photo, *SCALING)
    assert told in refused("verify", name, *SCALING)


def test_a_lone_model_needs_its_scaling(refused: Any, made: Any, photo: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    content = onnx_format.load(made.bundle / "model.float32.onnx")
    # What the file says itself would do.
    del content.metadata_props[:]
    onnx_format.save(content, model)
    assert "Give --scale, or --mean and --std" in refused("predict", model, photo)
    assert "with --against." in refused("verify", model, *SCALING)


@pytest.mark.parametrize("content", [None, b"", b"hello"])
def test_an_image_that_is_none_is_told(
    content: bytes | None, refused: Any, made: Any, tmp_path: Path
) -> None:
    image = tmp_path / "image.jpg"
    if content is not None:
        image.write_bytes(content)
    message = refused("predict", made.bundle / "model.int8.tflite", image)
    assert f"{image}: cannot be read as an image" in message


def test_images_or_the_first_ones_but_not_both(refused: Any, made: Any, photo: Path) -> None:
    assert "not both" in refused("predict", made.run)
    assert "not both" in refused("predict", made.run, photo, "--first", 3)


def test_a_picture_needs_a_model_and_a_png(refused: Any) -> None:
    assert "Name it with --model." in refused("show", "mistakes", "-o", "x.png")
    assert "x.jpg: pictures are PNG files." in refused("show", "data", "-o", "x.jpg")


# Engines


@pytest.mark.parametrize("command", ["verify", "predict"])
def test_an_engine_that_is_not_here_is_status_3(
    command: str, refused: Any, made: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    arguments = (
        ["predict", made.bundle / "model.int8.onnx", photo]
        if command == "predict"
        else [command, made.bundle]
    )
    message = refused(*arguments, "--runtime", "ort-cuda", status=3)
    assert "pip install 'edgecifar[gpu]'" in message


def test_a_gpu_that_is_not_here_is_status_3(
    refused: Any, made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("edgecifar.learning.devices.list_gpus", list)
    assert "use --device cpu" in refused("train", "-r", "demo", "--device", "gpu", status=3)
    assert "use --device cpu" in refused("compress", made.run, "--device", "gpu", status=3)
    assert not (tmp_path / "runs").exists()


def test_an_engine_that_reads_none_of_the_models_is_told(refused: Any, made: Any) -> None:
    told = refused("verify", made.bundle / "model.int8.onnx", "--runtime", "litert")
    assert "The runtime litert reads none of these models." in told


# Runs and bundles


@pytest.mark.parametrize("content", ["cut", "{}", "", "another"])
def test_a_damaged_run_is_told(content: str, refused: Any, made: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    text = (run / "run.json").read_text(encoding="utf-8")
    changed = {"cut": text[:500], "another": text.replace('"schema_version": 1', '"schema_version": 2')}
    (run / "run.json").write_text(changed.get(content, content), encoding="utf-8")
    for command in (["export", run], ["compress", run], ["predict", run, "--first", 1], ["verify", run]):
        message = refused(*command)
        assert f"{run / 'run.json'}: not a valid RunRecord: " in message
        assert ": : " not in message
        assert "make it again." in message
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize("name", ["model.keras", "qat.h5"])
def test_a_run_whose_model_is_damaged_is_told(name: str, refused: Any, made: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    (run / name).write_bytes((run / name).read_bytes()[:10_000])
    assert f"error: {run / name}: not a readable" in refused("export", run)
    assert not list(tmp_path.glob("exported/*"))


def test_a_bundle_with_an_altered_artifact_is_told(
    refused: Any, made: Any, photo: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(made.bundle, bundle)
    model = bundle / "model.int8.tflite"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    for command in (["verify", bundle], ["predict", model, photo], ["verify", made.run, "--against", bundle]):
        message = refused(*command)
        assert f"{model}: altered since it was exported.\n       Export the bundle again." in message


def test_a_bundle_beside_the_runs_is_not_taken_for_the_newest(
    refused: Any, made: Any, tmp_path: Path
) -> None:
    shutil.copytree(made.bundle, tmp_path / "runs" / "bundle")
    assert "There is no finished run in runs/." in refused("export")
    assert "There is no bundle in exported/." in refused("verify")
