"""A model by hand: a linear classifier of an image's mean colour and of its gradient, in float."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.protocol import Array, EngineInfo, TensorInfo
from edgecifar.verification.diagnosis import Site
from edgecifar.verification.feeding import Feeding, softmax

NAMES = ("red", "green", "blue")


@dataclass
class ColourModel:
    """Says which colour is strongest, of values that were normalized by (pixel - 100) / 50."""

    input: TensorInfo = field(default_factory=lambda: TensorInfo("image", (None, 4, 4, 3), "float32"))
    output: TensorInfo = field(default_factory=lambda: TensorInfo("probabilities", (None, 3), "float32"))
    info: EngineInfo = field(default_factory=lambda: EngineInfo("hand", "Hand", "1.0", "CPU", 1))

    def predict(self, batch: Array) -> Array:
        ramp = np.linspace(0.5, 1.5, 16, dtype=np.float32).reshape(4, 4, 1)
        return softmax((batch.astype(np.float32) * ramp).mean(axis=(1, 2)))


@pytest.fixture
def data() -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 160, (60, 4, 4, 3)).astype(np.uint8)
    labels = np.arange(60) % 3
    images[np.arange(60), ..., labels] += 80
    return Dataset(images, labels, NAMES, "made by hand", "test")


@pytest.fixture
def site() -> Site:
    return Site(ColourModel(), Feeding(Preprocessing(mean=100, std=50, height=4, width=4)), NAMES)
