"""Average pools in ONNX Runtime against TFLite's rule, computed here in whole numbers."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecifar.exporting import graph, pools
from edgecifar.exporting.options import Activations


def pool_model(dtype, side, zero_point):
    names = {"s": np.array(0.17124517, np.float32), "z": np.array(zero_point, dtype)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["real"]),
        helper.make_node("AveragePool", ["real"], ["mean"], kernel_shape=[side, side]),
        helper.make_node("QuantizeLinear", ["mean", "s", "z"], ["y"]),
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    built = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", kind, ["N", 1, side, side])],
        [helper.make_tensor_value_info("y", kind, ["N", 1, 1, 1])],
        [numpy_helper.from_array(array, name) for name, array in names.items()],
    )  # fmt: skip
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model, images, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": images})[0].reshape(-1)


def as_tflite(images, side):
    """Half away from zero of the sum of int8 values over their number (TFLite's AVERAGE_POOL_2D)."""
    sums = images.astype(np.int64).sum(axis=(1, 2, 3))
    count = side * side
    return np.sign(sums) * ((2 * np.abs(sums) + count) // (2 * count))


@pytest.mark.parametrize("side", [2, 3, 4, 7, 8])
@pytest.mark.parametrize("activations", list(Activations))
@pytest.mark.parametrize("zero_point", [-128, -24, 0, 16, 121])
def test_half_steps_round_as_in_tflite(side, activations, zero_point):
    random = np.random.default_rng(side)
    images = random.integers(-128, 128, (4000, 1, side, side)).astype(np.int8)
    images[:2000] = np.clip(images[:2000] // 20 + zero_point, -128, 127)
    dtype = np.dtype(activations.value)
    shift = 128 if dtype == np.uint8 else 0
    model = pool_model(dtype, side, zero_point + shift)
    pools.round_as_tflite(model.graph)
    graph.order(model.graph)
    moved = (images.astype(np.int16) + shift).astype(dtype)
    for level in (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ):
        found = run(model, moved, level).astype(np.int64) - shift
        np.testing.assert_array_equal(found, as_tflite(images, side))


@pytest.mark.parametrize("side", [2, 7, 8])
def test_windows_over_the_edge_round_as_in_tflite(side):
    # Small means: ONNX Runtime adds 128 to them before it rounds.
    images = np.random.default_rng(side).integers(-6, 7, (500, 1, 8, 8)).astype(np.int8)
    model = pool_model(np.uint8, side, 128)
    attributes = {"kernel_shape": [side, side], "strides": [1, 1], "pads": [0, 0, side - 1, side - 1]}
    model.graph.node[1].CopyFrom(helper.make_node("AveragePool", ["real"], ["mean"], **attributes))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.UINT8, ["N", 1, 8, 8]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.UINT8, ["N", 1, 8, 8]))
    pools.round_as_tflite(model.graph)
    graph.order(model.graph)
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    found = run(model, (images.astype(np.int16) + 128).astype(np.uint8), level).astype(np.int64) - 128
    expected = np.empty((500, 1, 8, 8), np.int64)
    for row in range(8):
        for column in range(8):
            window = images[:, :, row : row + side, column : column + side].astype(np.int64)
            count, sums = window[0].size, window.sum(axis=(2, 3))
            expected[:, :, row, column] = np.sign(sums) * ((2 * np.abs(sums) + count) // (2 * count))
    np.testing.assert_array_equal(found, expected.reshape(-1))


def test_as_it_came_the_pool_rounds_otherwise():
    images = np.random.default_rng(0).integers(-128, 128, (4000, 1, 8, 8)).astype(np.int8)
    moved = (images.astype(np.int16) + 128).astype(np.uint8)
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    found = run(pool_model(np.uint8, 8, 104), moved, level).astype(np.int64) - 128
    assert np.any(found != as_tflite(images, 8))


def test_a_pool_that_rescales_stays():
    model = pool_model(np.uint8, 2, 128)
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "other"))
    model.graph.node[2].input[1] = "other"
    before = model.SerializeToString()
    pools.round_as_tflite(model.graph)
    assert model.SerializeToString() == before


def test_a_graph_keeps_its_signs():
    model = pool_model(np.uint8, 2, 128)
    pools.round_as_tflite(model.graph)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
