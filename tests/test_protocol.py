import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.protocol import TensorInfo

PIXELS = TensorInfo("image", (None, 2, 2, 3), "int8", scale=0.5, zero_point=-128)
FLOATS = TensorInfo("image", (None, 2, None, 3), "float32")


def test_quantize_rounds_to_even_and_saturates() -> None:
    real = np.array([-1, 0, 0.25, 0.5, 0.75, 127.4, 1000], np.float32)
    # Steps -2, 0, 0.5, 1, 1.5, 254.8 and 2000 above the zero point of -128.
    raw = PIXELS.quantize(real)
    assert raw.dtype == np.int8
    assert raw.tolist() == [-128, -128, -128, -127, -126, 127, 127]


def test_dequantize_by_hand() -> None:
    real = PIXELS.dequantize(np.array([-128, -127, 127], np.int8))
    assert real.dtype == np.float32
    assert real.tolist() == [0, 0.5, 127.5]


def test_floats_are_converted_only() -> None:
    half = TensorInfo("image", (None, 1), "float16")
    assert half.quantize(np.array([0.1], np.float32)).dtype == np.float16
    assert half.dequantize(np.array([0.5], np.float16)).dtype == np.float32


@given(
    step=st.integers(-128, 127),
    scale=st.floats(2.0**-10, 2.0**10, width=32),
    zero_point=st.integers(-128, 127),
)
def test_every_step_survives_its_real_value(step: int, scale: float, zero_point: int) -> None:
    info = TensorInfo("image", (None, 1), "int8", scale, zero_point)
    raw = np.array([step], np.int8)
    np.testing.assert_array_equal(info.quantize(info.dequantize(raw)), raw)


def test_no_images_have_the_shape_of_many() -> None:
    assert PIXELS.empty().shape == (0, 2, 2, 3)
    assert PIXELS.empty().dtype == np.int8
    assert FLOATS.empty().shape == (0, 2, 0, 3)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_number_of_images_fits(count: int) -> None:
    assert PIXELS.mismatch(np.zeros((count, 2, 2, 3), np.int8)) is None
    assert FLOATS.mismatch(np.zeros((count, 2, 9, 3), np.float32)) is None


def test_a_mismatch_is_said() -> None:
    assert PIXELS.mismatch(np.zeros((1, 2, 3, 3), np.int8)) == (
        "takes image of shape 2×2×3, but it was given 2×3×3."
    )
    assert FLOATS.mismatch(np.zeros((1, 2, 2), np.float32)) == (
        "takes image of shape 2×any×3, but it was given 2×2."
    )
    assert PIXELS.mismatch(np.zeros((1, 2, 2, 3), np.uint8)) == "takes image as int8, but it was given uint8."
    assert PIXELS.mismatch(np.zeros(4, np.int8)) == (
        "takes image of shape 2×2×3, but it was given one number."
    )
