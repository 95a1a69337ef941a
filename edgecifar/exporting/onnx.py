"""ONNX files from Keras models, from int8 TFLite files, and from other people's QDQ files."""

import tempfile
from pathlib import Path

import onnx
import onnxruntime
import tf2onnx
import tf_keras

from edgecifar.artifacts import Preprocessing
from edgecifar.chatter import diverted
from edgecifar.errors import ExportError
from edgecifar.exporting import elu, foreign, graph, naming, qdq, safe_onnx
from edgecifar.exporting.boundaries import set_boundaries
from edgecifar.exporting.dense import flatten_inputs
from edgecifar.exporting.first_layer import join_first_columns
from edgecifar.exporting.options import (
    DEFAULT_OPSET,
    Activations,
    Io,
    Precision,
    WeightRange,
    check_io,
    check_onnx,
)
from edgecifar.exporting.pools import round_as_tflite
from edgecifar.exporting.serving import INPUT, OUTPUT, serving_function
from edgecifar.exporting.session_options import recommend

_TF2ONNX = f"tf2onnx {tf2onnx.__version__}"
MADE_BY = {
    Precision.FLOAT32: _TF2ONNX,
    Precision.FLOAT16: f"{_TF2ONNX}, ONNX Runtime {onnxruntime.__version__} float16 conversion",
    Precision.DYNAMIC: f"{_TF2ONNX}, ONNX Runtime {onnxruntime.__version__} quantize_dynamic",
    Precision.INT8: f"{_TF2ONNX} from the int8 TFLite file, activations made one data type",
}


def convert(
    model: tf_keras.Model,
    precision: Precision,
    io: Io,
    preprocessing: Preprocessing,
    opset: int = DEFAULT_OPSET,
    batch: int | None = None,
) -> bytes:
    """Returns the content of an `.onnx` file with input "image" (NHWC) and float32 output "probabilities".

    The same model gives the same bytes.

    Args:
        model: float32 (N, height, width, 3) to float32 (N, classes).
        precision: FLOAT32, FLOAT16 or DYNAMIC; `convert_int8` makes int8.
        io: FLOAT32, or UINT8 for raw pixels.
        preprocessing: What the model was trained on.
        opset: Version of ONNX's operator set.
        batch: Fixed batch size; None: any.

    Raises:
        ExportError: The choices do not go together, or a converter fails.
    """
    check_io(precision, io)
    check_onnx(opset, batch)
    if precision is Precision.INT8:
        raise ExportError(
            "int8 ONNX files come from the int8 TFLite file, so that both are the same network."
        )
    serve, spec = serving_function(model, io, preprocessing, batch)
    with diverted():
        try:
            converted, _ = tf2onnx.convert.from_function(serve, input_signature=[spec], opset=opset)
        except (ValueError, RuntimeError, AssertionError, NotImplementedError) as error:
            raise ExportError(f"tf2onnx cannot convert the model: {error}") from error
        if precision is Precision.FLOAT16:
            converted = _to_float16(converted)
        elif precision is Precision.DYNAMIC:
            converted = _quantize_dynamic(converted)
    return graph.finish(converted, batch, {})


def convert_int8(
    tflite: bytes,
    io: Io,
    opset: int = DEFAULT_OPSET,
    batch: int | None = None,
    activations: Activations = Activations.UINT8,
) -> bytes:
    """Returns the content of an `.onnx` file with the integers of an int8 TFLite file.

    int8 weights with a scale per channel, QDQ form.

    Args:
        tflite: An int8 file, with any boundaries.
        io: Of input and output.
        opset: Version of ONNX's operator set.
        batch: Fixed batch size; None: any.
        activations: Of everything between the boundaries.

    Raises:
        ExportError: An option is out of range, or the file cannot be converted.
    """
    check_onnx(opset, batch)
    with tempfile.TemporaryDirectory() as folder, diverted():
        path = Path(folder) / "model.tflite"
        path.write_bytes(flatten_inputs(tflite))
        try:
            converted, _ = tf2onnx.convert.from_tflite(str(path), opset=opset)
        except (ValueError, RuntimeError, AssertionError, NotImplementedError) as error:
            raise ExportError(f"tf2onnx cannot convert the int8 TFLite file: {error}") from error
    foreign.check_single(len(converted.graph.input), len(converted.graph.output))
    qdq.set_activations(converted, activations)
    round_as_tflite(converted.graph)
    elu.follow_tflite(converted.graph)
    quantizations = set_boundaries(converted.graph, io)
    names = (converted.graph.input[0].name, converted.graph.output[0].name)
    renamed = {
        new: quantizations[old]
        for old, new in zip(names, (INPUT, OUTPUT), strict=True)
        if old in quantizations
    }
    recommend(converted)
    qdq.drop_zero_points_of_biases(converted.graph)
    naming.shorten(converted.graph)
    if activations is Activations.UINT8:
        join_first_columns(converted.graph)
    return graph.finish(converted, batch, renamed)


def rewrite_int8(
    content: bytes,
    io: Io | None = None,
    activations: Activations = Activations.UINT8,
    weights: WeightRange = WeightRange.SAFE,
) -> bytes:
    """Returns somebody's QDQ file as one that ONNX Runtime fuses whole, with safe weights; its names stay.

    Args:
        content: An ONNX file with one input and one output, in QDQ form.
        io: Of input and output; None: as they are.
        activations: Of everything between the boundaries.
        weights: Whether weights that may saturate are made safe.

    Raises:
        ExportError: The file is no ONNX file, is not quantized, or in another way than QDQ.
    """
    model = foreign.read_qdq(content)
    own_io = foreign.boundaries(model)
    qdq.set_activations(model, activations)
    if weights is WeightRange.SAFE:
        safe_onnx.make_safe(model.graph)
    quantizations = set_boundaries(model.graph, io or own_io)
    recommend(model)
    return graph.seal(model, quantizations)


def _to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers import float16  # slow to import, and for this precision only

    converted: onnx.ModelProto = float16.convert_float_to_float16(model, keep_io_types=True)
    return converted


def _quantize_dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    """uint8 weights: products of uint8 and int8 saturate on x86 without VNNI, and are slower."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dynamic.onnx"
        quantize_dynamic(model, path, per_channel=True, weight_type=QuantType.QUInt8)
        return onnx.load(path)
