from itertools import pairwise

import pytest
import tf_keras

from edgecifar.errors import RecipeError
from edgecifar.models import build_model, layer_costs
from edgecifar.recipe import ModelSpec


def test_it_is_the_published_network_in_the_edge_form() -> None:
    model = build_model(ModelSpec(name="airbench"), (32, 32, 3), 10, seed=0)
    # https://github.com/KellerJordan/cifar10-airbench: 1.97 million parameters in airbench94. By hand: the
    # kernels, the biases of the first and the last layer, and four numbers a channel of the batch norms.
    kernels = 4 * 3 * 24 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 256 * 10
    assert model.count_params() == kernels + 24 + 10 + 4 * (2 * 64 + 4 * 256) == 1_975_106
    # The first of each block's convolutions sees twice the height and width of the second.
    by_hand = 31**2 * (4 * 3 * 24 + 9 * 24 * 64) + 15**2 * 9 * (64 * 64 + 64 * 256)
    by_hand += 9 * 256 * 256 * (7**2 + 7**2 + 3**2) + 256 * 10
    assert sum(cost.multiply_adds for cost in layer_costs(model)) == by_hand
    assert model.get_layer("block3_relu2").output_shape == (None, 3, 3, 256)
    assert model.get_layer("pool").output_shape == (None, 1, 1, 256)
    assert model.output_shape == (None, 10)


def test_each_normalized_convolution_folds() -> None:
    model = build_model(ModelSpec(name="airbench", width=2), (16, 16, 3), 10, seed=0)
    layers = model.layers[1:]
    for layer, after in pairwise(layers):
        if isinstance(layer, tf_keras.layers.Conv2D) and layer.name != "stem_conv":
            assert isinstance(after, tf_keras.layers.BatchNormalization)
            assert not layer.use_bias
    assert {layer.filters for layer in layers if isinstance(layer, tf_keras.layers.Conv2D)} == {48, 128, 512}


def test_its_penalty_is_on_convolutions_alone() -> None:
    model = build_model(ModelSpec(name="airbench", l2=1e-4), (32, 32, 3), 10, seed=0)
    assert len(model.losses) == 7


def test_small_images_are_refused() -> None:
    with pytest.raises(RecipeError, match="airbench needs images of 16 x 16 pixels at least"):
        build_model(ModelSpec(name="airbench"), (16, 15, 3), 10, seed=0)
