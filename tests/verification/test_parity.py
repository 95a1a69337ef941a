import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.artifacts import Accuracy, Dataset, Gate, ParityReport, Verdict
from edgecifar.errors import VerificationError
from edgecifar.progress import Task
from edgecifar.protocol import Array, LoadedModel, TensorInfo
from edgecifar.verification import (
    Candidate,
    Circumstances,
    Feeding,
    Outputs,
    Reference,
    balanced_order,
    parity,
    verify_parity,
)

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
        reference = Reference("model.keras", make_model(table, "keras"), feeding, "sha of the reference")
        return verify_parity(reference, candidates, make_data(labels), gate, circumstances)

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


def test_images_run_in_batches_and_progress_is_told(
    monkeypatch: pytest.MonkeyPatch,
    make_model: Callable[..., LoadedModel],
    make_data: MakeData,
    make_candidate: Callable[..., Candidate],
    feeding: Feeding,
    circumstances: Circumstances,
) -> None:
    monkeypatch.setattr(parity, "MAX_BATCH", 2)
    labels = [0, 1, 2, 0, 1]
    table = np.eye(3, dtype=np.float32)[labels]
    model = make_model(table)
    told: list[tuple[str, int, str, int, float]] = []

    class Recorder:
        def task(self, name: str, total: int, unit: str) -> AbstractContextManager[Task]:
            class Advance:
                def advance(self, amount: int = 1, **figures: float) -> None:
                    told.append((name, total, unit, amount, figures["images_per_s"]))

            @contextmanager
            def context() -> Iterator[Task]:
                yield Advance()

            return context()

        def say(self, message: str) -> None:
            raise AssertionError(message)

    reference = Reference("model.keras", make_model(table, "keras"), feeding, "sha")
    report = verify_parity(
        reference, [make_candidate(model)], make_data(labels), Gate(), circumstances, progress=Recorder()
    )
    assert report.comparisons[0].accuracy == Accuracy(correct=5, total=5)
    assert [len(batch) for batch in model.batches] == [2, 2, 1]  # type: ignore[attr-defined]
    assert [row[:4] for row in told[3:]] == [
        ("model.tflite in litert", 5, "images", 2),
        ("model.tflite in litert", 5, "images", 2),
        ("model.tflite in litert", 5, "images", 1),
    ]


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


def test_speed_leaves_the_first_batch_out_unless_it_is_alone() -> None:
    speed = parity._Speed()
    speed.add(10, 5_000_000_000)
    assert speed.images_per_s == 2.0
    speed.add(10, 100_000_000)
    assert speed.images_per_s == 100.0


def test_balanced_order_of_a_hand_made_list() -> None:
    assert balanced_order(np.array([2, 0, 0, 1, 2, 0])).tolist() == [1, 3, 0, 2, 4, 5]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_every_beginning_of_the_balanced_order_is_balanced(labels: list[int]) -> None:
    array = np.array(labels)
    order = balanced_order(array)
    assert sorted(order.tolist()) == list(range(len(labels)))
    for length in range(1, len(labels) + 1):
        seen = np.bincount(array[order[:length]], minlength=5)
        left = np.bincount(array, minlength=5) - seen
        # A class with images to spare is never more than one behind another.
        assert all(seen[a] + 1 >= seen.max() for a in range(5) if left[a] > 0)
