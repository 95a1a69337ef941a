"""A fault that was planted is found, at the layer where it was planted, and for what it is."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecifar.artifacts.layers import LayersReport

spec = importlib.util.spec_from_file_location("planting", Path(__file__).with_name("conftest.py"))
assert spec is not None
assert spec.loader is not None
planting = importlib.util.module_from_spec(spec)
spec.loader.exec_module(planting)

Compare = Callable[[Path, Path], LayersReport]
PLACE = 2
"""The convolution with the fault, of six."""


def convolutions(report: LayersReport) -> list[str]:
    return [layer.name for layer in report.layers if layer.kind == "conv"]


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_a_shipped_file_has_no_layer_that_falls_behind(compare: Compare, bundle: Path, suffix: str) -> None:
    report = compare(bundle / f"model.float32.{suffix}", bundle / f"model.int8.{suffix}")
    assert report.advice is None
    assert report.output_is_the_files
    assert not report.unmatched
    assert len(report.layers) == 11
    assert all(layer.own is not None and layer.own.sqnr_db > 10 for layer in report.layers)
    pools = [layer for layer in report.layers if layer.kind == "max pool"]
    assert [layer.own.sqnr_db for layer in pools if layer.own] == [150.0] * 3


@pytest.mark.parametrize(("reference", "candidate"), [("tflite", "onnx"), ("onnx", "tflite")])
def test_formats_match_each_other(compare: Compare, checkout: Path, reference: str, candidate: str) -> None:
    # Branches of a residual network stand in another order in each format.
    folder = checkout / "exported" / "tiny-resnet8"
    report = compare(folder / f"model.float32.{reference}", folder / f"model.int8.{candidate}")
    assert not report.unmatched
    assert len(report.layers) == 15
    assert min(layer.sqnr_db for layer in report.layers) > 10


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_damaged_weights_are_found(compare: Compare, bundle: Path, tmp_path: Path, suffix: str) -> None:
    plant = {"tflite": planting.damage_tflite, "onnx": planting.damage_onnx}[suffix]
    damaged = plant(bundle / f"model.int8.{suffix}", tmp_path / f"damaged.{suffix}", PLACE)
    report = compare(bundle / f"model.float32.{suffix}", damaged)
    assert report.advice is not None
    assert report.advice.layer == convolutions(report)[PLACE]
    assert "so they are other weights" in report.advice.finding


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_a_clipped_range_is_found(compare: Compare, bundle: Path, tmp_path: Path, suffix: str) -> None:
    plant = {"tflite": planting.clip_tflite, "onnx": planting.clip_onnx}[suffix]
    clipped = plant(bundle / f"model.int8.{suffix}", tmp_path / f"clipped.{suffix}", PLACE)
    report = compare(bundle / f"model.float32.{suffix}", clipped)
    assert report.advice is not None
    assert report.advice.layer == convolutions(report)[PLACE]
    assert "lie beyond its range" in report.advice.finding
    assert "Calibrate" in report.advice.advice


@pytest.fixture(scope="module")
def loud() -> dict[str, np.ndarray]:
    """Weights of three convolutions (out, in, 3, 3): a channel of the second has large ones, read faintly."""
    rng = np.random.default_rng(3)
    weights = {
        name: rng.normal(0, (2 / (9 * shape[1])) ** 0.5, shape).astype(np.float32)
        for name, shape in (("a", (8, 3, 3, 3)), ("b", (16, 8, 3, 3)), ("c", (10, 16, 3, 3)))
    }
    weights["a"][0] /= 60
    weights["b"][5, 0] *= 60
    return weights


def onnx_network(weights: dict[str, np.ndarray], *, quantized: bool) -> onnx.ModelProto:
    """A network of helper.make_node alone; quantized: its weights, with one scale a tensor."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "small"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["x"], perm=[0, 3, 1, 2]),
    ]
    constants = [numpy_helper.from_array(np.float32(1 / 255), "small")]
    tensor = "x"
    for name, values in weights.items():
        used = name
        if quantized:
            scale = np.float32(np.abs(values).max() / 127)
            constants += [
                numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}_q"),
                numpy_helper.from_array(scale, f"{name}_s"),
                numpy_helper.from_array(np.int8(0), f"{name}_z"),
            ]
            used = f"{name}_real"
            nodes.append(
                helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_s", f"{name}_z"], [used])
            )
        else:
            constants.append(numpy_helper.from_array(values, name))
        nodes.append(helper.make_node("Conv", [tensor, used], [f"{name}_out"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"{name}_out"], [f"{name}_relu"]))
        tensor = f"{name}_relu"
    nodes += [
        helper.make_node("GlobalAveragePool", [tensor], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "loud",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 32, 32, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_one_scale_for_a_loud_channel_is_found_in_onnx(
    compare: Compare, loud: dict[str, np.ndarray], tmp_path: Path
) -> None:
    onnx.save(onnx_network(loud, quantized=False), tmp_path / "float.onnx")
    onnx.save(onnx_network(loud, quantized=True), tmp_path / "one-scale.onnx")
    report = compare(tmp_path / "float.onnx", tmp_path / "one-scale.onnx")
    assert not report.unmatched
    assert report.advice is not None
    assert report.advice.layer == "b_relu"
    assert report.advice.advice == "Quantize the weights per channel."


def test_one_scale_for_a_loud_channel_is_found_in_tflite(
    compare: Compare, loud: dict[str, np.ndarray], tmp_path: Path
) -> None:
    import edgecifar  # noqa: F401, I001  it chooses Keras 2
    import tensorflow as tf
    import tf_keras

    layers = tf_keras.layers
    image = x = layers.Input((32, 32, 3))
    for name, values in loud.items():
        x = layers.Conv2D(len(values), 3, padding="same", use_bias=False, activation="relu", name=name)(x)
    model = tf_keras.Model(image, layers.Softmax()(layers.GlobalAveragePooling2D()(x)))
    for name, values in loud.items():
        model.get_layer(name).set_weights([values.transpose(2, 3, 1, 0)])
    for file in ("float", "one-scale"):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if file == "one-scale":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter._experimental_disable_per_channel = True
            samples = np.random.default_rng(0).normal(0, 1, (4, 1, 32, 32, 3)).astype(np.float32)
            converter.representative_dataset = lambda samples=samples: ([sample] for sample in samples)
        (tmp_path / f"{file}.tflite").write_bytes(converter.convert())
    report = compare(tmp_path / "float.tflite", tmp_path / "one-scale.tflite")
    assert report.advice is not None
    assert report.advice.layer == convolutions(report)[1]
    assert report.advice.advice == "Quantize the weights per channel."


def test_what_has_no_partner_is_said(compare: Compare, bundle: Path, checkout: Path) -> None:
    other = checkout / "exported" / "tiny-resnet8" / "model.int8.tflite"
    report = compare(bundle / "model.float32.tflite", other)
    assert any("has no partner" in sentence for sentence in report.unmatched)
