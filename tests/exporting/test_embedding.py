import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgecifar.artifacts import Bundle, Dataset, RunRecord
from edgecifar.choices import Target
from edgecifar.exporting.embedding import describe, write_embedded
from edgecifar.exporting.options import Format, Io, Precision

SHIPPED = Path(__file__).parents[2] / "exported" / "tiny-resnet8"


@pytest.fixture
def bundle(tmp_path) -> Bundle:
    shutil.copytree(SHIPPED, tmp_path / "tiny")
    shutil.rmtree(tmp_path / "tiny" / "embed", ignore_errors=True)
    return replace(Bundle.open(SHIPPED), folder=tmp_path / "tiny")


@pytest.fixture
def record() -> RunRecord:
    return RunRecord.read(SHIPPED / "run.json")


def test_targets_golden_outputs_and_card_come_together(bundle, record):
    golden = SHIPPED / "golden"
    images, labels = np.load(golden / "images.npy"), np.load(golden / "labels.npy")
    images = Dataset(images, labels, record.class_names, "cifar10", "validation")
    [entry] = write_embedded(bundle.folder, record, bundle.manifest.artifacts, images, [Target.LINUX])
    assert (entry.name, entry.folder) == ("linux", "embed/linux")
    assert entry.artifacts == ("model.int8.tflite", "model.int8.onnx")
    assert (bundle.folder / "embed" / "linux" / "classify.cpp").is_file()
    assert "embed/linux" in (bundle.folder / "README.md").read_text(encoding="utf-8")
    outputs = json.loads((bundle.folder / "golden" / "golden.json").read_text())["outputs"]
    assert {output["artifact"] for output in outputs} == {
        artifact.file for artifact in bundle.manifest.artifacts if artifact.format != "keras"
    }


def test_a_file_is_described_by_its_run(bundle, record):
    content = (bundle.folder / "model.float32.onnx").read_bytes()
    described = describe(content, Format.ONNX, Precision.FLOAT32, Io.FLOAT32, record)
    props = {prop.key: prop.value for prop in onnx.load_from_string(described).metadata_props}
    assert props["description"] == "Names which of 10 classes a picture shows (float32)."
    assert json.loads(props["edgecifar.preprocessing"])["std"] == record.preprocessing.std
