"""Channels that pruning emptied keep their bias in an int8 file of a quantization-aware model."""

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.errors import ExportError
from edgecifar.exporting import tflite
from edgecifar.exporting.biases import LARGEST_BIAS, restored, room_for_biases, variables_by_name
from edgecifar.exporting.options import Io, Precision
from edgecifar.runtimes import get_runtime

EMPTY = 2
"""The channel without weights."""


@contextmanager
def emptied(model, index, weights):
    """Gives a channel of a convolution such weights and a large bias while the block runs."""
    conv, norm = (model.get_layer(f"quant_{kind}{index}") for kind in ("conv", "bn"))
    own, follows = variables_by_name(conv), variables_by_name(norm)
    with restored([conv, norm]):
        kernel = own["kernel"].numpy()
        kernel[..., EMPTY] = weights
        own["kernel"].assign(kernel)
        for end, sign in (("kernel_min", -1), ("kernel_max", 1)):
            own[end].assign(np.where(np.arange(kernel.shape[-1]) == EMPTY, sign * 1e-12, own[end].numpy()))
        follows["beta"].assign(np.where(np.arange(kernel.shape[-1]) == EMPTY, 1.5, follows["beta"].numpy()))
        yield


def largest_biases(content):
    """Returns the largest magnitude in each 32-bit bias."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    tensors = [tensor for tensor in model.subgraphs[0].tensors if tensor.type == schema.TensorType.INT32]
    data = [model.buffers[tensor.buffer].data for tensor in tensors if tensor.quantization.scale is not None]
    return [np.abs(np.frombuffer(bytes(values), np.int32).astype(np.int64)).max() for values in data]


@pytest.mark.parametrize("weights", [0.0, 1e-12], ids=["no weights", "next to none"])
@pytest.mark.parametrize("index", [1, 2])
def test_the_file_computes_what_was_trained(index, weights, tiny, tmp_path):
    images = tiny.calibration[:64]
    with emptied(tiny.qat_model, index, weights):
        content = tflite.convert(tiny.qat_model, Precision.INT8, Io.FLOAT32, tiny.preprocessing)
        trained = tiny.qat_model(images, training=False).numpy()
    assert LARGEST_BIAS * 0.999 < max(largest_biases(content)) < LARGEST_BIAS * 1.001
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    loaded = get_runtime("litert").load(path, threads=1)
    assert np.abs(loaded.predict(images) - trained).max() < 0.03


def test_a_bias_that_does_not_fit_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(tflite, "room_for_biases", nullcontext)
    with (
        emptied(tiny.qat_model, 1, 0.0),
        pytest.raises(ExportError, match="CONV_2D of the int8 model has a bias that does not fit into 32"),
    ):
        tflite.convert(tiny.qat_model, Precision.INT8, Io.UINT8, tiny.preprocessing)


def test_ranges_with_room_stay_and_all_come_back(tiny):
    def ranges():
        variables = [variable for layer in tiny.qat_model.layers for variable in layer.variables]
        return {variable.name: variable.numpy() for variable in variables if "kernel_m" in variable.name}

    before = ranges()
    assert len(before) == 6
    with room_for_biases(tiny.qat_model):
        np.testing.assert_equal(ranges(), before)
    with emptied(tiny.qat_model, 1, 0.0):
        narrow = ranges()
        with room_for_biases(tiny.qat_model):
            changed = {name for name, value in ranges().items() if np.any(value != narrow[name])}
        assert {name.rsplit("/", 1)[-1] for name in changed} == {"kernel_min:0", "kernel_max:0"}
        assert all("conv1" in name for name in changed)
        np.testing.assert_equal(ranges(), narrow)
    np.testing.assert_equal(ranges(), before)
