import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from edgecifar.learning.averaging import WeightAverage


@pytest.fixture
def model() -> tf_keras.Model:
    """A batch norm, whose statistics are averaged too, of one channel."""
    model = tf_keras.Sequential([tf_keras.layers.BatchNormalization()])
    model.build((None, 1))
    return model


def test_the_average_by_hand(model: tf_keras.Model) -> None:
    model.set_weights([np.array([value], np.float32) for value in (1, 2, 3, 4)])
    average = WeightAverage(model, decay=0.15)
    model.set_weights([np.array([value], np.float32) for value in (2, 3, 4, 5)])
    # The first decay is (1 + 0) / (10 + 0), the next min(0.15, 2 / 11).
    average.update(tf.constant(0, tf.int64))
    np.testing.assert_allclose(np.ravel(average.averages), [1.9, 2.9, 3.9, 4.9], rtol=1e-6)
    average.update(tf.constant(1, tf.int64))
    expected = [1.9 + 0.85 * 0.1, 2.9 + 0.85 * 0.1, 3.9 + 0.85 * 0.1, 4.9 + 0.85 * 0.1]
    np.testing.assert_allclose(np.ravel(average.averages), expected, rtol=1e-6)
    assert np.ravel(model.get_weights()).tolist() == [2, 3, 4, 5]


def test_the_first_steps_do_not_weigh_for_long(model: tf_keras.Model) -> None:
    average = WeightAverage(model, decay=0.999)
    model.set_weights([np.array([10], np.float32)] * 4)
    average.update(tf.constant(1, tf.int64))
    # gamma from 1 to 10 with a decay of 2 / 11.
    assert average.averages[0].numpy() == pytest.approx([1 + 9 * 9 / 11])


def test_the_average_stands_in_for_a_while_even_if_something_fails(model: tf_keras.Model) -> None:
    average = WeightAverage(model, decay=0.5)
    model.set_weights([np.array([10], np.float32)] * 4)

    def fail() -> None:
        with average.in_place():
            assert np.ravel(model.get_weights()).tolist() == [1, 0, 0, 1]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert np.ravel(model.get_weights()).tolist() == [10] * 4
    average.take_over()
    assert np.ravel(model.get_weights()).tolist() == [1, 0, 0, 1]


def test_integers_are_taken_over_as_they_are() -> None:
    layer = tf_keras.layers.Layer()
    layer.add_weight(name="count", shape=(), dtype=tf.int64, trainable=False)
    layer.built = True
    average = WeightAverage(layer, decay=0.9)
    layer.weights[0].assign(7)
    average.update(tf.constant(100, tf.int64))
    assert average.averages[0].numpy() == 7
