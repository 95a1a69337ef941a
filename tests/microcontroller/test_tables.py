"""Tables of curves against the engines' own outputs for all 256 inputs."""

import numpy as np
import pytest
from networks import Network

from edgecifar.choices import Numerics
from edgecifar.microcontroller.operators.tables import outputs
from edgecifar.microcontroller.reading import read

SCALES = (2.0**-8, 2.0**-4, 0.0031, 0.017, 0.093, 0.4, 6.1, 13.2, 300.0)
ZERO_POINTS = (-128, -3, 127)


@pytest.mark.parametrize("numerics", list(Numerics))
@pytest.mark.parametrize(("kind", "scale", "zero_point"), [("LOGISTIC", 2.0**-8, -128), ("TANH", 2.0**-7, 0)])
def test_a_curve_is_the_engines_on_every_input(  # type: ignore[no-untyped-def]
    kind: str, scale: float, zero_point: int, numerics: Numerics, engine
) -> None:
    inputs = np.arange(-128, 128, dtype=np.int8)[np.newaxis]
    for source_scale in SCALES:
        for source_zero_point in ZERO_POINTS:
            network = Network()
            source = network.tensor([1, 256], source_scale, source_zero_point)
            result = network.tensor([1, 256], scale, zero_point)
            network.operator(kind, [source], result)
            content = network.finish(source, result)
            [operator] = read(content).operators
            table = np.clip(outputs(operator, numerics), -128, 127)
            np.testing.assert_array_equal(table, engine(content, numerics, inputs)[0])
