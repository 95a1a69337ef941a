"""What every engine promises: the same answers alone and in batches, and clear words about wrong files."""

import numpy as np
import pytest

from edgecifar.errors import ModelError
from edgecifar.runtimes import RUNTIME_NAMES, get_runtime

SUFFIX = {
    "keras": "keras",
    "litert": "tflite",
    "litert-builtin": "tflite",
    "litert-reference": "tflite",
    "tflm": "tflite",
    "ort-cpu": "onnx",
    "openvino": "onnx",
}
REFUSED = {("tflm", "float16"), ("tflm", "dynamic")}
"""Microcontrollers compute with float32 or integers throughout."""
CASES = [
    *((name, f"{precision}.{suffix}") for name, suffix in SUFFIX.items() if suffix != "keras"
      for precision in ("float32", "float16", "dynamic", "int8") if (name, precision) not in REFUSED),
    ("ort-cpu", "batch4.onnx"),
    ("openvino", "batch4.onnx"),
    *(("openvino", f"{precision}.tflite") for precision in ("float32", "float16", "dynamic", "int8")),
    ("keras", "model.keras"),
]  # fmt: skip


def inputs_for(model, tiny, count):
    images = tiny.test.images[:count]
    return images if model.input.dtype == "uint8" else tiny.preprocessing.apply(images)


@pytest.mark.parametrize(("name", "file"), CASES)
def test_a_batch_gives_what_its_images_give_alone(name, file, models, tiny):
    model = get_runtime(name).load(models[file], threads=1)
    inputs = inputs_for(model, tiny, 7)
    together = model.predict(inputs)
    alone = np.concatenate([model.predict(inputs[index : index + 1]) for index in range(len(inputs))])
    assert together.shape == (7, 10)
    assert together.dtype == model.output.dtype
    if name.startswith("litert") or model.output.dtype == "uint8" or file.startswith("dynamic"):
        np.testing.assert_array_equal(together, alone)
    else:
        np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(("name", "file"), CASES)
def test_each_engine_computes_what_keras_computes(name, file, models, tiny):
    model = get_runtime(name).load(models[file], threads=2)
    expected = tiny.float_model.predict(tiny.preprocessing.apply(tiny.test.images[:20]), verbose=0)
    found = model.output.dequantize(model.predict(inputs_for(model, tiny, 20)))
    tolerance = {
        "float32": 1e-4,
        "model": 1e-4,
        "batch4": 1e-4,
        "float16": 0.01,
        "dynamic": 0.06,
        "int8": 0.1,
    }
    np.testing.assert_allclose(found, expected, atol=tolerance[file.partition(".")[0]])


@pytest.mark.parametrize("count", [0, 1, 50, 51, 101])
@pytest.mark.parametrize(
    ("name", "file"), [("litert", "int8.tflite"), ("ort-cpu", "batch4.onnx"), ("keras", "model.keras")]
)
def test_any_number_of_images_is_taken(name, file, count, models, tiny):
    model = get_runtime(name).load(models[file], threads=1)
    assert model.predict(inputs_for(model, tiny, count)).shape == (count, 10)


@pytest.mark.parametrize("name", SUFFIX)
def test_the_engine_says_what_ran(name, models):
    file = "model.keras" if name == "keras" else f"float32.{SUFFIX[name]}"
    info = get_runtime(name).load(models[file], threads=1).info
    assert info.runtime == name
    assert info.version
    assert info.device.startswith("CPU")
    assert info.threads >= 1
    words = {"litert": "XNNPACK", "litert-builtin": "built-in", "litert-reference": "reference"}
    assert words.get(name, "") in info.device


@pytest.mark.parametrize(("name", "file"), [("litert", "int8.tflite"), ("ort-cpu", "int8.onnx")])
def test_an_int8_model_tells_the_scales_of_its_integers(name, file, models, tiny):
    model = get_runtime(name).load(models[file], threads=1)
    assert (model.input.name, model.output.name) == ("image", "probabilities")
    assert model.input.scale == pytest.approx(1 / tiny.preprocessing.std, rel=1e-4)
    assert model.input.zero_point == tiny.preprocessing.mean
    assert (model.output.scale, model.output.zero_point) == (1 / 256, 0)


@pytest.mark.parametrize(
    ("name", "file"), [("litert", "float32.tflite"), ("ort-cpu", "float32.onnx"), ("keras", "model.keras")]
)
@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((2, 28, 28, 3), np.float32), "takes image of shape 32×32×3, but it was given 28×28×3"),
        (np.zeros((2, 3072), np.float32), "takes image of shape 32×32×3, but it was given 3072"),
        (np.zeros((2, 32, 32, 3), np.uint8), "takes image as float32, but it was given uint8"),
    ],
)  # fmt: skip
def test_a_wrong_batch_is_refused_with_the_file_and_both_shapes(name, file, batch, message, models):
    model = get_runtime(name).load(models[file], threads=1)
    with pytest.raises(ModelError, match=message) as caught:
        model.predict(batch)
    assert file in str(caught.value)


@pytest.mark.parametrize("name", SUFFIX)
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04rubbish", bytes(range(256)) * 8, None])
def test_what_is_no_model_is_refused_with_its_name(name, content, tmp_path):
    path = tmp_path / f"model.{SUFFIX[name]}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        get_runtime(name).load(path, threads=1)
    assert str(path) in caught.value.problem
    assert "\n" not in caught.value.problem


@pytest.mark.parametrize("name", SUFFIX)
def test_a_model_of_another_kind_is_refused(name, models, tmp_path):
    for file, source in models.items():
        if source.suffix.removeprefix(".") != SUFFIX[name] and file in {
            "float32.tflite",
            "float32.onnx",
            "model.keras",
        }:
            path = tmp_path / f"{file}.{SUFFIX[name]}"
            path.write_bytes(source.read_bytes())
            with pytest.raises(ModelError, match="not a"):
                get_runtime(name).load(path, threads=1)


def test_every_engine_is_tested():
    # The browsers' and the emulated engines have tests of their own; CUDA and TensorRT need a GPU.
    elsewhere = {
        "ort-cuda",
        "ort-tensorrt",
        "litert-web",
        "ort-web",
        "ort-cpu-haswell",
        "ort-cpu-nehalem",
        "ort-cpu-arm64",
        "c",
        "c-m3",
        "c-m4",
        "c-m33",
        "c-m55",
    }
    assert {*SUFFIX, *elsewhere} == set(RUNTIME_NAMES)
