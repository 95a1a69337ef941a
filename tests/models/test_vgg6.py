import pytest
import tf_keras

from edgecifar.models import build_model, layer_costs
from edgecifar.recipe import Form, ModelSpec

SHAPE = (32, 32, 3)


def kinds(model: tf_keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_the_seed_form_is_the_published_network() -> None:
    spec = ModelSpec(form=Form.SEED, dropout=[0.2, 0.3, 0.4], l2=1e-4)
    model = build_model(spec, SHAPE, 10, seed=0)
    pair = ["Conv2D", "ELU", "BatchNormalization"] * 2
    block = [*pair, "MaxPooling2D", "Dropout"]
    assert kinds(model) == ["InputLayer", *block * 3, "Flatten", "Dense", "Softmax"]
    assert model.count_params() == 309_290
    # Of 3 x 3 convolutions and the dense layer, by hand: width and height halve after each block.
    by_hand = 9 * (32**2 * (3 * 32 + 32 * 32) + 16**2 * (32 * 64 + 64 * 64) + 8**2 * (64 * 128 + 128 * 128))
    by_hand += 4 * 4 * 128 * 10
    assert by_hand == pytest.approx(38.6e6, abs=0.1e6)
    assert sum(cost.multiply_adds for cost in layer_costs(model)) == by_hand
    convolutions = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [32, 32, 64, 64, 128, 128]
    assert all(layer.use_bias and layer.kernel_size == (3, 3) for layer in convolutions)
    assert [float(layer.kernel_regularizer.l2) for layer in convolutions] == pytest.approx([1e-4] * 6)
    assert [layer.rate for layer in model.layers if isinstance(layer, tf_keras.layers.Dropout)] == [
        0.2,
        0.3,
        0.4,
    ]


def test_the_edge_form_folds_and_is_no_larger() -> None:
    model = build_model(ModelSpec(), SHAPE, 10, seed=0)
    pair = ["Conv2D", "BatchNormalization", "ReLU"] * 2
    assert kinds(model) == ["InputLayer", *[*pair, "MaxPooling2D"] * 3, "Flatten", "Dense", "Softmax"]
    # The batch norm has the shift: 448 biases fewer.
    assert model.count_params() == 309_290 - 448 <= 310_000
    assert not any(layer.use_bias for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D))
    assert model.losses == []


@pytest.mark.parametrize(("form", "biases"), [(Form.SEED, 32 + 64 + 128), (Form.EDGE, 0)])
def test_shallow3_has_one_convolution_a_block(form: Form, biases: int) -> None:
    model = build_model(ModelSpec(name="shallow3", form=form), SHAPE, 10, seed=0)
    assert model.name == "shallow3"
    assert kinds(model).count("Conv2D") == 3
    kernels = 9 * (3 * 32 + 32 * 64 + 64 * 128)
    batch_norms, dense = 4 * (32 + 64 + 128), 4 * 4 * 128 * 10 + 10
    assert model.count_params() == kernels + biases + batch_norms + dense


def test_size_and_classes_are_the_data_sets() -> None:
    model = build_model(ModelSpec(name="shallow3"), (16, 24, 3), 4, seed=0)
    assert model.input_shape == (None, 16, 24, 3)
    assert model.output_shape == (None, 4)
    assert model.get_layer("flatten").output_shape == (None, 2 * 3 * 128)


def test_width_multiplies_the_channels() -> None:
    model = build_model(ModelSpec(width=2), SHAPE, 10, seed=0)
    kernels = [layer.kernel.shape for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    assert [tuple(shape[2:]) for shape in kernels] == [
        (3, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        (256, 256),
    ]
    convolutions = 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256)
    batch_norms, dense = 4 * 2 * (64 + 128 + 256), 4 * 4 * 256 * 10 + 10
    assert model.count_params() == convolutions + batch_norms + dense
