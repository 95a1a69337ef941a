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
from edgecifar.choices import Bound, OnSubset
from edgecifar.verification.gates import Findings, Speed, judge
from edgecifar.verification.statistics import score_interval_pp

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
            "saw_all": True,
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
    findings = Findings(
        subject="m",
        total=1,
        saw_all=True,
        drop_pp=50.0,
        agreement=0.5,
        size_bytes=10,
        speed=Speed(None, "f"),
        class_names=("cat", "dog"),
        evidence=evidence(),
    )
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


PART = {"saw_all": False, "total": 200}


def interval_of(low: float, high: float) -> Evidence:
    both = Interval(low=low, high=high)
    return evidence().model_copy(update={"drop_interval_pp": both, "drop_score_interval_pp": both})


@pytest.mark.parametrize(
    ("drop_pp", "low", "high", "verdict", "told"),
    [
        (
            1.5, -1.0, 4.0, Verdict.UNDECIDED,
            "undecided on 200 images: 1.50 pp lost there, with 95 % confidence -1.00 to 4.00 pp; 0.5 pp is",
        ),
        (0.0, -0.9, 0.9, Verdict.UNDECIDED, "is undecided on 200 images: 0.00 pp lost there"),
        (8.5, 4.0, 14.0, Verdict.FAIL, "loses at least 4.00 pp with 95 % confidence, 0.50 pp is allowed"),
        (-3.0, -6.0, 0.2, Verdict.PASS, "loses at most 0.20 pp with 95 % confidence, 0.50 pp is allowed"),
    ],
)  # fmt: skip
def test_a_part_of_the_images_fails_only_what_it_contradicts(
    check: Check, drop_pp: float, low: float, high: float, verdict: Verdict, told: str
) -> None:
    for bound in (None, *Bound):
        gate = Gate(max_drop_pp=0.5, drop_bound=bound)
        found = check(gate, drop_pp=drop_pp, evidence=interval_of(low, high), **PART)
        assert (found.verdict, found.is_veto) == (verdict, True)
        assert told in found.sentence


def test_a_part_can_be_told_to_judge_as_all(check: Check) -> None:
    part = PART | {"drop_pp": 1.5, "evidence": interval_of(-1, 4)}
    found = check(Gate(max_drop_pp=0.5, on_subset=OnSubset.JUDGE), **part)
    assert (found.verdict, found.is_veto) == (Verdict.FAIL, False)
    gate = Gate(max_drop_pp=2, drop_bound=Bound.UPPER, on_subset=OnSubset.JUDGE)
    found = check(gate, **part)
    assert (found.verdict, found.is_veto) == (Verdict.UNDECIDED, False)
    assert "it would take about 5,000 images to prove it" in found.sentence
    # All images are judged as ever, whatever a part would be asked.
    found = check(Gate(max_drop_pp=0.5, on_subset=OnSubset.VETO), drop_pp=1.5)
    assert (found.verdict, found.is_veto) == (Verdict.FAIL, False)


def test_a_class_of_a_part_is_held_against_its_own_interval(check: Check) -> None:
    # Of 50 cats three were lost: 6 pp, which may be none in truth.
    found = check(Gate(max_class_drop_pp=5), **PART)
    assert found.verdict is Verdict.UNDECIDED
    assert "m in litert, class cat, is undecided on 50 images: 6.00 pp lost there" in found.sentence
    lost_many = evidence().model_copy(
        update={
            "confusion": Confusion(classes=2, cells=((0, 0, 18), (0, 1, 32), (1, 1, 50))),
            "right_to_wrong": (30, 0),
        }
    )
    found = check(Gate(max_class_drop_pp=5), evidence=lost_many, **PART)
    assert found.verdict is Verdict.FAIL
    assert found.sentence.startswith("m in litert, class cat, loses at least ")
    assert 40 < (found.measured or 0) < 60
    assert check(Gate(max_class_drop_pp=30), **PART).verdict is Verdict.PASS


def test_of_many_classes_one_may_look_bad_by_chance(check: Check) -> None:
    # Eight of 20 lost, none won: beyond 15 pp for one class alone, not for the worst of 40.
    classes = 40
    before = Confusion(classes=classes, cells=tuple((k, k, 20) for k in range(classes)))
    after = Confusion(
        classes=classes, cells=((0, 0, 12), (0, 1, 8), *((k, k, 20) for k in range(1, classes)))
    )
    many = evidence().model_copy(
        update={
            "reference_confusion": before,
            "confusion": after,
            "right_to_wrong": (8, *(0 for _ in range(classes - 1))),
            "wrong_to_right": (0,) * classes,
        }
    )
    alone = score_interval_pp(8, 0, 20)
    assert alone.low > 15
    names = tuple(f"class {k}" for k in range(classes))
    found = check(Gate(max_class_drop_pp=15), evidence=many, class_names=names, **PART)
    assert found.verdict is Verdict.UNDECIDED
    assert "class class 0, is undecided on 20 images: 40.00 pp lost there" in found.sentence


@pytest.mark.parametrize(
    ("low", "high", "verdict", "told"),
    [
        (0.93, 0.99, Verdict.UNDECIDED, "undecided on 200 images: the reference's class on 97.00 % of them"),
        (0.96, 0.99, Verdict.PASS, "with 95 % confidence, at least on 96.00 % of the images, as required"),
        (0.80, 0.94, Verdict.FAIL, "at most on 94.00 % of the images, fewer than the 95.00 % required"),
    ],
)  # fmt: skip
def test_a_part_and_agreement(check: Check, low: float, high: float, verdict: Verdict, told: str) -> None:
    found = evidence().model_copy(update={"agreement_interval": Interval(low=low, high=high)})
    gate = check(Gate(min_agreement=0.95), evidence=found, **PART)
    assert gate.verdict is verdict
    assert told in gate.sentence
    assert gate.is_veto


def test_size_and_time_need_no_images(check: Check) -> None:
    assert check(Gate(max_size_bytes=1_499), **PART).verdict is Verdict.FAIL
    assert check(Gate(max_latency_ratio=1), **PART).verdict is Verdict.FAIL
