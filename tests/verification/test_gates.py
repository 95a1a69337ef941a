import math

import pytest
from pydantic import ValidationError

from edgecifar.artifacts import Gate, Verdict
from edgecifar.verification.gates import judge


def test_no_gate_gives_no_verdict() -> None:
    assert judge("model in litert", 50.0, Gate()) == (Verdict.NONE, ())


@pytest.mark.parametrize("drop_pp", [0.5, 100 * 50 / 10_000, 0.0, -3.0])
def test_a_drop_up_to_the_gate_passes(drop_pp: float) -> None:
    assert judge("model in litert", drop_pp, Gate(max_drop_pp=0.5)) == (Verdict.PASS, ())


def test_a_larger_drop_fails_with_a_sentence() -> None:
    verdict, broken = judge("model.int8.onnx in ort-cpu", 0.62, Gate(max_drop_pp=0.5))
    assert verdict is Verdict.FAIL
    assert broken == ("model.int8.onnx in ort-cpu loses 0.62 pp, more than the 0.50 pp allowed",)


def test_the_sentence_tells_close_numbers_apart() -> None:
    _, (sentence,) = judge("m", 0.502, Gate(max_drop_pp=0.5))
    assert sentence == "m loses 0.502 pp, more than the 0.500 pp allowed"


def test_even_neighbouring_numbers_are_told_apart() -> None:
    _, (sentence,) = judge("m", math.nextafter(0.5, 1), Gate(max_drop_pp=0.5))
    assert sentence == "m loses 0.5000000000000001 pp, more than the 0.5 pp allowed"


@pytest.mark.parametrize("allowed", [float("nan"), float("inf"), -0.1, 101.0])
def test_a_gate_that_gates_nothing_is_refused(allowed: float) -> None:
    with pytest.raises(ValidationError):
        Gate(max_drop_pp=allowed)
