import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray

from edgecifar.learning.initialization import whiten
from edgecifar.models import build_model
from edgecifar.recipe import ModelSpec


@pytest.fixture(scope="module")
def values() -> NDArray[np.float32]:
    """Images whose neighbouring pixels and channels are much alike, as those of photographs are."""
    noise = np.random.default_rng(0).normal(size=(40, 18, 18, 3))
    blurred = noise[:, 2:, 2:] + noise[:, 1:-1, 1:-1] + noise[:, :-2, :-2]
    return (blurred + blurred.mean(axis=3, keepdims=True)).astype(np.float32)


def convolutions(model: tf_keras.Model) -> list[tf_keras.layers.Conv2D]:
    return [layer for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]


def test_the_first_layers_outputs_are_uncorrelated_and_come_with_their_negatives(
    values: NDArray[np.float32],
) -> None:
    model = build_model(ModelSpec(), (16, 16, 3), 10, seed=0)
    whiten(model, values)
    first = convolutions(model)[0]
    # Without the border, where the padding's zeros are no patches of an image.
    outputs = first(values).numpy()[:, 1:-1, 1:-1].reshape(-1, 32)
    covariance = np.cov(outputs[:, :16], rowvar=False)
    np.testing.assert_allclose(covariance, np.eye(16), atol=0.02)
    np.testing.assert_allclose(outputs[:, 16:], -outputs[:, :16], rtol=1e-5)


def test_airbenchs_first_layer_is_whitened_whole(values: NDArray[np.float32]) -> None:
    model = build_model(ModelSpec(name="airbench"), (16, 16, 3), 10, seed=0)
    whiten(model, values)
    outputs = convolutions(model)[0](values).numpy().reshape(-1, 24)
    np.testing.assert_allclose(np.cov(outputs[:, :12], rowvar=False), np.eye(12), atol=0.02)
    np.testing.assert_allclose(outputs[:, 12:], -outputs[:, :12], rtol=1e-5)


def test_filters_beyond_the_components_stay_random(values: NDArray[np.float32]) -> None:
    model = build_model(ModelSpec(width=2), (16, 16, 3), 10, seed=0)
    before = convolutions(model)[0].kernel.numpy()
    whiten(model, values)
    after = convolutions(model)[0].kernel.numpy()
    # 3 x 3 x 3 components and their negatives are 54 of 64 filters.
    np.testing.assert_array_equal(after[..., 54:], before[..., 54:])
    np.testing.assert_array_equal(after[..., 27:54], -after[..., :27])
    assert (after[..., :54] != before[..., :54]).any()


def test_later_convolutions_pass_on_what_they_get(values: NDArray[np.float32]) -> None:
    model = build_model(ModelSpec(), (16, 16, 3), 10, seed=0)
    before = [layer.kernel.numpy() for layer in convolutions(model)]
    whiten(model, values)
    second, third = convolutions(model)[1:3]
    inputs = np.random.default_rng(1).normal(size=(2, 8, 8, 32)).astype(np.float32)
    np.testing.assert_array_equal(second(inputs), inputs)
    np.testing.assert_array_equal(third(inputs)[..., :32], inputs)
    np.testing.assert_array_equal(third.kernel[..., 32:], before[2][..., 32:])


def test_a_branch_beside_a_shortcut_stays_random(values: NDArray[np.float32]) -> None:
    model = build_model(ModelSpec(name="resnet8"), (16, 16, 3), 10, seed=0)
    before = [layer.kernel.numpy() for layer in convolutions(model)]
    whiten(model, values)
    first, *others = convolutions(model)
    assert (first.kernel.numpy() != before[0]).any()
    for layer, kernel in zip(others, before[1:], strict=True):
        np.testing.assert_array_equal(layer.kernel, kernel)
