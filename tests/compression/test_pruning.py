import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras

from edgecifar.artifacts import Run
from edgecifar.compression.pruning import PruningHook, make_prunable
from edgecifar.models import build_model, load_model
from edgecifar.recipe import ModelSpec, PruningSpec

SPEC = PruningSpec(sparsity=0.6, epochs=2, ramp=0.5)


@pytest.fixture
def model() -> tf_keras.Model:
    return build_model(ModelSpec(name="shallow3"), (8, 8, 3), 10, seed=0)


def kernels(model: tf_keras.Model) -> dict[str, np.ndarray]:
    return {layer.name: layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")}


def test_convolutions_and_dense_layers_are_wrapped_and_keep_their_weights(model: tf_keras.Model) -> None:
    prunable = make_prunable(model, SPEC, steps=10)
    wrapped = {layer.layer.name for layer in prunable.layers if layer.name.startswith("prune_low_magnitude_")}
    assert wrapped == set(kernels(model)) == {"block1_conv1", "block2_conv1", "block3_conv1", "logits"}
    stripped = tfmot.sparsity.keras.strip_pruning(prunable)
    for expected, weight in zip(model.get_weights(), stripped.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_sparsity_rises_to_its_goal_over_the_ramp_and_stays(model: tf_keras.Model) -> None:
    prunable = make_prunable(model, SPEC, steps=20)
    PruningHook(prunable).before_epoch(0.0)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    (wrapper,) = [layer for layer in prunable.layers if layer.name == "prune_low_magnitude_block3_conv1"]
    shares = []
    for _ in range(20):
        prunable(images, training=True)
        shares.append(float(np.mean(wrapper.layer.kernel.numpy() == 0)))
    # From nothing, by 1 - (1 - t)^3, to all of it after the ramp of 10 steps.
    by_hand = [0.6 * (1 - (1 - step / 10) ** 3) for step in range(1, 11)]
    assert shares[:10] == pytest.approx(by_hand, abs=1e-3)
    assert shares[10:] == [shares[9]] * 10


def test_the_hook_starts_counters_once_and_masks_what_a_step_moved(model: tf_keras.Model) -> None:
    prunable = make_prunable(model, SPEC, steps=4)
    hook = PruningHook(prunable)
    (wrapper,) = [layer for layer in prunable.layers if layer.name == "prune_low_magnitude_logits"]
    assert wrapper.pruning_step.numpy() == -1
    assert hook.before_epoch(0.0) is False
    assert wrapper.pruning_step.numpy() == 0
    images = np.zeros((1, 8, 8, 3), np.float32)
    for _ in range(4):
        prunable(images, training=True)
    mask = wrapper.layer.kernel.numpy() != 0
    assert 0.35 < mask.mean() < 0.45
    wrapper.layer.kernel.assign_add(np.ones(mask.shape, np.float32))
    hook.after_epoch()
    np.testing.assert_array_equal(wrapper.layer.kernel.numpy() != 0, mask)
    steps = wrapper.pruning_step.numpy()
    hook.before_epoch(0.5)
    assert wrapper.pruning_step.numpy() == steps > 0


def test_each_kernel_of_a_pruned_run_is_as_sparse_as_asked_for(compressed_run: Run, small_run: Run) -> None:
    pruned, before = kernels(load_model(compressed_run.model_path)), kernels(load_model(small_run.model_path))
    for name, kernel in pruned.items():
        zeros = kernel == 0
        assert zeros.mean() == pytest.approx(0.6, abs=0.01), name
        assert not (before[name] == 0).any()
        # Small weights went, large ones stayed.
        assert np.abs(before[name])[zeros].mean() < np.abs(before[name])[~zeros].mean() / 2, name
