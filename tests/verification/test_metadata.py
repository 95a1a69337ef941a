"""What files say of themselves; edgecifar's own writer, and hand-made ONNX properties of the standard."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecifar.artifacts import Preprocessing
from edgecifar.choices import Channels, Layout
from edgecifar.exporting.metadata import Description, describe_onnx, describe_tflite
from edgecifar.verification.inputs import InputSpec
from edgecifar.verification.metadata import NOTHING, read_metadata

NAMES = ("ant", "bee", "cät")
DESCRIBE = {".tflite": describe_tflite, ".onnx": describe_onnx}


def description(*, raw_pixels: bool) -> Description:
    return Description(
        "m", "A model.", NAMES, Preprocessing(mean=121, std=64, height=32, width=32), raw_pixels
    )


def made(source: Path, folder: Path, *, raw_pixels: bool) -> Path:
    path = folder / source.name
    path.write_bytes(DESCRIBE[source.suffix](source.read_bytes(), description(raw_pixels=raw_pixels)))
    return path


def identity(properties: dict[str, str], folder: Path, dtype: int = TensorProto.FLOAT) -> Path:
    x, y = (helper.make_tensor_value_info(name, dtype, ["N", 3, 4, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph)
    helper.set_model_props(model, properties)
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize("name", ["model.float32.tflite", "model.float32.onnx", "model.int8.tflite"])
def test_the_normalization_and_the_labels_are_read(name: str, checkout: Path, tmp_path: Path) -> None:
    found = read_metadata(made(checkout / "exported" / "tiny-resnet8" / name, tmp_path, raw_pixels=False))
    assert found.class_names == NAMES
    assert found.spec is not None
    assert (found.spec.scale, found.spec.mean, found.spec.std) == (1.0, (121.0,), (64.0,))
    assert not found.raw_pixels


def test_bytes_that_are_pixels_are_told(checkout: Path, tmp_path: Path) -> None:
    folder = checkout / "exported" / "tiny-resnet8"
    onnx_file = read_metadata(made(folder / "model.int8.onnx", tmp_path, raw_pixels=True))
    assert onnx_file.raw_pixels
    # In TFLite the input has a scale and zero point, and its real values are preprocessed ones.
    tflite_file = read_metadata(made(folder / "model.int8.tflite", tmp_path, raw_pixels=True))
    assert tflite_file.spec is not None
    assert (tflite_file.spec.mean, tflite_file.raw_pixels) == ((121.0,), False)


@pytest.mark.parametrize(
    ("told", "spec"),
    [
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, InputSpec()),
        ({"Image.NominalPixelRange": "Normalized_0_1"}, InputSpec(1 / 255)),
        ({"Image.NominalPixelRange": "Normalized_1_1"}, InputSpec(1 / 255, (0.5,), (0.5,))),
        ({"Image.NominalPixelRange": "NominalRange_16_235"}, None),
        ({}, None),
    ],
)
def test_the_standards_properties(told: dict[str, str], spec: InputSpec | None, tmp_path: Path) -> None:
    found = read_metadata(identity({"Image.BitmapPixelFormat": "Rgb8", **told}, tmp_path))
    assert found.spec == spec
    assert found.class_names is None


def test_the_order_of_colours_and_names_as_ultralytics_writes_them(tmp_path: Path) -> None:
    properties = {
        "Image.BitmapPixelFormat": "Bgr8",
        "Image.NominalPixelRange": "Normalized_0_1",
        "names": "{0: 'ant', 1: 'bee'}",
    }
    found = read_metadata(identity(properties, tmp_path))
    assert found.spec == InputSpec(1 / 255, channels=Channels.BGR)
    assert found.class_names == ("ant", "bee")


@pytest.mark.parametrize(
    "properties",
    [
        {"edgecifar.preprocessing": "{"},
        {"edgecifar.preprocessing": "[]"},
        {"edgecifar.preprocessing": '{"mean": 1, "std": 0, "layout": "NHWC", "order": "RGB"}'},
        {"edgecifar.preprocessing": '{"mean": 1, "std": 2, "layout": "NDHWC", "order": "RGB"}'},
        {"names": "__import__('os').abort()"},
        {"names": "{1: 'no zero'}"},
        {"names": "(" * 5000},
    ],
)
def test_properties_that_make_no_sense_say_nothing(properties: dict[str, str], tmp_path: Path) -> None:
    assert read_metadata(identity(properties, tmp_path)) == NOTHING


def test_ours_says_the_layout(tmp_path: Path) -> None:
    said = '{"mean": 1, "std": 2, "layout": "NHWC", "order": "RGB"}'
    found = read_metadata(identity({"edgecifar.preprocessing": said}, tmp_path))
    assert found.spec == InputSpec(1.0, (1.0,), (2.0,), layout=Layout.NHWC)


def test_files_of_other_tools_say_nothing(checkout: Path) -> None:
    folder = checkout / "tests" / "foreign"
    for name in ("dynamic.tflite", "ai_edge_quantizer.tflite", "nchw.onnx", "classifier.keras"):
        assert read_metadata(folder / name) == NOTHING


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_damage_anywhere_raises_nothing(suffix: str, checkout: Path, tmp_path: Path) -> None:
    source = made(
        checkout / "exported" / "tiny-resnet8" / f"model.float32{suffix}", tmp_path, raw_pixels=False
    )
    content, rng = source.read_bytes(), np.random.default_rng(0)

    def check(change: Callable[[bytearray], object]) -> None:
        damaged = bytearray(content)
        change(damaged)
        source.write_bytes(damaged)
        read_metadata(source)

    for length in (0, 3, 8, 20, 5_000, len(content) - 200, len(content) - 3):
        check(lambda damaged, length=length: damaged.__delitem__(slice(length, None)))
    # Where the metadata lies: tables and labels at the ends of the file.
    ends = (*range(400), *range(len(content) - 3000, len(content)))
    for place in rng.choice(ends, 150):
        check(lambda damaged, place=place: damaged.__setitem__(int(place), int(rng.integers(256))))
