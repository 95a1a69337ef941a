import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecifar.errors import ModelError
from edgecifar.runtimes.onnx_findings import Arithmetic
from edgecifar.runtimes.onnx_inspection import inspect


def model(weights, activation=np.uint8, *, quantized_output=True, shared=False):
    """A quantized image -> Conv -> Conv, as QDQ."""
    half = np.array(0.5, np.float32)
    zero = np.array(0, activation)
    constants = {"s": half, "z": zero, "w": weights, "zw": np.array(0, np.int8), "zv": np.array(0, np.int8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "s", "z"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["wr"]),
        helper.make_node("DequantizeLinear", ["w", "s", "zw" if shared else "zv"], ["vr"]),
        helper.make_node("Conv", ["x", "wr"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["aq"]),
        helper.make_node("DequantizeLinear", ["aq", "s", "z"], ["ad"]),
        helper.make_node("Conv", ["ad", "vr"], ["b"], name="second", pads=[1, 1, 1, 1]),
    ]
    last = "QuantizeLinear" if quantized_output else "Elu"
    nodes.append(helper.make_node(last, ["b", "s", "z"] if quantized_output else ["b"], ["out"]))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(activation))
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("image", kind, ["N", 2, 4, 4])],
        [helper.make_tensor_value_info("out", kind if quantized_output else TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def saved(tmp_path):
    def save(*arguments, **options):
        path = tmp_path / "m.onnx"
        onnx.save(model(*arguments, **options), path)
        return path

    return save


SAFE = np.full((2, 2, 3, 3), 64, np.int8)
UNSAFE = np.full((2, 2, 3, 3), 127, np.int8)


def test_a_fused_file_is_all_integers_and_safe(saved):
    found = inspect(saved(SAFE))
    assert [layer.arithmetic for layer in found.layers] == [Arithmetic.INTEGER] * 2
    assert [(layer.pairs, layer.unsafe_pairs) for layer in found.layers] == [(18, 0)] * 2
    assert found.advice == ()
    assert found.sentences[-1] == "No pair of weights can saturate on any CPU."


def test_pairs_that_saturate_are_counted_on_images(saved):
    path = saved(UNSAFE)
    assert [layer.unsafe_pairs for layer in inspect(path).layers] == [18, 18]
    dark = inspect(path, np.zeros((1, 2, 4, 4), np.uint8))
    assert dark.saturated == 0
    # One bright pixel in both channels: 255 * (127 + 127) leaves 16 bits wherever the kernel sees it, at the
    # nine places around it, for two output channels.
    image = np.zeros((1, 2, 4, 4), np.uint8)
    image[0, :, 1, 1] = 255
    assert inspect(path, image).layers[0].saturated == 18
    assert "x64quantprecision" in inspect(path).advice[0]


def test_the_order_of_multiplication_is_row_column_channel(saved):
    weights = np.zeros((1, 2, 3, 3), np.int8)
    weights[0, :, 0, 0] = 127  # the two channels of one place are neighbours
    apart = np.zeros((1, 2, 3, 3), np.int8)
    apart[0, 0, 0, :2] = 127  # two places of one channel are not
    both = [np.concatenate([one, one]) for one in (weights, apart)]
    assert [inspect(saved(one)).layers[0].unsafe_pairs for one in both] == [2, 0]


def test_a_layer_in_float_is_named_with_the_reason(saved):
    found = inspect(saved(SAFE, quantized_output=False))
    (island,) = found.float_islands
    assert island.name == "second"
    assert "goes on in float" in island.reason
    assert found.float_operators == {"Elu": 1}


def test_zero_points_that_weights_share_are_named(saved):
    assert inspect(saved(SAFE)).shared_zero_points == ()
    assert inspect(saved(UNSAFE, shared=True)).shared_zero_points == ("zw",)
    assert "cannot" in inspect(saved(UNSAFE, shared=True)).advice[0]


def test_a_batch_of_another_kind_is_refused(saved):
    with pytest.raises(ModelError, match="ONNX Runtime fails"):
        inspect(saved(UNSAFE), np.zeros((1, 2, 4, 4), np.float32))


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "m.onnx"
    broken = model(SAFE)
    broken.graph.node[3].input[0] = "nowhere"
    onnx.save(broken, path)
    with pytest.raises(ModelError, match="refuses it"):
        inspect(path)
