import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgecifar.artifacts import Bundle, Dataset, Preprocessing, Run
from edgecifar.choices import Source
from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half
from edgecifar.errors import ModelError, VerificationError
from edgecifar.pipeline.subjects import (
    Subject,
    check_classes,
    open_model,
    open_reference,
    open_subjects,
    place_of,
    source_of,
)
from edgecifar.runtimes import get_runtime
from edgecifar.verification import Outputs
from edgecifar.verification.inputs import InputSpec

SCALING = Preprocessing(mean=1, std=2, height=32, width=32)


def copy_without_metadata(source: Path, path: Path) -> None:
    model = onnx.load(source)
    del model.metadata_props[:]
    onnx.save(model, path)


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
    copy_without_metadata(made.bundle / "model.int8.onnx", path)
    [subject] = open_subjects(path, SCALING)
    assert (subject.preprocessing, subject.class_names, subject.origin) == (SCALING, None, None)
    assert subject.runtimes == ("ort-cpu", "ort-cuda")
    with pytest.raises(ModelError, match="Give --scale, or --mean and --std"):
        open_subjects(path)


def test_a_lone_file_is_fed_as_a_person_says(made: Any, tmp_path: Path) -> None:
    path = tmp_path / "lone.onnx"
    copy_without_metadata(made.bundle / "model.int8.onnx", path)
    [subject] = open_subjects(path, InputSpec(scale=0.5))
    assert subject.feeding.preprocessing == InputSpec(scale=0.5)
    assert subject.feeding.outputs is Outputs.DETECTED
    assert subject.feeding.origin == "lone.onnx (as the options say)"
    [ours] = open_subjects(made.run)
    assert ours.feeding.outputs is Outputs.PROBABILITIES
    assert ours.feeding.origin == f"{made.run.name} (its run.json)"


@pytest.mark.parametrize("name", ["model.int8.tflite", "model.int8.onnx", "model.float32.onnx"])
def test_a_lone_file_that_describes_itself_is_fed_as_in_its_bundle(
    name: str, made: Any, tmp_path: Path
) -> None:
    path = tmp_path / name
    shutil.copy(made.bundle / name, path)
    subject = open_model(path)
    assert subject.described_by == f"{name} (its metadata)"
    [ours] = open_subjects(made.bundle / name)
    assert subject.class_names == ours.class_names
    images = read_sample(Half.TEST).images[:20]
    model = get_runtime(ours.runtimes[0]).load(path, 1)
    np.testing.assert_array_equal(
        subject.feeding.encode(images, model.input), ours.feeding.encode(images, model.input)
    )


def test_what_a_person_says_comes_before_the_metadata_and_that_before_the_candidates(
    made: Any, tmp_path: Path
) -> None:
    path = tmp_path / "lone.tflite"
    shutil.copy(made.bundle / "model.int8.tflite", path)
    said, other = InputSpec(scale=0.5), InputSpec(scale=0.25)
    subject = open_reference(path, said, other)
    assert subject.preprocessing is said
    assert subject.described_by.startswith("lone.tflite (as the options say; its metadata says otherwise: ")
    own = open_reference(path, None, other)
    assert own.preprocessing not in (said, other)
    assert "otherwise" not in open_reference(path, own.preprocessing).described_by
    silent = tmp_path / "silent.onnx"
    copy_without_metadata(made.bundle / "model.int8.onnx", silent)
    assert open_reference(silent, None, other).preprocessing is other


def test_a_lone_files_own_words_may_differ_but_not_their_order() -> None:
    data = Dataset(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]), ("ant", "bee"), "made", "test")

    def subject(*names: str) -> Subject:
        return Subject(
            Path("m.onnx"), "onnx", "unknown", "sha", InputSpec(), "", raw_pixels=False, output_step=None,
            class_names=names, origin=None,
        )  # fmt: skip

    check_classes(subject("Ant", "BEE"), data)
    check_classes(subject("fourmi", "abeille"), data)
    with pytest.raises(VerificationError, match="knows the classes bee, ant; the images have ant, bee"):
        check_classes(subject("bee", "ant"), data)


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
    copy_without_metadata(made.bundle / "model.int8.onnx", folder / "stranger.onnx")
    with pytest.raises(ModelError, match="nothing in or beside the file says"):
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
