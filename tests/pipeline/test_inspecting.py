from dataclasses import replace
from pathlib import Path

from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half
from edgecifar.pipeline.inspecting import describe
from edgecifar.pipeline.subjects import open_file


def test_a_file_that_onnx_runtime_refuses_leaves_the_notes_of_the_others(
    checkout: Path, tmp_path: Path
) -> None:
    whole = open_file(checkout / "exported" / "tiny-resnet8" / "model.int8.onnx", None)
    damaged = replace(whole, path=tmp_path / "damaged.onnx")
    damaged.path.write_bytes(whole.path.read_bytes()[:5000])
    notes = describe([damaged, whole], read_sample(Half.TEST))
    assert notes[0].startswith("What ort-cpu would make of its layers is not known: ")
    assert "damaged.onnx: ends after 5,000 bytes" in notes[0]
    assert "model.int8.onnx: 10 of 10 layers compute in integers." in notes[1:]
