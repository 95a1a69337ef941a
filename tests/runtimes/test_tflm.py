import re
import sys

import numpy as np
import pytest

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.runtimes import get_runtime


def test_the_arena_is_told(models):
    info = get_runtime("tflm").load(models["int8.tflite"], threads=4).info
    assert info.threads == 1
    (fact,) = info.facts
    arena = int(re.search(r"tensor arena of ([\d,]+) bytes", fact)[1].replace(",", ""))
    # More than the largest pair of activations, less than what the interpreter was offered.
    assert 10_000 < arena < 1_000_000


def test_integer_kernels_are_the_reference_kernels_within_a_step(models, tiny):
    # Only the fully connected layer rounds differently.
    images = tiny.test.images[:50]
    found = get_runtime("tflm").load(models["int8.tflite"], threads=1).predict(images)
    expected = get_runtime("litert-reference").load(models["int8.tflite"], threads=1).predict(images)
    differences = np.abs(found.astype(int) - expected)
    assert differences.max() <= 3
    assert np.mean(differences == 0) > 0.95


@pytest.mark.parametrize("precision", ["float16", "dynamic"])
def test_what_microcontrollers_cannot_compute_is_refused_with_the_operator(precision, models, capfd):
    with pytest.raises(ModelError, match=r"TensorFlow Lite Micro refuses it: .*(CONV_2D|DEQUANTIZE)"):
        get_runtime("tflm").load(models[f"{precision}.tflite"], threads=1)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_an_operator_that_microcontrollers_lack_is_named(tmp_path):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32)])
    def odd(values):
        return {"scores": tf.nn.softmax(tf.math.atan2(values, 2.0 + values))}

    path = tmp_path / "odd.tflite"
    converter = tf.lite.TFLiteConverter.from_concrete_functions([odd.get_concrete_function()], tf.Module())
    path.write_bytes(converter.convert())
    with pytest.raises(ModelError, match="cannot compute ATAN2"):
        get_runtime("tflm").load(path, threads=1)


def test_without_the_package_the_extra_is_named(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    tflm = get_runtime("tflm")
    assert "pip install 'edgecifar[tflm]'" in tflm.missing()
    with pytest.raises(EngineMissingError, match="x86-64"):
        tflm.load(models["int8.tflite"], threads=1)
