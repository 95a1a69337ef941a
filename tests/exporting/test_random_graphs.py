"""Random small QDQ graphs of all operators that carry quantized values give the same integers, rewritten.

Scales are powers of two, so that sums and products are exact in float32 and both ways of computing, integers
and dequantized floats, round the same numbers.
"""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecifar.exporting import onnx as exporter
from edgecifar.exporting.options import Activations, Io, WeightRange

GRAPHS = 40
ROUNDS_ELSEWHERE = {"Add", "Mul", "AveragePool"}
"""ONNX Runtime's integer kernels of these round half steps, which powers of two make frequent, otherwise than
its own QuantizeLinear: the source does so too, once it is optimized."""
CHANNELS, SIZE = 4, 8


class Builder:
    """A chain of quantized operators on int8 (1, 4, 8, 8) tensors, from an int8 image to 10 int8 values."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants, self.count = [], [], 0

    def constant(self, array) -> str:
        self.count += 1
        name = f"c{self.count}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, operator, *inputs, **attributes) -> str:
        self.count += 1
        name = f"t{self.count}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def parameters(self) -> tuple[str, str]:
        scale = np.float32(2.0 ** self.random.integers(-6, -2))
        return self.constant(scale), self.constant(np.int8(self.random.integers(-128, 128)))

    def quantized(self, real, parameters=None) -> str:
        """Quantizes and dequantizes a real tensor."""
        pair = parameters or self.parameters()
        return self.node("DequantizeLinear", self.node("QuantizeLinear", real, *pair), *pair)

    def weights(self, shape, axis) -> tuple[str, np.ndarray]:
        scales = (2.0 ** self.random.integers(-8, -5, shape[axis])).astype(np.float32)
        # Up to 64 in magnitude: nothing saturates, whatever the machine.
        values = self.constant(self.random.integers(-64, 65, shape).astype(np.int8))
        zeros = self.constant(np.zeros(shape[axis], np.int8))
        return self.node("DequantizeLinear", values, self.constant(scales), zeros, axis=axis), scales

    def step(self, operator, real) -> str:
        if operator in {"Conv", "Depthwise"}:
            group = CHANNELS if operator == "Depthwise" else 1
            weights, _ = self.weights((CHANNELS, CHANNELS // group, 3, 3), 0)
            return self.node("Conv", real, weights, group=group, pads=[1, 1, 1, 1], kernel_shape=[3, 3])
        if operator in {"Add", "Mul"}:
            return self.node(operator, real, self.quantized(self.node("Relu", real)))
        if operator == "Concat":
            wide = self.quantized(self.node("Concat", real, self.quantized(self.node("Relu", real)), axis=1))
            weights, _ = self.weights((CHANNELS, 2 * CHANNELS, 1, 1), 0)
            return self.node("Conv", wide, weights, kernel_shape=[1, 1])
        if operator in {"MaxPool", "AveragePool"}:
            # A window of two by two: a mean of four integers is exact.
            padded = self.node("Pad", real, self.constant(np.array([0, 0, 0, 0, 0, 0, 1, 1])))
            return self.node(operator, self.quantized(padded), kernel_shape=[2, 2])
        there = self.node("QuantizeLinear", real, *(pair := self.parameters()))
        moved = self.node("Transpose", there, perm=[0, 1, 3, 2])
        return self.node("DequantizeLinear", moved, *pair)

    def model(self) -> onnx.ModelProto:
        image = self.parameters()
        real = self.node("DequantizeLinear", "in", *image)
        operators = ["Conv", "Depthwise", "Add", "Mul", "Concat", "MaxPool", "AveragePool", "Transpose"]
        for operator in self.random.choice(operators, 3, replace=False):
            real = self.quantized(self.step(operator, real))
        mean = self.quantized(self.node("ReduceMean", real, axes=[2, 3], keepdims=1))
        pair = self.parameters()
        flat = self.node("QuantizeLinear", mean, *pair)
        flat = self.node("Squeeze", flat, self.constant(np.array([2, 3])))
        flat = self.node(
            "DequantizeLinear", self.node("Reshape", flat, self.constant(np.array([1, -1]))), *pair
        )
        weights, _ = self.weights((CHANNELS, 10), 1)
        logits = self.quantized(self.node("MatMul", flat, weights))
        end = (self.constant(np.float32(1 / 256)), self.constant(np.int8(-128)))
        self.nodes.append(
            helper.make_node("QuantizeLinear", [self.node("Softmax", logits, axis=1), *end], ["out"])
        )
        values = [
            helper.make_tensor_value_info("in", TensorProto.INT8, [1, CHANNELS, SIZE, SIZE]),
            helper.make_tensor_value_info("out", TensorProto.INT8, [1, 10]),
        ]
        graph = helper.make_graph(self.nodes, "g", values[:1], values[1:], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(content, images, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_a_rewritten_graph_gives_the_integers_of_its_source(seed):
    source = Builder(seed).model().SerializeToString()
    images = np.random.default_rng(seed).integers(-128, 128, (8, CHANNELS, SIZE, SIZE)).astype(np.int8)
    levels = onnxruntime.GraphOptimizationLevel
    expected = run(source, images, levels.ORT_DISABLE_ALL)
    for activations in Activations:
        made = exporter.rewrite_int8(source, Io.INT8, activations, WeightRange.FULL)
        np.testing.assert_array_equal(run(made, images, levels.ORT_DISABLE_ALL), expected)
        optimized = run(made, images, levels.ORT_ENABLE_ALL).astype(int)
        if ROUNDS_ELSEWHERE & {node.op_type for node in onnx.load_from_string(source).graph.node}:
            assert np.abs(optimized - expected).max() <= 2
        else:
            np.testing.assert_array_equal(optimized, expected)


def test_the_graphs_are_not_trivial():
    images = np.random.default_rng(0).integers(-128, 128, (8, CHANNELS, SIZE, SIZE)).astype(np.int8)
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    spread = [
        len(np.unique(run(Builder(seed).model().SerializeToString(), images, level))) for seed in range(10)
    ]
    assert np.mean(np.array(spread) > 3) >= 0.7
