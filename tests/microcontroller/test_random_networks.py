"""C of random networks against the engines: EDGECIFAR_RANDOM_NETWORKS says how many, 12 by default.

Of those on emulated boards there are a sixth as many.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from compiled import compile_c, run
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from random_networks import ENDS, KINDS, build

from edgecifar.choices import Numerics, Optimize
from edgecifar.microcontroller.translating import translate
from edgecifar.runtimes import boards

COUNT = int(os.environ.get("EDGECIFAR_RANDOM_NETWORKS", "12"))
IMAGES = 30
BOARD_COUNT, BOARD_IMAGES = max(COUNT // 6, 1), 6


@pytest.mark.slow
@pytest.mark.parametrize("numerics", list(Numerics))
def test_random_networks_give_the_engine_s_bits(numerics: Numerics, engine, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    @settings(max_examples=COUNT, suppress_health_check=list(HealthCheck), database=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5),
        end=st.sampled_from(ENDS),
    )
    def check(seed: int, kinds: list[str], end: str) -> None:
        content = build(seed, kinds, end)
        optimize = list(Optimize)[seed % len(Optimize)]
        translation = translate(content, numerics, name="random", optimize=optimize)
        shape = translation.network.input.shape[1:]
        inputs = np.random.default_rng(seed).integers(-128, 128, (IMAGES, *shape)).astype(np.int8)
        wanted = engine(content, numerics, inputs)
        if wanted is None:
            return
        program = compile_c(tmp_path, translation.files)
        np.testing.assert_array_equal(run(program, inputs, wanted.shape[1]), wanted)

    check()


@pytest.mark.mcu
@pytest.mark.parametrize("core", ["m3", "m4", "m55"])
def test_random_networks_on_boards_give_the_engine_s_bits(core: str, engine, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    reason = boards.missing()
    if reason:
        pytest.skip(reason)

    @settings(max_examples=BOARD_COUNT, suppress_health_check=list(HealthCheck), database=None, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
        end=st.sampled_from(ENDS),
        numerics=st.sampled_from(list(Numerics)),
    )
    @example(seed=322680002, kinds=["ADD_CONSTANT"], end="GLOBAL_AVERAGE", numerics=Numerics.XNNPACK)
    def check(seed: int, kinds: list[str], end: str, numerics: Numerics) -> None:
        content = build(seed, ["CONV_2D", *kinds] if seed % 2 else kinds, end)
        translation = translate(
            content, numerics, name="random", optimize=list(Optimize)[seed % len(Optimize)]
        )
        shape = translation.network.input.shape[1:]
        inputs = np.random.default_rng(seed).integers(-128, 128, (BOARD_IMAGES, *shape)).astype(np.int8)
        wanted = engine(content, numerics, inputs)
        if wanted is None:
            return
        for name, text in translation.files.items():
            (tmp_path / name).write_text(text)
        level = "-O3" if seed % 4 == 2 else boards.LEVELS[seed % 2]
        program = boards.build(tmp_path / "model.c", boards.BOARDS[core], level, tmp_path)
        np.testing.assert_array_equal(boards.execute(program, inputs, tmp_path).outputs, wanted)

    check()
