"""The bias of a dense layer after a pool reaches the ONNX file."""

from pathlib import Path

import numpy as np
import pytest
import tf_keras

from edgecifar.artifacts import Preprocessing
from edgecifar.exporting import onnx, tflite
from edgecifar.exporting.dense import flatten_inputs
from edgecifar.exporting.options import Io, Precision
from edgecifar.runtimes import get_runtime

PIXELS = Preprocessing(mean=128, std=64, height=8, width=8)


@pytest.fixture(scope="module")
def pooled_tflite() -> bytes:
    """Returns an int8 file whose dense layer reads a pool's four dimensions and has a telling bias."""
    layers = tf_keras.layers
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    model = tf_keras.Model(image, layers.Softmax()(layers.Dense(3, name="logits")(x)))
    kernel, _ = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel, np.array([0.0, 4.0, 2.0], np.float32)])
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), dtype=np.uint8)
    return tflite.convert(model, Precision.INT8, Io.UINT8, PIXELS, PIXELS.apply(images))


def test_the_twin_has_the_bias(pooled_tflite: bytes, tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    outputs = []
    for name, content, runtime in (
        ("model.tflite", pooled_tflite, "litert"),
        ("model.onnx", onnx.convert_int8(pooled_tflite, Io.UINT8), "ort-cpu"),
    ):
        (tmp_path / name).write_bytes(content)
        outputs.append(get_runtime(runtime).load(tmp_path / name, threads=1).predict(images).astype(int))
    assert (outputs[0].argmax(axis=1) == 1).all()
    # One step of rounding in the pool may become a few steps behind the softmax.
    assert np.abs(outputs[0] - outputs[1]).max() <= 4


def test_a_flattened_file_computes_the_same(pooled_tflite: bytes, tmp_path: Path) -> None:
    flat = flatten_inputs(pooled_tflite)
    assert flat != pooled_tflite
    assert flatten_inputs(flat) == flat
    images = np.random.default_rng(2).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    outputs = []
    for name, content in (("plain.tflite", pooled_tflite), ("flat.tflite", flat)):
        (tmp_path / name).write_bytes(content)
        outputs.append(get_runtime("litert-reference").load(tmp_path / name, threads=1).predict(images))
    np.testing.assert_array_equal(outputs[0], outputs[1])
