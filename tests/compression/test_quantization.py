from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from edgecifar.artifacts import Run
from edgecifar.chatter import diverted
from edgecifar.compression.quantization import (
    FreezeBatchNormHook,
    load_quantization_aware,
    make_quantization_aware,
    set_activation_ranges,
)
from edgecifar.errors import ModelError
from edgecifar.learning.recording import save_model
from edgecifar.models import build_model, load_model
from edgecifar.recipe import Form, ModelSpec
from edgecifar.runtimes import get_runtime

IMAGES = np.random.default_rng(0).normal(size=(8, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def float_model() -> tf_keras.Model:
    return build_model(ModelSpec(name="shallow3"), (16, 16, 3), 10, seed=0)


@pytest.fixture
def aware(float_model: tf_keras.Model) -> tf_keras.Model:
    return make_quantization_aware(float_model, keep_zeros=False)


def wrappers(model: tf_keras.Model) -> dict[str, tf_keras.layers.Layer]:
    """Returns tfmot's wrappers by the names of the layers inside them."""
    return {layer.layer.name: layer for layer in model.layers if hasattr(layer, "quantize_config")}


def kernel_of(wrapper: tf_keras.layers.Layer) -> np.ndarray:
    """Returns the kernel as it trains; the inner layer's own `kernel` is the fake-quantized tensor."""
    ((kernel, _, _),) = wrapper._weight_vars
    values = kernel.numpy()
    assert isinstance(values, np.ndarray)
    return values


def fake_quantized_kernel(wrapper: tf_keras.layers.Layer) -> np.ndarray:
    """Returns the kernel as the layer computes with it."""
    ((kernel, quantizer, variables),) = wrapper._weight_vars
    values = quantizer(kernel, training=False, weights=variables).numpy()
    assert isinstance(values, np.ndarray)
    return values


KERNELS = ("block1_conv1", "block2_conv1", "block3_conv1", "logits")


def test_it_starts_with_the_models_weights(float_model: tf_keras.Model, aware: tf_keras.Model) -> None:
    for name in KERNELS:
        np.testing.assert_array_equal(kernel_of(wrappers(aware)[name]), float_model.get_layer(name).kernel)


def test_weights_have_at_most_255_values_for_each_channel(aware: tf_keras.Model) -> None:
    aware(IMAGES, training=True)
    wrapper = wrappers(aware)["block3_conv1"]
    kernel, exact = fake_quantized_kernel(wrapper), kernel_of(wrapper)
    steps = np.abs(exact).max(axis=(0, 1, 2)) / 127
    np.testing.assert_allclose(kernel / steps, np.rint(kernel / steps), atol=0.01)
    assert (np.abs(kernel - exact) <= steps / 2 * 1.02).all()
    assert (kernel != exact).mean() > 0.9


def test_ranges_start_where_the_float_models_activations_lie(
    float_model: tf_keras.Model, aware: tf_keras.Model
) -> None:
    set_activation_ranges(aware, float_model, IMAGES, batch_size=4)
    outputs = tf_keras.Model(float_model.input, float_model.get_layer("block2_relu1").output)
    highs = [float(outputs(IMAGES[:4]).numpy().max()), float(outputs(IMAGES[4:]).numpy().max())]
    low, high = (
        next(variable for variable in wrappers(aware)["block2_relu1"].variables if name in variable.name)
        for name in ("output_min", "output_max")
    )
    assert low.numpy() == 0
    assert high.numpy() == pytest.approx(np.mean(highs), rel=1e-5)


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        # Three blocks of a ReLU, and the logits.
        (ModelSpec(name="shallow3"), 3 + 1),
        # Six times convolution, ELU and batch norm.
        (ModelSpec(form=Form.SEED), 6 * 3 + 1),
        # Seven ReLUs, a batch norm before each of three additions, two shortcuts, and the pool.
        (ModelSpec(name="resnet8"), 7 + 3 + 2 + 1 + 1),
        # Seven ReLUs, and the logits.
        (ModelSpec(name="airbench"), 7 + 1),
    ],
    ids=["shallow3", "vgg6 of the seed", "resnet8", "airbench"],
)
def test_no_range_is_left_where_tfmot_starts_it(spec: ModelSpec, count: int) -> None:
    model = build_model(spec, (16, 16, 3), 10, seed=0)
    aware = make_quantization_aware(model, keep_zeros=False)
    set_activation_ranges(aware, model, IMAGES, batch_size=8)
    for name, start in (("min", -6.0), ("max", 6.0)):
        ends = (f"output_{name}:0", f"post_activation_{name}:0")
        found = [
            float(v) for layer in wrappers(aware).values() for v in layer.variables if v.name.endswith(ends)
        ]
        assert len(found) == count
        assert start not in found


@pytest.mark.parametrize("name", ["vgg6", "shallow3"])
def test_the_seed_form_is_taken(name: str, tmp_path: Path) -> None:
    spec = ModelSpec.model_validate({"name": name, "form": Form.SEED, "dropout": [0.2, 0.3, 0.4]})
    aware = make_quantization_aware(build_model(spec, (16, 16, 3), 10, seed=0), keep_zeros=False)
    probabilities = aware(IMAGES, training=True).numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    save_model(aware, tmp_path / "qat.h5")
    loaded = load_quantization_aware(tmp_path / "qat.h5")
    np.testing.assert_array_equal(loaded(IMAGES), aware(IMAGES))


# Files


def test_a_saved_model_predicts_the_same(compressed_run: Run, tmp_path: Path) -> None:
    assert compressed_run.qat_path
    loaded = load_quantization_aware(compressed_run.qat_path)
    save_model(loaded, tmp_path / "again.h5")
    np.testing.assert_array_equal(load_quantization_aware(tmp_path / "again.h5")(IMAGES), loaded(IMAGES))
    # It is not the float model under another name.
    assert not np.allclose(load_model(compressed_run.model_path)(IMAGES), loaded(IMAGES), atol=1e-6)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such model file"):
        load_quantization_aware(tmp_path / "qat.h5")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_told(share: float, compressed_run: Run, tmp_path: Path) -> None:
    assert compressed_run.qat_path
    content = compressed_run.qat_path.read_bytes()
    path = tmp_path / "qat.h5"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"qat.h5: not a readable quantization-aware Keras model"):
        load_quantization_aware(path)


def test_another_kind_of_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "qat.h5"
    path.write_bytes(b"TFL3" * 1000)
    with pytest.raises(ModelError, match=r"qat.h5: not a readable quantization-aware Keras model"):
        load_quantization_aware(path)


# Pruned weights


def test_pruned_weights_stay_at_exactly_zero(compressed_run: Run) -> None:
    assert compressed_run.qat_path
    pruned = load_model(compressed_run.model_path)
    found = wrappers(load_quantization_aware(compressed_run.qat_path))
    for name in KERNELS:
        zeros = pruned.get_layer(name).kernel.numpy() == 0
        assert zeros.mean() > 0.55
        moved = kernel_of(found[name])
        np.testing.assert_array_equal(moved[zeros], 0)
        assert (moved[~zeros] != pruned.get_layer(name).kernel.numpy()[~zeros]).any(), "it trained"
        np.testing.assert_array_equal(fake_quantized_kernel(found[name])[zeros], 0)


def test_pruned_weights_are_zero_in_the_exported_integers(compressed_run: Run, tmp_path: Path) -> None:
    assert compressed_run.qat_path
    converter = tf.lite.TFLiteConverter.from_keras_model(load_quantization_aware(compressed_run.qat_path))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with diverted():
        content = converter.convert()
    (tmp_path / "model.tflite").write_bytes(content)
    model = get_runtime("litert").load(tmp_path / "model.tflite", threads=1)
    interpreter = model._interpreter
    kernels = [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] is np.int8 and len(detail["quantization_parameters"]["scales"]) >= 10
    ]
    # (out, height, width, in) for the convolutions, (out, in) for the dense layer.
    assert sorted(kernel.shape[0] for kernel in kernels) == [10, 32, 64, 128]
    pruned = load_model(compressed_run.model_path)
    by_width = {
        layer.kernel.shape[-1]: layer.kernel.numpy() for layer in pruned.layers if hasattr(layer, "kernel")
    }
    for kernel in kernels:
        zeros = np.moveaxis(by_width[kernel.shape[0]] == 0, -1, 0)
        assert zeros.mean() > 0.55
        assert (kernel[zeros] == 0).all()
        assert (kernel[~zeros] != 0).any()


# Batch norm


def test_batch_norms_are_frozen_in_the_last_share_and_thawed(aware: tf_keras.Model) -> None:
    hook = FreezeBatchNormHook(aware, share=0.5)
    norms = [layer for layer in aware.submodules if isinstance(layer, tf_keras.layers.BatchNormalization)]
    assert len(norms) == 3
    assert [hook.before_epoch(done) for done in (0.0, 0.25, 0.5, 0.75)] == [False, False, True, False]
    assert not any(norm.trainable for norm in norms)
    before = [norm.moving_mean.numpy() for norm in norms]
    aware(IMAGES, training=True)
    for norm, mean in zip(norms, before, strict=True):
        np.testing.assert_array_equal(norm.moving_mean, mean)
    hook.after_epoch()
    hook.thaw()
    assert all(norm.trainable for norm in norms)
    aware(IMAGES, training=True)
    assert all((norm.moving_mean.numpy() != mean).any() for norm, mean in zip(norms, before, strict=True))


@pytest.mark.parametrize(("share", "frozen"), [(0.0, [False, False]), (1.0, [True, True])])
def test_none_or_all_of_the_epochs_may_be_frozen(
    share: float, frozen: list[bool], aware: tf_keras.Model
) -> None:
    hook = FreezeBatchNormHook(aware, share)
    norms = [layer for layer in aware.submodules if isinstance(layer, tf_keras.layers.BatchNormalization)]
    found = []
    for done in (0.0, 0.5):
        hook.before_epoch(done)
        found.append(not norms[0].trainable)
    hook.thaw()
    assert found == frozen


def test_the_scale_of_a_frozen_batch_norm_goes_on_learning(aware: tf_keras.Model) -> None:
    hook = FreezeBatchNormHook(aware, share=1.0)
    hook.before_epoch(0.0)
    names = {variable.name for variable in aware.trainable_variables}
    assert {name for name in names if "gamma" in name} != set()
    hook.thaw()
