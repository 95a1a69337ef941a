"""export and doctor of ONNX and TFLite files, as typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgecifar.cli.app import app

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
