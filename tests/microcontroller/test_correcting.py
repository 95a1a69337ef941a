import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.choices import Numerics
from edgecifar.microcontroller.correcting import correct
from edgecifar.microcontroller.numerics import Products, Requantization, Rounding, of_products
from edgecifar.microcontroller.proving import Range


def ranged(reach: int, channels: int, zero_point: int = 0) -> Range:
    ends = np.full(channels, reach, np.int64)
    return Range(-ends, ends, -128, 127, zero_point)


@given(
    scales=st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=4),
    zero_point=st.integers(-128, 127),
    reach=st.integers(1, 400_000),
)
def test_every_accumulator_gets_what_xnnpack_gives(scales: list[float], zero_point: int, reach: int) -> None:
    engine = of_products(
        Numerics.XNNPACK, np.float32(1 / 32), np.array(scales, np.float32), np.float32(0.25),
        Products.CONVOLUTION,
    )  # fmt: skip
    range_ = ranged(reach, len(scales), zero_point)
    corrected = correct(engine, range_)
    if corrected is not None:
        values = np.broadcast_to(np.arange(-reach, reach + 1), (len(scales), 2 * reach + 1))
        wanted = np.clip(engine(values) + zero_point, -128, 127)
        np.testing.assert_array_equal(corrected(values, range_), wanted)


def test_ties_are_found() -> None:
    engine = Requantization(Rounding.FLOAT, np.array([1 / 64]))
    corrected = correct(engine, ranged(200, 1))
    assert corrected is not None
    # A multiplier a little smaller moves ties to 0, as XNNPACK rounds 0.5 and 2.5, but not 1.5 = 96 / 64.
    assert corrected.multipliers[0] < 1 << 30
    assert (corrected.more.tolist(), corrected.less.tolist()) == ([[96]], [[-96]])


def test_too_many_ties_are_left_to_another_form() -> None:
    engine = Requantization(Rounding.FLOAT, np.array([1 / 64]))
    assert correct(engine, ranged(20_000, 1)) is None


@pytest.mark.parametrize(("ratio", "reach"), [(0.5, 100), (0.01, 1 << 30)])
def test_what_the_c_could_not_compute_is_left_to_another_form(ratio: float, reach: int) -> None:
    assert correct(Requantization(Rounding.FLOAT, np.array([ratio])), ranged(reach, 1)) is None
