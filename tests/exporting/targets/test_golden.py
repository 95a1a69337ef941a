import json
from dataclasses import replace

import numpy as np

from edgecifar.errors import ModelError
from edgecifar.exporting.targets import golden
from edgecifar.exporting.targets.golden import write_golden


def copied(material, folder):
    (folder / "golden").mkdir()
    for path in material.folder.glob("model.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return replace(material, folder=folder)


def test_the_table_has_each_engines_outputs(material, tmp_path):
    bundle = copied(material, tmp_path)
    write_golden(bundle)
    table = json.loads((tmp_path / "golden" / "golden.json").read_text())
    assert table["count"] == 16
    assert table["unable"] == []
    found = {(output["artifact"].rpartition(".")[2], output["runtime"]) for output in table["outputs"]}
    assert found == {("tflite", "litert"), ("tflite", "litert-reference"), ("onnx", "ort-cpu")}
    probabilities = []
    for output in table["outputs"]:
        raw = np.load(tmp_path / "golden" / output["file"]).astype(np.float64)
        scale, zero_point = output["scale"] or 1, output["zero_point"] or 0
        probabilities.append((raw - zero_point) * scale)
        assert output["tolerance"] > 0
    np.testing.assert_allclose(probabilities[0], probabilities[1], atol=0.05)


def test_what_the_export_wrote_already_is_not_written_again(materials, tmp_path):
    bundle = copied(materials["pixels"], tmp_path)
    path = tmp_path / "golden" / "model.int8.onnx.outputs.npy"
    np.save(path, np.zeros((16, 10), np.uint8))
    write_golden(bundle)
    table = json.loads((tmp_path / "golden" / "golden.json").read_text())
    files = {(output["artifact"], output["runtime"]): output["file"] for output in table["outputs"]}
    assert files["model.int8.onnx", "ort-cpu"] == path.name
    assert not (tmp_path / "golden" / "model.int8.onnx.ort-cpu.npy").exists()


def test_an_engine_that_lacks_an_operator_is_told(materials, tmp_path, monkeypatch):
    whole = golden.run_golden

    def run_golden(material, entry, runtime):
        if runtime == "litert-reference":
            raise ModelError(f"{material.folder}/{entry.file}: it has no ELU.")
        return whole(material, entry, runtime)

    monkeypatch.setattr(golden, "run_golden", run_golden)
    write_golden(copied(materials["pixels"], tmp_path))
    table = json.loads((tmp_path / "golden" / "golden.json").read_text())
    reason = "model.int8.tflite: it has no ELU."
    assert table["unable"] == [
        {"artifact": "model.int8.tflite", "runtime": "litert-reference", "reason": reason}
    ]
