import subprocess
import sys

import numpy as np
import pytest

from edgecifar.errors import ModelError
from edgecifar.runtimes import get_runtime

DAMAGE = """
import sys
from pathlib import Path
import numpy as np
from edgecifar.errors import ModelError
from edgecifar.runtimes import get_runtime

source, target = Path(sys.argv[1]), Path(sys.argv[2])
content = source.read_bytes()
rng = np.random.default_rng(0)
loaded = refused = 0
for trial in range(120):
    damaged = bytearray(content)
    if trial % 3 == 0:
        del damaged[rng.integers(len(content)):]
    else:
        for position in rng.integers(0, len(content) if trial % 3 == 1 else 4000, 1 + trial % 8):
            damaged[position] = rng.integers(256)
    target.write_bytes(damaged)
    try:
        get_runtime(sys.argv[3]).load(target, threads=1).predict(np.zeros((3, 32, 32, 3), np.uint8))
        loaded += 1
    except ModelError:
        refused += 1
print(loaded, refused)
"""


@pytest.mark.parametrize("name", ["litert", "litert-reference"])
def test_damaged_files_never_end_the_process(name, models, tmp_path):
    arguments = [
        sys.executable,
        "-c",
        DAMAGE,
        str(models["int8.tflite"]),
        str(tmp_path / "damaged.tflite"),
        name,
    ]
    result = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    loaded, refused = map(int, result.stdout.split())
    assert loaded + refused == 120
    assert refused >= 40


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9])
def test_a_file_cut_short_says_where_it_ends_and_what_it_promises(share, models, tmp_path):
    content = models["float32.tflite"].read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError) as caught:
        get_runtime("litert").load(path, threads=1)
    assert (
        f"ends after {int(share * len(content)):,} bytes but its header promises at least"
        in caught.value.problem
    )
    assert "cut short" in caught.value.mend


def test_threads_are_passed_on(models):
    assert get_runtime("litert").load(models["int8.tflite"], threads=2).info.threads == 2


def test_loading_prints_nothing(models, capfd):
    get_runtime("litert").load(models["int8.tflite"], threads=1)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_graph_that_holds_its_batch_size_runs_image_by_image(tiny, tmp_path):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 32, 32, 3), tf.float32, name="image")])
    def stuck(image):
        flat = tf.reshape(image, (1, 3072))
        return {"probabilities": tf.nn.softmax(flat[:, :10] - tf.reduce_mean(flat))}

    path = tmp_path / "stuck.tflite"
    converter = tf.lite.TFLiteConverter.from_concrete_functions([stuck.get_concrete_function()], tf.Module())
    path.write_bytes(converter.convert())
    images = tiny.preprocessing.apply(tiny.test.images[:5])
    found = get_runtime("litert").load(path, threads=1).predict(images)
    flat = images.reshape(5, 3072)
    logits = np.exp(flat[:, :10] - flat.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(found, logits / logits.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("name", ["litert", "litert-builtin", "litert-reference"])
def test_a_graph_of_one_batch_size_runs_any_number_of_images(name, tmp_path):
    import edgecifar  # noqa: F401, I001  it chooses Keras 2
    import tensorflow as tf

    rng = np.random.default_rng(1)
    weights = rng.random((192, 3), dtype=np.float32)
    # The reshape holds the four as a constant.
    serve = tf.function(
        lambda image: tf.reshape(image, (4, 192)) @ weights,
        input_signature=[tf.TensorSpec((4, 8, 8, 3), tf.float32)],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
    path = tmp_path / "four.tflite"
    path.write_bytes(converter.convert())
    images = rng.random((6, 8, 8, 3), dtype=np.float32)
    outputs = get_runtime(name).load(path, threads=1).predict(images)
    np.testing.assert_allclose(outputs, images.reshape(6, 192) @ weights, rtol=1e-5)
