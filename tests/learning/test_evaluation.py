import numpy as np
import pytest
import tf_keras

from edgecifar.artifacts import Accuracy, Dataset, Preprocessing
from edgecifar.learning.evaluation import CHUNK, Evaluator

COUNT = 2 * CHUNK + 100


@pytest.fixture
def many() -> Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (COUNT, 4, 4, 3), dtype=np.uint8)
    return Dataset(images, generator.integers(0, 2, COUNT), ("dark", "bright"), "noise", "test")


def by_numpy(model: tf_keras.Model, data: Dataset, preprocessing: Preprocessing) -> np.ndarray:
    kernel, bias = model.get_layer("logits").get_weights()
    logits = preprocessing.apply(data.images).reshape(len(data), -1).astype(np.float64) @ kernel + bias
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = exponents / exponents.sum(axis=1, keepdims=True)
    assert isinstance(shares, np.ndarray)
    return shares


def test_evaluation_agrees_with_numpy(
    dense_model: tf_keras.Model, many: Dataset, preprocessing: Preprocessing
) -> None:
    evaluator = Evaluator(dense_model, many, preprocessing)
    # All weights are zero: each class has one half, and the first one wins.
    before = evaluator()
    assert before.loss == pytest.approx(np.log(2), rel=1e-5)
    assert before.accuracy == Accuracy(correct=int((many.labels == 0).sum()), total=COUNT)

    kernel = np.random.default_rng(1).normal(scale=0.05, size=(48, 2)).astype(np.float32)
    dense_model.get_layer("logits").set_weights([kernel, np.array([0.1, -0.1], np.float32)])
    expected = by_numpy(dense_model, many, preprocessing)
    after = evaluator()
    assert after.loss == pytest.approx(-np.log(expected[np.arange(COUNT), many.labels]).mean(), rel=1e-4)
    assert after.accuracy.correct == int((expected.argmax(axis=1) == many.labels).sum())


def test_a_few_images_are_enough(
    dense_model: tf_keras.Model, shades: Dataset, preprocessing: Preprocessing
) -> None:
    assert Evaluator(dense_model, shades, preprocessing)().accuracy == Accuracy(correct=25, total=50)
