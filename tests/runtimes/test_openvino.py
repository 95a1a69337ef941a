import numpy as np
import pytest

from edgecifar.errors import EngineMissingError
from edgecifar.runtimes import get_runtime


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_it_says_how_it_computes(suffix, models):
    info = get_runtime("openvino").load(models[f"float32.{suffix}"], threads=1).info
    (fact,) = info.facts
    # Without the hint, a CPU with bfloat16 computes in it.
    assert fact.endswith("in f32")
    assert info.threads == 1
    quantized = get_runtime("openvino").load(models[f"int8.{suffix}"], threads=1).info
    assert any(precision in quantized.facts[0] for precision in ("in u8", "in i8"))


@pytest.mark.parametrize("count", [0, 1, 64, 65])
@pytest.mark.parametrize("file", ["int8.tflite", "int8.onnx", "batch4.onnx"])
def test_any_number_of_images_is_taken(file, count, models, tiny):
    model = get_runtime("openvino").load(models[file], threads=1)
    images = tiny.test.images[np.arange(count) % len(tiny.test)]
    if model.input.dtype != "uint8":
        images = tiny.preprocessing.apply(images)
    assert model.predict(images).shape == (count, 10)


def test_a_dynamically_quantized_model_runs_image_by_image(models):
    assert get_runtime("openvino").load(models["dynamic.onnx"], threads=1)._chunk == 1


def test_without_the_package_the_extra_is_named(models, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EngineMissingError, match=r"pip install 'edgecifar\[openvino\]'"):
        get_runtime("openvino").load(models["int8.onnx"], threads=1)
