"""The pass on graphs written by hand."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecifar.errors import ExportError
from edgecifar.exporting import graph, qdq
from edgecifar.exporting.boundaries import set_boundaries
from edgecifar.exporting.options import Activations, Io
from edgecifar.exporting.serving import INPUT, OUTPUT


def quantizer(operator, source, result, scale, zero_point):
    return helper.make_node(operator, [source, scale, zero_point], [result])


def rewrite(model, io, activations=Activations.UINT8):
    """The pass and the boundaries, with the names that a finished file has."""
    qdq.set_activations(model, activations)
    found = set_boundaries(model.graph, io)
    return {new: found[old] for old, new in (("in", INPUT), ("out", OUTPUT)) if old in found}


def int8_model(body, constants=()):
    """Returns int8 (N, 4) -> DequantizeLinear -> body (real -> result) -> QuantizeLinear -> int8 (N, 4)."""
    values = [helper.make_tensor_value_info(name, TensorProto.INT8, [1, 4]) for name in ("in", "out")]
    nodes = [
        quantizer("DequantizeLinear", "in", "real", "s", "z"),
        *body,
        quantizer("QuantizeLinear", "result", "out", "s", "z"),
    ]
    initializers = [
        numpy_helper.from_array(array, name)
        for name, array in (("s", np.array(0.5, np.float32)), ("z", np.array(-28, np.int8)), *constants)
    ]
    built = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(content, values):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


def one_by_one(content):
    """Runs a model of batch size 1 on `EVERY`."""
    return np.concatenate([run(content, row[None]) for row in EVERY])


EVERY = np.arange(-128, 128, dtype=np.int8).reshape(64, 4)
RELU = [helper.make_node("Relu", ["real"], ["result"])]


def expected_relu(integers):
    return np.maximum(integers, -28)


def test_unsigned_integers_are_the_signed_ones_moved_by_128():
    model = int8_model(RELU)
    quantizations = rewrite(model, Io.UINT8)
    assert quantizations["image"] == quantizations["probabilities"] == graph.Quantization(0.5, 100)
    found = run(graph.finish(model, None, quantizations), (EVERY.astype(np.int16) + 128).astype(np.uint8))
    np.testing.assert_array_equal(found.astype(np.int16) - 128, expected_relu(EVERY))


def test_signed_boundaries_take_and_give_the_signed_integers():
    model = int8_model(RELU)
    quantizations = rewrite(model, Io.INT8)
    assert quantizations["image"] == graph.Quantization(0.5, -28)
    found = run(graph.finish(model, None, quantizations), EVERY)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, expected_relu(EVERY))


@pytest.mark.parametrize("activations", list(Activations))
def test_float_boundaries_quantize_inside(activations):
    model = int8_model(RELU)
    assert rewrite(model, Io.FLOAT32, activations) == {}
    found = run(graph.finish(model, None, {}), (EVERY.astype(np.float32) + 28) * 0.5)
    np.testing.assert_array_equal(found, (expected_relu(EVERY) + 28.0) * 0.5)


def test_signed_activations_keep_the_integers():
    model = int8_model(RELU)
    quantizations = rewrite(model, Io.UINT8, Activations.INT8)
    assert quantizations["image"] == graph.Quantization(0.5, 100)
    inner = [array.dtype for name, array in graph.arrays(model.graph).items() if name.endswith("/zero_point")]
    assert np.dtype(np.int8) in inner
    found = run(graph.finish(model, None, quantizations), (EVERY.astype(np.int16) + 128).astype(np.uint8))
    np.testing.assert_array_equal(found.astype(np.int16) - 128, expected_relu(EVERY))


def test_a_pair_that_changes_nothing_goes():
    body = [
        helper.make_node("Relu", ["real"], ["r"]),
        quantizer("QuantizeLinear", "r", "q", "s", "z"),
        quantizer("DequantizeLinear", "q", "d", "s", "z"),
        quantizer("QuantizeLinear", "d", "q2", "s", "z"),
        quantizer("DequantizeLinear", "q2", "result", "s", "z"),
    ]
    model = int8_model(body)
    rewrite(model, Io.UINT8)
    operators = [node.op_type for node in model.graph.node]
    # What is left: in -> D -> Relu -> Q -> out, without D -> Q in between.
    assert operators.count("QuantizeLinear") == 1
    assert operators.count("DequantizeLinear") == 1


def rescaling_model():
    """in -> D -> Relu -> Q -> D -> Q -> out, with another scale inside."""
    constants = [("s2", np.array(0.25, np.float32))]
    body = [
        helper.make_node("Relu", ["real"], ["r"]),
        quantizer("QuantizeLinear", "r", "q", "s2", "z"),
        quantizer("DequantizeLinear", "q", "result", "s2", "z"),
    ]
    return int8_model(body, constants)


def test_a_pair_that_rescales_stays():
    signed = one_by_one(rescaling_model().SerializeToString())
    model = rescaling_model()
    content = graph.finish(model, None, rewrite(model, Io.INT8))
    # Two of the model's own, and one at each boundary.
    assert [node.op_type for node in model.graph.node].count("QuantizeLinear") == 4
    np.testing.assert_array_equal(run(content, EVERY), signed)


def test_constants_that_are_added_move_and_weights_do_not():
    constants = [
        ("added", np.array([-128, 0, 5, 127], np.int8)),
        ("w", np.eye(4, dtype=np.int8) * 2),
        ("zw", np.array(0, np.int8)),
    ]
    body = [
        quantizer("DequantizeLinear", "added", "a", "s", "z"),
        quantizer("DequantizeLinear", "w", "wr", "s", "zw"),
        helper.make_node("MatMul", ["real", "wr"], ["m"]),
        helper.make_node("Add", ["m", "a"], ["result"]),
    ]
    model = int8_model(body, constants)
    signed = one_by_one(model.SerializeToString())
    quantizations = rewrite(model, Io.INT8)
    arrays = graph.arrays(model.graph)
    np.testing.assert_array_equal(arrays["added"], np.array([0, 128, 133, 255], np.uint8))
    assert arrays["w"].dtype == np.int8
    np.testing.assert_array_equal(run(graph.finish(model, None, quantizations), EVERY), signed)


def test_an_operator_that_computes_with_integers_is_refused():
    body = [
        quantizer("QuantizeLinear", "real", "q", "s", "z"),
        helper.make_node("Max", ["q", "z"], ["m"]),
        quantizer("DequantizeLinear", "m", "result", "s", "z"),
    ]
    model = int8_model(body)
    with pytest.raises(ExportError, match="no rule for Max"):
        rewrite(model, Io.UINT8)


def test_zeros_that_layers_share_have_the_scale_of_each():
    # As tf2onnx writes biases of zeros: one constant, and a scale for each layer.
    constants = [
        ("w", np.eye(4, dtype=np.int8) * 2), ("zw", np.array(0, np.int8)), ("none", np.zeros(4, np.int32)),
        ("s2", np.array(0.25, np.float32)), ("s4", np.array(0.125, np.float32)),
        ("zb", np.array(0, np.int32)),
    ]  # fmt: skip
    body = [
        quantizer("DequantizeLinear", "w", "wr", "s", "zw"),
        quantizer("DequantizeLinear", "none", "b1", "s2", "zb"),
        quantizer("DequantizeLinear", "none", "b2", "s4", "zb"),
        helper.make_node("Gemm", ["real", "wr", "b1"], ["g"]),
        quantizer("QuantizeLinear", "g", "q", "s2", "z"),
        quantizer("DequantizeLinear", "q", "d", "s2", "z"),
        helper.make_node("Gemm", ["d", "wr", "b2"], ["result"]),
    ]
    model = int8_model(body, constants)
    qdq.set_activations(model, Activations.UINT8)
    arrays = graph.arrays(model.graph)
    scales = [
        float(arrays[node.input[1]])
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] == "none"
    ]
    assert scales == [0.25, 0.125]


@pytest.mark.parametrize("activations", list(Activations))
def test_operators_that_join_and_cut_integers_move_them(activations):
    # As tf2onnx writes a concatenation of tensors of one scale: it joins the integers.
    constants = [("start", np.array([1])), ("end", np.array([5])), ("axis", np.array([1]))]
    body = [
        helper.make_node("Relu", ["real"], ["r"]),
        quantizer("QuantizeLinear", "r", "q", "s", "z"),
        helper.make_node("Split", ["q"], ["left", "right"], axis=1, num_outputs=2),
        helper.make_node("Concat", ["right", "left", "right"], ["c"], axis=1),
        helper.make_node("Slice", ["c", "start", "end", "axis"], ["cut"]),
        quantizer("DequantizeLinear", "cut", "d", "s", "z"),
        helper.make_node("Relu", ["d"], ["result"]),
    ]
    model = int8_model(body, constants)
    model.opset_import[0].version = 18
    signed = one_by_one(model.SerializeToString())
    content = graph.finish(model, None, rewrite(model, Io.INT8, activations))
    np.testing.assert_array_equal(one_by_one(content), signed)
    np.testing.assert_array_equal(signed, expected_relu(EVERY)[:, [3, 0, 1, 2]])


def test_a_constant_among_integers_that_are_joined_is_refused():
    body = [
        quantizer("QuantizeLinear", "real", "q", "s", "z"),
        helper.make_node("Concat", ["q", "fixed"], ["c"], axis=1),
        quantizer("DequantizeLinear", "c", "result", "s", "z"),
    ]
    model = int8_model(body, [("fixed", np.zeros((1, 1), np.int8))])
    with pytest.raises(ExportError, match="no rule for Concat of integers and constants"):
        rewrite(model, Io.UINT8)


def test_the_file_is_the_same_whatever_the_order_and_counters_were():
    def build(offset, order):
        nodes = [
            helper.make_node("Relu", ["x"], [f"Relu__{offset}:0"], name=f"Relu__{offset}"),
            helper.make_node("Neg", ["x"], [f"Neg__{offset + 1}:0"], name=f"Neg__{offset + 1}"),
            helper.make_node("Add", [f"Relu__{offset}:0", f"Neg__{offset + 1}:0"], ["y"], name="sum"),
        ]
        nodes = [nodes[index] for index in order]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("x", "y")]
        unused = numpy_helper.from_array(np.zeros(offset, np.float32), f"const__{offset}")
        built = helper.make_graph(
            nodes, f"tmp{offset}", values[:1], values[1:], [unused], doc_string=str(offset)
        )
        domains = [helper.make_opsetid("ai.onnx.ml", 2), helper.make_opsetid("", 17)]
        return graph.finish(helper.make_model(built, opset_imports=domains, ir_version=8), None, {})

    assert build(3, (0, 1, 2)) == build(40, (1, 0, 2))


def test_a_reshape_written_for_one_image_takes_any_batch():
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 2]),
              helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])]  # fmt: skip
    shape = numpy_helper.from_array(np.array([1, 4], np.int64), "shape")
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:], [shape]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    content = graph.finish(model, None, {})
    assert run(content, np.zeros((5, 2, 2), np.float32)).shape == (5, 4)


def test_the_checker_refuses_a_wrong_graph():
    model = int8_model([helper.make_node("Relu", ["nowhere"], ["result"])])
    with pytest.raises(ExportError, match="checker refuses"):
        graph.finish(model, None, {})


def test_quantizations_are_in_the_metadata():
    model = int8_model(RELU)
    content = graph.finish(model, None, rewrite(model, Io.UINT8))
    metadata = {item.key: item.value for item in onnx.load_from_string(content).metadata_props}
    assert metadata["quantization.image"] == '{"scale": 0.5, "zero_point": 100}'


def padded_model(value, mode="constant", *, is_quantized=False):
    """int8 or float32 (1, 4) -> integers -> Pad -> (1, 7) -> DequantizeLinear -> Relu -> int8."""
    model = int8_model(RELU, [("pads", np.array([0, 1, 0, 2]))])
    nodes, given = model.graph.node, []
    if value is not None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int8), "value"))
        given = ["value"]
    nodes[0].input[0] = "padded"
    nodes.insert(0, helper.make_node("Pad", ["in", "pads", *given], ["padded"], mode=mode))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 7
    if is_quantized:
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
        nodes[0].input[0] = "integers"
        nodes.insert(0, quantizer("QuantizeLinear", "in", "integers", "s", "z"))
    return model


@pytest.mark.parametrize("value", [None, -28, 7])
@pytest.mark.parametrize("mode", ["constant", "edge"])
@pytest.mark.parametrize("activations", list(Activations))
def test_padding_of_integers_moves_with_them(value, mode, activations):
    model = padded_model(value, mode)
    expected = one_by_one(model.SerializeToString())
    assert mode == "edge" or np.all(expected[:, 0] == (value or 0))
    quantizations = rewrite(model, Io.INT8, activations)
    np.testing.assert_array_equal(one_by_one(graph.finish(model, None, quantizations)), expected)


@pytest.mark.parametrize("io", [Io.INT8, Io.FLOAT32])
def test_padding_behind_a_quantizer_moves_too(io):
    model = padded_model(None, is_quantized=True)
    content = model.SerializeToString()
    reals = (EVERY.astype(np.float32) + 28) / 2
    expected = np.concatenate([run(content, row[None]) for row in reals])
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT8
    quantizations = rewrite(model, io)
    made = graph.finish(model, None, quantizations)
    found = np.concatenate([run(made, row[None]) for row in (EVERY if io is Io.INT8 else reals)])
    np.testing.assert_array_equal(found if io is Io.INT8 else 2 * found - 28, expected)


def test_padding_that_is_computed_is_refused():
    model = padded_model(3)
    del model.graph.initializer[-1]
    model.graph.node.insert(0, helper.make_node("Identity", ["z"], ["value"]))
    with pytest.raises(ExportError, match="value is computed while the model runs"):
        rewrite(model, Io.UINT8)


def test_a_pad_of_floats_is_no_boundary_of_integers():
    model = padded_model(None, is_quantized=True)
    quantize, pad = model.graph.node[0], model.graph.node[1]
    quantize.input[0], quantize.output[0] = "padded_real", "padded"
    pad.input[0], pad.output[0] = "in", "padded_real"
    model.graph.node.insert(0, model.graph.node.pop(1))
    with pytest.raises(ExportError, match="Pad reads it"):
        rewrite(model, Io.UINT8)
