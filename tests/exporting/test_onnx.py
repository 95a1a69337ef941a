from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from edgecifar.errors import ExportError
from edgecifar.exporting import onnx as exporter
from edgecifar.exporting.options import DEFAULT_OPSET, Io, Precision
from edgecifar.exporting.saturation import make_safe
from edgecifar.runtimes import get_runtime


def run(content, suffix, images, tiny, folder):
    path = folder / f"model{suffix}"
    path.write_bytes(content)
    model = get_runtime("ort-cpu" if suffix == ".onnx" else "litert").load(path, threads=2)
    inputs = (
        images if model.input.dtype == "uint8" else model.input.quantize(tiny.preprocessing.apply(images))
    )
    return model, model.predict(inputs)


@pytest.mark.parametrize("io", list(Io))
@pytest.mark.parametrize("source", ["float_model", "qat_model"])
@pytest.mark.parametrize("batch", [None, 8])
def test_int8_twins_agree_within_two_steps(source, io, batch, int8_files, tiny, tmp_path):
    images = tiny.test.images
    # Safe weights: as converted, they saturate in ONNX Runtime on x86 without VNNI, and the twins part there.
    tflite = make_safe(int8_files[source, io])
    onnx_model, found = run(exporter.convert_int8(tflite, io, batch=batch), ".onnx", images, tiny, tmp_path)
    tflite_model, expected = run(tflite, ".tflite", images, tiny, tmp_path)
    assert onnx_model.input.shape == (batch, 32, 32, 3)
    assert onnx_model.output.shape == (batch, 10)
    for name in ("input", "output"):
        theirs, ours = getattr(tflite_model, name), getattr(onnx_model, name)
        assert (ours.name, ours.dtype, ours.scale, ours.zero_point) == (
            theirs.name, theirs.dtype, theirs.scale, theirs.zero_point,
        )  # fmt: skip
    steps = np.abs(onnx_model.output.dequantize(found) - tflite_model.output.dequantize(expected)) * 256
    assert steps.max() <= 2


def test_onnx_runtime_fuses_the_whole_int8_graph(int8_files, tmp_path):
    for source in ("float_model", "qat_model"):
        content = exporter.convert_int8(int8_files[source, Io.UINT8], Io.UINT8)
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        operators = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
        assert operators["QLinearConv"] == 2
        assert not {"QuantizeLinear", "DequantizeLinear", "Conv", "FusedConv"} & set(operators)


def test_the_int8_file_has_signed_weights_unsigned_activations_and_own_zero_points(int8_files):
    model = onnx.load_from_string(exporter.convert_int8(int8_files["qat_model", Io.UINT8], Io.UINT8))
    graph = model.graph
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    kernels = [array for array in constants.values() if array.ndim == 4]
    assert [(array.dtype, array.shape) for array in kernels] == [
        # The first computes four columns at once, of blocks of four.
        ("int8", (4 * 8, 4 * 3, 3, 2)),
        ("int8", (16, 8, 3, 3)),
    ]
    parameters, channels = Counter(), []
    for node in graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            tensor = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
            is_weight = tensor in constants
            if is_weight and constants[tensor].dtype == np.int32:
                # A bias: around 0, as ONNX takes it without a zero point.
                assert len(node.input) == 2
                continue
            assert constants[node.input[2]].dtype == (np.int8 if is_weight else np.uint8)
            if is_weight:
                parameters.update(node.input[1:3])
                channels.append(constants[node.input[1]].size)
    assert max(parameters.values()) == 1, "weights share a scale or zero point"
    assert channels[:2] == [4 * 8, 16], "a scale for each output channel"


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT16, Precision.DYNAMIC])
@pytest.mark.parametrize("io", [Io.FLOAT32, Io.UINT8])
def test_float_files_compute_what_keras_computes(precision, io, tiny, tmp_path):
    images = tiny.test.images[:50]
    content = exporter.convert(tiny.float_model, precision, io, tiny.preprocessing)
    model, found = run(content, ".onnx", images, tiny, tmp_path)
    assert (model.input.name, model.input.dtype, model.output.name) == ("image", io, "probabilities")
    assert model.output.dtype == "float32"
    expected = tiny.float_model.predict(tiny.preprocessing.apply(images), verbose=0)
    tolerance = {Precision.FLOAT32: 1e-4, Precision.FLOAT16: 0.01, Precision.DYNAMIC: 0.06}[precision]
    np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize("opset", [13, 15, 18])
@pytest.mark.parametrize("batch", [None, 3])
def test_opset_and_batch_are_as_asked(opset, batch, int8_files, tiny):
    for content in (
        exporter.convert(tiny.float_model, Precision.FLOAT32, Io.FLOAT32, tiny.preprocessing, opset, batch),
        exporter.convert_int8(int8_files["float_model", Io.INT8], Io.INT8, opset, batch),
    ):
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
        dimension = model.graph.input[0].type.tensor_type.shape.dim[0]
        assert (dimension.dim_value if batch else dimension.dim_param) == (batch or "N")


def test_no_name_depends_on_what_was_converted_before(int8_files, tiny):
    first, second = (
        [
            exporter.convert_int8(int8_files["qat_model", Io.UINT8], Io.UINT8),
            exporter.convert(tiny.float_model, Precision.DYNAMIC, Io.UINT8, tiny.preprocessing),
        ]
        for _ in range(2)
    )
    assert first == second
    assert onnx.load_from_string(first[0]).opset_import[0].version == DEFAULT_OPSET


def test_float16_holds_half_the_bytes(tiny):
    sizes = [
        len(exporter.convert(tiny.float_model, precision, Io.FLOAT32, tiny.preprocessing))
        for precision in (Precision.FLOAT16, Precision.FLOAT32)
    ]
    assert sizes[0] < 0.62 * sizes[1]


def test_int8_is_made_of_the_tflite_file_alone(tiny):
    with pytest.raises(ExportError, match="come from the int8 TFLite file"):
        exporter.convert(tiny.float_model, Precision.INT8, Io.UINT8, tiny.preprocessing)


def test_converting_prints_nothing(int8_files, tiny, capfd):
    exporter.convert_int8(int8_files["float_model", Io.UINT8], Io.UINT8)
    exporter.convert(tiny.float_model, Precision.DYNAMIC, Io.FLOAT32, tiny.preprocessing)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
