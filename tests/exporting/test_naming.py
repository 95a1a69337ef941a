from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecifar.exporting.naming import shorten
from edgecifar.exporting.onnx import convert_int8
from edgecifar.exporting.options import Io

EXPORTED = Path(__file__).parents[2] / "exported"
STEM = "net/relu/Relu;net/bn/FusedBatchNormV3;net/conv/Conv2D"


def quantized_conv(prefix="", counter=7):
    """image -> Transpose -> DQ -> Conv -> Relu -> Q -> DQ -> Mul (float) -> real, named as tf2onnx does."""
    long = f"{prefix}{STEM}"

    def node(operator, inputs, output, **attributes):
        return helper.make_node(operator, inputs, [output], name=f"{output}_node__{counter}", **attributes)

    scale, zero = f"{long}/scale", f"{long}/zero_point"
    constants = {
        scale: 0.5, zero: 3, f"{long}/weights": [[[[1]]]] * 2, f"{long}/weights_scale": 0.25,
        f"{long}/weights_zero": 0, "factor": 2.0,
    }  # fmt: skip
    types = {scale: "float32", f"{long}/weights_scale": "float32", "factor": "float32", zero: "uint8"}
    nodes = [
        node("Transpose", ["image"], f"{long}__{counter}", perm=[0, 3, 1, 2]),
        node("DequantizeLinear", [f"{long}__{counter}", scale, zero], f"{long}_in"),
        node("DequantizeLinear", [f"{long}/weights", f"{long}/weights_scale", f"{long}/weights_zero"], "w"),
        helper.make_node("Conv", [f"{long}_in", "w"], ["raw"], name=f"{long}_prequant__{counter}"),
        node("Relu", ["raw"], "Relu:0"),
        node("QuantizeLinear", ["Relu:0", scale, zero], f"{long}:0"),
        node("DequantizeLinear", [f"{long}:0", scale, zero], f"{long}_out"),
        node("Mul", [f"{long}_out", "factor"], "net/mul/mul:0"),
        helper.make_node("Softmax", ["net/mul/mul:0"], ["real"], name="net/softmax/Softmax"),
    ]
    return helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 4, 4, 1])],
        [helper.make_tensor_value_info("real", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(v, types.get(k, "int8")), k)
         for k, v in constants.items()],
    )  # fmt: skip


def test_layers_and_what_they_give_keep_readable_names_and_the_rest_is_numbered():
    graph = quantized_conv()
    shorten(graph)
    assert [(node.op_type, node.name, list(node.input), list(node.output)) for node in graph.node] == [
        ("Transpose", "", ["image"], ["t1"]),
        ("DequantizeLinear", "", ["t1", "s1", "z1"], ["t2"]),
        ("DequantizeLinear", "", ["c1", "s2", "z2"], ["t3"]),
        ("Conv", "net/conv/Conv2D", ["t2", "t3"], ["t4"]),
        ("Relu", "Relu:0_node", ["t4"], ["t5"]),
        ("QuantizeLinear", "", ["t5", "s1", "z1"], ["net/relu/Relu"]),
        ("DequantizeLinear", "", ["net/relu/Relu", "s1", "z1"], ["t6"]),
        # In float: its result is what its layer gives.
        ("Mul", "net/mul/mul:0_node", ["t6", "c2"], ["net/mul/mul"]),
        ("Softmax", "net/softmax/Softmax", ["net/mul/mul"], ["real"]),
    ]
    assert {item.name for item in graph.initializer} == {"c1", "c2", "s1", "s2", "z1", "z2"}


def test_the_names_do_not_depend_on_a_converters_counters():
    one, other = quantized_conv(counter=7), quantized_conv(counter=1234)
    shorten(one)
    shorten(other)
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def test_two_of_a_name_are_told_apart_and_none_meets_the_input():
    graph = quantized_conv()
    twin = quantized_conv()
    for node in list(twin.node)[5:7]:
        # Another tensor whose first layer is the same, and one that is called as the graph's input is.
        for field in (node.input, node.output):
            field[:] = [name.replace(f"{STEM}:0", "image;other").replace("_out", "_b") for name in field]
    graph.node.extend([twin.node[5], twin.node[6]])
    graph.node.append(helper.make_node("Add", ["net/mul/mul:0", f"{STEM}_b"], ["sum"], name=f"x;{STEM}"))
    next(node for node in graph.node if node.op_type == "Softmax").input[0] = "sum"
    shorten(graph)
    outputs = Counter(name for node in graph.node for name in node.output)
    assert max(outputs.values()) == 1
    assert {"image_2", "net/relu/Relu", "net/mul/mul", "net/conv/Conv2D", "real"} <= {*outputs} | {
        node.name for node in graph.node
    }
    names = [node.name for node in graph.node if node.name]
    assert len(names) == len(set(names))
    assert "net/conv/Conv2D_2" in names


@pytest.mark.parametrize("name", ["tiny-resnet8", "seed-vgg6"])
def test_an_int8_file_is_hardly_larger_than_its_tflite_twin(name):
    tflite = (EXPORTED / name / "model.int8.tflite").read_bytes()
    content = convert_int8(tflite, Io.UINT8)
    assert len(content) <= 1.01 * len(tflite)
    graph = onnx.load_from_string(content).graph
    layers = [node for node in graph.node if node.op_type in {"Conv", "Gemm"}]
    assert all(node.name.startswith(name.split("-")[1] + "/quant_") for node in layers)
    assert not [node.name for node in layers if ";" in node.name or "prequant" in node.name]
