import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from edgecifar.learning.optimizers import make_optimizer
from edgecifar.models import build_model
from edgecifar.recipe import Form, ModelSpec, OptimizerSpec, Precision


def step(optimizer: tf_keras.optimizers.Optimizer, variable: tf.Variable, gradient: float) -> None:
    optimizer.apply_gradients([(tf.fill(variable.shape, gradient), variable)])


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam"])
def test_only_kernels_decay(name: str) -> None:
    model = build_model(ModelSpec(name="shallow3", form=Form.SEED), (8, 8, 3), 10, seed=0)
    for variable in model.trainable_variables:
        variable.assign(tf.ones_like(variable))
    spec = OptimizerSpec.model_validate({"name": name, "learning_rate": 0.1, "weight_decay": 0.5})
    optimizer = make_optimizer(spec, Precision.FLOAT32)
    optimizer.apply_gradients([(tf.zeros_like(variable), variable) for variable in model.trainable_variables])
    # rate x decay = 0.05 of each weight, apart from the gradient, which is zero.
    for variable in model.trainable_variables:
        kernel = variable.name.endswith("kernel:0")
        np.testing.assert_allclose(variable, 0.95 if kernel else 1.0, rtol=1e-6, err_msg=variable.name)
    assert sum(variable.name.endswith("kernel:0") for variable in model.trainable_variables) == 4


def test_sgd_has_nesterov_momentum() -> None:
    weight = tf.Variable([1.0])
    optimizer = make_optimizer(OptimizerSpec(learning_rate=0.1, momentum=0.5), Precision.FLOAT32)
    step(optimizer, weight, 1.0)
    # Velocity -0.1; the step looks ahead by 0.5 x -0.1 - 0.1.
    np.testing.assert_allclose(weight, [0.85], rtol=1e-6)
    step(optimizer, weight, 1.0)
    # Velocity 0.5 x -0.1 - 0.1 = -0.15; 0.5 x -0.15 - 0.1.
    np.testing.assert_allclose(weight, [0.85 - 0.175], rtol=1e-6)


def test_rmsprop_by_hand() -> None:
    weight = tf.Variable([1.0])
    optimizer = make_optimizer(OptimizerSpec(name="rmsprop", learning_rate=0.01), Precision.FLOAT32)
    step(optimizer, weight, 2.0)
    # The mean square is 0.1 x 4, and the step 0.01 x 2 / sqrt(0.4).
    np.testing.assert_allclose(weight, [1 - 0.02 / 0.4**0.5], rtol=1e-5)


def test_the_rate_can_be_set_before_each_step() -> None:
    weight = tf.Variable([1.0])
    optimizer = make_optimizer(OptimizerSpec(learning_rate=0.1, momentum=0.0), Precision.FLOAT32)
    optimizer.learning_rate.assign(0.5)
    step(optimizer, weight, 1.0)
    np.testing.assert_allclose(weight, [0.5])


def test_float16_gets_a_loss_scale() -> None:
    scaled = make_optimizer(OptimizerSpec(weight_decay=0.1), Precision.FLOAT16)
    assert isinstance(scaled, tf_keras.mixed_precision.LossScaleOptimizer)
    for precision in (Precision.FLOAT32, Precision.BFLOAT16):
        plain = make_optimizer(OptimizerSpec(), precision)
        assert not isinstance(plain, tf_keras.mixed_precision.LossScaleOptimizer)
