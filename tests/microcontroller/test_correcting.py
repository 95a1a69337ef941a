from pathlib import Path

import numpy as np
import pytest
from compiled import compile_c, run
from hypothesis import given
from hypothesis import strategies as st
from networks import Network

from edgecifar.choices import Numerics, Optimize
from edgecifar.microcontroller.correcting import NEVER, Corrected, correct
from edgecifar.microcontroller.numerics import Products, Requantization, Rounding, of_products
from edgecifar.microcontroller.proving import Range
from edgecifar.microcontroller.translating import translate
from edgecifar.runtimes import boards

BYTES = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)
LISTS = ("conv_2d_1_corrected[4]", "conv_2d_1_correction[4]")
"""Three corrections in all, and what ends a list."""


def ties() -> bytes:
    """A convolution of an input plus 50, and of its negative less 30, by 64: with ties."""
    network = Network()
    source, result = network.tensor([1, 16, 16, 1], 1.0), network.tensor([1, 16, 16, 2], 64.0)
    weights = network.tensor([2, 1, 1, 1], [1.0, 1.0], data=np.array([1, -1], np.int8))
    bias = network.tensor([2], [1.0, 1.0], dtype="int32", data=np.array([50, -30], np.int32))
    network.operator(
        "CONV_2D", [source, weights, bias], result, "Conv2D", padding=1, strideH=1, strideW=1,
        dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=0,
    )  # fmt: skip
    return network.finish(source, result)


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


def test_the_list_is_in_the_order_of_channels() -> None:
    nothing = [1, 1]
    corrected = Corrected(
        np.array(nothing), np.array(nothing), np.array([[NEVER, NEVER], [7, 9]]), np.array([[-3], [-8]])
    )
    accumulators, places = corrected.listed()
    # Channel 0 has one at which one is taken away; of channel 1 they follow those at which one is added.
    assert (accumulators.tolist(), places.tolist()) == ([-3, 7, 9, -8], [1, 2, 2, 3])


@pytest.mark.parametrize("optimize", list(Optimize))
def test_the_c_corrects_ties(optimize: Optimize, engine, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    content = ties()
    assert all(
        text in translate(content, Numerics.XNNPACK, name="t").files["model_weights.h"] for text in LISTS
    )
    files = translate(content, Numerics.XNNPACK, name="ties", optimize=optimize).files
    program = compile_c(tmp_path, files)
    np.testing.assert_array_equal(run(program, BYTES, 512), engine(content, Numerics.XNNPACK, BYTES))


@pytest.mark.mcu
@pytest.mark.parametrize("core", ["m3", "m4", "m55"])
def test_boards_correct_ties(core: str, engine, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    if boards.missing():
        pytest.skip(boards.missing() or "")
    content = ties()
    for name, text in translate(content, Numerics.XNNPACK, name="ties").files.items():
        (tmp_path / name).write_text(text)
    program = boards.build(tmp_path / "model.c", boards.BOARDS[core], "-O2", tmp_path)
    found = boards.execute(program, BYTES, tmp_path).outputs
    np.testing.assert_array_equal(found, engine(content, Numerics.XNNPACK, BYTES))


def test_too_many_ties_are_left_to_another_form() -> None:
    engine = Requantization(Rounding.FLOAT, np.array([1 / 64]))
    assert correct(engine, ranged(20_000, 1)) is None


@pytest.mark.parametrize(("ratio", "reach"), [(0.5, 100), (0.01, 1 << 30)])
def test_what_the_c_could_not_compute_is_left_to_another_form(ratio: float, reach: int) -> None:
    assert correct(Requantization(Rounding.FLOAT, np.array([ratio])), ranged(reach, 1)) is None
