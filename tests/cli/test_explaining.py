"""diagnose and verify --layers as a person types them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecifar.artifacts import ParityReport
from edgecifar.artifacts.diagnosis import Diagnosis
from edgecifar.artifacts.layers import LayersReport
from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half
from edgecifar.errors import ModelError
from edgecifar.pipeline import explaining
from edgecifar.protocol import Tapped
from edgecifar.runtimes import get_runtime

Invoke = Callable[..., Any]


def test_layers_of_both_formats_and_what_if(invoke: Invoke, checkout: Path, tmp_path: Path) -> None:
    bundle = checkout / "exported" / "tiny-resnet8"
    files = [bundle / "model.int8.tflite", bundle / "model.int8.onnx"]
    found = invoke(
        "verify", *files, "--data", "sample", "--limit", 20, "--runtime", "litert", "--runtime", "ort-cpu",
        "--layers", "--what-if", 1, "--out", tmp_path / "report", "--json", "--no-cache",
    )  # fmt: skip
    assert found.status == 0, found.err
    reports = [LayersReport.model_validate(one) for one in found.json["layers"]]
    assert [one.candidate for one in reports] == [path.name for path in files]
    for report in reports:
        assert len(report.layers) == 15
        assert report.output_is_the_files
        assert report.what_if is not None
        assert report.what_if.simulated_agreements >= 0.97 * report.what_if.images
        assert len(report.what_if.kept) == 1
    # XNNPACK and the reference kernels round convolutions differently, ONNX Runtime's twin does not.
    assert [one.against for one in reports[0].strayed] == ["litert", "litert"]
    assert all(one.first == reports[0].layers[0].name for one in reports[0].strayed)


def test_what_layers_cannot_do_leaves_the_report(invoke: Invoke, checkout: Path, tmp_path: Path) -> None:
    # A float file has no layer that compression could have cost.
    model = checkout / "exported" / "tiny-resnet8" / "model.float32.tflite"
    arguments = [
        "verify", model, "--data", "sample", "--limit", 20, "--runtime", "litert", "--layers",
        "--out", tmp_path / "report", "--no-cache",
    ]  # fmt: skip
    found = invoke(*arguments)
    assert found.status == 2
    told = "--layers could not be done: There is no layer to compare"
    assert told in " ".join(found.err.split())
    assert "model.float32.tflite" in found.out
    report = ParityReport.model_validate_json((tmp_path / "report" / "report.json").read_text())
    assert report.comparisons[0].accuracy.total == 20
    assert any(told in note for note in report.notes)
    assert (tmp_path / "report" / "index.html").is_file()
    # A gate that is broken says more than that.
    broken = invoke(*arguments, "--max-size", 1)
    assert broken.status == 1
    assert told in " ".join(broken.err.split())


def test_a_file_that_cannot_be_looked_into_leaves_the_layers_of_the_others(
    invoke: Invoke, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = checkout / "exported" / "tiny-resnet8"
    files = [bundle / "model.int8.onnx", bundle / "model.int8.tflite"]
    look_inside = explaining.open_tapped

    def refuse_onnx(path: Path, runtime: str | None, threads: int) -> Tapped:
        if path.name == "model.int8.onnx":
            raise ModelError("ONNX Runtime refuses more outputs.", "Leave it out.")
        return look_inside(path, runtime, threads)

    monkeypatch.setattr(explaining, "open_tapped", refuse_onnx)
    found = invoke(
        "verify", *files, "--data", "sample", "--limit", 20, "--runtime", "litert", "--runtime", "ort-cpu",
        "--layers", "--out", tmp_path / "report", "--json",
    )  # fmt: skip
    assert found.status == 2
    assert [one["candidate"] for one in found.json["layers"]] == ["model.int8.tflite"]
    told = "--layers could not be done for model.int8.onnx: ONNX Runtime refuses more outputs."
    assert told in " ".join(found.err.split())
    report = ParityReport.read(tmp_path / "report" / "report.json")
    assert len(report.layers) == 1
    assert told in report.notes


def test_an_interrupted_look_at_the_layers_leaves_the_report(
    invoke: Invoke, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecifar.pipeline.explaining.explain_layers", interrupt)
    model = checkout / "exported" / "tiny-resnet8" / "model.int8.tflite"
    found = invoke(
        "verify", model, "--data", "sample", "--limit", 20, "--runtime", "litert", "--layers",
        "--out", tmp_path / "report",
    )  # fmt: skip
    assert found.status == 130
    assert (tmp_path / "report" / "report.json").is_file()


def test_what_if_needs_layers(invoke: Invoke, checkout: Path) -> None:
    found = invoke("verify", checkout / "exported" / "tiny-resnet8", "--what-if", 2)
    assert found.status == 2
    assert "--what-if needs --layers" in found.err


def test_diagnose_names_the_mistake_of_logged_outputs(invoke: Invoke, checkout: Path, tmp_path: Path) -> None:
    model = checkout / "exported" / "tiny-resnet8" / "model.int8.tflite"
    images = read_sample(Half.TEST).images[:40]
    np.save(
        tmp_path / "app.npy", get_runtime("litert").load(model, 1).predict(images[..., ::-1].copy()) / 256
    )
    options = ["diagnose", model, "--predictions", tmp_path / "app.npy", "--data", "sample"]
    found = invoke(*options, "--json")
    assert found.status == 0, found.err
    diagnosis = Diagnosis.model_validate(found.json)
    assert diagnosis.ranking[0].name == "red and blue swapped"
    assert diagnosis.images == 40
    shown = invoke(*options)
    assert "red and blue swapped. The app feeds the colours in the other order" in " ".join(shown.out.split())
    assert "Not possible here: no normalization" in " ".join(shown.out.split())


def test_a_file_of_other_outputs_is_refused(
    refused: Callable[..., str], checkout: Path, tmp_path: Path
) -> None:
    model = checkout / "exported" / "tiny-resnet8" / "model.int8.tflite"
    np.save(tmp_path / "app.npy", np.zeros((5, 3)))
    message = refused("diagnose", model, "--predictions", tmp_path / "app.npy", "--data", "sample")
    assert "app.npy has outputs of shape (5, 3)" in message
