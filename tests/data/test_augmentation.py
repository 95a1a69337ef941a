from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tf_keras.preprocessing.image import apply_affine_transform

from edgecifar.artifacts import Preprocessing
from edgecifar.data.augmentation import cut_out, make_augment, mix_up, move, recolour
from edgecifar.recipe import AugmentationSpec, Fill, Flip

Images = NDArray[np.uint8]
PADDING = {Fill.NEAREST: "edge", Fill.REFLECT: "symmetric", Fill.WRAP: "wrap", Fill.CONSTANT: "constant"}
"""NumPy's names of the fills."""


def noise(count: int, height: int, width: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def grey(rows: list[list[int]]) -> Images:
    """Returns one image with these values in each channel."""
    return np.repeat(np.array(rows, np.uint8)[None, :, :, None], 3, axis=3)


def moved(images: Images, epoch: int = 0, seed: int = 0, first: int = 0, **options: Any) -> NDArray[Any]:
    """Returns the images after `move`; their indices count from `first`."""
    result = move(
        tf.constant(images),
        AugmentationSpec(**options),
        tf.range(first, first + len(images), dtype=tf.int64),
        tf.constant(epoch, tf.int64),
        tf.constant([seed, 0]),
    ).numpy()
    assert isinstance(result, np.ndarray)
    return result


@pytest.fixture
def draw_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes every uniform draw the same: 0 the lowest, 0.5 the middle, 1 the highest possible value."""

    def fix(place: float) -> None:
        def uniform(
            shape: Any, _seed: Any, minval: float, maxval: float, dtype: tf.DType = tf.float32
        ) -> tf.Tensor:
            highest = maxval - 1 if dtype.is_integer else maxval
            return tf.fill(shape, tf.cast(minval + place * (highest - minval), dtype))

        monkeypatch.setattr(tf.random, "stateless_uniform", uniform)

    return fix


# Flips


@pytest.mark.parametrize("flip", [Flip.RANDOM, Flip.ALTERNATING])
def test_a_flip_mirrors_about_half_of_the_images_exactly(flip: Flip) -> None:
    images = noise(400, 3, 4)
    result = moved(images, flip=flip)
    assert result.dtype == np.float32
    kept = (result == images).all(axis=(1, 2, 3))
    mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (kept ^ mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_alternating_flips_show_each_image_once_each_way_in_two_epochs() -> None:
    images = noise(50, 4, 5)
    epochs = [moved(images, epoch, seed=epoch, flip=Flip.ALTERNATING) for epoch in range(4)]
    np.testing.assert_array_equal(epochs[1], epochs[0][:, :, ::-1])
    np.testing.assert_array_equal(epochs[2], epochs[0])
    np.testing.assert_array_equal(epochs[3], epochs[1])


def test_alternating_flips_go_by_the_place_in_the_data_set_not_in_the_batch() -> None:
    images = noise(50, 4, 5)
    whole = moved(images, flip=Flip.ALTERNATING)
    np.testing.assert_array_equal(moved(images[20:], first=20, flip=Flip.ALTERNATING), whole[20:])


# Crops


def windows_that_equal(result: Images, images: Images, crop: int, fill: Fill) -> NDArray[np.bool_]:
    """Returns (N, 2 x crop + 1, 2 x crop + 1): which windows of the padded images are equal to the result."""
    mode: Any = PADDING[fill]
    padded = np.pad(images, ((0, 0), (crop, crop), (crop, crop), (0, 0)), mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:3], axis=(1, 2))
    same = (windows == result.transpose(0, 3, 1, 2)[:, None, None]).all(axis=(3, 4, 5))
    assert isinstance(same, np.ndarray)
    return same


@pytest.mark.parametrize(("fill", "crop"), [(fill, crop) for fill in Fill for crop in (1, 5)])
def test_a_crop_is_a_window_of_the_padded_image(fill: Fill, crop: int) -> None:
    images = noise(60, 4, 3)
    result = moved(images, crop=crop, fill=fill)
    assert result.dtype == np.float32
    same = windows_that_equal(result, images, crop, fill)
    assert same.any(axis=(1, 2)).all()
    if crop == 1:
        assert same.any(axis=0).all(), "60 images reach each of the 9 corners"


def test_a_crop_may_be_mirrored_too() -> None:
    images = noise(40, 8, 8)
    result = moved(images, crop=2, flip=Flip.ALTERNATING)
    plain = windows_that_equal(result, images, 2, Fill.REFLECT).any(axis=(1, 2))
    mirrored = windows_that_equal(result, images[:, :, ::-1], 2, Fill.REFLECT).any(axis=(1, 2))
    assert (plain ^ mirrored).all()
    assert 10 < mirrored.sum() < 30


# Interpolating moves, by hand


def test_a_rotation_by_a_quarter_turn_is_exact(draw_at: Callable[[float], None]) -> None:
    images = noise(2, 5, 5)
    draw_at(1)
    np.testing.assert_allclose(moved(images, rotation=90), np.rot90(images, axes=(1, 2)), atol=1e-3)
    draw_at(0)
    np.testing.assert_allclose(moved(images, rotation=90), np.rot90(images, -1, axes=(1, 2)), atol=1e-3)


def test_a_shift_by_hand(draw_at: Callable[[float], None]) -> None:
    image = grey([[10, 20, 30, 40], [50, 60, 70, 80]])
    draw_at(1)
    # A quarter of 4 columns, and of 2 rows: each pixel comes from 1 column and 0.5 rows further on.
    expected = grey([[40, 50, 60, 60], [60, 70, 80, 80]])
    np.testing.assert_allclose(moved(image, shift=0.25, fill=Fill.NEAREST), expected, atol=1e-3)
    draw_at(0.5)
    np.testing.assert_allclose(moved(image, shift=0.25), image, atol=1e-3)


def test_a_shear_by_hand(draw_at: Callable[[float], None]) -> None:
    image = grey([[0, 100, 200]] * 3)
    draw_at(1)
    # sin 30 degrees is a half: the rows above and below the centre move by half a pixel.
    expected = grey([[50, 150, 200], [0, 100, 200], [0, 50, 150]])
    np.testing.assert_allclose(moved(image, shear=30, fill=Fill.NEAREST), expected, atol=1e-3)


def test_a_zoom_by_hand(draw_at: Callable[[float], None]) -> None:
    image = grey([[0, 100, 200]] * 3)
    draw_at(1)
    # Factor 1.5: what lay 1.5 columns from the centre now lies 1 column from it, and there the fill begins.
    expected = grey([[0, 100, 200]] * 3)
    np.testing.assert_allclose(moved(image, zoom=0.5, fill=Fill.NEAREST), expected, atol=1e-3)
    draw_at(0)
    expected = grey([[50, 100, 150]] * 3)
    np.testing.assert_allclose(moved(image, zoom=0.5, fill=Fill.NEAREST), expected, atol=1e-3)


@pytest.mark.filterwarnings("ignore:Please (use|import) .* from the `scipy.ndimage` namespace")
@pytest.mark.parametrize("place", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("fill", [Fill.NEAREST, Fill.REFLECT])
def test_rotation_shear_and_zoom_are_those_of_keras(
    place: float, fill: Fill, draw_at: Callable[[float], None]
) -> None:
    image = noise(1, 9, 9)
    draw_at(place)
    result = moved(image, rotation=25, shear=15, zoom=0.3, fill=fill)[0]
    share = 2 * place - 1
    expected = apply_affine_transform(
        image[0].astype(np.float32),
        theta=share * 25,
        shear=share * 15,
        zx=1 + share * 0.3,
        zy=1 + share * 0.3,
        row_axis=0,
        col_axis=1,
        channel_axis=2,
        fill_mode=str(fill),
        order=1,
    )
    np.testing.assert_allclose(result, expected, atol=0.01)


# Colour, cutout and mixup


def test_colour_by_hand(draw_at: Callable[[float], None]) -> None:
    pixels = tf.constant([[[[100.0, 50.0, 0.0], [60.0, 60.0, 60.0]]]])
    seed = tf.constant([0, 0])
    draw_at(1)
    # All factors are 1.5. Luma 59.25; saturation gives 120.375, 45.375, -29.625; contrast about the image's
    # mean of 55 gives 153.0625, 40.5625, -71.9375; brightness 229.59375, 60.84375 and less than 0.
    expected = [[[[229.59375, 60.84375, 0.0], [93.75, 93.75, 93.75]]]]
    np.testing.assert_allclose(recolour(pixels, 0.5, seed), expected, rtol=1e-5)
    draw_at(0.5)
    np.testing.assert_allclose(recolour(pixels, 0.5, seed), pixels, rtol=1e-5)
    draw_at(0)
    np.testing.assert_array_equal(recolour(pixels, 1.0, seed), np.zeros(pixels.shape))


def test_cutout_by_hand(draw_at: Callable[[float], None]) -> None:
    values = tf.ones((1, 4, 6, 3))
    seed = tf.constant([0, 0])
    draw_at(0)
    # The centre is the first pixel: half of the square is cut off.
    expected = np.ones((1, 4, 6, 3))
    expected[:, :1, :1] = 0
    np.testing.assert_array_equal(cut_out(values, 2, seed), np.where(expected, 1, 0))
    draw_at(1)
    # The centre is row 3, column 5, and the square reaches from one before it to itself.
    expected = np.ones((1, 4, 6, 3))
    expected[:, 2:, 4:] = 0
    np.testing.assert_array_equal(cut_out(values, 2, seed), expected)


@pytest.mark.parametrize("side", [1, 3, 4, 50])
def test_cutout_cuts_one_square_in_each_image(side: int) -> None:
    values = tf.ones((200, 7, 9, 3))
    result = cut_out(values, side, tf.constant([1, 2])).numpy()
    assert set(np.unique(result)) <= {0, 1}
    assert (result == result[..., :1]).all(), "all channels alike"
    cut = result[..., 0] == 0
    rows, columns = cut.any(axis=2), cut.any(axis=1)
    np.testing.assert_array_equal(cut, rows[:, :, None] & columns[:, None, :])
    heights, widths = rows.sum(axis=1), columns.sum(axis=1)
    assert 1 <= heights.min() <= heights.max() == min(side, 7)
    assert 1 <= widths.min() <= widths.max() == min(side, 9)
    assert (np.diff(np.flatnonzero(rows[0])) == 1).all()


def test_mixup_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.random, "stateless_gamma", lambda *_: tf.constant([1.0, 3.0]))
    values = tf.reshape(tf.constant([0.0, 4.0, 8.0]), (3, 1, 1, 1))
    labels = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    mixed, shares = mix_up(values, labels, 0.2, tf.constant([0, 0]))
    # A share of 1 / (1 + 3) of each, and the rest of its mirror place.
    assert mixed.numpy().ravel().tolist() == [6.0, 4.0, 2.0]
    assert shares.numpy().tolist() == [[0.25, 0.75], [0.0, 1.0], [0.75, 0.25]]


def test_mixups_shares_are_of_the_beta_distribution() -> None:
    values, labels = tf.zeros((2, 1, 1, 1)), tf.eye(2)
    shares = [mix_up(values, labels, 2.0, tf.constant([3, step]))[1].numpy()[0, 0] for step in range(300)]
    # Beta(2, 2) has the mean 0.5 and the variance 0.05; 300 draws are within 4 standard errors.
    assert abs(np.mean(shares) - 0.5) < 4 * (0.05 / 300) ** 0.5
    assert 0.035 < np.var(shares) < 0.065


# All together

EVERYTHING = AugmentationSpec(
    rotation=15, shift=0.1, shear=10, zoom=0.1, flip=Flip.RANDOM, crop=2, cutout=3, colour=0.3, mixup=0.4
)


def augmented(
    spec: AugmentationSpec, images: Images, seed: tuple[int, int] = (0, 0), mean: float = 121, std: float = 64
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    _, height, width, _ = images.shape
    augment = make_augment(spec, Preprocessing(mean=mean, std=std, height=height, width=width))
    labels = tf.one_hot(np.arange(len(images)) % 3, 3)
    indices = tf.range(len(images), dtype=tf.int64)
    values, labels = augment(
        tf.constant(images), labels, indices, tf.constant(0, tf.int64), tf.constant(seed)
    )
    return values.numpy(), labels.numpy()


def test_the_seed_gives_the_batch() -> None:
    images = noise(6, 8, 8)
    first, again = augmented(EVERYTHING, images, (1, 2)), augmented(EVERYTHING, images, (1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    for other in ((1, 3), (2, 2)):
        assert (augmented(EVERYTHING, images, other)[0] != first[0]).any()


@pytest.mark.parametrize(
    "options",
    [
        {"rotation": 20.0},
        {"shift": 0.3},
        {"shear": 20.0},
        {"zoom": 0.4},
        {"flip": Flip.RANDOM},
        {"crop": 3},
        {"cutout": 4},
        {"colour": 0.5},
        {"mixup": 0.5},
    ],
    ids=lambda options: str(next(iter(options))),
)
def test_each_name_does_something_that_the_seed_decides(options: dict[str, Any]) -> None:
    images = noise(6, 8, 8)
    spec = AugmentationSpec(**options)
    plain = augmented(AugmentationSpec(), images)[0]
    first, second = augmented(spec, images, (0, 1))[0], augmented(spec, images, (0, 2))[0]
    assert (first != plain).any()
    assert (first != second).any()


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31 - 1),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    mean=st.floats(0, 255, width=32),
    std=st.floats(1, 255, width=32),
)
def test_no_augmentation_is_plain_preprocessing(
    seed: int, shape: tuple[int, int, int], mean: float, std: float
) -> None:
    images = noise(*shape, seed=seed)
    values, labels = augmented(AugmentationSpec(), images, (seed, seed), mean, std)
    plain = Preprocessing(mean=mean, std=std, height=shape[1], width=shape[2]).apply(images)
    np.testing.assert_array_equal(values, plain)
    assert set(labels.ravel()) <= {0, 1}


specs = st.builds(
    AugmentationSpec,
    rotation=st.floats(0, 180),
    shift=st.floats(0, 1),
    shear=st.floats(0, 80),
    zoom=st.floats(0, 0.99),
    flip=st.sampled_from(Flip),
    crop=st.integers(0, 10),
    fill=st.sampled_from(Fill),
    cutout=st.integers(0, 10),
    colour=st.floats(0, 1),
    mixup=st.sampled_from([0.0, 0.2, 1.0]),
)


@settings(max_examples=60)
@given(
    spec=specs,
    seed=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
    shape=st.tuples(st.integers(1, 4), st.integers(2, 8), st.integers(2, 8)),
)
def test_any_augmentation_keeps_shape_type_and_range(
    spec: AugmentationSpec, seed: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    values, labels = augmented(spec, noise(*shape), seed)
    assert values.shape == (*shape, 3)
    assert values.dtype == labels.dtype == np.float32
    assert (0 - 121) / 64 - 1e-4 <= values.min() <= values.max() <= (255 - 121) / 64 + 1e-4
    assert labels.shape == (shape[0], 3)
    assert labels.min() >= 0
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
