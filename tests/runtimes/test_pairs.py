import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgecifar.runtimes import pairs


def saturating_dot(activations, weights) -> np.ndarray:
    """What vpmaddubsw and a sum of 32 bits give: int64 (channels,).

    Args:
        activations: uint8, of the shape of the weights: each channel may have its own.
        weights: int8 (channels, even number).
    """
    products = activations.astype(np.int64) * weights
    return np.clip(products[:, ::2] + products[:, 1::2], -32768, 32767).sum(axis=1)


def saturates(weights) -> bool:
    """Whether some activations saturate a pair, whichever the alignment."""
    for before in (0, 1):
        after = (before + weights.shape[1]) % 2
        padded = np.pad(weights, ((0, 0), (before, after)))
        for chosen in (padded > 0, padded < 0, np.ones_like(padded, bool)):
            activations = np.where(chosen, 255, 0).astype(np.uint8)
            exact = (activations.astype(np.int64) * padded).sum(axis=1)
            if not np.array_equal(saturating_dot(activations, padded), exact):
                return True
    return False


weight_arrays = arrays.arrays(
    np.int8, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.integers(-128, 127)
)


@given(weight_arrays)
def test_safe_weights_saturate_for_no_activations(weights):
    growth = pairs.growths(weights)
    safe = pairs.shrink(weights, growth[:, None])
    assert pairs.largest_pair(safe) <= 128
    assert not saturates(safe)


@given(weight_arrays)
def test_only_weights_that_saturate_grow_and_no_further_than_they_must(weights):
    growth = pairs.growths(weights)
    for channel, grown in zip(weights[:, None], growth, strict=True):
        # The simulation knows nothing of pairs' sums: it says the same of each step of the growth.
        assert saturates(channel) == (grown > 0)
        if grown:
            assert saturates(pairs.shrink(channel, grown - 1))


def test_random_weights_would_saturate():
    weights = np.random.default_rng(0).integers(-128, 128, (8, 64))
    assert saturates(weights)
    assert saturating_dot(np.full((1, 2), 255, np.uint8), np.array([[127, 127]])) == 32767


def test_the_smallest_growth_is_the_hand_computed_one():
    # 100 / g and 60 / g have to round to 80 and 48: g above 100 / 80.5, which is 81411.2 / 65536.
    # -128 / g has to round to -64: g above 128 / 64.5, which is 130055.7 / 65536.
    # 127 and 2 sum to 129: 127 / g has to round to 126, g above 127 / 126.5, 65795.04 / 65536.
    weights = np.array([[100, 60, -7], [-128, -128, 0], [127, 2, -127], [127, 1, 127], [0, 0, 0]])
    growth = pairs.growths(weights)
    assert growth.tolist() == [81412 - 65536, 130056 - 65536, 65796 - 65536, 0, 0]
    safe = pairs.shrink(weights, growth[:, None])
    assert safe.tolist() == [[80, 48, -6], [-64, -64, 0], [126, 2, -126], [127, 1, 127], [0, 0, 0]]


def test_halves_round_away_from_zero():
    assert pairs.shrink(np.array([3, -3, 2, 0]), np.array(65536)).tolist() == [2, -2, 1, 0]


@given(weight_arrays, st.integers(0, 2**32 - 1))
def test_sums_that_saturate_are_counted_one_by_one(weights, seed):
    activations = np.random.default_rng(seed).integers(0, 256, (3, weights.shape[1]), dtype=np.uint8)
    expected = 0
    for row in activations.tolist():
        for channel in weights.tolist():
            for place in range(0, len(channel) - 1, 2):
                total = row[place] * channel[place] + row[place + 1] * channel[place + 1]
                expected += not -32768 <= total <= 32767
    assert pairs.count_saturated(activations, weights) == expected


def test_pairs_begin_at_even_places():
    assert pairs.count_unsafe(np.array([[1, 127, 2, -100, 127]], np.int8)) == (0, 2)
    assert pairs.count_unsafe(np.array([[127, 2, -127, -2, 0, 0]], np.int8)) == (2, 3)


@given(
    arrays.arrays(
        np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.floats(-127.5, 127.5)
    )
)
def test_real_numbers_are_rounded_once_to_safe_weights(steps):
    growth = pairs.growths(steps)
    safe = pairs.shrink(steps, growth[:, None])
    assert not saturates(safe)
    exact = steps * pairs.UNIT / (pairs.UNIT + growth[:, None])
    assert np.all(np.abs(safe - exact) <= 0.5)
    for channel, grown in zip(steps[:, None], growth, strict=True):
        if grown:
            assert saturates(pairs.shrink(channel, grown - 1))
