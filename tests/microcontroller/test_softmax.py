"""The C of a softmax, which has integers alone, against the engines."""

from pathlib import Path

import numpy as np
import pytest
from compiled import compile_c, run
from networks import Network

from edgecifar.choices import Numerics
from edgecifar.microcontroller.translating import translate

SCALES = (2.0**-20, 0.004, 0.05, 0.31, 2.0)
"""The last makes exponentials that are no float32 but 0, or have fewer than 24 significant bits."""


@pytest.mark.parametrize("classes", [1, 2, 10, 257])
@pytest.mark.parametrize("scale", SCALES)
def test_a_softmax_is_litert_s(scale: float, classes: int, engine, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    network = Network()
    source, result = network.tensor([1, classes], scale), network.tensor([1, classes], 1 / 256, -128)
    network.operator("SOFTMAX", [source], result, "Softmax", beta=1.0)
    content = network.finish(source, result)
    random = np.random.default_rng(0)
    narrow = random.integers(-20, 20, (200, classes))
    inputs = np.concatenate([narrow, random.integers(-128, 128, (200, classes))]).astype(np.int8)
    wanted = engine(content, Numerics.XNNPACK, inputs)
    program = compile_c(tmp_path, translate(content, Numerics.XNNPACK, name="softmax").files)
    np.testing.assert_array_equal(run(program, inputs, classes), wanted)
