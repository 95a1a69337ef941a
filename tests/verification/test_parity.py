import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgecifar.artifacts import Accuracy, Dataset, Gate, ParityReport, Policy, Rule, Verdict
from edgecifar.choices import Bound
from edgecifar.errors import VerificationError
from edgecifar.protocol import Array, EngineInfo, LoadedModel, TensorInfo
from edgecifar.verification import (
    Candidate,
    Circumstances,
    Feeding,
    Outputs,
    Reference,
    parity,
    verify_parity,
)
from edgecifar.verification.gates import Speed

INT8_OUTPUT = TensorInfo("out", (None, 3), "int8", 1 / 256, -128)
UINT8_OUTPUT = TensorInfo("out", (None, 3), "uint8", 1 / 256, 0)
NO_GATE = Gate()
LABELS = [0, 1, 2, 0]
REFERENCE = np.array(
    [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.9, 0.1, 0.0]], np.float32
)  # 3 right
CANDIDATE = np.array(
    [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.6, 0.2, 0.2], [0.4, 0.6, 0.0]], np.float32
)  # 1 right

MakeModel = Callable[..., LoadedModel]
MakeData = Callable[..., Dataset]
Verify = Callable[..., ParityReport]


@pytest.fixture
def make_candidate(feeding: Feeding) -> Callable[..., Candidate]:
    def make(model: LoadedModel, name: str = "model.tflite", **changes: object) -> Candidate:
        fields: dict[str, object] = {
            "format": "tflite",
            "precision": "float32",
            "size_bytes": 1234,
            "sha256": f"sha of {name}",
            "feeding": feeding,
        }
        return Candidate(name=name, load=lambda: model, **(fields | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def verify(
    make_model: MakeModel, make_data: MakeData, feeding: Feeding, circumstances: Circumstances
) -> Verify:
    def run(
        *candidates: Candidate, table: Array = REFERENCE, labels: list[int] = LABELS, gate: Gate = NO_GATE
    ) -> ParityReport:
        reference = Reference(
            "model.keras", lambda: make_model(table, "keras"), feeding, "sha of the reference"
        )
        return verify_parity(reference, candidates, make_data(labels), Policy(gate=gate), circumstances)

    return run


def test_a_hand_computed_comparison(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate], make_data: MakeData
) -> None:
    report = verify(make_candidate(make_model(CANDIDATE)), gate=Gate(max_drop_pp=49.5))
    (comparison,) = report.comparisons
    assert report.reference_accuracy == Accuracy(correct=3, total=4)
    assert report.data_fingerprint == make_data(LABELS).fingerprint
    assert comparison.accuracy == Accuracy(correct=1, total=4)
    assert (comparison.reference_correct, comparison.agreements) == (3, 2)
    assert (comparison.right_to_wrong, comparison.wrong_to_right) == (2, 0)
    assert comparison.drop_pp == 50.0
    assert comparison.max_difference == pytest.approx(0.5)
    assert comparison.mean_difference == pytest.approx((0.4 + 0.4 + 0.5 + 0.5) / 12)
    assert comparison.images_per_s > 0
    assert comparison.verdict is Verdict.FAIL
    assert comparison.broken_gates == (
        "model.tflite in litert loses 50.00 pp, more than the 49.50 pp allowed",
    )
    assert not report.passed
    assert report.notes == ()


def test_a_candidate_on_a_subset_meets_the_reference_on_that_subset(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate]
) -> None:
    report = verify(make_candidate(make_model(CANDIDATE), limit=3))
    (comparison,) = report.comparisons
    assert report.reference_accuracy == Accuracy(correct=3, total=4)
    assert comparison.accuracy == Accuracy(correct=1, total=3)
    assert comparison.reference_correct == 2
    (note,) = report.notes
    assert note.startswith("litert ran on 3 of 4 images, balanced by class")


def test_a_limit_beyond_the_data_runs_all_of_it(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate]
) -> None:
    report = verify(make_candidate(make_model(CANDIDATE), limit=99))
    assert report.comparisons[0].accuracy.total == 4
    assert report.notes == ()


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate], limit: int
) -> None:
    with pytest.raises(VerificationError, match=f"model.tflite: {limit} images are too few"):
        verify(make_candidate(make_model(CANDIDATE), limit=limit))


def test_steps_to_the_twin_over_the_images_that_both_saw(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate]
) -> None:
    raw = np.array([[100, -100, -128], [-100, 100, -128], [-128, -100, 100], [100, -100, -128]], np.int8)
    uint8 = (raw.astype(np.int64) + 128).astype(np.uint8)
    uint8[0, 0] -= 2
    reference_kernels = raw.copy()
    reference_kernels[1, 1] -= 3
    reference_kernels[3, 0] -= 40  # beyond the limit of three images: not seen
    int8 = {"precision": "int8", "bundle": "b"}
    report = verify(
        make_candidate(
            make_model(uint8, "ort-cpu", output=UINT8_OUTPUT), "m.int8.onnx", **int8 | {"format": "onnx"}
        ),
        make_candidate(make_model(raw, output=INT8_OUTPUT), "m.int8.tflite", **int8),
        make_candidate(
            make_model(reference_kernels, "litert-reference", output=INT8_OUTPUT),
            "m.int8.tflite",
            limit=3,
            **int8,
        ),
        make_candidate(make_model(REFERENCE), "m.float32.tflite", bundle="b"),
        make_candidate(make_model(raw, output=INT8_OUTPUT), "other.onnx", bundle="c"),
    )
    assert [(c.twin, c.max_twin_steps) for c in report.comparisons] == [
        ("m.int8.tflite in litert", 2),
        (None, None),
        ("m.int8.tflite in litert", 3),
        (None, None),
        (None, None),
    ]


def test_a_loose_file_is_its_own_twin_in_other_runtimes_only(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate]
) -> None:
    raw = np.array([[100, -100, -128]] * 4, np.int8)
    report = verify(
        make_candidate(make_model(raw, output=INT8_OUTPUT), "one.tflite", precision="int8"),
        make_candidate(
            make_model(raw, "litert-reference", output=INT8_OUTPUT), "one.tflite", precision="int8"
        ),
        make_candidate(
            make_model(raw, "litert-reference", output=INT8_OUTPUT), "two.tflite", precision="int8"
        ),
    )
    assert [c.twin for c in report.comparisons] == [None, "one.tflite in litert", None]


def test_nan_names_the_artifact_and_the_image(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate]
) -> None:
    broken = CANDIDATE.copy()
    broken[2, 1] = np.nan
    with pytest.raises(VerificationError, match=r"model\.tflite in litert produces NaN for image 2\."):
        verify(make_candidate(make_model(broken)))


def test_outputs_that_are_no_probabilities_are_said(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate], feeding: Feeding
) -> None:
    logits = np.log(REFERENCE + 1e-9)
    as_logits = Feeding(feeding.preprocessing, outputs=Outputs.LOGITS)
    report = verify(
        make_candidate(make_model(logits), "plain.tflite"),
        make_candidate(make_model(logits), "logits.tflite", feeding=as_logits),
    )
    plain, softened = report.comparisons
    assert plain.agreements == softened.agreements == 4
    assert plain.max_difference > 1
    assert softened.max_difference < 1e-6
    assert report.notes[0].startswith("plain.tflite in litert: its outputs do not sum to one")
    assert report.notes[1].startswith("logits.tflite in litert: its outputs were taken as logits")


def test_outputs_of_another_shape_are_refused(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate]
) -> None:
    undeclared = TensorInfo("out", (None, None), "float32")
    with pytest.raises(VerificationError, match="gives 2 classes, but the data has 3"):
        verify(make_candidate(make_model(CANDIDATE[:, :2], output=undeclared)))
    with pytest.raises(VerificationError, match=r"output of shape \(4, 3, 1\) for 4 images"):
        verify(make_candidate(make_model(CANDIDATE[:, :, None], output=undeclared)))


def test_nothing_to_compare_is_no_pass(verify: Verify) -> None:
    with pytest.raises(VerificationError, match="nothing to compare"):
        verify()


def test_one_candidate_is_in_memory_at_a_time(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate]
) -> None:
    alive: weakref.WeakSet[LoadedModel] = weakref.WeakSet()
    alive_before: list[int] = []

    def load() -> LoadedModel:
        gc.collect()
        alive_before.append(len(alive))
        model = make_model(CANDIDATE)
        alive.add(model)
        return model

    candidate = make_candidate(make_model(CANDIDATE))
    verify(replace(candidate, load=load), replace(candidate, load=load))
    assert alive_before == [0, 0]


def test_the_evidence_of_a_hand_computed_comparison(
    verify: Verify, make_model: MakeModel, make_candidate: Callable[..., Candidate]
) -> None:
    report = verify(make_candidate(make_model(CANDIDATE)), gate=Gate(max_drop_pp=60, drop_bound=Bound.UPPER))
    (comparison,) = report.comparisons
    evidence = comparison.evidence
    assert evidence is not None
    # Images 1 and 3, of classes 1 and 0, are lost.
    assert (evidence.right_to_wrong, evidence.wrong_to_right) == ((1, 1, 0), (0, 0, 0))
    assert evidence.reference_confusion.cells == ((0, 0, 2), (1, 1, 1), (2, 0, 1))
    assert evidence.confusion.cells == ((0, 0, 1), (0, 1, 1), (1, 0, 1), (2, 0, 1))
    assert evidence.class_drops_pp == (50, 100, 0)
    assert evidence.mcnemar_p == pytest.approx(0.5)
    assert evidence.differences.maximum == pytest.approx(0.5)
    assert [flip.image for flip in evidence.worst_flips] == [3, 1]
    assert sorted(report.images) == [1, 3]
    assert report.class_names == ("ant", "bee", "cat")
    # 50 points lost of the 60 allowed: four images prove nothing.
    assert comparison.verdict is Verdict.UNDECIDED
    assert not report.passed
    assert (
        report.comparisons[0]
        .undecided[0]
        .sentence.startswith("model.tflite in litert lost 50.00 pp on 4 images")
    )


def test_rules_are_for_those_whose_names_match(
    make_model: MakeModel,
    make_candidate: Callable[..., Candidate],
    make_data: MakeData,
    feeding: Feeding,
    circumstances: Circumstances,
) -> None:
    reference = Reference(
        "model.keras", lambda: make_model(REFERENCE, "keras"), feeding, "sha of the reference"
    )
    policy = Policy(rules=(Rule(artifact="*.int8.*", max_size_bytes=1),))
    candidates = [
        make_candidate(make_model(REFERENCE), name) for name in ("m.int8.tflite", "m.float32.tflite")
    ]
    report = verify_parity(reference, candidates, make_data(LABELS), policy, circumstances)
    assert [one.verdict for one in report.comparisons] == [Verdict.FAIL, Verdict.NONE]


def test_time_is_held_against_the_float_model_in_the_same_engine() -> None:
    engine = EngineInfo("litert", "LiteRT", "1", "CPU", 1)

    def measured(images_per_s: float, runtime: str) -> Any:
        return SimpleNamespace(engine=replace(engine, runtime=runtime), images_per_s=images_per_s)

    def candidate(precision: str) -> Any:
        return SimpleNamespace(name=f"m.{precision}", precision=precision)

    int8, base, reference = measured(50, "litert"), measured(100, "litert"), measured(400, "keras")
    pairs = [(candidate("float32"), base), (candidate("int8"), int8)]
    assert parity._speed(int8, pairs, ("r", reference)) == Speed(2.0, "m.float32 in litert")
    assert parity._speed(int8, pairs[1:], ("r", reference)) == Speed(8.0, "r in keras")
