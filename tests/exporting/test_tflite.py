import os
import subprocess
import sys

import numpy as np
import pytest

from edgecifar.artifacts import Preprocessing
from edgecifar.errors import ExportError
from edgecifar.exporting import tflite
from edgecifar.exporting.integers import float_operators
from edgecifar.exporting.options import Io, Precision
from edgecifar.runtimes import get_runtime


def load(content, folder, runtime="litert"):
    path = folder / "model.tflite"
    path.write_bytes(content)
    return get_runtime(runtime).load(path, threads=1)


@pytest.mark.parametrize(
    ("precision", "share"), [(Precision.FLOAT16, 0.62), (Precision.DYNAMIC, 0.5), (Precision.INT8, 0.5)]
)
def test_compression_makes_the_file_smaller(precision, share, tiny):
    def size(chosen):
        return len(tflite.convert(tiny.float_model, chosen, Io.FLOAT32, tiny.preprocessing, tiny.calibration))

    assert size(precision) < share * size(Precision.FLOAT32)


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT16, Precision.DYNAMIC])
def test_raw_pixels_give_what_preprocessed_ones_give(precision, tiny, tmp_path):
    images = tiny.test.images[:10]
    floats = load(tflite.convert(tiny.float_model, precision, Io.FLOAT32, tiny.preprocessing), tmp_path)
    pixels = load(tflite.convert(tiny.float_model, precision, Io.UINT8, tiny.preprocessing), tmp_path)
    assert (floats.input.dtype, pixels.input.dtype, pixels.output.dtype) == ("float32", "uint8", "float32")
    expected = floats.predict(tiny.preprocessing.apply(images))
    np.testing.assert_allclose(
        pixels.predict(images), expected, atol=1e-5 if precision != "dynamic" else 0.02
    )


@pytest.mark.parametrize("source", ["float_model", "qat_model"])
def test_int8_computes_the_same_integers_behind_all_boundaries(source, int8_files, tiny, tmp_path):
    images = tiny.test.images[:100]
    results = {}
    for io in Io:
        model = load(int8_files[source, io], tmp_path)
        assert (model.input.dtype, model.output.dtype) == (io, io)
        inputs = images if io is Io.UINT8 else model.input.quantize(tiny.preprocessing.apply(images))
        results[io] = model.output.dequantize(model.predict(inputs))
    np.testing.assert_array_equal(results[Io.FLOAT32], results[Io.UINT8])
    np.testing.assert_array_equal(results[Io.INT8], results[Io.UINT8])


@pytest.mark.parametrize(
    ("source", "mean", "std"),
    [
        ("float_model", 120.7, 64.15),
        ("float_model", 0, 1),
        ("qat_model", 120.7, 64.15),
        ("qat_model", 0, 255),
    ],
)
def test_a_pixel_is_the_quantized_input(source, mean, std, tiny, tmp_path):
    preprocessing = Preprocessing(mean=mean, std=std, height=32, width=32)
    calibration = preprocessing.apply(tiny.train.images[:3])
    content = tflite.convert(getattr(tiny, source), Precision.INT8, Io.UINT8, preprocessing, calibration)
    info = load(content, tmp_path).input
    assert info.scale == pytest.approx(1 / std, rel=1e-4)
    assert info.zero_point == round(mean)


def test_quantization_aware_training_that_saw_other_pixels_is_mended(tiny, tmp_path):
    before = [variable.numpy() for variable in tiny.qat_model.variables]
    layer = next(layer for layer in tiny.qat_model.layers if type(layer).__name__ == "QuantizeLayer")
    saved = [variable.numpy() for variable in layer.variables]
    for variable in layer.variables:
        if "_max" in variable.name:
            variable.assign(9.0)
    try:
        content = tflite.convert(tiny.qat_model, Precision.INT8, Io.UINT8, tiny.preprocessing)
        assert load(content, tmp_path).input.scale == pytest.approx(1 / 64)
        assert any(variable.numpy() == 9.0 for variable in layer.variables), "the caller's model was changed"
    finally:
        for variable, value in zip(layer.variables, saved, strict=True):
            variable.assign(value)
    for variable, value in zip(tiny.qat_model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_int8_is_integer_throughout_with_a_scale_per_channel(int8_files):
    from tensorflow.lite.python import schema_py_generated as schema

    content = int8_files["qat_model", Io.UINT8]
    assert float_operators(content) == ()
    tensors = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0].tensors
    weights = [tensor for tensor in tensors if len(tensor.shape) == 4 and tensor.shape[1] == 3]
    assert [len(tensor.quantization.scale) for tensor in weights] == [8, 16]
    assert {tensor.type for tensor in weights} == {schema.TensorType.INT8}


def test_an_operator_without_integer_form_is_told(tiny):
    import tf_keras

    layers = tf_keras.layers
    image = layers.Input((32, 32, 3), name="image")
    x = layers.MaxPooling2D(4)(layers.ELU()(layers.Conv2D(4, 3)(image)))
    model = tf_keras.Model(image, layers.Softmax()(layers.Dense(10)(layers.Flatten()(x))))
    content = tflite.convert(model, Precision.INT8, Io.UINT8, tiny.preprocessing, tiny.calibration)
    assert float_operators(content) == ("ELU",)


def test_int8_from_a_float_model_needs_images(tiny):
    with pytest.raises(ExportError, match="needs calibration images"):
        tflite.convert(tiny.float_model, Precision.INT8, Io.UINT8, tiny.preprocessing)


def test_a_quantization_aware_model_makes_int8_only(tiny):
    with pytest.raises(ExportError, match="exports as int8, not as float32"):
        tflite.convert(tiny.qat_model, Precision.FLOAT32, Io.FLOAT32, tiny.preprocessing)


def test_a_model_without_softmax_is_refused_in_int8(tiny):
    import tf_keras

    logits = tf_keras.Model(tiny.float_model.input, tiny.float_model.get_layer("logits").output)
    with pytest.raises(ExportError, match="End the model with a softmax"):
        tflite.convert(logits, Precision.INT8, Io.UINT8, tiny.preprocessing, tiny.calibration)


def test_another_image_size_is_refused(tiny):
    preprocessing = Preprocessing(mean=121, std=64, height=28, width=32)
    with pytest.raises(ExportError, match="takes images of 32×32×3, but its preprocessing gives 28×32×3"):
        tflite.convert(tiny.float_model, Precision.FLOAT32, Io.FLOAT32, preprocessing)


def test_a_model_of_mixed_precision_is_refused(tiny):
    import tf_keras

    image = tf_keras.layers.Input((32, 32, 3))
    x = tf_keras.layers.Flatten(dtype="mixed_bfloat16", name="flat")(image)
    model = tf_keras.Model(image, tf_keras.layers.Dense(10, activation="softmax")(x))
    with pytest.raises(ExportError, match="flat computes in bfloat16"):
        tflite.convert(model, Precision.FLOAT32, Io.FLOAT32, tiny.preprocessing)


def test_converting_prints_nothing(tiny, capfd):
    tflite.convert(tiny.float_model, Precision.INT8, Io.UINT8, tiny.preprocessing, tiny.calibration)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


ANOTHER_PROCESS = """
import hashlib, sys
import edgecifar
import numpy as np, tf_keras
import tensorflow_model_optimization as tfmot
from edgecifar.artifacts import Preprocessing
from edgecifar.exporting import onnx, tflite
from edgecifar.exporting.options import Io, Precision

folder = sys.argv[1]
model = tf_keras.models.load_model(f"{folder}/model.keras", compile=False)
with tfmot.quantization.keras.quantize_scope():
    qat = tf_keras.models.load_model(f"{folder}/qat.h5", compile=False)
images = np.load(f"{folder}/calibration.npy")
preprocessing = Preprocessing(mean=121, std=64, height=32, width=32)
files = [tflite.convert(qat, Precision.INT8, Io.UINT8, preprocessing)]
files.append(onnx.convert_int8(files[0], Io.UINT8))
for precision in Precision:
    files.append(tflite.convert(model, precision, Io.FLOAT32, preprocessing, images))
    if precision is not Precision.INT8:
        files.append(onnx.convert(model, precision, Io.FLOAT32, preprocessing))
print(*(hashlib.sha256(content).hexdigest() for content in files))
"""


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tiny):
    np.save(tiny.folder / "calibration.npy", tiny.calibration)
    lines = []
    for seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", ANOTHER_PROCESS, str(tiny.folder)],
            check=True, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        lines.append(result.stdout.split())
    assert len(lines[0]) == 9
    assert lines[0] == lines[1]


def test_one_process_writes_the_same_bytes_twice(int8_files, tiny):
    again = tflite.convert(tiny.float_model, Precision.INT8, Io.UINT8, tiny.preprocessing, tiny.calibration)
    assert again == int8_files["float_model", Io.UINT8]
