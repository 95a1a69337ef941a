import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from edgecifar.runtimes.columns import Blocks, block_weights, join_columns, open_blocks, part_columns


def convolve(image, weights, step=1):
    """(height, width, in) with (out, h, w, in) -> (height, columns, out), without padding."""
    windows = sliding_window_view(image, weights.shape[1:3], axis=(0, 1))[:, ::step]
    return np.einsum("yxcij,oijc->yxo", windows, weights)


@pytest.mark.parametrize("columns", [1, 2, 4])
@pytest.mark.parametrize("width", [1, 3])
def test_the_joined_result_is_the_plain_one_in_other_words(columns, width):
    random = np.random.default_rng(columns)
    image = random.integers(0, 256, (5, 8 + width - 1, 3))
    weights = random.integers(-127, 128, (2, 3, width, 3))
    plain = convolve(image, weights)
    joined = convolve(image, join_columns(weights, columns), columns)
    np.testing.assert_array_equal(joined.reshape(plain.shape), plain)


def test_parting_finds_the_weights_that_were_joined():
    weights = np.random.default_rng(0).integers(-127, 128, (2, 3, 3, 3)).astype(np.int8)
    joined = join_columns(weights, 4)
    assert joined.shape == (8, 3, 6, 3)
    np.testing.assert_array_equal(part_columns(joined, 4), weights)


def test_weights_that_were_not_joined_are_left():
    weights = np.ones((8, 3, 6, 3))
    assert part_columns(weights, 4) is None
    assert part_columns(weights[:7], 4) is None
    assert part_columns(weights[:, :, :3], 4) is None


@pytest.mark.parametrize("width", [1, 3, 5, 6])
def test_in_blocks_the_result_is_the_plain_one(width):
    random = np.random.default_rng(width)
    image = random.integers(0, 256, (5, 8 + width - 1, 3))
    weights = random.integers(-127, 128, (2, 3, width, 3))
    joined = join_columns(weights, 4)
    blocked = block_weights(joined, 4)
    blocks = np.pad(image, ((0, 0), (0, -image.shape[1] % 4), (0, 0))).reshape(5, -1, 12)
    plain = convolve(image, weights)
    np.testing.assert_array_equal(convolve(blocks, blocked).reshape(plain.shape), plain)
    np.testing.assert_array_equal(open_blocks(blocked, 4), joined)


def test_blocks_open_to_the_image_that_was_padded():
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3))
    blocks = np.pad(image, ((0, 0), (0, 0), (2, 4), (0, 0))).reshape(2, 5, 3, 12)
    np.testing.assert_array_equal(Blocks(4, 2, 4).open(blocks), image)
