from typing import Any

import pytest
from pydantic import ValidationError

from edgecifar.artifacts import Accuracy, Comparison, Gate, GateCheck, GateKind, ParityReport, Policy, Verdict
from edgecifar.artifacts.gate import gravest
from edgecifar.protocol import EngineInfo

ENGINE = EngineInfo("litert", "LiteRT", "2.3.0", "CPU, XNNPACK", 1)


def comparison(**changes: Any) -> Comparison:
    fields: dict[str, Any] = {
        "artifact": "model.int8.tflite",
        "format": "tflite",
        "precision": "int8",
        "size_bytes": 10,
        "sha256": "0" * 64,
        "input_dtype": "int8",
        "engine": ENGINE,
        "accuracy": Accuracy(correct=88, total=200),
        "reference_correct": 90,
        "agreements": 190,
        "wrong_to_right": 3,
        "right_to_wrong": 5,
        "max_difference": 0.5,
        "mean_difference": 0.01,
        "output_step": 1 / 256,
        "twin": None,
        "max_twin_steps": None,
        "images_per_s": 1000.0,
        "verdict": Verdict.PASS,
        "checks": (),
    }
    return Comparison(**fields | changes)


def report(*verdicts: Verdict) -> ParityReport:
    return ParityReport(
        title="garden",
        reference="model.keras",
        reference_sha256="0" * 64,
        reference_engine=ENGINE,
        reference_accuracy=Accuracy(correct=90, total=200),
        data_source="sample",
        data_split="test",
        data_fingerprint="0" * 64,
        policy=Policy(gate=Gate(max_drop_pp=0.5)),
        comparisons=tuple(comparison(verdict=verdict) for verdict in verdicts),
        skipped=(),
        cpu="a CPU",
        cpu_flags=(),
        tool_versions={},
        created="2026-01-02T03:04:05Z",
        command="edgecifar verify garden",
    )


def test_drop_and_agreement_by_hand() -> None:
    # 90 and 88 of 200 are 45 % and 44 %.
    assert comparison().drop_pp == 1.0
    assert comparison(accuracy=Accuracy(correct=91, total=200)).drop_pp == -0.5
    assert comparison().agreement == 0.95


def test_one_failure_fails_the_report() -> None:
    assert report(Verdict.PASS, Verdict.NONE).passed
    assert not report(Verdict.PASS, Verdict.FAIL, Verdict.NONE).passed


def checked(verdict: Verdict, **changes: Any) -> GateCheck:
    return GateCheck(kind=GateKind.MAX_DROP, limit=1, measured=1, verdict=verdict, sentence="so", **changes)


def checked_comparison(*checks: GateCheck, file: str = "0") -> Comparison:
    return comparison(checks=checks, verdict=gravest(check.verdict for check in checks), sha256=file * 64)


def test_a_veto_that_is_not_given_is_excused_where_another_engine_vouches() -> None:
    vouched = checked_comparison(checked(Verdict.PASS))
    silent = checked_comparison(checked(Verdict.UNDECIDED, is_veto=True))
    whole = report().model_copy(update={"comparisons": (vouched, silent)})
    assert whole.excused == (silent,)
    assert whole.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("other", "left_open"),
    [
        (None, checked(Verdict.UNDECIDED, is_veto=True)),
        (checked_comparison(checked(Verdict.PASS), file="1"), checked(Verdict.UNDECIDED, is_veto=True)),
        (
            checked_comparison(checked(Verdict.PASS).model_copy(update={"kind": GateKind.MAX_SIZE})),
            checked(Verdict.UNDECIDED, is_veto=True),
        ),
        (checked_comparison(checked(Verdict.PASS)), checked(Verdict.UNDECIDED)),
    ],
    ids=["nobody vouches", "for another file", "for another gate", "a proof was asked for"],
)
def test_what_nobody_vouches_for_is_not_passed(other: Comparison | None, left_open: GateCheck) -> None:
    comparisons = (*(() if other is None else (other,)), checked_comparison(left_open))
    whole = report().model_copy(update={"comparisons": comparisons})
    assert whole.excused == ()
    assert whole.verdict is Verdict.UNDECIDED
    assert not whole.passed


def test_engines_that_left_something_open_do_not_vouch_for_each_other() -> None:
    drop, size = checked(Verdict.PASS), checked(Verdict.PASS).model_copy(update={"kind": GateKind.MAX_SIZE})
    left_open = {"verdict": Verdict.UNDECIDED, "is_veto": True}
    one = checked_comparison(drop, size.model_copy(update=left_open))
    other = checked_comparison(drop.model_copy(update=left_open), size)
    whole = report().model_copy(update={"comparisons": (one, other)})
    assert whole.excused == ()
    assert not whole.passed


def test_a_veto_fails_the_report() -> None:
    vouched = checked_comparison(checked(Verdict.PASS))
    veto = checked_comparison(checked(Verdict.FAIL, is_veto=True))
    assert report().model_copy(update={"comparisons": (vouched, veto)}).verdict is Verdict.FAIL


@pytest.mark.parametrize("drop", [-0.1, 100.1, float("nan")])
def test_a_gate_is_a_share_in_points(drop: float) -> None:
    with pytest.raises(ValidationError):
        Gate(max_drop_pp=drop)


def test_a_report_survives_json() -> None:
    whole = report(Verdict.PASS, Verdict.FAIL)
    assert ParityReport.model_validate_json(whole.model_dump_json()) == whole
