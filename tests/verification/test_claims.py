import pytest

from edgecifar.artifacts import Verdict
from edgecifar.verification.claims import Asked, Estimate


@pytest.mark.parametrize(
    ("limit", "figure", "proof", "veto"),
    [
        (0.5, Verdict.FAIL, Verdict.FAIL, Verdict.FAIL),
        (1.0, Verdict.FAIL, Verdict.FAIL, Verdict.UNDECIDED),
        (1.5, Verdict.FAIL, Verdict.FAIL, Verdict.UNDECIDED),
        (2.0, Verdict.PASS, Verdict.UNDECIDED, Verdict.UNDECIDED),
        (2.5, Verdict.PASS, Verdict.UNDECIDED, Verdict.UNDECIDED),
        (3.0, Verdict.PASS, Verdict.PASS, Verdict.PASS),
    ],
)
def test_what_is_asked_of_2_between_1_and_3(
    limit: float, figure: Verdict, proof: Verdict, veto: Verdict
) -> None:
    estimate = Estimate(2, 1, 3)
    asked = (Asked.FIGURE, Asked.PROOF, Asked.VETO)
    assert tuple(estimate.verdict(limit, one) for one in asked) == (figure, proof, veto)


def test_the_negative_turns_the_interval_round() -> None:
    assert Estimate(0.9, 0.8, 0.95).negated == Estimate(-0.9, -0.95, -0.8)
