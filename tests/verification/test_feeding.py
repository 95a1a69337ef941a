from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edgecifar.artifacts import Dataset
from edgecifar.errors import ModelError, VerificationError
from edgecifar.protocol import LoadedModel, TensorInfo
from edgecifar.verification import Feeding, Outputs
from edgecifar.verification.feeding import are_probabilities, softmax

SHAPE = (None, 2, 3, 3)
INT8_INPUT = TensorInfo("image", SHAPE, "int8", 1 / 60, -8)
IMAGES = np.array([0, 60, 120, 180, 240, 255], np.uint8).reshape(1, 1, 2, 3).repeat(2, axis=1)[:, :, :1]


def test_float_input_gets_preprocessed_values(feeding: Feeding) -> None:
    tensor = feeding.encode(IMAGES, TensorInfo("image", SHAPE, "float32"))
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[0, 0, 0], [-2, -1, 0], rtol=1e-6)


def test_quantized_input_gets_steps_of_preprocessed_values(feeding: Feeding) -> None:
    tensor = feeding.encode(IMAGES, INT8_INPUT)
    assert tensor.dtype == np.int8
    assert tensor[0, 0, 0].tolist() == [-128, -68, -8]


def test_uint8_input_with_the_preprocessing_as_its_scale_gets_the_pixels(feeding: Feeding) -> None:
    pixels = np.arange(252, dtype=np.uint8).reshape(-1, 2, 3, 3)
    as_quantized = feeding.encode(pixels, TensorInfo("image", SHAPE, "uint8", 1 / 60, 120))
    as_they_are = replace(feeding, raw_pixels=True).encode(pixels, TensorInfo("image", SHAPE, "uint8"))
    np.testing.assert_array_equal(as_quantized, pixels)
    np.testing.assert_array_equal(as_they_are, pixels)
    assert as_they_are.dtype == np.uint8


def test_outputs_are_dequantized(feeding: Feeding) -> None:
    values = feeding.decode(
        np.array([[-128, 0, 127]], np.int8), TensorInfo("out", (None, 3), "int8", 1 / 256, -128)
    )
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [[0, 0.5, 255 / 256]])


def test_softmax_is_applied_only_if_told(feeding: Feeding) -> None:
    logits = np.array([[1000.0, 1000.0 + np.log(3), -1000.0]], np.float32)
    info = TensorInfo("out", (None, 3), "float32")
    np.testing.assert_array_equal(feeding.decode(logits, info), logits)
    decoded = replace(feeding, outputs=Outputs.LOGITS).decode(logits, info)
    np.testing.assert_allclose(decoded, [[0.25, 0.75, 0]], atol=1e-4)


def test_rows_that_sum_to_one_within_their_rounding_are_probabilities() -> None:
    quantized, floating = TensorInfo("q", (None, 3), "int8", 1 / 64, 0), TensorInfo("f", (None, 3), "float32")
    off_by_rounding = np.array([[0.5, 0.25, 0.21]], np.float32)
    assert are_probabilities(off_by_rounding, quantized)
    assert not are_probabilities(off_by_rounding, floating)
    assert are_probabilities(softmax(np.array([[1, 2, 3]], np.float32)), floating)
    assert not are_probabilities(np.array([[2, -1, 0]], np.float32), floating)


@pytest.mark.parametrize(
    ("image_input", "pixels", "message"),
    [
        (TensorInfo("i", (None, 18), "float32"), "prepared", r"\(N, 18\), which is not a batch of images"),
        (TensorInfo("i", (None, 3, 2, 3), "float32"), "prepared", r"\(N, 3, 2, 3\), but its preprocessing"),
        (TensorInfo("i", (1, 3, 32, 32), "float32"), "prepared", r"channels first, \(1, 3, 32, 32\)"),
        (TensorInfo("i", SHAPE, "uint8"), "prepared", "has no scale and zero point"),
        (TensorInfo("i", SHAPE, "int8", 0.1), "prepared", "has no scale and zero point"),
        (TensorInfo("i", SHAPE, "float32"), "raw", "said to take raw pixels, but its input is float32"),
        (TensorInfo("i", SHAPE, "bool"), "prepared", "takes bool"),
    ],
)
def test_inputs_that_images_do_not_fit_are_refused(
    make_model: Callable[..., LoadedModel],
    make_data: Callable[..., Dataset],
    feeding: Feeding,
    image_input: TensorInfo,
    pixels: str,
    message: str,
) -> None:
    feeding = replace(feeding, raw_pixels=pixels == "raw")
    model = make_model(np.eye(3, dtype=np.float32), image_input=image_input)
    with pytest.raises(ModelError, match=message) as caught:
        feeding.check("model.onnx in ort-cpu", model, make_data([0, 1, 2]))
    assert caught.value.problem.startswith("model.onnx in ort-cpu ")


def test_dynamic_dimensions_fit(
    make_model: Callable[..., LoadedModel], make_data: Callable[..., Dataset], feeding: Feeding
) -> None:
    dynamic = TensorInfo("i", (None, None, None, 3), "float16")
    model = make_model(np.eye(3), image_input=dynamic, output=TensorInfo("o", (None, None), "float32"))
    feeding.check("model", model, make_data([0, 1, 2]))


def test_images_of_another_size_are_refused(
    make_model: Callable[..., LoadedModel], make_data: Callable[..., Dataset], feeding: Feeding
) -> None:
    with pytest.raises(VerificationError, match=r"model takes images of 2×3 pixels, but those of .* are 4×3"):
        feeding.check("model", make_model(np.eye(3)), make_data([0], height=4))


def test_another_number_of_classes_is_refused(
    make_model: Callable[..., LoadedModel], make_data: Callable[..., Dataset], feeding: Feeding
) -> None:
    model = make_model(np.eye(5), output=TensorInfo("o", (None, 5), "float32"))
    with pytest.raises(VerificationError, match="model gives 5 classes, but the data has 3"):
        feeding.check("model", model, make_data([0]))
