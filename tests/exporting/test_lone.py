"""Files that others made, rewritten: what comes out, and what is refused with which sentence."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

from edgecifar.errors import ExportError, ModelError
from edgecifar.exporting.lone import export_file
from edgecifar.exporting.options import Activations, Format, Io, WeightRange
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.onnx_inspection import inspect

EXPORTED = Path(__file__).parents[2] / "exported"
IMAGES = np.random.default_rng(0).normal(size=(16, 3, 8, 8)).astype(np.float32)


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = iter(IMAGES)

    def get_next(self):
        image = next(self.left, None)
        return None if image is None else {"x": image[None]}


@pytest.fixture(scope="module")
def float_file(tmp_path_factory):
    """Channels first: Conv -> Relu -> GlobalAveragePool -> Flatten -> Gemm -> Softmax."""
    random = np.random.default_rng(1)
    constants = {
        "w": random.normal(0, 0.3, (8, 3, 3, 3)), "b": random.normal(0, 0.1, 8),
        "v": random.normal(0, 0.5, (8, 10)), "c": random.normal(0, 0.1, 10),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "v", "c"], ["l"]),
        helper.make_node("Softmax", ["l"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("float") / "float.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def static_file(float_file):
    """As `quantize_static` writes it with its defaults, but for the format that it names."""
    path = float_file.with_name("static.onnx")
    quantize_static(float_file, path, Images(), quant_format=QuantFormat.QDQ)
    return path


def answers(path):
    model = get_runtime("ort-cpu").load(path, 1)
    return model.output.dequantize(model.predict(model.input.quantize(IMAGES)))


@pytest.mark.parametrize("io", [None, *Io])
def test_a_static_file_keeps_its_names_and_answers(io, static_file, tmp_path):
    made = export_file(static_file, Format.ONNX, io=io, out=tmp_path / "m.onnx")
    model = get_runtime("ort-cpu").load(made.path, 1)
    assert (model.input.name, model.output.name, model.input.dtype) == ("x", "y", io or Io.FLOAT32)
    assert made.inspection is not None
    assert made.inspection.unsafe_pairs == 0
    assert not made.inspection.float_islands
    assert np.abs(answers(made.path) - answers(static_file)).max() < 0.05


def test_weights_stay_where_they_are_to_stay(static_file, tmp_path):
    made = export_file(static_file, Format.ONNX, weights=WeightRange.FULL, out=tmp_path / "m.onnx")
    assert inspect(static_file).unsafe_pairs > 0, "the file is no example"
    assert made.inspection is not None
    assert made.inspection.unsafe_pairs == inspect(static_file).unsafe_pairs
    np.testing.assert_array_equal(answers(made.path), answers(static_file))
    metadata = {item.key: item.value for item in onnx.load(made.path).metadata_props}
    assert metadata["edgecifar.saturation_safe"] == "false"
    assert "x64quantprecision" in metadata["edgecifar.session_options"]


def test_signed_activations_can_be_had(static_file, tmp_path):
    made = export_file(static_file, Format.ONNX, activations=Activations.INT8, out=tmp_path / "m.onnx")
    assert np.abs(answers(made.path) - answers(static_file)).max() < 0.05


def test_a_bundle_file_goes_to_onnx_bit_for_bit(tmp_path):
    source = EXPORTED / "tiny-resnet8" / "model.int8.tflite"
    made = export_file(source, Format.ONNX, out=tmp_path / "m.onnx")
    pixels = np.load(EXPORTED / "tiny-resnet8" / "golden" / "images.npy")
    expected = get_runtime("litert").load(source, 1).predict(pixels)
    np.testing.assert_array_equal(get_runtime("ort-cpu").load(made.path, 1).predict(pixels), expected)


def test_a_safe_tflite_file_stays_as_it_is(tmp_path):
    source = EXPORTED / "tiny-resnet8" / "model.int8.tflite"
    made = export_file(source, Format.TFLITE, out=tmp_path / "m.tflite")
    assert made.path.read_bytes() == source.read_bytes()
    with pytest.raises(ExportError, match="keeps its boundaries"):
        export_file(source, Format.TFLITE, io=Io.INT8, out=tmp_path / "n.tflite")


def test_a_float_file_is_refused(float_file, tmp_path):
    with pytest.raises(ExportError, match="float model"):
        export_file(float_file, Format.ONNX, out=tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    with pytest.raises(ExportError, match="does not compute in int8"):
        export_file(EXPORTED / "edge-vgg6" / "model.float32.tflite", Format.ONNX, out=tmp_path / "m.onnx")


def test_dynamic_quantization_is_refused(float_file, tmp_path):
    dynamic = tmp_path / "dynamic.onnx"
    quantize_dynamic(float_file, dynamic)
    with pytest.raises(ExportError, match="quantized dynamically"):
        export_file(dynamic, Format.ONNX, out=tmp_path / "m.onnx")
    with pytest.raises(ExportError, match="quantized dynamically"):
        export_file(EXPORTED / "edge-vgg6" / "model.dynamic.tflite", Format.ONNX, out=tmp_path / "m.onnx")


def test_qoperator_form_is_refused(float_file, tmp_path):
    path = tmp_path / "q.onnx"
    quantize_static(float_file, path, Images(), quant_format=QuantFormat.QOperator)
    with pytest.raises(ExportError, match="QOperator form"):
        export_file(path, Format.ONNX, out=tmp_path / "m.onnx")


def test_another_opset_is_refused(static_file, tmp_path):
    model = onnx.load(static_file)
    for entry in model.opset_import:
        if entry.domain == "":
            entry.version = 11
    onnx.save(model, tmp_path / "old.onnx")
    with pytest.raises(ExportError, match="opset 11; 13 to"):
        export_file(tmp_path / "old.onnx", Format.ONNX, out=tmp_path / "m.onnx")


def test_what_is_no_model_is_refused(static_file, tmp_path):
    for name in ("m.onnx", "m.tflite"):
        (tmp_path / name).write_bytes(b"no model at all, but some bytes")
        with pytest.raises(ExportError, match="not a"):
            export_file(tmp_path / name, Format.ONNX, out=tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        export_file(tmp_path / "none.onnx", Format.ONNX, out=tmp_path / "n.onnx")
    with pytest.raises(ExportError, match="does not become a TFLite file"):
        export_file(static_file, Format.TFLITE, out=tmp_path / "n.tflite")
    with pytest.raises(ExportError, match="keeps its opset"):
        export_file(static_file, Format.ONNX, opset=17, out=tmp_path / "n.onnx")
