import numpy as np
import pytest

from edgecifar.errors import VerificationError
from edgecifar.protocol import Geometry, Layer, LayerKind, TensorInfo
from edgecifar.runtimes.patches import same_padding
from edgecifar.verification.layers.simulation import compute, round_output

IMAGE = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)


def layer(kind: LayerKind, shape: tuple[int, ...], geometry: Geometry | None) -> Layer:
    return Layer("y", kind, kind.name, (-1,), TensorInfo("y", shape, "float32"), geometry)


def test_a_convolution_against_tensorflow() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 7, 6, 3)).astype(np.float32)
    weights = rng.normal(size=(5, 3, 2, 3)).astype(np.float32)
    padding = same_padding("SAME_UPPER", (7, 6), (3, 2), (2, 2), (1, 1))
    geometry = Geometry((3, 2), (2, 2), padding, low=0.0)
    found = compute(layer(LayerKind.CONV, (4, 3, 5), geometry), [image], weights, np.ones(5, np.float32))
    expected = tf.nn.relu(tf.nn.conv2d(image, weights.transpose(1, 2, 3, 0), 2, "SAME") + 1)
    assert np.allclose(found, expected, atol=1e-5)


def test_a_depthwise_convolution_with_a_multiplier_against_tensorflow() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 5, 5, 3)).astype(np.float32)
    weights = rng.normal(size=(3, 3, 3, 2)).astype(np.float32)  # height, width, channels, multiplier
    ours = weights.reshape(3, 3, 6).transpose(2, 0, 1)[..., np.newaxis]
    found = compute(
        layer(LayerKind.DEPTHWISE, (5, 5, 6), Geometry((3, 3), padding=(1, 1, 1, 1))), [image], ours, None
    )
    assert np.allclose(found, tf.nn.depthwise_conv2d(image, weights, [1, 1, 1, 1], "SAME"), atol=1e-5)


def test_pools_by_hand() -> None:
    largest = compute(layer(LayerKind.MAX_POOL, (2, 2, 1), Geometry((2, 2), (2, 2))), [IMAGE], None, None)
    assert largest.ravel().tolist() == [5, 7, 13, 15]
    padded = Geometry((2, 2), (2, 2), padding=(1, 1, 1, 1))
    mean = compute(layer(LayerKind.AVERAGE_POOL, (3, 3, 1), padded), [IMAGE], None, None)
    # What lies beyond the border does not count: a corner's mean is that of one pixel.
    assert mean.ravel().tolist() == [0, 1.5, 3, 6, 7.5, 9, 12, 13.5, 15]


def test_an_output_is_rounded_as_its_integers_are() -> None:
    info = TensorInfo("y", (2,), "int8", scale=0.5, zero_point=0)
    quantized = Layer("y", LayerKind.DENSE, "FULLY_CONNECTED", (-1,), info)
    assert round_output(quantized, np.array([[0.3, 99.0]], np.float32)).tolist() == [[0.5, 63.5]]


def test_what_is_not_known_is_not_computed() -> None:
    with pytest.raises(VerificationError, match="not known"):
        compute(layer(LayerKind.OTHER, (4, 4, 1), None), [IMAGE], None, None)
