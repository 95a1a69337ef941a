"""A problem that a dense layer learns in a moment: dark and bright images."""

from collections.abc import Callable

import numpy as np
import pytest
import tf_keras

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.choices import Device
from edgecifar.learning.devices import Placement, place
from edgecifar.learning.feed import Feed
from edgecifar.recipe import AugmentationSpec


@pytest.fixture
def shades() -> Dataset:
    """50 images of 4 by 4 pixels, the even ones dark and the odd ones bright."""
    labels = np.arange(50) % 2
    noise = np.random.default_rng(0).integers(0, 100, (50, 4, 4, 3))
    images = (noise + 120 * labels[:, None, None, None]).astype(np.uint8)
    return Dataset(images, labels, ("dark", "bright"), "shades", "train")


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing(mean=110, std=64, height=4, width=4)


@pytest.fixture(scope="session")
def cpu() -> Placement:
    return place(Device.CPU)


@pytest.fixture
def dense_model(cpu: Placement) -> tf_keras.Model:
    """One dense layer with a softmax, all weights zero."""
    layers = tf_keras.layers
    with cpu.strategy.scope():
        image = layers.Input((4, 4, 3))
        logits = layers.Dense(2, kernel_initializer="zeros", name="logits")(layers.Flatten()(image))
        return tf_keras.Model(image, layers.Softmax()(logits))


@pytest.fixture
def feed(shades: Dataset, preprocessing: Preprocessing, cpu: Placement) -> Feed:
    """4 batches, the last of 2 images."""
    return Feed(shades, AugmentationSpec(), preprocessing, 16, seed=1, strategy=cpu.strategy)


@pytest.fixture
def make_feed(shades: Dataset, cpu: Placement) -> Callable[..., Feed]:
    """Makes feeds whose values are the plain pixels."""

    def make(
        augmentation: AugmentationSpec | None = None,
        batch_size: int = 16,
        seed: int = 1,
        data: Dataset = shades,
    ) -> Feed:
        plain = Preprocessing(mean=0, std=1, height=4, width=4)
        return Feed(data, augmentation or AugmentationSpec(), plain, batch_size, seed, cpu.strategy)

    return make
