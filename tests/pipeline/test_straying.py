"""verify --layers in the runtimes that were asked for, and never in another without a word."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgecifar.artifacts.layers import LayersReport
from edgecifar.choices import Source
from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half
from edgecifar.errors import EngineMissingError, ModelError, VerificationError
from edgecifar.pipeline import explain_layers, straying
from edgecifar.protocol import Tapped
from edgecifar.reporting.explaining import stray_sentences
from edgecifar.runtimes import get_runtime


@pytest.fixture(scope="module")
def bundle(checkout: Path) -> Path:
    return checkout / "exported" / "tiny-resnet8"


def explain(path: Path, *runtimes: str) -> LayersReport:
    explained = explain_layers(path, runtimes=runtimes, source=Source.SAMPLE, limit=5)
    assert explained.failures == ()
    (report,) = explained.reports
    return report


def test_openvino_is_looked_into_layer_by_layer(bundle: Path) -> None:
    path = bundle / "model.int8.tflite"
    report = explain(path, "openvino", "tflm")
    assert report.engine.runtime == "tflm"
    assert report.output_is_the_files
    assert [one.runtime for one in report.strayed] == ["litert", "litert-reference", "openvino"]
    found = report.strayed[-1]
    assert found.against == "tflm"
    assert found.hidden is not None
    images = read_sample(Half.TEST).images[:50]
    outputs = [get_runtime(name).load(path, 1).predict(images) for name in ("openvino", "tflm")]
    assert not np.array_equal(*outputs)
    names = [layer.name for layer in report.layers]
    assert found.first in names
    # No step beyond the first that differs is claimed.
    assert found.steps[names.index(found.first)]
    assert not any(found.steps[names.index(found.first) + 1 :])
    assert stray_sentences(report)[-1].startswith("openvino strays from tflm first at resnet8/")


def test_a_damaged_reference_is_said(bundle: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(bundle / "run.json", run / "run.json")
    (run / "model.keras").write_bytes(b"hello")
    explained = explain_layers(bundle / "model.int8.tflite", against=run, source=Source.SAMPLE, limit=5)
    ((name, error),) = explained.failures
    assert name == "model.int8.tflite"
    assert isinstance(error, ModelError)
    assert "not a readable Keras model" in error.problem


def test_a_runtime_without_layers_says_so(bundle: Path) -> None:
    report = explain(bundle / "model.int8.onnx", "ort-web", "ort-cpu-haswell")
    assert report.engine.runtime == "ort-cpu"
    assert report.not_looked_into == ("ort-web, ort-cpu-haswell give no layers; the table is of ort-cpu.",)
    assert stray_sentences(report)[-1] == report.not_looked_into[0]


def test_where_no_runtime_reads_the_files_nothing_else_is_looked_into(bundle: Path) -> None:
    with pytest.raises(VerificationError, match="There is no layer to compare: c-m4 gives no layers"):
        explain_layers(bundle, runtimes=("c-m4",), source=Source.SAMPLE, limit=5)
    # It reads the one format alone.
    explained = explain_layers(bundle, runtimes=("ort-cpu", "c-m4"), source=Source.SAMPLE, limit=5)
    (report,) = explained.reports
    assert report.candidate == "model.int8.onnx"
    assert report.not_looked_into == ("c-m4 gives no layers; the table is of ort-cpu.",)


def test_one_that_is_missing_leaves_the_others(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_inside = straying.open_tapped

    def lack(path: Path, runtime: str | None, threads: int) -> Tapped:
        if runtime == "tflm":
            raise EngineMissingError("TensorFlow Lite Micro is not installed.")
        return look_inside(path, runtime, threads)

    monkeypatch.setattr(straying, "open_tapped", lack)
    report = explain(bundle / "model.int8.tflite", "litert", "tflm")
    assert [one.runtime for one in report.strayed] == ["litert-builtin", "litert-reference"]
    assert report.not_looked_into == ("tflm was not looked into: TensorFlow Lite Micro is not installed.",)
