"""What can be chosen about an export, and which choices go together."""

from enum import StrEnum

from edgecifar.errors import ExportError


class Format(StrEnum):
    """A model file's format, and its ending."""

    TFLITE = "tflite"
    ONNX = "onnx"


class Precision(StrEnum):
    """What an exported model's weights and arithmetic are."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    """float16 weights; the engine computes in float32 where it has no float16 kernels."""
    DYNAMIC = "dynamic"
    """8-bit weights; activations are quantized while the model runs, by their momentary range."""
    INT8 = "int8"
    """int8 weights per channel, 8-bit activations with fixed scales, integer arithmetic throughout."""


class Io(StrEnum):
    """Data type at the model's boundaries."""

    FLOAT32 = "float32"
    """Preprocessed values in, probabilities out."""
    INT8 = "int8"
    """The integers that an int8 model computes with."""
    UINT8 = "uint8"
    """Raw pixels in, as the camera gives them; an int8 model also gives its probabilities as bytes."""


class Activations(StrEnum):
    """Data type of an int8 ONNX model's activations; the numbers they stand for are the same."""

    UINT8 = "uint8"
    """ONNX Runtime fuses these whole on x86."""
    INT8 = "int8"
    """TFLite's own integers; ONNX Runtime on x86 leaves most layers in float."""


class WeightRange(StrEnum):
    """What int8 weights may hold."""

    SAFE = "saturation-safe"
    """No two neighbours sum to more than 128: 16 bits hold their products with any activations."""
    FULL = "full range"


SMALLEST_OPSET, DEFAULT_OPSET, LARGEST_OPSET = 13, 17, 18
"""ONNX operator sets: 13 brought scales per channel, 18 is the last that tf2onnx knows."""


def check_io(precision: Precision, io: Io) -> None:
    """Returns if models of this precision can have these boundaries.

    Raises:
        ExportError: int8 boundaries of a model that does not compute in int8.
    """
    if io is Io.INT8 and precision is not Precision.INT8:
        raise ExportError(
            f"A {precision} model has no int8 input: only int8 models compute with such integers.",
            "Choose --io uint8 (raw pixels) or --io float32, or export int8 alone.",
        )


def check_onnx(opset: int, batch: int | None) -> None:
    """Returns if ONNX files can be written so.

    Args:
        opset: Version of the standard operator set.
        batch: Fixed batch size; None: any.

    Raises:
        ExportError: Out of range.
    """
    if not SMALLEST_OPSET <= opset <= LARGEST_OPSET:
        raise ExportError(f"ONNX opset {opset} cannot be written; {SMALLEST_OPSET} to {LARGEST_OPSET} can.")
    if batch is not None and batch < 1:
        raise ExportError(f"A batch of {batch} images is not possible; give 1 or more, or leave it dynamic.")
