"""The first convolution computes several columns at once, and gives the same integers."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecifar.exporting.first_layer import join_first_columns
from edgecifar.exporting.graph import order
from edgecifar.exporting.onnx import rewrite_int8
from edgecifar.exporting.options import Activations, Io, WeightRange
from edgecifar.runtimes.onnx_inspection import inspect
from edgecifar.runtimes.onnx_layers import TappedOnnx

SIZE = 8


def network(channels=8, inputs=3, width=SIZE, kernel=3, biases=1, **attributes):
    """image (N, 8, width, inputs) -> convolution, ReLU, quantizer -> convolution of one -> its integers."""
    random = np.random.default_rng(channels)
    side, scales = kernel // 2, random.uniform(0.001, 0.01, channels).astype(np.float32)
    constants = {
        "si": np.float32(1 / 64), "zi": np.uint8(121),
        "w": random.integers(-64, 65, (channels, inputs, kernel, kernel)).astype(np.int8),
        "sw": scales, "zw": np.zeros(channels, np.int8),
        "b": random.integers(-999, 999, channels).astype(np.int32),
        "sb": scales / 64, "so": np.float32(0.02), "zo": np.uint8(0),
        "v": random.integers(-64, 65, (4, channels, 1, 1)).astype(np.int8),
        "sv": np.float32(0.01), "zv": np.int8(0), "sr": np.float32(0.05), "zr": np.uint8(128),
    }  # fmt: skip
    first = {"kernel_shape": [kernel, kernel], "pads": [side] * 4} | attributes

    def dequantize(tensor, real, *parameters, **options):
        return helper.make_node("DequantizeLinear", [tensor, *parameters], [real], **options)

    nodes = [
        helper.make_node("Transpose", ["image"], ["x"], perm=[0, 3, 1, 2]),
        dequantize("x", "xr", "si", "zi"),
        dequantize("w", "wr", "sw", "zw", axis=0),
        dequantize("b", "br", "sb", axis=0),
        helper.make_node("Conv", ["xr", "wr", *["br"] * biases], ["raw"], name="stem", **first),
        helper.make_node("Relu", ["raw"], ["active"]),
        helper.make_node("QuantizeLinear", ["active", "so", "zo"], ["stem/Relu"]),
        dequantize("stem/Relu", "sr_", "so", "zo"),
        dequantize("v", "vr", "sv", "zv"),
        helper.make_node("Conv", ["sr_", "vr"], ["raw2"], name="last", kernel_shape=[1, 1]),
        helper.make_node("QuantizeLinear", ["raw2", "sr", "zr"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIZE, width, inputs])],
        [helper.make_tensor_value_info("out", TensorProto.UINT8, ["N", 4, None, None])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    order(graph)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def joined(model):
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    join_first_columns(changed.graph)
    order(changed.graph)
    onnx.checker.check_model(changed, full_check=True)
    return changed


def run(model, images, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def weights(model):
    return next(list(item.dims) for item in model.graph.initializer if item.name == "w")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Four columns of three channels in a block, two blocks wide.
        ({}, [4 * 8, 4 * 3, 3, 2]),
        ({"biases": 0}, [4 * 8, 4 * 3, 3, 2]),
        ({"kernel": 5}, [4 * 8, 4 * 3, 5, 2]),
        ({"kernel": 5, "pads": [2, 1, 2, 3]}, [4 * 8, 4 * 3, 5, 2]),
        ({"kernel": 7}, [4 * 8, 4 * 3, 7, 3]),
        ({"inputs": 1}, [4 * 8, 4, 3, 2]),
        ({"inputs": 2, "width": 6}, [2 * 8, 2 * 2, 3, 2]),
        ({"pads": [0, 0, 0, 0], "width": 10}, [4 * 8, 4 * 3, 3, 2]),
        # Blocks of two columns have six channels: column by column.
        ({"channels": 64}, [2 * 64, 3, 3, 3 + 1]),
        ({"width": 6}, [2 * 8, 3, 3, 3 + 1]),
    ],
    ids=str,
)
def test_the_integers_stay(options, expected):
    model = network(**options)
    changed = joined(model)
    assert weights(changed) == expected
    value = model.graph.input[0].type.tensor_type.shape.dim
    size = (5, *(one.dim_value for one in list(value)[1:]))
    images = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    outputs = run(model, images)
    assert len(np.unique(outputs)) > 20, "the outputs are no example"
    np.testing.assert_array_equal(run(changed, images), outputs)


@pytest.mark.parametrize("activations", list(Activations))
@pytest.mark.parametrize("io", list(Io))
def test_a_file_with_blocks_can_be_rewritten(activations, io):
    model = network()
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
    made = rewrite_int8(joined(model).SerializeToString(), io, activations, WeightRange.FULL)
    images = np.random.default_rng(2).integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.uint8)
    given = {
        Io.UINT8: images,
        Io.INT8: (images.astype(int) - 128).astype(np.int8),
        Io.FLOAT32: (images.astype(np.float32) - 121) / 64,
    }
    # In float, whichever activations: the same sums.
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    found = run(onnx.load_from_string(made), given[io], level)
    if io is Io.FLOAT32:
        found = np.round(found / np.float32(0.05)) + 128
    expected = run(model, images, level).astype(int)
    np.testing.assert_array_equal(found.astype(int) + (128 if io is Io.INT8 else 0), expected)


def test_an_image_that_another_layer_reads_too_is_not_read_in_blocks():
    model = network()
    model.graph.node.append(helper.make_node("DequantizeLinear", ["x", "si", "zi"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [None] * 4))
    assert weights(joined(model)) == [4 * 8, 3, 3, 3 + 3]


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": 4},
        {"channels": 65},
        {"width": 7},
        {"strides": [2, 2]},
        {"kernel": 1},
        {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
    ],
    ids=str,
)
def test_where_it_does_not_pay_or_fit_nothing_changes(options):
    model = network(**options)
    assert joined(model) == model


def test_weights_that_another_layer_reads_stay():
    model = network()
    model.graph.node.append(helper.make_node("Identity", ["wr"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [8, 3, 3, 3]))
    order(model.graph)
    assert joined(model) == model


@pytest.mark.parametrize(
    "options",
    [{}, {"kernel": 5, "pads": [2, 1, 2, 3]}, {"pads": [0, 0, 0, 0], "width": 10}, {"channels": 64}],
    ids=str,
)
def test_a_reader_of_layers_sees_the_plain_convolution(options, tmp_path):
    model = network(**options)
    size = (3, SIZE, options.get("width", SIZE), 3)
    images = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8)
    found = []
    for name, each in (("plain", model), ("joined", joined(model))):
        path = tmp_path / f"{name}.onnx"
        onnx.save(each, path)
        tapped = TappedOnnx(path, "ort-cpu", 1)
        found.append((tapped.layers[0], tapped.run(images)))
        layers = inspect(path).layers
        assert [layer.operator for layer in layers] == ["QLinearConv", "QLinearConv"]
        assert not any(layer.unsafe_pairs for layer in layers)
    (plain, outputs), (parted, others) = found
    assert (parted.name, parted.geometry, parted.output) == (plain.name, plain.geometry, plain.output)
    for name in ("weights", "bias", "weight_scales"):
        np.testing.assert_array_equal(getattr(parted, name), getattr(plain, name))
    for one, other in zip(outputs.outputs, others.outputs, strict=True):
        np.testing.assert_array_equal(other, one)
    np.testing.assert_array_equal(others.image, outputs.image)
