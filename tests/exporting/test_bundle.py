import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgecifar.artifacts import Accuracy, Bundle, Environment, Run, RunRecord, Weights
from edgecifar.errors import ExportError, ModelError
from edgecifar.exporting import bundle as bundles
from edgecifar.exporting.bundle import count_steps, export_bundle
from edgecifar.exporting.options import Format, Io, Precision
from edgecifar.exporting.quantizing import choose_calibration
from edgecifar.progress import Silent
from edgecifar.recipe import CalibrationSpec, Recipe
from edgecifar.runtimes import get_runtime


class Listening(Silent):
    """Progress that remembers what it was told."""

    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    shutil.copyfile(tiny.folder / "model.keras", folder / "model.keras")
    (folder / "history.csv").write_text("epoch,loss\n1,2.0\n")
    (folder / "curves.png").write_bytes(b"a picture")
    environment = Environment(
        edgecifar="0", python="3", tensorflow="2", platform="here", cpu="one", cpu_flags=(), devices=("CPU",),
        precision="float32",
    )  # fmt: skip
    record = RunRecord(
        name="tiny-0001",
        recipe=Recipe(name="tiny", calibration=CalibrationSpec(images=40)),
        preprocessing=tiny.preprocessing,
        class_names=tiny.train.class_names,
        train_fingerprint="0",
        parameters=1,
        validation=Accuracy(correct=1, total=2),
        duration_s=1.0,
        environment=environment,
        command="edgecifar train",
    )
    record.write(folder / "run.json")
    return Run.open(folder)


def export(run, tiny, out, **changes):
    chosen = {
        "qat_model": None,
        "formats": tuple(Format),
        "precisions": (Precision.FLOAT32, Precision.INT8),
        "io": Io.UINT8,
        "calibration": tiny.train,
        "golden": tiny.test,
    } | changes
    return export_bundle(run=run, float_model=tiny.float_model, out=out, **chosen)


@pytest.fixture(scope="module")
def exported(run, tiny, tmp_path_factory) -> tuple[Bundle, list[str]]:
    progress = Listening()
    bundle = export(run, tiny, tmp_path_factory.mktemp("exported") / "tiny", progress=progress)
    return bundle, progress.said


def test_the_manifest_describes_every_file(exported):
    bundle, _ = exported
    manifest = bundle.manifest
    assert [artifact.file for artifact in manifest.artifacts] == [
        "reference.keras",
        "model.float32.tflite",
        "model.float32.onnx",
        "model.int8.tflite",
        "model.int8.onnx",
    ]
    described = {entry.file for entry in (*manifest.artifacts, *manifest.files)} | {"manifest.json"}
    found = {
        path.relative_to(bundle.folder).as_posix() for path in bundle.folder.rglob("*") if path.is_file()
    }
    assert found == described
    assert {"labels.txt", "preprocessing.json", "run.json", "history.csv", "curves.png"} < found


def test_the_artifacts_say_what_they_are(exported, tiny):
    by_name = {artifact.file: artifact for artifact in exported[0].manifest.artifacts}
    reference, floats, int8 = (
        by_name[name] for name in ("reference.keras", "model.float32.onnx", "model.int8.tflite")
    )
    assert (reference.raw_pixels, floats.raw_pixels, int8.raw_pixels) == (False, True, True)
    assert (reference.weights, int8.weights) == (Weights.TRAINED, Weights.CALIBRATED)
    assert int8.input.dtype == "uint8"
    assert int8.input.zero_point == tiny.preprocessing.mean
    assert floats.input.shape == (None, 32, 32, 3)
    assert "TFLiteConverter" in int8.made_by
    assert int8.made_by.endswith("saturation-safe")


def test_calibration_uses_as_many_training_images_as_the_recipe_says(exported, run, tiny):
    manifest = exported[0].manifest
    assert manifest.calibration_images == 40
    assert manifest.calibration_fingerprint == choose_calibration(run, tiny.train).fingerprint


def test_the_golden_outputs_are_what_the_engines_give(exported, tiny):
    bundle, said = exported
    images = np.load(bundle.folder / "golden" / "images.npy")
    np.testing.assert_array_equal(images, tiny.test.images[:16])
    outputs = [np.load(bundle.folder / "golden" / f"model.int8.{kind}.outputs.npy") for kind in Format]
    found = get_runtime("litert").load(bundle.folder / "model.int8.tflite", threads=1).predict(images)
    np.testing.assert_array_equal(outputs[0], found)
    steps = int(np.abs(outputs[0].astype(int) - outputs[1].astype(int)).max())
    assert bundle.manifest.golden_twin_steps == steps
    assert bundle.manifest.golden_images == 16
    assert any(f"16 golden images (largest difference {steps} steps)" in message for message in said)


def test_the_same_run_gives_the_same_bytes_elsewhere(exported, run, tiny, tmp_path):
    bundle, _ = exported
    again = export(run, tiny, tmp_path / "another-name")
    files = sorted(path.relative_to(bundle.folder) for path in bundle.folder.rglob("*") if path.is_file())
    assert len(files) > 10
    for file in files:
        assert (again.folder / file).read_bytes() == (bundle.folder / file).read_bytes(), file


def test_no_file_holds_a_path_of_this_machine(exported, run):
    for path in exported[0].folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(run.folder).encode() not in content, path
            assert b"/tmp/" not in content, path


def test_int8_comes_from_the_quantization_aware_model_where_there_is_one(run, tiny, tmp_path):
    out = tmp_path / "qat"
    bundle = export(
        run, tiny, out, qat_model=tiny.qat_model, precisions=(Precision.INT8,), io=Io.FLOAT32, batch=2
    )
    manifest = bundle.manifest
    assert {artifact.weights for artifact in manifest.artifacts[1:]} == {Weights.QAT}
    assert (manifest.calibration_images, manifest.calibration_fingerprint) == (0, None)
    assert [artifact.input.shape[0] for artifact in manifest.artifacts] == [None, 1, 2]
    assert manifest.golden_twin_steps is not None


def test_one_int8_file_has_no_twin(run, tiny, tmp_path):
    bundle = export(run, tiny, tmp_path / "one", formats=(Format.TFLITE,), precisions=(Precision.INT8,))
    assert bundle.manifest.golden_twin_steps is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": ()}, "choose at least one format"),
        (
            {"precisions": (Precision.INT8, Precision.FLOAT16), "io": Io.INT8},
            "float16 model has no int8 input",
        ),
        ({"opset": 99}, "opset 99"),
        ({"calibration": None}, "needs calibration images"),
    ],
)
def test_a_failed_export_leaves_what_was_there(changes, message, run, tiny, tmp_path):
    out = tmp_path / "kept"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match=message):
        export(run, tiny, out, **changes)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (out / "mine.txt").read_text() == "mine"


def test_an_altered_file_is_found_when_the_bundle_is_opened(exported, tmp_path):
    folder = tmp_path / "altered"
    shutil.copytree(exported[0].folder, folder)
    path = folder / "model.int8.onnx"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.int8\.onnx: altered"):
        Bundle.open(folder)


def test_steps_are_counted_in_the_outputs_own_units():
    bytes_ = np.array([[0, 200], [7, 8]], np.uint8)
    assert count_steps(bytes_, np.array([[3, 200], [7, 4]], np.uint8)) == 4
    assert count_steps(bytes_ / np.float32(256), np.array([[3, 200], [7, 4]], np.float32) / 256) == 4


def test_twins_that_part_are_said_to():
    assert "agree on 16" in bundles._checked(2, 16)
    assert "differ by more than 2 steps on 16 golden images (largest difference 3 steps)" in bundles._checked(
        3, 16
    )


def test_the_manifest_reads_back(exported):
    bundle, _ = exported
    text = json.loads((bundle.folder / "manifest.json").read_text())
    assert text["tool_versions"].keys() >= {"edgecifar", "tensorflow", "tf2onnx"}
    assert Bundle.open(Path(bundle.folder)).manifest == bundle.manifest
