import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.choices import Numerics
from edgecifar.errors import ExportError
from edgecifar.microcontroller.numerics import Products, Requantization, Rounding, of_products
from edgecifar.microcontroller.proving import (
    Range,
    Scheme,
    accumulator_range,
    fits_int32,
    prove,
    thresholds,
)


def ranged(low: int, high: int, *, zero_point: int = 0, smallest: int = -128, channels: int = 1) -> Range:
    lows, highs = np.full(channels, low, np.int64), np.full(channels, high, np.int64)
    return Range(lows, highs, smallest, 127, zero_point)


def engine_of(numerics: Numerics, scales: list[float], products: Products) -> Requantization:
    return of_products(numerics, np.float32(1 / 32), np.array(scales, np.float32), np.float32(0.25), products)


@pytest.mark.parametrize("numerics", list(Numerics))
@pytest.mark.parametrize("products", list(Products))
@given(
    scales=st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=4),
    zero_point=st.integers(-128, 127),
    reach=st.integers(1, 400_000),
)
def test_the_c_gives_every_accumulator_what_the_engine_gives(
    numerics: Numerics, products: Products, scales: list[float], zero_point: int, reach: int
) -> None:
    engine = engine_of(numerics, scales, products)
    range_ = ranged(-reach, reach, zero_point=zero_point, channels=len(scales))
    proven = prove(engine, range_, "layer")
    # All of them near zero, where most thresholds lie, and some beyond.
    near = np.arange(max(-3000, -reach), min(3000, reach) + 1)
    far = np.linspace(-reach, reach, 2001).astype(np.int64)
    accumulators = np.broadcast_to(np.concatenate([near, far]), (len(scales), len(near) + len(far)))
    wanted = np.clip(engine(accumulators) + zero_point, -128, 127)
    np.testing.assert_array_equal(proven(accumulators), wanted)


def test_thresholds_by_hand() -> None:
    def halves(accumulators: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.clip(accumulators // 2, -128, 127)

    found = thresholds(halves, ranged(-4, 6))
    reached = {level: int(at) for level, at in zip(range(-127, 128), found[0], strict=True)}
    # Everything from -4 on gives -2 or more; 3 is reached at 6; 4 at no accumulator in range.
    assert [reached[level] for level in (-127, -2, -1, 0, 1, 3, 4, 127)] == [-4, -4, -2, 0, 2, 6, 7, 7]


@pytest.mark.parametrize(
    ("numerics", "products", "scale", "smallest", "expected"),
    [
        # From the zero point up, the two roundings of the reference kernels are one line.
        (Numerics.REFERENCE, Products.CONVOLUTION, 0.25, 0, Scheme.LINE),
        (Numerics.REFERENCE, Products.CONVOLUTION, 0.25, -128, Scheme.DOUBLE),
        (Numerics.XNNPACK, Products.CONVOLUTION, 0.25, -128, Scheme.NEAR),
        # 1/32 * 1/4 / (1/4): each half is a tie and rounded away from zero, as a steeper line does.
        (Numerics.REFERENCE, Products.DENSE, 0.25, -128, Scheme.LINE),
        # A ratio of 1/2 leaves no room for a shift by 32.
        (Numerics.REFERENCE, Products.DENSE, 4.0, -128, Scheme.AWAY),
        (Numerics.XNNPACK, Products.DENSE, 4.0, -128, Scheme.FLOAT),
    ],
)
def test_the_cheapest_form_that_is_exact_is_taken(
    numerics: Numerics, products: Products, scale: float, smallest: int, expected: Scheme
) -> None:
    engine = engine_of(numerics, [scale], products)
    assert prove(engine, ranged(-20_000, 20_000, smallest=smallest), "layer").scheme is expected


def test_an_engine_that_no_form_follows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def cubed(_: Requantization, accumulators: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.sign(accumulators) * np.abs(accumulators) ** 3 // 1000

    monkeypatch.setattr(Requantization, "__call__", cubed)
    engine = Requantization(Rounding.DOUBLE, np.array([0.01, 0.02]))
    with pytest.raises(ExportError, match="conv7: no requantization in integers"):
        prove(engine, ranged(-200, 200, channels=2), "conv7")


def test_accumulator_range_by_hand() -> None:
    weights = np.array([[3, -2], [0, 5]])
    # Inputs less the zero point lie in -28 to 227.
    low, high = accumulator_range(weights, np.array([10, -1]), (-128, 127), -100)
    assert low.tolist() == [10 - 3 * 28 - 2 * 227, -1 - 5 * 28]
    assert high.tolist() == [10 + 3 * 227 + 2 * 28, -1 + 5 * 227]


def test_fits_int32() -> None:
    low, inside, outside = (np.array([limit], np.int64) for limit in (-5, 2**31 - 1, 2**31))
    assert fits_int32(low, inside)
    assert not fits_int32(low, outside)
