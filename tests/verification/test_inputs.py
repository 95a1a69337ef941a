from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgecifar.artifacts import Preprocessing
from edgecifar.choices import Channels, Layout
from edgecifar.errors import ModelError, VerificationError
from edgecifar.protocol import TensorInfo
from edgecifar.verification.feeding import Feeding, Outputs
from edgecifar.verification.inputs import InputSpec, find_layout

IMAGES = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)
LAST = TensorInfo("image", (None, 2, 3, 3), "float32")
FIRST = TensorInfo("image", (None, 3, 2, 5), "float32")


def test_values_by_hand() -> None:
    spec = InputSpec(scale=0.5, mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0))
    values = spec.apply(np.array([[[[10, 20, 30]]]], np.uint8))
    assert values.dtype == np.float32
    assert values.tolist() == [[[[4.0, 4.0, 3.0]]]]


def test_mean_and_std_alone_are_a_bundles_preprocessing_to_the_bit() -> None:
    pixels = np.arange(252, dtype=np.uint8).reshape(-1, 2, 3, 3)
    ours = Preprocessing(mean=121, std=64, height=2, width=3)
    np.testing.assert_array_equal(InputSpec(mean=(121.0,), std=(64.0,)).apply(pixels), ours.apply(pixels))


def test_bgr_turns_the_colours_and_mean_is_in_their_order() -> None:
    feeding = Feeding(InputSpec(mean=(0.0, 1.0, 2.0), channels=Channels.BGR))
    tensor = feeding.encode(IMAGES, LAST)
    assert tensor[0, 0, 0].tolist() == [2.0, 0.0, -2.0]


def test_channels_first_is_a_transpose() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 2, 5, 3)).astype(np.uint8)
    tensor = Feeding(InputSpec(scale=1 / 255)).encode(images, FIRST)
    assert tensor.shape == (4, 3, 2, 5)
    np.testing.assert_array_equal(tensor[:, 1], images[..., 1].astype(np.float32) * np.float32(1 / 255))


def test_resizing_is_pillows_bilinear() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    resized = InputSpec(resize=5).reorder(images)
    expected = Image.fromarray(images[1]).resize((5, 5), Image.Resampling.BILINEAR)
    assert resized.shape == (2, 5, 5, 3)
    np.testing.assert_array_equal(resized[1], np.asarray(expected))
    assert InputSpec(resize=8).reorder(images) is images


def test_an_integer_input_goes_through_its_own_scale() -> None:
    info = TensorInfo("image", (None, 2, 3, 3), "int8", 1.0, -128)
    tensor = Feeding(InputSpec()).encode(IMAGES, info)
    np.testing.assert_array_equal(tensor, IMAGES.astype(np.int16) - 128)
    assert tensor.dtype == np.int8


@pytest.mark.parametrize("spec", [InputSpec(), InputSpec(1 / 255, (0.5,), (0.25,))])
def test_an_unquantized_uint8_input_gets_the_bytes_whatever_the_other_models_see(spec: InputSpec) -> None:
    info = TensorInfo("image", (None, 2, 3, 3), "uint8")
    feeding = Feeding(spec)
    feeding.check_images("m", info, IMAGES, "the images")
    np.testing.assert_array_equal(feeding.encode(IMAGES, info), IMAGES)
    assert feeding.describe(info) == "pixel, RGB, NHWC, as uint8 bytes"
    with pytest.raises(ModelError, match="no scale and zero point"):
        feeding.check_images("m", replace(info, dtype="int8"), IMAGES, "the images")


def test_bytes_are_in_the_order_of_colours_that_is_said() -> None:
    info = TensorInfo("image", (None, 2, 3, 3), "uint8")
    tensor = Feeding(InputSpec(1 / 255, channels=Channels.BGR)).encode(IMAGES, info)
    np.testing.assert_array_equal(tensor, IMAGES[..., ::-1])


def test_an_input_that_hardly_tells_pixels_apart_is_said() -> None:
    raw = TensorInfo("image", (None, 2, 3, 3), "uint8", 1.0, 0)
    told = Feeding(InputSpec(scale=1 / 255)).misfit(raw)
    assert told is not None
    assert "steps of 1, but the pixels become 0 to 1, of which 2 values are left" in told
    assert "--against-scale" in told
    assert Feeding(InputSpec()).misfit(raw) is None


def test_two_ways_to_say_one_thing_are_alike() -> None:
    assert InputSpec(1 / 255, (0.5,), (0.25,)).is_like(InputSpec(1.0, (127.5,), (63.75,) * 3))
    assert not InputSpec(1 / 255).is_like(InputSpec())
    assert not InputSpec().is_like(InputSpec(channels=Channels.BGR))


@pytest.mark.parametrize(
    ("shape", "said", "found"),
    [
        ((None, 32, 32, 3), None, Layout.NHWC),
        ((1, 3, 32, 32), None, Layout.NCHW),
        ((None, 3, None, None), None, Layout.NCHW),
        ((None, None, None, None), Layout.NCHW, Layout.NCHW),
        ((None, 3, 3, 3), Layout.NHWC, Layout.NHWC),
    ],
)
def test_the_layout_is_read_or_said(
    shape: tuple[int | None, ...], said: Layout | None, found: Layout
) -> None:
    assert find_layout("m", shape, said) is found


@pytest.mark.parametrize(
    ("shape", "said", "told"),
    [
        ((None, 3, 3, 3), None, "does not tell where the colours stand"),
        ((None, None, None, None), None, "--layout nhwc or --layout nchw"),
        ((None, 28, 28, 1), None, "three colours"),
        ((None, 32, 32, 3), Layout.NCHW, "no three colours where nchw has them"),
        ((None, 3072), None, "not a batch of images"),
    ],
)
def test_a_layout_that_is_open_is_not_guessed(
    shape: tuple[int | None, ...], said: Layout | None, told: str
) -> None:
    with pytest.raises(ModelError, match=told):
        find_layout("m", shape, said)


def test_images_of_another_size_are_refused_unless_resized() -> None:
    info = TensorInfo("image", (None, 3, 5, 5), "float32")
    with pytest.raises(
        VerificationError, match=r"takes images of 5×5 pixels, but they are 2×3\.\n--resize 5"
    ):
        Feeding(InputSpec()).check_images("m", info, IMAGES, "they")
    Feeding(InputSpec(resize=5)).check_images("m", info, IMAGES, "they")
    with pytest.raises(VerificationError, match="--resize makes them 4×4"):
        Feeding(InputSpec(resize=4)).check_images("m", info, IMAGES, "they")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"scale": 0.0}, "scale of 0.0"),
        ({"scale": float("nan")}, "scale of nan"),
        ({"mean": (1.0, 2.0)}, "one number, or three"),
        ({"std": (1.0, 0.0, 1.0)}, "above 0"),
        ({"std": (float("inf"),)}, "one number, or three, not inf"),
        ({"scale": 1 / 255, "mean": (121.0,)}, "none of pixels of 0 to 1"),
        ({"mean": (300.0,)}, "none of pixels of 0 to 255"),
    ],
)
def test_numbers_that_make_no_image_are_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(VerificationError, match=told):
        InputSpec(**fields)  # type: ignore[arg-type]


def test_what_is_fed_is_said() -> None:
    spec = InputSpec(1 / 255, (0.5,), (0.2, 0.2, 0.25), Channels.BGR, resize=5)
    assert Feeding(spec).describe(FIRST) == (
        "(pixel × 0.003921569 - 0.5) / (0.2, 0.2, 0.25), BGR, "
        "resized to 5×5 (bilinear, antialiased where it shrinks), NCHW, as float32"
    )
    int8 = replace(LAST, dtype="int8", scale=0.5, zero_point=-1)
    assert Feeding(InputSpec()).describe(int8) == "pixel, RGB, NHWC, as int8 with scale 0.5 and zero point -1"
    ours = Feeding(Preprocessing(mean=121, std=64, height=2, width=3), raw_pixels=True)
    assert ours.describe(replace(LAST, dtype="uint8")) == "(pixel - 121) / 64, RGB, NHWC, as uint8 bytes"


def test_pixels_beyond_a_quantized_input_are_said() -> None:
    of_unit = replace(LAST, dtype="int8", scale=1 / 255, zero_point=-128)
    assert Feeding(InputSpec(scale=1 / 255)).misfit(of_unit) is None
    told = Feeding(InputSpec()).misfit(of_unit)
    assert told == (
        "its int8 input holds 0 to 1, but the pixels become 0 to 255 and are clipped: "
        "is the preprocessing right?"
    )
    assert Feeding(InputSpec()).misfit(LAST) is None


def test_logits_are_detected_over_all_outputs() -> None:
    info = TensorInfo("out", (None, 2), "float32")
    feeding = Feeding(InputSpec(), outputs=Outputs.DETECTED)
    probabilities = np.array([[0.25, 0.75], [1, 0]], np.float32)
    np.testing.assert_array_equal(feeding.decode(probabilities, info), probabilities)
    logits = np.array([[0, 1], [0, np.log(3)]], np.float32)
    np.testing.assert_allclose(feeding.decode(logits, info)[1], [0.25, 0.75], rtol=1e-6)
