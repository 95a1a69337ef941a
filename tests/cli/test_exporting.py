"""export on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest


def test_export_says_calibration_where_there_is_no_quantization_aware_model(invoke: Any, made: Any) -> None:
    outcome = invoke("export", made.run / "trained", "--int8", "-f", "tflite", "--io", "uint8", "--json")
    assert outcome.status == 0
    [reference, int8] = outcome.json["artifacts"]
    assert reference["file"] == "reference.keras"
    assert int8["weights"] == "post-training calibration"
    assert int8["input"]["dtype"] == "uint8"
    assert int8["raw_pixels"] is True
    assert outcome.json["calibration_images"] == 500
    assert len(outcome.json["calibration_fingerprint"]) == 64


def test_export_writes_float32_and_int8_unless_told(invoke: Any, made: Any, tmp_path: Path) -> None:
    outcome = invoke("export", made.run, "-f", "onnx", "--batch", 4, "--opset", 17, "--out", tmp_path / "b")
    assert outcome.status == 0
    names = {path.name for path in (tmp_path / "b").glob("model.*")}
    assert names == {"model.float32.onnx", "model.int8.onnx"}
    assert outcome.err.splitlines()[-1] == f"Next: edgecifar verify {tmp_path / 'b'}"
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text(encoding="utf-8"))
    assert [entry["input"]["shape"][0] for entry in manifest["artifacts"]] == [None, 4, 4]


def test_an_opset_of_zero_is_no_default(invoke: Any, made: Any, tmp_path: Path) -> None:
    for source in (made.bundle, made.run):
        outcome = invoke("export", source, "--format", "onnx", "--opset", 0, "--out", tmp_path / "b")
        assert outcome.status == 2
        assert "ONNX opset 0 cannot be written" in outcome.err
        assert not (tmp_path / "b").exists()


# What is there already


@pytest.mark.parametrize(
    "option",
    [
        ("--io", "uint8"),
        ("--target", "web"),
        ("--opset", "13"),
        ("--opset", "0"),
        ("--batch", "1"),
        ("--activations", "int8"),
        ("--no-saturation-safe",),
    ],
)
def test_what_c_does_not_have_is_refused(
    invoke: Any, made: Any, tmp_path: Path, option: tuple[str, ...]
) -> None:
    outcome = invoke("export", made.bundle, "--format", "c", "--out", tmp_path / "c", *option)
    assert outcome.status == 2
    assert f"{option[0]} " in outcome.err
    assert "does not go with --format c" in outcome.err
    assert not (tmp_path / "c").exists()
