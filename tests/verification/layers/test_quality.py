import numpy as np
import pytest

from edgecifar.protocol import Geometry, Layer, LayerKind, TensorInfo
from edgecifar.verification.layers.quality import LIMIT_DB, Noise, Range, weigh


def noise_of(signal: list[list[float]], other: list[list[float]]) -> Noise:
    noise = Noise()
    for one, two in zip(signal, other, strict=True):
        noise.add(np.array([one]), np.array([two]))
    return noise


def test_sqnr_and_cosine_by_hand() -> None:
    noise = noise_of([[3.0, 0.0], [0.0, 4.0]], [[3.0, 1.0], [0.0, 4.0]])
    assert noise.sqnr_db == pytest.approx(10 * np.log10(25 / 1))
    assert noise.cosine == pytest.approx(25 / np.sqrt(25 * 26))


def test_equal_tensors_have_the_limit_and_noise_without_signal_its_opposite() -> None:
    assert noise_of([[1.0, 2.0]], [[1.0, 2.0]]).sqnr_db == LIMIT_DB
    assert noise_of([[0.0, 0.0]], [[1.0, 0.0]]).sqnr_db == -LIMIT_DB
    assert noise_of([[0.0]], [[0.0]]).cosine == 1


def test_a_loud_channel_does_not_hide_the_median() -> None:
    noise = noise_of([[1000.0, 1.0, 1.0]], [[1000.0, 2.0, 2.0]])
    assert noise.sqnr_db > 50
    assert noise.typical_db == pytest.approx(0)


def layer(geometry: Geometry | None, dtype: str = "int8", **more: object) -> Layer:
    output = TensorInfo("y", (2,), dtype, scale=0.5, zero_point=-128)
    return Layer("y", LayerKind.DENSE, "FULLY_CONNECTED", (-1,), output, geometry, **more)  # type: ignore[arg-type]


def test_range_use_and_clipping_by_hand() -> None:
    found = Range(layer(Geometry(low=0.0)))
    # 256 integers stand for 0 to 127.5; a quarter more still rounds to the last.
    found.add(np.array([-128, -65], np.int8), np.array([0.0, 127.7]))
    found.add(np.array([-100, -90], np.int8), np.array([-5.0, 127.8]))
    assert found.use == 64 / 256
    assert found.clipped == 1 / 4


def test_six_bounds_the_integers_of_a_relu6() -> None:
    found = Range(layer(Geometry(low=0.0, high=6.0)))
    found.add(np.array([-128, -116], np.int8), np.array([0.0, 6.0]))
    assert found.use == 1


def test_weights_are_weighed_by_channel() -> None:
    reference = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32)
    scales = np.array([2 / 127, 0.5 / 127], np.float32)
    integers = np.array([[64, -127], [127, 0]], np.float32)
    quantized = layer(None, weight_scales=scales)
    found = weigh(quantized, integers * scales[:, np.newaxis], reference)
    assert found.scales == 2
    assert found.channel_spread == pytest.approx(2 / 1.25)
    assert [one.range_use for one in found.channels] == pytest.approx([1, 1])
    assert found.channels[1].sqnr_db == pytest.approx(10 * np.log10(0.3125 / 0.0625))
    expected = (scales.astype(np.float64) ** 2).sum() / 12 * 2
    assert found.expected_sqnr_db == pytest.approx(10 * np.log10(5.3125 / expected))
