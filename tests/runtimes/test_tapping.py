"""Runtimes that give their layers: all of a run, or one at a time."""

from pathlib import Path

import numpy as np
import pytest

from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half
from edgecifar.errors import ModelError, VerificationError
from edgecifar.protocol import Array
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.tapping import open_probed, open_tapped


@pytest.fixture(scope="module")
def images() -> Array:
    return read_sample(Half.TEST).images[:4]


@pytest.fixture(scope="module")
def bundle(checkout: Path) -> Path:
    return checkout / "exported" / "tiny-resnet8"


def test_microcontroller_kernels_give_the_layers_of_the_reference_kernels(
    bundle: Path, images: Array
) -> None:
    path = bundle / "model.int8.tflite"
    micro, reference = (open_tapped(path, name, 1) for name in ("tflm", "litert-reference"))
    assert micro.info.runtime == "tflm"
    found, expected = micro.run(images), reference.run(images)
    assert np.array_equal(found.final, get_runtime("tflm").load(path, 1).predict(images))
    for layer, one, other in zip(micro.layers, found.outputs, expected.outputs, strict=True):
        assert one.dtype == other.dtype
        assert len(np.unique(one)) > 1
        # All round alike but the dense layer, and what follows it.
        if one.ndim == 4:
            assert np.array_equal(one, other), layer.name


def test_microcontrollers_refuse_the_layers_of_what_they_cannot_compute(models: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="TensorFlow Lite Micro refuses it"):
        open_tapped(models["float16.tflite"], "tflm", 1)


@pytest.mark.parametrize(("suffix", "usual"), [("tflite", "litert"), ("onnx", "ort-cpu")])
def test_openvino_gives_one_layer_and_its_outputs(
    suffix: str, usual: str, bundle: Path, images: Array
) -> None:
    path = bundle / f"model.int8.{suffix}"
    probed, tapped = open_probed(path, 1), open_tapped(path, usual, 1)
    assert probed.info.runtime == "openvino"
    plain = probed.plain(images)
    assert np.array_equal(plain, get_runtime("openvino").load(path, 1).predict(images))
    expected = tapped.run(images).outputs
    for place in (0, 1, len(probed.layers) - 1):
        probe = probed.look(place, images)
        assert (probe.output.shape, probe.output.dtype) == (expected[place].shape, expected[place].dtype)
        assert probe.final.shape == plain.shape
        # The same values at the same places; how they are rounded differs from CPU to CPU.
        assert np.corrcoef(probe.output.ravel(), expected[place].ravel())[0, 1] > 0.99
    # The last layer is the softmax, of which TFLite's outputs are the same values as uint8.
    info = probed.layers[-1].output
    moved = probe.output.astype(int) - info.zero_point
    assert np.array_equal(moved, plain)
    assert np.array_equal(probe.final, plain)


def test_a_batch_of_another_shape_is_refused(bundle: Path, images: Array) -> None:
    with pytest.raises(ModelError, match="takes image of shape 32×32×3"):
        open_probed(bundle / "model.int8.onnx", 1).plain(images[:, :16])


def test_what_has_no_layers_to_give_is_refused(bundle: Path) -> None:
    with pytest.raises(VerificationError, match="openvino does not give the layers"):
        open_tapped(bundle / "model.int8.onnx", "openvino", 1)
    with pytest.raises(VerificationError, match="cannot be looked into"):
        open_probed(bundle / "reference.keras", 1)
