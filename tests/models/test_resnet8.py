import pytest
import tf_keras

from edgecifar.models import build_model, layer_costs
from edgecifar.recipe import ModelSpec


def test_it_is_mlperf_tinys_network_without_idle_biases() -> None:
    model = build_model(ModelSpec(name="resnet8"), (32, 32, 3), 10, seed=0)
    # As published (https://github.com/mlcommons/tiny), less the biases of 7 convolutions before batch norms.
    assert model.count_params() == 78_666 - (3 * 16 + 2 * 32 + 2 * 64)
    widths = [
        (layer.filters, layer.strides[0])
        for layer in model.layers
        if isinstance(layer, tf_keras.layers.Conv2D)
    ]
    assert sorted(widths) == sorted(
        [(16, 1)] * 3 + [(32, 2), (32, 1), (32, 2)] + [(64, 2), (64, 1), (64, 2)]
    )  # fmt: skip
    assert model.get_layer("stack3_relu2").output_shape == (None, 8, 8, 64)
    assert model.output_shape == (None, 10)
    # MLPerf Tiny gives 12.5 million multiply-adds.
    assert sum(cost.multiply_adds for cost in layer_costs(model)) == pytest.approx(12.5e6, rel=0.01)


def test_its_penalty_is_on_convolutions_alone() -> None:
    model = build_model(ModelSpec(name="resnet8", l2=1e-4), (32, 32, 3), 10, seed=0)
    assert len(model.losses) == 9
    assert build_model(ModelSpec(name="resnet8"), (32, 32, 3), 10, seed=0).losses == []


def test_width_multiplies_the_channels() -> None:
    model = build_model(ModelSpec(name="resnet8", width=3), (32, 32, 3), 10, seed=0)
    assert model.get_layer("stack3_relu2").output_shape == (None, 8, 8, 3 * 64)
    convolutions = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    assert {layer.filters for layer in convolutions} == {48, 96, 192}
