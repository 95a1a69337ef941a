import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from edgecifar.verification import statistics

COUNTS = [(12, 2, 50), (92, 92, 10_000), (5, 0, 200), (0, 7, 40)]


def test_wilson_by_hand() -> None:
    # 8 of 10: centre (0.8 + z²/20) / (1 + z²/10), z = 1.959964.
    found = statistics.proportion_interval(8, 10)
    assert (found.low, found.high) == pytest.approx((0.49016, 0.94331), abs=1e-5)


@pytest.mark.parametrize(("lost", "won", "total"), COUNTS[:2])
def test_the_bootstrap_agrees_with_scipys_over_the_images_themselves(lost: int, won: int, total: int) -> None:
    shares = np.repeat([1, -1, 0], [lost, won, total - lost - won])
    resampled = stats.bootstrap(
        (shares,), np.mean, n_resamples=3_000, method="percentile", batch=100, rng=np.random.default_rng(1)
    ).confidence_interval
    found = statistics.bootstrap_interval_pp(lost, won, total)
    # Both are drawn: their ends differ by a few hundredths of the interval's width.
    width = found.high - found.low
    assert found.low == pytest.approx(100 * resampled.low, abs=0.08 * width)
    assert found.high == pytest.approx(100 * resampled.high, abs=0.08 * width)


def test_the_bootstrap_repeats_itself() -> None:
    assert statistics.bootstrap_interval_pp(9, 4, 500) == statistics.bootstrap_interval_pp(9, 4, 500)


def test_where_nothing_flips_the_bootstrap_shrinks_and_the_score_does_not() -> None:
    nothing = statistics.bootstrap_interval_pp(0, 0, 200)
    assert (nothing.low, nothing.high) == (0, 0)
    # Tango's limit is then z² / (n + z²).
    square = stats.norm.ppf(0.975) ** 2
    found = statistics.score_interval_pp(0, 0, 200)
    assert found.high == pytest.approx(100 * square / (200 + square))
    assert found.low == pytest.approx(-found.high)


@pytest.mark.parametrize(("lost", "won", "total"), COUNTS)
def test_the_ends_of_the_score_interval_are_just_rejected(lost: int, won: int, total: int) -> None:
    """The score at each end is the critical value, its variance from a likelihood maximised numerically."""
    found = statistics.score_interval_pp(lost, won, total)
    for end, sign in ((found.low / 100, 1), (found.high / 100, -1)):

        def unlikelihood(share: float, end: float = end) -> float:
            probabilities = (share + end, share, 1 - 2 * share - end)
            counts = (lost, won, total - lost - won)
            return -sum(
                count * math.log(max(probability, 1e-300))
                for count, probability in zip(counts, probabilities, strict=True)
                if count
            )

        bounds = (max(0.0, -end), (1 - end) / 2)
        share = optimize.minimize_scalar(
            unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        ).x
        variance = total * (2 * share + end * (1 - end))
        score = (lost - won - total * end) / math.sqrt(variance)
        assert score == pytest.approx(sign * stats.norm.ppf(0.975), rel=1e-3)


def test_the_score_interval_of_a_total_loss_reaches_the_end() -> None:
    assert statistics.score_interval_pp(5, 0, 5).high == 100
    assert statistics.score_interval_pp(0, 5, 5).low == -100


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 500))
def test_intervals_hold_the_drop_and_mirror(lost: int, won: int, unchanged: int) -> None:
    total = max(1, lost + won + unchanged)
    drop_pp = 100 * (lost - won) / total
    for interval in (statistics.bootstrap_interval_pp, statistics.score_interval_pp):
        found = interval(lost, won, total)
        assert found.low - 1e-9 <= drop_pp <= found.high + 1e-9
    score, mirrored = (
        statistics.score_interval_pp(lost, won, total),
        statistics.score_interval_pp(won, lost, total),
    )
    assert score.low == pytest.approx(-mirrored.high, abs=1e-6)


@pytest.mark.parametrize(("lost", "won"), [(12, 2), (0, 0), (3, 3), (1, 0)])
def test_mcnemar_is_the_binomial_test_of_the_flips(lost: int, won: int) -> None:
    expected = stats.binomtest(lost, lost + won).pvalue if lost + won else 1.0
    assert statistics.mcnemar_p(lost, won) == pytest.approx(expected)


def test_mcnemar_by_hand() -> None:
    # 3 lost, none won: twice one half cubed.
    assert statistics.mcnemar_p(3, 0) == pytest.approx(0.25)


def test_images_to_prove() -> None:
    assert statistics.images_to_prove(1_000, 0.125, 0.5, 0.25) == 9_000
    assert statistics.images_to_prove(1_000, 0.25, 0.5, 0.25) is None


def test_more_confidence_makes_a_wider_score_interval() -> None:
    usual, sure = (statistics.score_interval_pp(8, 2, 100, confidence) for confidence in (0.95, 0.995))
    assert usual == statistics.score_interval_pp(8, 2, 100)
    assert sure.low < usual.low < 6 < usual.high < sure.high
    # Nothing flipped: z² / (n + z²) with the wider z.
    square = stats.norm.ppf(0.9975) ** 2
    assert statistics.score_interval_pp(0, 0, 200, 0.995).high == pytest.approx(100 * square / (200 + square))
