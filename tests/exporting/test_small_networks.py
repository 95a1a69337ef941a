"""Small networks of every operator, from Keras to both int8 files: both engines give one answer."""

import numpy as np
import onnxruntime
import pytest
import tf_keras

from edgecifar.artifacts import Preprocessing
from edgecifar.exporting import tflite
from edgecifar.exporting.onnx import convert_int8
from edgecifar.exporting.options import Activations, Io, Precision
from edgecifar.exporting.roundings import align_additions
from edgecifar.exporting.saturation import make_safe
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.onnx_inspection import inspect

PIXELS = Preprocessing(mean=128, std=64, height=8, width=8)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
layers = tf_keras.layers
LAYERS = {
    "convolution": lambda: layers.Conv2D(4, 3, padding="same", activation="relu"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, padding="same"),
    "max pool": lambda: layers.MaxPooling2D(2, 1, padding="same"),
    "average pool": lambda: layers.AveragePooling2D(2, 1, padding="same"),
    "transpose": lambda: layers.Permute((2, 1, 3)),
}
BLOCKS = {
    "add": lambda x: layers.Add()([x, layers.Conv2D(4, 1)(x)]),
    "multiply": lambda x: layers.Multiply()([x, layers.Conv2D(4, 1)(x)]),
    "concatenate": lambda x: layers.Conv2D(4, 1)(layers.Concatenate()([x, layers.Conv2D(3, 1)(x)])),
    "pad": lambda x: layers.Conv2D(4, 3)(layers.ZeroPadding2D(1)(x)),
    "reshape": lambda x: layers.Conv2D(4, 1)(layers.Reshape((8, 8, 4))(layers.Reshape((64, 4))(x))),
}
NETWORKS = [
    ("add", "convolution", "depthwise", "average pool"),
    ("transpose", "max pool", "reshape", "average pool"),
    ("depthwise", "concatenate", "pad", "transpose"),
    ("max pool", "pad", "add", "reshape"),
]


def int8_file(steps, seed) -> bytes:
    """The int8 TFLite file of a convolution, the steps, a mean or a flatten, a dense layer and a softmax."""
    tf_keras.utils.set_random_seed(seed)
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    for name in steps:
        x = BLOCKS[name](x) if name in BLOCKS else LAYERS[name]()(x)
    ends = (layers.GlobalAveragePooling2D(), layers.Flatten())
    x = layers.Softmax()(layers.Dense(10)(ends[seed % 2](x)))
    model = tf_keras.Model(image, x)
    content = tflite.convert(model, Precision.INT8, Io.UINT8, PIXELS, PIXELS.apply(IMAGES))
    return align_additions(make_safe(content))


def run(content, level) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: IMAGES})[0]


@pytest.mark.parametrize("seed", range(len(NETWORKS)), ids=[", ".join(steps) for steps in NETWORKS])
def test_both_files_of_a_network_give_the_same_integers(seed, tmp_path):
    content = int8_file(NETWORKS[seed], seed)
    (tmp_path / "m.tflite").write_bytes(content)
    expected = get_runtime("litert").load(tmp_path / "m.tflite", 1).predict(IMAGES)
    assert len(np.unique(expected)) > 5, "the network is no example"
    levels = onnxruntime.GraphOptimizationLevel
    for activations in Activations:
        made = convert_int8(content, Io.UINT8, activations=activations)
        for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
            np.testing.assert_array_equal(run(made, level), expected)


def test_every_layer_of_every_operator_computes_in_integers(tmp_path):
    # Biases are zeros here, which the converter stores once for several layers.
    steps = ("depthwise", "concatenate", "multiply", "average pool")
    path = tmp_path / "m.onnx"
    path.write_bytes(convert_int8(int8_file(steps, 0), Io.UINT8))
    found = inspect(path)
    assert not found.float_islands
    assert found.unsafe_pairs == 0
