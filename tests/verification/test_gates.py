import math
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from edgecifar.artifacts import (
    Confusion,
    Distribution,
    Evidence,
    Gate,
    GateCheck,
    GateKind,
    Interval,
    Unit,
    Verdict,
)
from edgecifar.choices import Bound
from edgecifar.verification.gates import Findings, Speed, judge

BEFORE = Confusion(classes=2, cells=((0, 0, 48), (0, 1, 2), (1, 1, 50)))
AFTER = Confusion(classes=2, cells=((0, 0, 45), (0, 1, 5), (1, 1, 50)))


def evidence(bootstrap: float = 0.3, score: float = 0.4) -> Evidence:
    return Evidence(
        accuracy_interval=Interval(low=0, high=1),
        agreement_interval=Interval(low=0, high=1),
        drop_interval_pp=Interval(low=-0.1, high=bootstrap),
        drop_score_interval_pp=Interval(low=-0.2, high=score),
        mcnemar_p=1.0,
        confusion=AFTER,
        reference_confusion=BEFORE,
        right_to_wrong=(3, 0),
        wrong_to_right=(0, 0),
        calibration=None,
        reference_calibration=None,
        differences=Distribution(
            unit=Unit.STEPS, edges=(1,), counts=(100,), median=0, percentile_90=0, percentile_99=0, maximum=0
        ),
        worst_flips=(),
    )


Check = Callable[..., GateCheck]


@pytest.fixture
def check() -> Check:
    def run(gate: Gate, **changes: object) -> GateCheck:
        fields: dict[str, object] = {
            "subject": "m in litert",
            "total": 1_000,
            "drop_pp": 0.1,
            "agreement": 0.97,
            "size_bytes": 1_500,
            "speed": Speed(1.2, "f in litert"),
            "class_names": ("cat", "dog"),
            "evidence": evidence(),
        }
        (found,) = judge(Findings(**fields | changes), gate)  # type: ignore[arg-type]
        return found

    return run


def test_no_gate_is_no_check() -> None:
    findings = Findings("m", 1, 50.0, 0.5, 10, Speed(None, "f"), ("cat", "dog"), evidence())
    assert judge(findings, Gate()) == ()
    assert judge(findings, Gate(drop_bound=Bound.UPPER)) == ()


@pytest.mark.parametrize("drop_pp", [0.5, 100 * 50 / 10_000, 0.0, -3.0])
def test_a_drop_up_to_the_gate_passes(check: Check, drop_pp: float) -> None:
    found = check(Gate(max_drop_pp=0.5), drop_pp=drop_pp)
    assert (found.verdict, found.measured, found.limit) == (Verdict.PASS, drop_pp, 0.5)


def test_a_larger_drop_fails_with_a_sentence(check: Check) -> None:
    found = check(Gate(max_drop_pp=0.5), drop_pp=0.62)
    assert found.verdict is Verdict.FAIL
    assert found.sentence == "m in litert loses 0.62 pp, more than the 0.50 pp allowed"


def test_the_sentence_tells_close_numbers_apart(check: Check) -> None:
    found = check(Gate(max_drop_pp=0.5), drop_pp=0.502)
    assert found.sentence == "m in litert loses 0.502 pp, more than the 0.500 pp allowed"
    found = check(Gate(max_drop_pp=0.5), drop_pp=math.nextafter(0.5, 1))
    assert "loses 0.5000000000000001 pp, more than the 0.5 pp" in found.sentence


def test_the_upper_bound_is_the_wider_of_both_intervals(check: Check) -> None:
    gate = Gate(max_drop_pp=0.4, drop_bound=Bound.UPPER)
    assert check(gate).verdict is Verdict.PASS
    assert check(gate).measured == 0.4
    assert check(gate, evidence=evidence(bootstrap=0.41)).verdict is Verdict.UNDECIDED
    assert check(gate, evidence=evidence(score=0.41)).verdict is Verdict.UNDECIDED


def test_too_few_images_are_undecided_and_say_how_many_it_takes(check: Check) -> None:
    found = check(Gate(max_drop_pp=0.25, drop_bound=Bound.UPPER), drop_pp=0.125, evidence=evidence(score=0.5))
    assert found.verdict is Verdict.UNDECIDED
    # The bound lies 0.375 above the drop and has to come within 0.125 of it: 3 squared times the images.
    assert found.sentence == (
        "m in litert lost 0.12 pp on 1,000 images, which leave room for 0.50 pp with 95 % confidence, more "
        "than the 0.25 pp allowed; it would take about 9,000 images to prove it"
    )


def test_a_drop_at_the_limit_cannot_be_proven(check: Check) -> None:
    found = check(Gate(max_drop_pp=0.1, drop_bound=Bound.UPPER))
    assert found.verdict is Verdict.UNDECIDED
    assert "no number of images would prove it" in found.sentence


def test_a_drop_beyond_the_limit_fails_whatever_the_bound(check: Check) -> None:
    assert check(Gate(max_drop_pp=0.05, drop_bound=Bound.UPPER)).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("gate", "verdict", "told"),
    [
        (Gate(max_class_drop_pp=6), Verdict.PASS, "m in litert, class cat, loses 6.00 pp, no more than"),
        (Gate(max_class_drop_pp=5), Verdict.FAIL, "class cat, loses 6.00 pp, more than the 5.00 pp allowed"),
        (Gate(min_agreement=0.97), Verdict.PASS, "on 97.00 % of the images, as required"),
        (Gate(min_agreement=0.98), Verdict.FAIL, "on 97.00 % of the images, fewer than the 98.00 % required"),
        (Gate(max_size_bytes=1_500), Verdict.PASS, "has 1,500 bytes, no more than the 1,500 allowed"),
        (Gate(max_size_bytes=1_499), Verdict.FAIL, "has 1,500 bytes, more than the 1,499 allowed"),
        (Gate(max_latency_ratio=1.2), Verdict.PASS, "1.20 times as long an image as f in litert, no more"),
        (Gate(max_latency_ratio=1), Verdict.FAIL, "more than the 1.00 times allowed"),
    ],
)
def test_the_other_gates(check: Check, gate: Gate, verdict: Verdict, told: str) -> None:
    found = check(gate)
    assert found.verdict is verdict
    assert told in found.sentence


def test_a_time_that_was_not_measured_is_undecided(check: Check) -> None:
    found = check(Gate(max_latency_ratio=1), speed=Speed(None, "f in litert"))
    assert (found.kind, found.verdict) == (GateKind.MAX_LATENCY_RATIO, Verdict.UNDECIDED)
    assert found.measured is None


@pytest.mark.parametrize("allowed", [float("nan"), float("inf"), -0.1, 101.0])
def test_a_gate_that_gates_nothing_is_refused(allowed: float) -> None:
    with pytest.raises(ValidationError):
        Gate(max_drop_pp=allowed)
