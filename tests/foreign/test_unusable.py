"""What cannot be used gets one clear sentence and status 2."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half

FOLDER = Path(__file__).parent
REFERENCE = ("--against", FOLDER / "dynamic.tflite", "--scale", "1/255", "--limit", 20)
SAMPLE = ("--data", "sample")

Verify = Callable[..., Any]


def refused(verify: Verify, *arguments: object) -> str:
    told = str(verify(*arguments, *REFERENCE, status=2))
    problems = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(problems) == 1, told
    assert problems[0].endswith("."), told
    assert "Traceback" not in told
    return problems[0]


def write_onnx(path: Path, nodes: list[Any], shape: tuple[int, ...], classes: int) -> Path:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("N", *shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ("N", classes))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    "name", ["nchw.onnx", "qoperator.onnx", "int16x8.tflite", "ai_edge_quantizer.tflite", "classifier.keras"]
)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_short(name: str, share: float, verify: Verify, tmp_path: Path) -> None:
    content = (FOLDER / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(share * len(content))])
    told = refused(verify, path, *SAMPLE)
    assert told.startswith(f"error: {path}: ")
    if share == 0:
        assert "the file is empty" in told
    else:
        # What is behind the weights of a TFLite file, only LiteRT itself misses.
        assert "ends after" in told or (share > 0.5 and "LiteRT refuses it: " in told)


@pytest.mark.parametrize("name", ["text.pt", "text", "text.tflite", "text.onnx", "text.keras", "text.h5"])
def test_a_file_of_something_else(name: str, verify: Verify, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("Dear model,\n" * 50, encoding="utf-8")
    assert refused(verify, path, *SAMPLE).startswith(f"error: {path}: ")


def test_a_model_that_gives_nan(verify: Verify, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Sub", ["mean", "mean"], ["zero"]),
        helper.make_node("Div", ["zero", "zero"], ["out"]),
    ]
    path = write_onnx(tmp_path / "nan.onnx", nodes, (3, 32, 32), 3)
    images = read_sample(Half.TEST).images[:6]
    np.savez(tmp_path / "three.npz", images=images, labels=np.arange(6) % 3)
    three = ("--data", "npz", "--data-dir", tmp_path / "three.npz")
    told = verify(path, "--against", path, "--scale", 1, *three, status=2)
    assert "nan.onnx in ort-cpu produces NaN for image 0." in told


def test_a_model_of_other_classes(verify: Verify, tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["image"], ["out"], axes=[2, 3], keepdims=0)]
    path = write_onnx(tmp_path / "three.onnx", nodes, (3, 32, 32), 3)
    assert "three.onnx in ort-cpu gives 3 classes, but the data has 10." in refused(verify, path, *SAMPLE)


@pytest.mark.parametrize(
    ("shape", "told"),
    [((1, 28, 28), "an image here has three colours"), ((3, 64, 48), "takes images of 64×48 pixels")],
)
def test_a_model_of_other_images(shape: tuple[int, ...], told: str, verify: Verify, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Slice", ["flat", "start", "end", "axis"], ["out"]),
    ]
    path = write_onnx(tmp_path / "other.onnx", nodes, shape, 10)
    model = onnx.load(path)
    for name, value in (("start", 0), ("end", 10), ("axis", 1)):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [1], [value]))
    onnx.save(model, path)
    assert told in refused(verify, path, *SAMPLE)


def test_a_model_of_a_feature_map(verify: Verify, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "map.onnx", [helper.make_node("Relu", ["image"], ["out"])], (3, 32, 32), 10)
    model = onnx.load(path)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(model, path)
    assert "map.onnx in ort-cpu gives" in refused(verify, path, *SAMPLE)


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_images_that_are_none(content: bytes | None, verify: Verify, tmp_path: Path) -> None:
    archive = tmp_path / "images.npz"
    if content is not None:
        archive.write_bytes(content)
    told = refused(verify, FOLDER / "dynamic.tflite", "--data", "npz", "--data-dir", archive)
    assert told.startswith(f"error: {archive}: ")


def test_a_folder_that_is_no_model(verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "run.json" in refused(verify, tmp_path / "empty", *SAMPLE)
    (tmp_path / "empty" / "saved_model.pb").touch()
    assert "not a SavedModel that can be read" in refused(verify, tmp_path / "empty", *SAMPLE)
