from dataclasses import dataclass

import flatbuffers
import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.errors import ExportError
from edgecifar.exporting import saturation
from edgecifar.exporting.options import Io
from edgecifar.runtimes import get_runtime, pairs

INPUT_SCALE = np.float32(0.5)
SOURCES = ("float_model", "qat_model")


@dataclass(frozen=True)
class Constant:
    """A tensor of a TFLite file with its content."""

    values: np.ndarray
    scales: np.ndarray
    zero_point: int = 0
    axis: int = 0
    buffer: int | None = None
    """Of the file built; None: a buffer of its own."""


def kernel(values, scales, **options) -> Constant:
    return Constant(np.array(values, np.int8), np.array(scales, np.float32), **options)


def bias(values, weights, **options) -> Constant:
    return Constant(np.array(values, np.int32), INPUT_SCALE * weights.scales, **options)


def build(constants, layers, code=schema.BuiltinOperator.FULLY_CONNECTED) -> bytes:
    """A file with an input of two channels, tensor 0, then the constants; a layer is those it reads."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.operatorCodes = [schema.OperatorCodeT()]
    model.operatorCodes[0].builtinCode = code
    model.buffers = [schema.BufferT()]
    graph.tensors, graph.operators = [], []
    source = Constant(np.zeros((1, 1, 1, 2), np.int8), np.array([INPUT_SCALE]), buffer=0)
    for constant in (source, *constants):
        tensor, parameters = schema.TensorT(), schema.QuantizationParametersT()
        tensor.name = f"tensor{len(graph.tensors)}"
        tensor.shape = list(constant.values.shape)
        tensor.type = getattr(schema.TensorType, constant.values.dtype.name.upper())
        tensor.quantization = parameters
        parameters.scale = constant.scales
        parameters.zeroPoint = [constant.zero_point] * len(constant.scales)
        parameters.quantizedDimension = constant.axis
        tensor.buffer = constant.buffer
        if constant.buffer is None:
            tensor.buffer = len(model.buffers)
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = np.frombuffer(constant.values.tobytes(), np.uint8)
        graph.tensors.append(tensor)
    for places in layers:
        operator = schema.OperatorT()
        operator.inputs = [0, *places]
        operator.outputs = []
        graph.operators.append(operator)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def constants_of(content) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Values and scales of the constants by the tensor's name."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    dtypes = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
    return {
        tensor.name.decode(): (
            np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtypes[tensor.type]).reshape(
                tensor.shape
            ),
            np.array(tensor.quantization.scale, np.float32),
        )
        for tensor in model.subgraphs[0].tensors
        if tensor.quantization is not None
        and tensor.quantization.scale is not None
        and model.buffers[tensor.buffer].data is not None
    }


@pytest.mark.parametrize("code", [schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED])
def test_channels_grow_alone_and_the_bias_follows(code):
    weights = kernel([[100, 60, -7], [127, 1, 127]], [0.02, 0.03])
    content = build([weights, bias([1000, -999], weights)], [(1, 2)], code)
    found = constants_of(saturation.make_safe(content))
    values, scales = found["tensor1"]
    assert values.tolist() == [[80, 48, -6], [127, 1, 127]]
    np.testing.assert_allclose(scales, [0.02 * 81412 / 65536, 0.03], rtol=1e-6)
    values, bias_scales = found["tensor2"]
    assert values.tolist() == [805, -999]
    np.testing.assert_allclose(bias_scales, INPUT_SCALE * scales, rtol=1e-6)


def test_neighbours_run_through_rows_columns_and_input_channels():
    # (1, kernel row, kernel column, input channel): 100 ends one kernel row, and 60 begins the next.
    weights = kernel(np.reshape([1, 2, 3, 100, 60, 3, 2, 1], (1, 2, 2, 2)), [0.02])
    safe = saturation.make_safe(build([weights], [(1,)], schema.BuiltinOperator.CONV_2D))
    assert constants_of(safe)["tensor1"][0].ravel()[3:5].tolist() == [80, 48]


def test_a_tensor_with_one_scale_grows_as_a_whole():
    weights = kernel([[100, 60, -7], [100, 1, -100]], [0.02])
    content = build([weights, bias([1000, 1000], weights)], [(1, 2)])
    found = constants_of(saturation.make_safe(content))
    assert found["tensor1"][0].tolist() == [[80, 48, -6], [80, 1, -80]]
    np.testing.assert_allclose(found["tensor1"][1], [0.02 * 81412 / 65536], rtol=1e-6)
    assert found["tensor2"][0].tolist() == [805, 805]


def test_one_filter_per_input_channel_stays():
    weights = kernel(np.full((1, 1, 2, 2), 127), [0.02, 0.03], axis=3)
    content = build([weights], [(1,)], schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    assert saturation.make_safe(content) == content


def test_several_filters_per_input_channel_grow_along_the_kernel():
    filters = np.array([[100, 60, -7], [127, 1, 127], [0, 0, 0], [-128, -128, 0]])
    weights = kernel(filters.T.reshape(1, 1, 3, 4), [0.02, 0.03, 0.04, 0.05], axis=3)
    content = build([weights, bias([1000] * 4, weights)], [(1, 2)], schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    found = constants_of(saturation.make_safe(content))
    safe = found["tensor1"][0].reshape(3, 4).T
    assert safe.tolist() == [[80, 48, -6], [127, 1, 127], [0, 0, 0], [-64, -64, 0]]
    assert found["tensor2"][0].tolist() == [805, 1000, 1000, 504]  # 1000 * 65536 / 130056 = 503.9


def test_a_layer_may_have_no_bias():
    for places in ((1,), (1, -1)):
        found = constants_of(saturation.make_safe(build([kernel([[127, 127]], [0.02])], [places])))
        assert pairs.largest_pair(found["tensor1"][0]) == 128


def test_weights_that_are_computed_stay():
    content = build([kernel(np.zeros((1, 0)), [0.5], buffer=0)], [(1,)])
    assert saturation.make_safe(content) == content


def test_layers_may_share_weights():
    weights = kernel([[100, 60, -7]], [0.02])
    biases = [bias([value], weights) for value in (1000, 500)]
    found = constants_of(saturation.make_safe(build([weights, *biases], [(1, 2), (1, 3)])))
    assert found["tensor1"][0].tolist() == [[80, 48, -6]]
    assert [found[name][0].tolist() for name in ("tensor2", "tensor3")] == [[805], [402]]


def test_zeros_may_be_stored_once_for_all_biases():
    weights = [kernel([[100, 60, -7]], [0.02]), kernel([[1, 2, 3]], [0.02])]
    constants = [bias([0], weights[0]), *weights, bias([0], weights[1], buffer=1)]
    found = constants_of(saturation.make_safe(build(constants, [(2, 1), (3, 4)])))
    scales = [found[name][1] for name in ("tensor1", "tensor4")]
    np.testing.assert_allclose(scales, [[0.01 * 81412 / 65536], [0.01]], rtol=1e-6)


def floats(values) -> Constant:
    return Constant(np.array(values, np.float32), np.array([1.0]))


def test_float_weights_are_rounded_once():
    # 100.4 and 60.4 steps: 160.8 / 128 is more than the 160 / 128 that the integers say.
    content = build([kernel([[100, 60, -7], [127, 1, 127]], [0.02, 0.03])], [(1,)])
    source = build([floats([[2.008, 1.208, -0.15], [3.8, 0.02, 3.82]])], [(1,)])
    values, scales = constants_of(saturation.make_safe(content, source))["tensor1"]
    steps = np.array([2.008, 1.208, -0.15]) / scales[0]
    np.testing.assert_array_equal(values[0], np.rint(steps))
    assert values[0].sum() - values[0][2] == pairs.LARGEST_PAIR
    # The second channel is safe and stays, scale and all.
    assert values[1].tolist() == [127, 1, 127]
    assert scales[1] == np.float32(0.03)


@pytest.mark.parametrize(
    ("constants", "layers", "message"),
    [
        ([floats([[2.0, 1.2, -0.2]])], [(1,), (1,)], "another network"),
        ([floats([[2.0, 1.2]])], [(1,)], "another shape"),
        ([floats([[2.0, 1.0, -0.14]])], [(1,)], "tensor1 are not those of the float model"),
        ([kernel([[100, 60, -7]], [0.02])], [(1,)], "tensor1 of the float model are no floats"),
    ],
)
def test_float_weights_of_another_network_are_refused(constants, layers, message):
    content = build([kernel([[100, 60, -7]], [0.02])], [(1,)])
    with pytest.raises(ExportError, match=message):
        saturation.make_safe(content, build(constants, layers))


UNSAFE = kernel([[100, 60, -7]], [0.02])
WORSE = kernel([[120, 120, 0]], [0.02])
SAFE = kernel([[1, 2, 3]], [0.02])


@pytest.mark.parametrize(
    ("constants", "layers", "message"),
    [
        ([kernel([[1, 2]], [0.02], zero_point=3)], [(1,)], "tensor1 .* zero point other than 0"),
        ([kernel([[1, 2], [3, 4]], [0.1, 0.2], axis=1)], [(1,)], "tensor1 .* no scale per output channel"),
        ([UNSAFE, WORSE, bias([1000], UNSAFE)], [(1, 3), (2, 3)], "tensor3 .* is shared"),
        ([UNSAFE, SAFE, bias([1000], UNSAFE)], [(1, 3), (2, 3)], "tensor3 .* is shared"),
        ([UNSAFE, SAFE, bias([1000], UNSAFE)], [(2, 3), (1, 3)], "tensor3 .* is shared"),
        ([UNSAFE, kernel([[100, 60, -7]], [0.1], buffer=1)], [(1,)], "tensor1 .* is shared"),
    ],
)
def test_what_cannot_be_made_safe_is_refused(constants, layers, message):
    with pytest.raises(ExportError, match=message):
        saturation.make_safe(build(constants, layers))


@pytest.mark.parametrize("source", SOURCES)
def test_a_real_file_keeps_all_but_the_weights_that_saturate(source, int8_files):
    content = int8_files[source, Io.UINT8]
    safe = saturation.make_safe(content)
    assert len(safe) == len(content)
    assert saturation.make_safe(content) == safe
    assert saturation.make_safe(safe) == safe
    before, after = constants_of(content), constants_of(safe)
    kernels = [name for name, (values, _) in before.items() if values.dtype == np.int8]
    assert len(kernels) == 3
    for name in kernels:
        (old, old_scales), (new, new_scales) = before[name], after[name]
        rows = new.reshape(len(new), -1)
        assert pairs.largest_pair(rows) <= pairs.LARGEST_PAIR
        assert not new[old == 0].any()
        shape = (-1,) + (1,) * (old.ndim - 1)
        error = np.abs(old * old_scales.reshape(shape) - new * new_scales.reshape(shape))
        assert np.all(error <= 0.5001 * new_scales.reshape(shape))
        unchanged = new_scales == old_scales
        if len(new_scales) == len(new):
            np.testing.assert_array_equal(new[unchanged], old[unchanged])
        assert np.any(~unchanged) == (pairs.largest_pair(old.reshape(len(old), -1)) > pairs.LARGEST_PAIR)
    for name in before.keys() - kernels:
        (old, old_scales), (new, new_scales) = before[name], after[name]
        assert np.all(np.abs(old * old_scales - new * new_scales) <= 0.5001 * new_scales)


@pytest.mark.parametrize("source", SOURCES)
def test_a_safe_model_answers_as_the_converted_one(source, int8_files, tiny, tmp_path):
    path = tmp_path / "model.tflite"
    answers = []
    for content in (int8_files[source, Io.UINT8], saturation.make_safe(int8_files[source, Io.UINT8])):
        path.write_bytes(content)
        model = get_runtime("litert").load(path, threads=2)
        answers.append(model.output.dequantize(model.predict(tiny.test.images)))
    first, second = answers
    assert np.mean(first.argmax(axis=1) == second.argmax(axis=1)) >= 0.97
    assert np.abs(first - second).mean() < 0.01
    assert not np.array_equal(first, second)
