"""The pipeline as Python functions: they return objects, print nothing, and take paths as text too."""

from pathlib import Path
from typing import Any

import pytest

import edgecifar
from edgecifar.artifacts import Verdict, Weights
from edgecifar.choices import Device, Split
from edgecifar.errors import ExportError, ModelError, RecipeError, TrainingError, VerificationError
from edgecifar.exporting.options import Format, Io, Precision
from edgecifar.recipe import CompressionSpec, QuantizationSpec, Recipe

ONE_EPOCH = ["model.name=shallow3", "training.epochs=1", "training.batch_size=128"]
QAT = CompressionSpec(quantization=QuantizationSpec(qat=True, epochs=1))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def recipe() -> Recipe:
    return edgecifar.load_recipe("demo", ONE_EPOCH)


def test_the_whole_job_prints_nothing(recipe: Recipe, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained = edgecifar.train(recipe, out="mine", device=Device.CPU, compress=False)
    assert isinstance(trained, edgecifar.Run)
    assert trained.folder == Path("mine")
    assert trained.record.validation.total == 200
    assert trained.record.command == "edgecifar train --recipe demo --seed 0"
    assert trained.qat_path is None

    compressed = edgecifar.compress(trained, QAT, device=Device.CPU)
    assert compressed.folder == Path("runs/mine-compressed")
    assert compressed.record.parent == "mine"
    assert compressed.qat_path == Path("runs/mine-compressed/qat.h5")
    assert compressed.reference_path == Path("runs/mine-compressed/reference.keras")
    assert compressed.reference_path.read_bytes() == trained.model_path.read_bytes()

    bundle = edgecifar.export(
        compressed, formats=["tflite"], precisions=["int8"], io=Io.UINT8, out=str(home / "bundle")
    )
    assert isinstance(bundle, edgecifar.Bundle)
    assert [(entry.file, entry.weights) for entry in bundle.manifest.artifacts] == [
        ("reference.keras", Weights.TRAINED),
        ("model.int8.tflite", Weights.QAT),
    ]

    gate = edgecifar.Gate(max_drop_pp=100)
    report = edgecifar.verify(bundle, against=trained, gate=gate, limit=50, runtimes=["litert"])
    assert isinstance(report, edgecifar.ParityReport)
    assert report.passed
    [comparison] = report.comparisons
    assert comparison.verdict is Verdict.PASS
    assert comparison.accuracy.total == 50
    assert report.command == "edgecifar verify bundle"

    [prediction] = edgecifar.predict("bundle/model.int8.tflite", first=1)
    assert prediction.label in bundle.run.record.class_names
    assert edgecifar.diagnose_model("bundle/model.int8.tflite", limit=10).images == 10
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_run_goes_where_the_next_number_is(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, made: Any
) -> None:
    begun = []

    def begin(*arguments: Any, **options: Any) -> edgecifar.Run:
        begun.append((arguments[4], options["name"]))
        return edgecifar.Run.open(made.run)

    monkeypatch.setattr("edgecifar.pipeline.making.train_run", begin)
    monkeypatch.setattr("edgecifar.pipeline.making.compress_run", lambda run, *_, **__: run)
    edgecifar.train(recipe, device=Device.CPU, compress=False)
    edgecifar.train(recipe, device=Device.CPU)
    assert begun == [
        (Path("runs/demo-shallow3-0001"), "demo-shallow3-0001"),
        (Path("runs/demo-shallow3-0002/trained"), "demo-shallow3-0002-trained"),
    ]


def test_what_is_to_be_trained_must_be_said() -> None:
    with pytest.raises(TrainingError, match="nothing to train"):
        edgecifar.train()
    with pytest.raises(TrainingError, match="which run"):
        edgecifar.train(resume=True)


def test_what_is_to_be_compressed_must_be_said(made: Any, home: Path) -> None:
    with pytest.raises(RecipeError, match="nothing to compress"):
        edgecifar.compress(edgecifar.Run.open(made.run), CompressionSpec(), out=home / "x")
    assert not (home / "x").exists()


@pytest.mark.parametrize("choice", [{"formats": []}, {"precisions": []}])
def test_what_is_to_be_exported_must_be_said(choice: Any, made: Any, home: Path) -> None:
    with pytest.raises(ExportError, match="Nothing to export"):
        edgecifar.export(edgecifar.Run.open(made.run), out=home / "x", **choice)
    assert not (home / "x").exists()


@pytest.mark.parametrize("choice", [{"formats": ["coreml"]}, {"precisions": ["int4"]}])
def test_an_unknown_format_is_no_other_format(choice: Any, made: Any, home: Path) -> None:
    with pytest.raises(ValueError, match=r"coreml|int4"):
        edgecifar.export(edgecifar.Run.open(made.run), out=home / "x", **choice)


def test_what_is_to_be_verified_must_be_said() -> None:
    with pytest.raises(VerificationError, match="nothing to verify"):
        edgecifar.verify([])


@pytest.mark.parametrize("form", [str, Path, edgecifar.Bundle.open, lambda path: [path]])
def test_verify_takes_bundles_in_any_form(form: Any, made: Any) -> None:
    report = edgecifar.verify(form(made.bundle), limit=10, runtimes=["ort-cpu"])
    assert {each.artifact for each in report.comparisons} == {
        f"model.{precision}.onnx" for precision in Precision
    }


def test_verify_of_a_run_compares_it_with_its_model_before_compression(made: Any) -> None:
    report = edgecifar.verify(edgecifar.Run.open(made.run), split=Split.VALIDATION)
    assert report.reference == "reference.keras"
    [comparison] = report.comparisons
    assert comparison.artifact == "model.keras"
    run = edgecifar.Run.open(made.run)
    trained = edgecifar.Run.open(made.run / "trained")
    # In other batches and threads a probability may round differently, and a near tie fall otherwise.
    assert abs(comparison.accuracy.correct - run.record.validation.correct) <= 1
    assert abs(report.reference_accuracy.correct - trained.record.validation.correct) <= 1
    assert (report.data_split, comparison.accuracy.total) == ("validation", 200)


def test_an_export_says_if_the_images_are_others_than_those_learned_from(
    made: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgecifar.pipeline import making

    told: list[str] = []

    class Listener:
        def task(self, *_arguments: object) -> Any:
            return edgecifar.progress.SILENT.task("", 0, "")

        def say(self, message: str) -> None:
            told.append(message)

    load = making.load_training_data

    def load_fewer(*arguments: Any, **options: Any) -> Any:
        train, validation = load(*arguments, **options)
        return train.select(slice(100)), validation

    monkeypatch.setattr(making, "load_training_data", load_fewer)
    edgecifar.export(
        edgecifar.Run.open(made.run),
        formats=[Format.TFLITE],
        precisions=[Precision.FLOAT32],
        out=home / "x",
        progress=Listener(),
    )
    assert "Note: these are not the images that demo-shallow3-0001 learned from." in told


def test_a_file_that_is_no_run_is_told(home: Path) -> None:
    with pytest.raises(ModelError, match="no finished run"):
        edgecifar.Run.open(home)
