"""The commands that change nothing: recipes, summary, doctor, predict, show, verify."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from PIL import Image

import edgecifar
from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """The first test image of the sample, four times as large."""
    path = tmp_path / "photo.png"
    Image.fromarray(read_sample(Half.TEST).images[0]).resize((128, 128)).save(path)
    return path


# recipes and summary


def test_recipes_are_listed(invoke: Any, checkout: Path) -> None:
    outcome = invoke("recipes")
    names = {path.stem for path in (checkout / "recipes").glob("*.toml")}
    assert outcome.status == 0
    assert {"demo", "edge", "seed"} <= names
    assert all(name in outcome.out for name in names)
    assert "Next: edgecifar train --recipe NAME" in outcome.err
    listed = invoke("recipes", "--json")
    assert {recipe["name"] for recipe in listed.json} == names
    assert listed.err == ""


def test_summary_shows_the_seeds_published_parameters(invoke: Any) -> None:
    outcome = invoke("summary", "--recipe", "seed")
    assert outcome.status == 0
    assert "309,290" in outcome.out
    layers = invoke("summary", "-r", "seed", "--json").json
    assert sum(layer["parameters"] for layer in layers) == 309_290
    assert layers[0]["output_shape"] == [32, 32, 32]


def test_summary_follows_changes(invoke: Any) -> None:
    outcome = invoke("summary", "--set", "model.name=resnet8", "--json")
    # MLPerf Tiny's network: 12.5 million multiply-adds.
    assert 12e6 < sum(layer["multiply_adds"] for layer in outcome.json) < 13e6


# doctor


def test_doctor_names_engines_and_what_is_missing(invoke: Any, tmp_path: Path) -> None:
    outcome = invoke("doctor")
    assert outcome.status == 0
    for word in ("tensorflow", "litert-reference", "ort-cpu", "CIFAR-10"):
        assert word in outcome.out
    checks = {check["name"]: check for check in invoke("doctor", "--json").json}
    assert checks["edgecifar"]["finding"].startswith(edgecifar.__version__)
    assert checks["runtime litert"]["state"] == "found"
    assert checks["CIFAR-10"]["state"] == "missing"
    assert str(tmp_path / "keras-home") in checks["CIFAR-10"]["finding"]
    assert "--data sample" in checks["CIFAR-10"]["mend"]


def test_doctor_tells_where_data_was_found(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").touch()
    checks = {check["name"]: check for check in invoke("doctor", "--data-dir", tmp_path, "--json").json}
    assert checks["CIFAR-10"]["state"] == "found"
    assert "binary layout" in checks["CIFAR-10"]["finding"]


def test_doctor_takes_data_only_without_a_model(invoke: Any, tmp_path: Path) -> None:
    outcome = invoke("doctor", "m.onnx", "--data-dir", tmp_path)
    assert outcome.status == 2
    assert "--data-dir" in outcome.err


# predict


def test_predict_names_classes_of_image_files(invoke: Any, made: Any, photo: Path) -> None:
    outcome = invoke("predict", made.bundle / "model.int8.tflite", photo, "--json")
    assert outcome.status == 0
    [prediction] = outcome.json
    assert prediction["image"] == str(photo)
    assert prediction["label"] is None
    assert sorted(prediction["classes"]) == sorted(read_sample(Half.TEST).class_names)
    assert prediction["probabilities"] == sorted(prediction["probabilities"], reverse=True)
    assert sum(prediction["probabilities"]) == pytest.approx(1, abs=0.05)
    assert "LiteRT" in outcome.err


@pytest.mark.parametrize("name", ["model.float32.onnx", "model.float32.tflite", "model.dynamic.onnx"])
def test_every_format_predicts_as_the_run(name: str, invoke: Any, made: Any) -> None:
    expected = invoke("predict", made.run, "--first", 3, "--json").json
    found = invoke("predict", made.bundle / name, "--first", 3, "--json").json
    for one, other in zip(expected, found, strict=True):
        assert one["label"] == other["label"]
        by_class = dict(zip(other["classes"], other["probabilities"], strict=True))
        expected_by_class = dict(zip(one["classes"], one["probabilities"], strict=True))
        assert by_class == pytest.approx(expected_by_class, abs=0.05)


def test_a_compressed_run_predicts_with_its_compressed_model(invoke: Any, made: Any) -> None:
    outcome = invoke("predict", made.run, "--first", 2)
    assert outcome.status == 0
    assert "model.keras in Keras" in outcome.err
    assert "test image 0" in outcome.out
    assert "airplane" in outcome.out


def test_quiet_leaves_talk_out_before_and_after_the_command(invoke: Any, made: Any) -> None:
    arguments = ["predict", made.bundle / "model.int8.onnx", "--first", 1]
    before, after = invoke("--quiet", *arguments), invoke(*arguments, "-q")
    assert before.err == after.err == ""
    assert before.out == after.out
    assert "test image 0" in before.out
    assert invoke(*arguments).err != ""


# show


@pytest.mark.parametrize("picture", ["data", "augmented"])
def test_show_draws_data(picture: str, invoke: Any, tmp_path: Path) -> None:
    out = tmp_path / "new" / f"{picture}.png"
    outcome = invoke("show", picture, "--data", "sample", "-o", out)
    assert outcome.status == 0
    assert outcome.out == f"Drawn: {out}\n"
    with Image.open(out) as image:
        pixels = np.asarray(image.convert("RGB"))
    # 4x4 and 3x3 squares, so higher than wide; and not one colour.
    assert pixels.shape[0] > pixels.shape[1] > 400
    assert len(np.unique(pixels)) > 200


@pytest.mark.parametrize("picture", ["predictions", "mistakes"])
def test_show_draws_what_a_model_sees(picture: str, invoke: Any, made: Any, tmp_path: Path) -> None:
    out = tmp_path / "seen.png"
    outcome = invoke("show", picture, "--model", made.bundle / "model.int8.tflite", "--out", out)
    assert outcome.status == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    again = tmp_path / "again.png"
    invoke("show", picture, "--model", made.bundle / "model.int8.tflite", "--out", again)
    assert again.read_bytes() == out.read_bytes()


# verify


def test_verify_shows_a_table_and_writes_a_report(invoke: Any, made: Any, tmp_path: Path) -> None:
    models = [made.bundle / "model.float32.onnx", made.bundle / "model.int8.onnx"]
    outcome = invoke("verify", *models, "--limit", 40, "--runtime", "ort-cpu", "--out", tmp_path / "report")
    assert outcome.status == 0
    assert "model.int8.onnx" in outcome.out
    assert "reference.keras" in outcome.out
    assert f"Report: {tmp_path / 'report' / 'index.html'}" in outcome.out.replace("\n", "")
    assert "1,000 test images" in outcome.err
    assert (tmp_path / "report" / "report.json").is_file()


def test_a_broken_gate_is_status_1(invoke: Any, made: Any, tmp_path: Path) -> None:
    guess = tmp_path / "always-airplane.keras"
    bias = tf_keras.initializers.Constant([9.0] + 9 * [0.0])
    answer = tf_keras.layers.Dense(10, "softmax", kernel_initializer="zeros", bias_initializer=bias)
    tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(32, 32, 3)), answer]).save(guess)
    arguments = ["verify", guess, "--against", made.run, "--data", "sample", "--mean", 121, "--std", 64]
    loose = invoke(*arguments, "--max-drop", "90pp", "--json")
    assert loose.status == 0
    [comparison] = loose.json["comparisons"]
    assert comparison["accuracy"] == {"correct": 100, "total": 1000}
    assert comparison["reference_correct"] > 150
    assert comparison["verdict"] == "pass"
    strict = invoke(*arguments, "--max-drop", "1pp")
    assert strict.status == 1
    assert "always-airplane.keras in keras loses" in strict.out
    assert any(line.startswith("error: always-airplane.keras fails in") for line in strict.err.splitlines())
    assert (tmp_path / "report" / "report.json").is_file()
    # A gate that failed is no excuse for broken JSON.
    assert invoke(*arguments, "--max-drop", "1pp", "--json", "-q").json["policy"]["gate"]["max_drop_pp"] == 1


def test_a_file_in_a_bundle_is_held_against_the_bundles_reference(
    invoke: Any, made: Any, tmp_path: Path
) -> None:
    model = made.bundle / "model.float32.tflite"
    outcome = invoke("verify", model, "--limit", 20, "--runtime", "litert", "--out", tmp_path, "--json")
    assert outcome.json["reference"] == "reference.keras"


def test_several_models_share_one_report(invoke: Any, made: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    shutil.copytree(made.bundle, bundle)
    arguments = ["--limit", 20, "--runtime", "litert", "--runtime", "keras", "--out", tmp_path, "--json"]
    report = invoke("verify", bundle / "model.int8.tflite", made.run, *arguments).json
    found = {(each["artifact"], each["engine"]["runtime"]) for each in report["comparisons"]}
    assert found == {("model.int8.tflite", "litert"), ("model.keras", "keras")}
