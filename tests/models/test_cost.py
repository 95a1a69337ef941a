import tf_keras

from edgecifar.models import LayerCost, layer_costs


def test_costs_by_hand() -> None:
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, strides=2, padding="same", name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.Flatten(name="flatten"),
            layers.Dense(10, name="dense"),
        ]
    )
    assert layer_costs(model) == [
        # 4 x 4 places, 3 x 3 x 3 weights for each of 4 filters.
        LayerCost("conv", "Conv2D", (4, 4, 4), 3 * 3 * 3 * 4 + 4, 4 * 4 * 3 * 3 * 3 * 4),
        LayerCost("bn", "BatchNormalization", (4, 4, 4), 4 * 4, 0),
        LayerCost("flatten", "Flatten", (64,), 0, 0),
        LayerCost("dense", "Dense", (10,), 64 * 10 + 10, 64 * 10),
    ]
