from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from edgecifar.artifacts import Dataset, Run
from edgecifar.choices import Device
from edgecifar.compression.quantization import load_quantization_aware, make_quantization_aware
from edgecifar.compression.safe_weights import SafeWeightsQuantizer, widen_ranges
from edgecifar.compression.stage import compress
from edgecifar.exporting import saturation, tflite
from edgecifar.exporting.options import Io, Precision
from edgecifar.models import build_model
from edgecifar.recipe import CompressionSpec, ModelSpec, PruningSpec, QuantizationSpec
from edgecifar.runtimes.pairs import LARGEST_PAIR, largest_pair

IMAGES = np.random.default_rng(0).normal(size=(8, 16, 16, 3)).astype(np.float32)


class Inner:
    """The quantizer that `SafeWeightsQuantizer` is put around: one range for each channel, or for all."""

    def build(self, tensor_shape: tuple[int, ...], name: str, layer: object) -> dict[str, tf.Variable]:
        return {"min_var": tf.Variable([-6.0] * tensor_shape[-1]), "max_var": tf.Variable([6.0] * 2)}

    def __call__(self, inputs: tf.Tensor, *, training: bool, weights: dict[str, tf.Variable]) -> tf.Tensor:
        assert not training
        return tf.quantization.fake_quant_with_min_max_vars_per_channel(
            inputs, weights["min_var"], weights["max_var"], narrow_range=True
        )


def integers_of(wrapper: tf_keras.layers.Layer) -> np.ndarray:
    """Returns a wrapped layer's weights as the integers that its ranges make of them: (channels, kernel)."""
    ((kernel, _, variables),) = wrapper._weight_vars
    rows = kernel.numpy().reshape(-1, kernel.shape[-1]).astype(np.float64)
    integers: np.ndarray = np.clip(np.rint(rows / (variables["max_var"].numpy() / 127)), -127, 127)
    return integers.T.astype(np.int64)


def weighted(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    return [layer for layer in model.layers if getattr(layer, "_weight_vars", None)]


def unsafe_model() -> tf_keras.Model:
    """Returns a float model in whose layers neighbours are alike: most int8 pairs could saturate."""
    model = build_model(ModelSpec(name="shallow3"), (16, 16, 3), 10, seed=0)
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.assign(layer.kernel + 3 * tf.math.reduce_std(layer.kernel))
    return model


def test_a_range_is_the_narrowest_that_is_safe() -> None:
    quantizer = SafeWeightsQuantizer(Inner())
    # One row of a kernel, one column, four input channels, two output channels.
    kernel = tf.constant([[1.0, 1.0], [0.5, 1.0], [-1.0, -1.0], [0.1, 0.2]])[None, None]
    variables = quantizer.build((1, 1, 4, 2), "kernel", tf_keras.layers.Layer())
    result = quantizer(kernel, training=True, weights=variables)
    # The first channel's neighbours sum to 1.5, the second's to 2: the scale is a 128th of that.
    np.testing.assert_allclose(variables["max_var"], [1.5 * 127 / 128, 2 * 127 / 128], rtol=2e-5)
    np.testing.assert_array_equal(variables["min_var"], -variables["max_var"])
    np.testing.assert_allclose(result[0, 0, :, 1] * 64, [64, 64, -64, 13], rtol=2e-5)


def test_weights_whose_neighbours_differ_in_sign_keep_their_range() -> None:
    quantizer = SafeWeightsQuantizer(Inner())
    kernel = tf.constant([[1.0, 0.3], [-1.0, 0.0], [1.0, 0.4]])
    variables = quantizer.build((3, 2), "kernel", tf_keras.layers.Layer())
    quantizer(kernel, training=True, weights=variables)
    np.testing.assert_allclose(variables["max_var"], [1.0, 0.4])


def test_a_range_stays_outside_of_training() -> None:
    quantizer = SafeWeightsQuantizer(Inner())
    variables = quantizer.build((2, 2), "kernel", tf_keras.layers.Layer())
    quantizer(tf.ones((2, 2)), training=False, weights=variables)
    np.testing.assert_array_equal(variables["max_var"], [6.0, 6.0])


def test_gradients_go_straight_through() -> None:
    quantizer = SafeWeightsQuantizer(Inner())
    kernel = tf.Variable(np.random.default_rng(1).normal(size=(3, 3, 4, 2)).astype(np.float32))
    variables = quantizer.build(kernel.shape, "kernel", tf_keras.layers.Layer())
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(3.0 * quantizer(kernel, training=True, weights=variables))
    np.testing.assert_array_equal(tape.gradient(total, kernel), np.full(kernel.shape, 3.0))


@pytest.mark.parametrize("seed", range(20))
def test_random_weights_are_safe_by_a_range_hardly_wider_than_needed(seed: int) -> None:
    quantizer = SafeWeightsQuantizer(Inner())
    kernel = np.random.default_rng(seed).normal(0.3, 1, (3, 3, 16, 2)).astype(np.float32)
    variables = quantizer.build(kernel.shape, "kernel", tf_keras.layers.Layer())
    quantizer(tf.constant(kernel), training=True, weights=variables)
    rows, scales = kernel.reshape(-1, 2).T.astype(np.float64), variables["max_var"].numpy() / 127
    for row, scale in zip(rows, scales, strict=True):
        assert largest_pair(np.rint(row / scale)[None].astype(np.int64)) <= LARGEST_PAIR
        grown = scale > np.abs(row).max() / 127 * 1.0001
        assert not grown or largest_pair(np.rint(row / scale * 1.0085)[None].astype(np.int64)) > LARGEST_PAIR


def test_widening_takes_only_ranges_that_are_too_narrow() -> None:
    aware = make_quantization_aware(unsafe_model(), keep_zeros=False)
    aware(IMAGES, training=True)
    before = {layer.name: integers_of(layer) for layer in weighted(aware)}
    ranges = {layer.name: layer._weight_vars[0][2]["max_var"].numpy() for layer in weighted(aware)}
    assert any(largest_pair(integers) > LARGEST_PAIR for integers in before.values())
    assert widen_ranges(aware) > 0
    for layer in weighted(aware):
        assert largest_pair(integers_of(layer)) <= LARGEST_PAIR
        widened = layer._weight_vars[0][2]["max_var"].numpy() > ranges[layer.name]
        if widened.ndim:
            np.testing.assert_array_equal(integers_of(layer)[~widened], before[layer.name][~widened])
    assert widen_ranges(aware) == 0


def test_a_pruned_and_averaged_model_trained_so_exports_as_it_is(
    small_run: Run, few_images: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    spec = CompressionSpec(
        pruning=PruningSpec(sparsity=0.6, epochs=1, batch_size=48),
        quantization=QuantizationSpec(qat=True, epochs=1, batch_size=48, ema=0.9, saturation_safe=True),
    )
    run = compress(
        small_run, spec, *few_images, tmp_path / "run", name="run", command="pytest", device=Device.CPU
    )
    assert run.qat_path
    assert run.record.recipe.compression.quantization.saturation_safe
    aware = load_quantization_aware(run.qat_path)
    assert len(weighted(aware)) == 4
    for layer in weighted(aware):
        assert largest_pair(integers_of(layer)) <= LARGEST_PAIR
        if layer.layer.name != "logits":
            assert np.mean(integers_of(layer) == 0) > 0.5
    assert widen_ranges(aware) == 0
    content = tflite.convert(aware, Precision.INT8, Io.INT8, run.record.preprocessing)
    assert saturation.make_safe(content) == content


def test_training_looks_at_the_constraint() -> None:
    plain, safe = (
        make_quantization_aware(unsafe_model(), keep_zeros=False, saturation_safe=choice)
        for choice in (False, True)
    )
    for aware in (plain, safe):
        aware(IMAGES, training=True)
    assert max(largest_pair(integers_of(layer)) for layer in weighted(plain)) > LARGEST_PAIR
    assert max(largest_pair(integers_of(layer)) for layer in weighted(safe)) <= LARGEST_PAIR
    assert widen_ranges(safe) == 0
