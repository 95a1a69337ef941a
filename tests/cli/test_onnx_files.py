"""export and doctor of ONNX and TFLite files, as typed."""

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto
from typer.testing import CliRunner

from edgecifar.artifacts import Bundle
from edgecifar.cli.app import app
from edgecifar.exporting import saturation
from edgecifar.exporting.bundle import MAX_TWIN_STEPS

TINY = Path(__file__).parents[2] / "exported" / "tiny-resnet8"


def invoke(*words, status=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return result


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_bundle_becomes_one_file_named_for_it():
    result = invoke("export", TINY, "--format", "onnx", "--int8")
    assert Path("exported/tiny-resnet8.int8.onnx").is_file()
    assert "10 of 10 layers compute in integers." in result.output
    assert "exists" in invoke("export", TINY, "--format", "onnx", status=2).output
    invoke("export", TINY, "--format", "onnx", "--force")


def test_a_file_is_written_where_it_is_asked_for_and_looked_at():
    made = json.loads(
        invoke("export", TINY / "model.int8.tflite", "--io", "uint8", "--out", "m.onnx", "--json").stdout
    )
    assert made["path"] == "m.onnx"
    assert made["size_bytes"] == Path("m.onnx").stat().st_size
    found = json.loads(invoke("doctor", "m.onnx", "--json").stdout)["m.onnx"]
    assert {layer["arithmetic"] for layer in found["layers"]} == {"integer"}
    assert found["images"] == 0
    counted = json.loads(invoke("doctor", "m.onnx", "--mean", "121", "--std", "64", "--json").stdout)[
        "m.onnx"
    ]
    assert counted["images"] == 16
    assert "No pair of weights can saturate" in invoke("doctor", "m.onnx").stdout


def test_what_cannot_be_made_of_a_file_is_said():
    assert "other precisions need the run" in invoke("export", TINY, "--fp16", status=2).output
    assert "one file is made" in invoke("export", TINY, "--format", "all", status=2).output
    same = invoke("export", TINY / "model.int8.onnx", "--out", TINY / "model.int8.onnx", "--force", status=2)
    assert "left alone" in same.output


@pytest.mark.parametrize(
    ("words", "activations", "is_safe"),
    [
        ((), TensorProto.UINT8, True),
        (("--activations", "int8"), TensorProto.INT8, True),
        (("--no-saturation-safe",), TensorProto.UINT8, False),
        (("--activations", "int8", "--no-saturation-safe"), TensorProto.INT8, False),
    ],
    ids=["as usual", "int8", "not safe", "int8, not safe"],
)
def test_a_run_exports_with_the_activations_and_weights_asked_for(words, activations, is_safe, made):
    invoke("export", made.run, "--int8", *words, "--out", "bundle")
    content = Path("bundle/model.int8.tflite").read_bytes()
    assert (saturation.make_safe(content) == content) is is_safe
    model = onnx.load("bundle/model.int8.onnx")
    elements = {item.name: item.data_type for item in model.graph.initializer}
    quantizers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {elements[node.input[2]] for node in quantizers} == {activations}
    found = json.loads(invoke("doctor", "bundle/model.int8.onnx", "--json").stdout)["bundle/model.int8.onnx"]
    if activations == TensorProto.UINT8:
        assert (sum(layer["unsafe_pairs"] for layer in found["layers"]) == 0) is is_safe
    (safe,) = (entry.value for entry in model.metadata_props if entry.key == "edgecifar.saturation_safe")
    assert safe == json.dumps(is_safe)
    assert Bundle.open(Path("bundle")).manifest.golden_twin_steps <= MAX_TWIN_STEPS
