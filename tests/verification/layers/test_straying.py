"""The search for the first layer that strays, in engines that compute otherwise once asked for a layer."""

from collections.abc import Mapping

import numpy as np
import pytest

from edgecifar.protocol import MODEL_INPUT, Array, EngineInfo, Layer, LayerKind, Probe, Taps, TensorInfo
from edgecifar.verification.layers import probe_stray

IMAGES = np.zeros((2, 4), np.int8)
READS = ((MODEL_INPUT,), (0,), (MODEL_INPUT,), (1, 2))
"""A chain of two, one beside it, and an addition of both."""
NAMES = ("first", "second", "beside", "sum")


def _layers(scale: float | None) -> tuple[Layer, ...]:
    return tuple(
        Layer(name, LayerKind.OTHER, name, reads, TensorInfo(name, (4,), "int8", scale, 0))
        for name, reads in zip(NAMES, READS, strict=True)
    )


class Engine:
    """Gives zeros, but for some layers, and other outputs where it is asked for some."""

    def __init__(
        self,
        name: str,
        values: Mapping[str, int] | None = None,
        disturbed_by: tuple[str, ...] = (),
        scale: float | None = 0.5,
    ) -> None:
        self.layers = _layers(scale)
        self.input = TensorInfo("image", (None, 4), "int8", 1.0, 0)
        self.info = EngineInfo(name, name, "1", "CPU", 1)
        self._values, self._disturbed_by = values or {}, disturbed_by
        self.looked_at: list[str] = []

    def _output(self, name: str) -> Array:
        return np.full_like(IMAGES, self._values.get(name, 0))

    def plain(self, batch: Array) -> Array:
        assert batch.shape == IMAGES.shape
        return self._output("sum")

    def look(self, place: int, batch: Array) -> Probe:
        name = self.layers[place].name
        self.looked_at.append(name)
        return Probe(self._output(name), self.plain(batch) + (name in self._disturbed_by))

    def run(self, batch: Array) -> Taps:
        outputs = tuple(self._output(name) for name in NAMES)
        return Taps(outputs, batch.astype(np.float32), outputs[-1])


@pytest.mark.parametrize(
    ("values", "disturbed_by", "first", "steps", "hidden"),
    [
        ({}, (), None, (0, 0, 0, 0), ()),
        ({"second": -3, "sum": 9}, (), "second", (0, 3, None, None), ()),
        # What is seen of a layer counts only if the outputs stay.
        ({"second": 3, "sum": 9}, ("second",), "sum", (0, None, 0, 9), ("second",)),
        # The second gives the same, so the first, which it reads, does.
        ({"beside": 1}, ("first", "sum"), "beside", (None, 0, 1, None), ()),
        # One beside it tells nothing of the first.
        ({"sum": 2}, ("first", "second"), "sum", (None, None, 0, 2), ("first", "second")),
        ({}, ("second", "sum"), None, (0, None, 0, None), ("second", "sum")),
    ],
)
def test_the_first_layer_that_can_be_trusted_and_differs_is_found(
    values: Mapping[str, int],
    disturbed_by: tuple[str, ...],
    first: str | None,
    steps: tuple[int | None, ...],
    hidden: tuple[str, ...],
) -> None:
    probed = Engine("odd", values, disturbed_by)
    found = probe_stray(probed, Engine("usual"), IMAGES, IMAGES)
    assert (found.runtime, found.against) == ("odd", "usual")
    assert (found.first, found.steps, found.hidden) == (first, steps, hidden)
    assert probed.looked_at[-1] == (first or "sum")


def test_layers_of_floats_are_not_asked_for() -> None:
    probed = Engine("odd", {"sum": 1}, scale=None)
    found = probe_stray(probed, Engine("usual", scale=None), IMAGES, IMAGES)
    assert probed.looked_at == []
    assert found.steps == (None,) * 4
