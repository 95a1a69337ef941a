from pathlib import Path

import pytest

from edgecifar.artifacts import Gate, Policy, Rule, Verdict
from edgecifar.artifacts.gate import gravest
from edgecifar.choices import Bound
from edgecifar.errors import VerificationError

TEXT = """
[gate]
max_drop_pp = 0.5
drop_bound = "upper"

[[rules]]
artifact = "*.int8.*"
max_drop_pp = 1

[[rules]]
artifact = "*.onnx"
runtime = "ort-*"
drop_bound = "point"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "verify.toml"


def test_later_rules_win_and_leave_the_rest_as_it_was(path: Path) -> None:
    path.write_text(TEXT)
    policy = Policy.load(path)
    assert policy.gate_for("m.float32.tflite", "litert") == Gate(max_drop_pp=0.5, drop_bound=Bound.UPPER)
    assert policy.gate_for("m.int8.tflite", "litert") == Gate(max_drop_pp=1, drop_bound=Bound.UPPER)
    assert policy.gate_for("m.int8.onnx", "ort-cpu") == Gate(max_drop_pp=1, drop_bound=Bound.POINT)
    assert policy.gate_for("m.int8.onnx", "openvino").drop_bound is Bound.UPPER


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[gate]\nmax_drp_pp = 1", r"\[gate\] max_drp_pp is not a key. Did you mean max_drop_pp\?"),
        ("[[rules]]\nartefact = '*'", r"\[rules\[0\]\] artefact is not a key. Did you mean artifact\?"),
        ("[gate]\nmax_drop_pp = -1", "max_drop_pp = -1: input should be greater than or equal to 0"),
        ("[gate]\ndrop_bound = 'lower'", "drop_bound = 'lower'"),
        ("[gate]\non_subset = 'maybe'", "on_subset = 'maybe'"),
        ("gate = 1", "gate = 1: a section was expected"),
        ("[gate", "not TOML"),
    ],
)
def test_a_wrong_policy_is_told_with_file_and_key(path: Path, text: str, told: str) -> None:
    path.write_text(text)
    with pytest.raises(VerificationError, match=told) as caught:
        Policy.load(path)
    assert str(caught.value).startswith(str(path))


def test_a_policy_that_is_not_there(path: Path) -> None:
    with pytest.raises(VerificationError, match="cannot be read"):
        Policy.load(path)


def test_a_rule_for_all_is_a_gate_for_all() -> None:
    assert Policy(rules=(Rule(min_agreement=0.9),)).gate_for("a", "b") == Gate(min_agreement=0.9)


def test_the_gravest_verdict() -> None:
    assert gravest([Verdict.PASS, Verdict.UNDECIDED, Verdict.FAIL, Verdict.NONE]) is Verdict.FAIL
    assert gravest([Verdict.PASS, Verdict.UNDECIDED]) is Verdict.UNDECIDED
    assert gravest([Verdict.NONE, Verdict.PASS]) is Verdict.PASS
    assert gravest([]) is Verdict.NONE


def test_the_policy_of_the_documentation_is_one(checkout: Path) -> None:
    policy = Policy.load(checkout / "docs" / "verify.toml")
    assert policy.gate_for("model.int8.onnx", "ort-cpu").max_size_bytes == 350_000
    assert policy.gate_for("model.float32.onnx", "ort-cpu").max_size_bytes is None
