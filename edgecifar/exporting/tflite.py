"""TFLite files from Keras models."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tensorflow.lite.python.convert import ConverterError

from edgecifar.artifacts import Preprocessing
from edgecifar.chatter import diverted
from edgecifar.errors import ExportError
from edgecifar.exporting import integers
from edgecifar.exporting.biases import restored, room_for_biases
from edgecifar.exporting.options import Io, Precision, check_io
from edgecifar.exporting.serving import serving_function

MADE_BY = f"TensorFlow {tf.__version__} TFLiteConverter"


def convert(
    model: tf_keras.Model,
    precision: Precision,
    io: Io,
    preprocessing: Preprocessing,
    calibration: NDArray[np.float32] | None = None,
) -> bytes:
    """Returns the content of a `.tflite` file with batch size 1, input "image" and output "probabilities".

    The same model gives the same bytes. An int8 model's input holds pixels: its scale is 1 / std, and its
    zero point the mean, so a raw byte is the quantized input.

    Args:
        model: The float model, or, for int8, a model of `tfmot.quantization.keras.quantize_model`. float32
            (N, height, width, 3) to float32 (N, classes) that sum to 1.
        precision: Of weights and arithmetic.
        io: Of input and output. Float, float16 and dynamic models give float32 probabilities always.
        preprocessing: What the model was trained on.
        calibration: Preprocessed images, float32 (N, height, width, 3); int8 from a float model needs them.
            Of a quantization-aware model they give the ranges that it does not know: of what a batch norm
            after an activation computes, which else stays in float.

    Raises:
        ExportError: The choices do not go together, the model cannot be quantized, or the converter fails.
    """
    check_io(precision, io)
    quantizers = _input_quantizers(model)
    if quantizers and precision is not Precision.INT8:
        raise ExportError(f"A quantization-aware model exports as int8, not as {precision}.")
    if precision is Precision.INT8:
        content = _convert_int8(model, io, preprocessing, calibration, quantizers)
        integers.check(content, io, preprocessing)
        return content
    serve, _ = serving_function(model, io, preprocessing, batch=1)
    return _run(_converter(serve, model, precision))


def _convert_int8(
    model: tf_keras.Model,
    io: Io,
    preprocessing: Preprocessing,
    calibration: NDArray[np.float32] | None,
    quantizers: list[tf_keras.layers.Layer],
) -> bytes:
    # Pixels come in as preprocessed floats here: the converter then makes the bytes the quantized input.
    serve, _ = serving_function(model, Io.FLOAT32, preprocessing, batch=1)
    dtype = {Io.FLOAT32: tf.float32, Io.INT8: tf.int8, Io.UINT8: tf.uint8}[io]
    if quantizers:
        with _pixel_range(quantizers, preprocessing), room_for_biases(model):
            converter = _converter(serve, model, Precision.INT8)
            converter.inference_input_type = converter.inference_output_type = dtype
            if calibration is not None:
                converter.representative_dataset = lambda: ({"image": image[None]} for image in calibration)
            return _run(converter)
    if calibration is None or not len(calibration):
        raise ExportError(
            "int8 from a float model needs calibration images.", "Give some, or train with --qat."
        )
    converter = _converter(serve, model, Precision.INT8)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = dtype
    images = _with_extremes(calibration, preprocessing)
    converter.representative_dataset = lambda: ({"image": image[None]} for image in images)
    return _run(converter)


def _converter(serve: Any, model: tf_keras.Model, precision: Precision) -> Any:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], model)
    if precision is not Precision.FLOAT32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision is Precision.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    return converter


def _run(converter: Any) -> bytes:
    try:
        with diverted():
            return bytes(converter.convert())
    except (ConverterError, RuntimeError, ValueError) as error:
        raise ExportError(f"TensorFlow cannot convert the model: {str(error).strip()}") from error


def _with_extremes(calibration: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Returns the calibration images and one more that holds both a black and a white pixel.

    The input's range is then that of the pixels. All else of the added image is the first one's, so that the
    ranges of the layers stay those of real images.
    """
    marked = calibration[:1].copy()
    lowest, highest = _pixel_limits(preprocessing)
    marked[0, 0, 0], marked[0, -1, -1] = lowest, highest
    return np.concatenate([calibration, marked])


@contextmanager
def _pixel_range(quantizers: list[tf_keras.layers.Layer], preprocessing: Preprocessing) -> Iterator[None]:
    """Sets the range of a quantization-aware model's input to that of the pixels while the block runs.

    tfmot learns it from the training images, and augmentation may have shown it more or less.
    """
    limits = dict(zip(("min", "max"), _pixel_limits(preprocessing), strict=True))
    with restored(quantizers):
        for layer in quantizers:
            for end, variable in _range_variables(layer).items():
                variable.assign(limits[end])
        yield


def _range_variables(layer: tf_keras.layers.Layer) -> dict[str, tf.Variable]:
    found = {end: [v for v in layer.variables if v.name.endswith(f"_{end}:0")] for end in ("min", "max")}
    if any(len(variables) != 1 for variables in found.values()):
        raise ExportError(
            f"{layer.name} does not quantize the model's input to one range: not a model of tfmot's."
        )
    return {end: variables[0] for end, variables in found.items()}


def _pixel_limits(preprocessing: Preprocessing) -> tuple[np.float32, np.float32]:
    black, white = preprocessing.apply(np.array([0, 255], np.uint8))
    return np.float32(black), np.float32(white)


def _input_quantizers(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """Returns tfmot's input quantizers; told by their class's name, as tfmot is no converter's business."""
    return [layer for layer in model.layers if type(layer).__name__ == "QuantizeLayer"]
