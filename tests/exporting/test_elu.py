import math

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf_keras
from onnx import TensorProto, helper, numpy_helper
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.exporting import elu, integers, onnx
from edgecifar.exporting.options import Activations, Io
from edgecifar.exporting.tflite_codes import pack, unpacked_code_of
from edgecifar.runtimes import get_runtime

IMAGES = np.random.default_rng(0).integers(-128, 128, (40, 8, 8, 3), np.int8)


@pytest.fixture(scope="module")
def with_float_elu() -> bytes:
    """An int8 file as TensorFlow's converter makes it: a convolution, ELU in float, and a dense layer."""
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(3)
    image = layers.Input((8, 8, 3), batch_size=1)
    x = layers.ELU()(layers.Conv2D(4, 3)(image))
    model = tf_keras.Model(image, layers.Softmax()(layers.Dense(5)(layers.Flatten()(x))))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    values = IMAGES.astype(np.float32) / 40
    converter.representative_dataset = lambda: ([image[None]] for image in values)
    content = bytes(converter.convert())
    assert integers.float_operators(content) == ("ELU",)
    return content


def answers(content: bytes, folder, runtime="litert", images=IMAGES) -> np.ndarray:
    path = folder / ("model.onnx" if runtime == "ort-cpu" else "model.tflite")
    path.write_bytes(content)
    model = get_runtime(runtime).load(path, threads=1)
    return np.concatenate([model.predict(image[None]) for image in images])


def codes(content: bytes) -> list[int]:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return [unpacked_code_of(model, operator) for operator in model.subgraphs[0].operators]


def test_the_file_computes_the_same_in_integers_throughout(with_float_elu, tmp_path):
    made = elu.make_integer(with_float_elu)
    assert integers.float_operators(made) == ()
    operators = schema.BuiltinOperator
    before = codes(with_float_elu)
    assert codes(made) == [code for code in before if code not in (operators.QUANTIZE, operators.DEQUANTIZE)]
    assert elu.make_integer(made) == made
    for runtime in ("litert", "litert-builtin"):
        expected = answers(with_float_elu, tmp_path, runtime)
        assert len(np.unique(expected)) > 20
        np.testing.assert_array_equal(answers(made, tmp_path, runtime), expected)


def test_no_tensor_is_left_that_nothing_uses(with_float_elu):
    graph = schema.ModelT.InitFromPackedBuf(elu.make_integer(with_float_elu), 0).subgraphs[0]
    used = {int(index) for operator in graph.operators for index in (*operator.inputs, *operator.outputs)}
    assert used - {-1} == set(range(len(graph.tensors)))  # -1: a layer without a bias
    assert not any(tensor.type == schema.TensorType.FLOAT32 for tensor in graph.tensors)


def test_an_elu_whose_floats_something_else_reads_stays(with_float_elu):
    model = schema.ModelT.InitFromPackedBuf(with_float_elu, 0)
    graph = model.subgraphs[0]
    (place,) = (i for i, code in enumerate(codes(with_float_elu)) if code == schema.BuiltinOperator.ELU)
    graph.outputs = [*graph.outputs, graph.operators[place].outputs[0]]
    content = pack(model)
    assert elu.make_integer(content) == content


def test_a_file_without_elu_comes_back_as_it_is(int8_files):
    content = int8_files["float_model", Io.UINT8]
    assert elu.make_integer(content) is content


@pytest.mark.parametrize("activations", Activations)
def test_the_onnx_twin_gives_the_same_integers(activations, with_float_elu, tmp_path):
    made = elu.make_integer(with_float_elu)
    twin = onnx.convert_int8(made, Io.INT8, activations=activations)
    np.testing.assert_array_equal(answers(twin, tmp_path, "ort-cpu"), answers(made, tmp_path))


def qdq_elu(scale, zero_point, out_scale, out_zero_point) -> "onnx.onnx.ModelProto":
    dtype = zero_point.dtype
    element = helper.np_dtype_to_tensor_dtype(dtype)
    constants = {"a": np.float32(scale), "b": zero_point, "c": np.float32(out_scale), "d": out_zero_point}
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["x", "a", "b"], ["real"]),
            helper.make_node("Elu", ["real"], ["elu"]),
            helper.make_node("QuantizeLinear", ["elu", "c", "d"], ["y"]),
        ],
        "elu",
        [helper.make_tensor_value_info("x", element, ["N"])],
        [helper.make_tensor_value_info("y", element, ["N"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    assert element in (TensorProto.INT8, TensorProto.UINT8)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def expected_table(scale, zero_point, out_scale, out_zero_point) -> list[int]:
    """By Python's own arithmetic: halves away from zero, clamped."""
    limits = np.iinfo(zero_point.dtype)
    results = []
    for integer in range(limits.min, limits.max + 1):
        real = (integer - int(zero_point)) * float(np.float32(scale))
        steps = (math.expm1(real) if real < 0 else real) / float(np.float32(out_scale))
        rounded = math.floor(abs(steps) + 0.5) * (1 if steps >= 0 else -1)
        results.append(min(max(rounded + int(out_zero_point), limits.min), limits.max))
    return results


@pytest.mark.parametrize(
    ("parameters", "nodes"),
    [
        ((0.0731, np.uint8(128), 0.0403, np.uint8(25)), ["DequantizeLinear", "Elu", "QuantizeLinear"]),
        ((0.0731, np.int8(0), 0.0403, np.int8(-103)), ["DequantizeLinear", "Elu", "QuantizeLinear"]),
        # Each second positive input lies on a half step, which ONNX Runtime rounds to even.
        ((0.03125, np.uint8(128), 0.0625, np.uint8(16)), ["Cast", "Gather"]),
        ((0.03125, np.int8(0), 0.0625, np.int8(-112)), ["Cast", "Gather"]),
        # It lies a hair beside one, where other builds may round it otherwise.
        (
            (np.nextafter(np.float32(0.03125), np.float32(1)), np.uint8(128), 0.0625, np.uint8(16)),
            ["Cast", "Gather"],
        ),
    ],
    ids=["uint8", "int8", "uint8 with ties", "int8 with ties", "uint8 beside ties"],
)
def test_every_byte_gives_what_tflite_gives(parameters, nodes):
    model = qdq_elu(*parameters)
    elu.follow_tflite(model.graph)
    used = {node.op_type for node in model.graph.node if node.output[0] in needed(model.graph)}
    assert used == set(nodes)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    limits = np.iinfo(parameters[1].dtype)
    inputs = np.arange(limits.min, limits.max + 1).astype(parameters[1].dtype)
    assert session.run(None, {"x": inputs})[0].tolist() == expected_table(*parameters)


def needed(graph) -> set[str]:
    """Returns the tensors on which the output depends."""
    found, pending = set(), [graph.output[0].name]
    while pending:
        name = pending.pop()
        found.add(name)
        pending += [source for node in graph.node if name in node.output for source in node.input]
    return found


def test_an_elu_between_floats_stays():
    model = qdq_elu(0.03125, np.uint8(128), 0.0625, np.uint8(16))
    model.graph.node.pop()
    model.graph.output[0].name = "elu"
    before = model.SerializeToString()
    elu.follow_tflite(model.graph)
    assert model.SerializeToString() == before
