import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgecifar.artifacts import Bundle, Preprocessing, Run
from edgecifar.errors import ModelError
from edgecifar.pipeline.subjects import open_model, open_reference, open_subjects, place_of, source_of
from edgecifar.recipe import Source
from edgecifar.verification import Outputs
from edgecifar.verification.inputs import InputSpec

SCALING = Preprocessing(mean=1, std=2, height=32, width=32)


def test_a_bundle_has_its_artifacts_and_its_reference(made: Any) -> None:
    subjects = open_subjects(made.bundle)
    assert len(subjects) == 8
    assert {subject.format for subject in subjects} == {"tflite", "onnx"}
    assert all(subject.origin == made.bundle for subject in subjects)
    assert open_reference(made.bundle).path == made.bundle / "reference.keras"
    assert open_model(made.bundle) == open_reference(made.bundle)


def test_a_run_has_its_model_and_the_one_before_compression(made: Any) -> None:
    [subject] = open_subjects(made.run)
    assert subject.path == made.run / "model.keras"
    assert open_model(made.run) == subject
    assert open_reference(made.run).path == made.run / "reference.keras"
    assert subject.class_names is not None
    assert len(subject.class_names) == 10


@pytest.mark.parametrize("name", ["run", "bundle"])
def test_a_file_is_described_by_what_it_lies_in(name: str, made: Any) -> None:
    path = made.run / "model.keras" if name == "run" else made.bundle / "model.int8.onnx"
    [subject] = open_subjects(path, SCALING)
    assert subject.path == path
    assert subject.preprocessing != SCALING
    assert subject.precision == ("float32" if name == "run" else "int8")


def test_a_lone_file_is_described_by_the_caller(made: Any, tmp_path: Path) -> None:
    path = tmp_path / "lone.onnx"
    shutil.copy(made.bundle / "model.int8.onnx", path)
    [subject] = open_subjects(path, SCALING)
    assert (subject.preprocessing, subject.class_names, subject.origin) == (SCALING, None, None)
    assert subject.runtimes == ("ort-cpu", "ort-cuda")
    with pytest.raises(ModelError, match="Give --scale, or --mean and --std"):
        open_subjects(path)


def test_a_lone_file_is_fed_as_a_person_says(made: Any, tmp_path: Path) -> None:
    path = tmp_path / "lone.onnx"
    shutil.copy(made.bundle / "model.int8.onnx", path)
    [subject] = open_subjects(path, InputSpec(scale=0.5))
    assert subject.feeding.preprocessing == InputSpec(scale=0.5)
    assert subject.feeding.outputs is Outputs.DETECTED
    assert subject.feeding.origin == "lone.onnx (as the options say)"
    [ours] = open_subjects(made.run)
    assert ours.feeding.outputs is Outputs.PROBABILITIES
    assert ours.feeding.origin == f"{made.run.name} (its run.json)"


def test_a_saved_model_is_a_model_of_all_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"weights")
    [subject] = open_subjects(folder, InputSpec())
    assert (subject.suffix, subject.format, subject.size_bytes) == (".savedmodel", "savedmodel", 12)
    assert subject.runtimes == ("keras",)
    assert open_reference(folder, InputSpec()) == open_model(folder, InputSpec()) == subject
    (folder / "variables" / "data").write_bytes(b"others!")
    assert open_model(folder, InputSpec()).sha256 != subject.sha256


def test_an_onnx_model_is_also_its_weights_beside_it(made: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = onnx.load(made.bundle / "model.float32.onnx")
    onnx.save(model, path, save_as_external_data=True, location="m.onnx.data", size_threshold=100)
    [subject] = open_subjects(path, InputSpec())
    weights = tmp_path / "m.onnx.data"
    assert subject.size_bytes == path.stat().st_size + weights.stat().st_size
    weights.write_bytes(weights.read_bytes()[::-1])
    assert open_model(path, InputSpec()).sha256 != subject.sha256
    path.write_bytes(path.read_bytes()[:200])
    assert open_model(path, InputSpec()).size_bytes == 200


@pytest.mark.parametrize("name", ["run", "bundle"])
def test_a_stranger_in_a_run_or_bundle_is_a_lone_file(name: str, made: Any, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(getattr(made, name), folder)
    shutil.copy(made.bundle / "model.int8.onnx", folder / "stranger.onnx")
    with pytest.raises(ModelError, match="nothing beside the file says"):
        open_model(folder / "stranger.onnx")
    assert open_model(folder / "stranger.onnx", SCALING).format == "onnx"


def test_the_images_are_those_that_it_was_made_with(made: Any, tmp_path: Path) -> None:
    for path in (made.run, made.bundle, made.run / "model.keras", made.bundle / "model.int8.onnx"):
        source = source_of(path)
        assert source is not None
        assert source.data.source is Source.SAMPLE
    assert source_of(tmp_path) is None


def test_objects_and_paths_name_a_place(made: Any) -> None:
    assert place_of(Run.open(made.run)) == place_of(str(made.run)) == made.run
    assert place_of(Bundle.open(made.bundle)) == place_of(made.bundle) == made.bundle
