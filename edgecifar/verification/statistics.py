"""Statistics: how sure a measured change is, given how many images it was measured on.

Paired figures need four numbers alone: how many images both models get right, each alone gets right, and
neither does. The two in the middle are the flips.
"""

import math

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from edgecifar.artifacts import Interval

CONFIDENCE = 0.95
RESAMPLES = 9_999
SEED = 0
"""Of the bootstrap, so that the same counts give the same interval."""


def proportion_interval(count: int, total: int) -> Interval:
    """Returns Wilson's 95 % interval of a share, 0 to 1.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Args:
        count: Images that have it.
        total: All images, at least one.
    """
    found = stats.binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(low=float(found.low), high=float(found.high))


def bootstrap_interval_pp(right_to_wrong: int, wrong_to_right: int, total: int) -> Interval:
    """Returns the 95 % percentile interval of the drop by the paired bootstrap, in percentage points.

    An image's share in the drop is 1 where it was lost, -1 where it was won, else 0. To draw `total` of them
    with replacement and count each kind is to draw from a multinomial distribution, so that is drawn from:
    the same interval at a millionth of the work.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Args:
        right_to_wrong: Images that the candidate lost.
        wrong_to_right: Images that it won.
        total: All images, at least one.
    """
    shares = (right_to_wrong / total, wrong_to_right / total)
    # Of doubles that sum to one within their rounding: SciPy takes the last as the rest.
    probabilities = (*shares, 1 - sum(shares))
    drawn = stats.multinomial.rvs(total, probabilities, size=RESAMPLES, random_state=SEED)
    drops_pp = 100 * (drawn[:, 0] - drawn[:, 1]) / total
    low, high = np.quantile(drops_pp, _tails())
    return Interval(low=float(low), high=float(high))


def score_interval_pp(
    right_to_wrong: int, wrong_to_right: int, total: int, confidence: float = CONFIDENCE
) -> Interval:
    """Returns an interval of the drop by Tango's score, in percentage points.

    The drops that a score test of paired proportions does not reject. It keeps its width where no image or
    few flip, where the bootstrap's shrinks to nothing.

    Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17, 1998.

    Args:
        right_to_wrong: Images that the candidate lost.
        wrong_to_right: Images that it won.
        total: All images, at least one.
        confidence: That the interval holds the drop, above 0 and below 1.
    """
    critical = float(stats.norm.ppf((1 + confidence) / 2))
    drop = (right_to_wrong - wrong_to_right) / total

    def excess(supposed: float, sign: int) -> float:
        return sign * _tango_score(right_to_wrong, wrong_to_right, total, supposed) - critical

    # The score falls from above the critical value to below it as the supposed drop rises; at -1 and 1 it is
    # infinite unless that is the drop itself.
    low = -1.0 if drop == -1 else optimize.brentq(excess, -1 + 1e-12, drop, args=(1,))
    high = 1.0 if drop == 1 else optimize.brentq(excess, drop, 1 - 1e-12, args=(-1,))
    return Interval(low=100 * low, high=100 * high)


def _tango_score(lost: int, won: int, total: int, supposed: float) -> float:
    """Returns how many standard errors the drop lies above a supposed one, Tango's equation 7."""
    distance = lost - won - total * supposed
    if distance == 0:
        return 0.0
    a = 2 * total
    b = (2 * total - lost + won) * supposed - lost - won
    c = -won * supposed * (1 - supposed)
    # The share of images won that is likeliest if the drop is the supposed one.
    share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = total * (2 * share + supposed * (1 - supposed))
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)


def mcnemar_p(right_to_wrong: int, wrong_to_right: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test: that both models are equally accurate.

    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947; exact by the binomial distribution of the flips.

    Args:
        right_to_wrong: Images that the candidate lost.
        wrong_to_right: Images that it won.
    """
    # Images on which nothing flipped have no part in it.
    return float(mcnemar([[0, right_to_wrong], [wrong_to_right, 0]], exact=True).pvalue)


def images_to_prove(total: int, drop_pp: float, bound_pp: float, limit_pp: float) -> int | None:
    """Returns about how many images would bring the drop's upper bound down to a limit.

    The distance from the drop to its bound shrinks with the square root of the images, if more of them flip
    as these did.

    Args:
        total: Images so far.
        drop_pp: Measured on them.
        bound_pp: Upper end of its interval.
        limit_pp: What the bound shall not exceed.

    Returns:
        The number, or None where the drop leaves no room below the limit: then no number suffices.
    """
    if drop_pp >= limit_pp:
        return None
    return math.ceil(total * ((bound_pp - drop_pp) / (limit_pp - drop_pp)) ** 2)


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
